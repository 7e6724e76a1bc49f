"""From two sample sets to the measured columns of a cell."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor

from .identity import stream_seed
from .job import Evaluation
from .packs import StackedModule, Streams, add_noise, discriminate
from .problems.sources import Source
from .theory.bounds import LOG2, Bound, noisy_diameter, paper_bound, pooled_diameter, sharp_bound
from .theory.divergences import NoisyDivergence, noisy_divergences
from .theory.losses import Objective, accuracy
from .theory.noise import noise_variance
from .theory.transport import w1

_ONE_SIDED_95 = 1.6449
Columns = dict[str, Any]


@dataclass(frozen=True)
class Verdicts:
    """Held-out judgement of a pack's discriminators, one value a member."""

    d_loss: list[float]
    accuracy: list[float]


class Evaluator:
    """Measures sample sets against a problem's held-out samples; remembers what cells have in common."""

    def __init__(self, source: Source, evaluation: Evaluation) -> None:
        self.source, self.evaluation = source, evaluation
        self.real, self._halves = source.held_out_samples(evaluation.samples)
        self.sigmas = sigma_grid(self.real, evaluation)
        self._baselines: dict[float, Columns] = {}

    def against_real(self, fake: Tensor, sigmas: Sequence[float], *, seed: int) -> dict[float, Columns]:
        """The measured columns of a generator's samples ``[n, *shape]`` at each sigma, with the baseline's."""
        if not bool(torch.isfinite(fake).all()):
            return {sigma: self._baseline(sigma) for sigma in sigmas}
        generator = Generator(self.source.device).manual_seed(stream_seed("evaluation", "draws", seed))
        measured = measure_sets(
            self.real,
            fake,
            sigmas=sigmas,
            grid=self.sigmas,
            num_draws=self.evaluation.draws,
            generator=generator,
        )
        return {sigma: {**columns, **self._baseline(sigma)} for sigma, columns in measured.items()}

    def _baseline(self, sigma: float) -> Columns:
        """The same of two halves of held-out data: what a perfect generator would get."""
        if sigma not in self._baselines:
            first, second = self._halves
            generator = Generator(self.source.device).manual_seed(stream_seed("baseline", "draws"))
            columns = measure_sets(
                first,
                second,
                sigmas=[sigma],
                grid=self.sigmas,
                num_draws=self.evaluation.draws,
                generator=generator,
            )[sigma]
            kept = ("num_samples", "jsd_mixture", "tv", "bound_paper", "bound_best", "w1")
            self._baselines[sigma] = {f"real_{name}": columns[name] for name in kept}
        return self._baselines[sigma]


def sigma_grid(real: Tensor, evaluation: Evaluation) -> list[float]:
    """The sigmas over which the best bound is taken.

    ``auto``: 13 values, evenly spaced on a log axis, up to where the noise term alone is twice the diameter of
    the real samples; the same for all cells of a problem, so that their best bounds compare.
    """
    if evaluation.sigmas != "auto":
        return list(evaluation.sigmas)
    flat = real.flatten(1)
    largest = pooled_diameter(flat, flat) / math.sqrt(flat.shape[1])
    return [largest * 0.005 ** (1 - index / 12) for index in range(13)]


def measure_sets(
    real: Tensor,
    fake: Tensor,
    *,
    sigmas: Sequence[float],
    grid: Sequence[float],
    num_draws: int,
    generator: Generator,
) -> dict[float, Columns]:
    """Divergences, bounds and exact transport between two sample sets, at each sigma.

    Args:
      real: Samples ``[n, *shape]``, data units.
      fake: Samples ``[m, *shape]``.
      sigmas: Where divergence and bounds are wanted.
      grid: Where the best bound is looked for.
      num_draws: Draws from each noisy measure.
      generator: Source of the draws.
    """
    real, fake = real.flatten(1).double(), fake.flatten(1).double()
    dimension = real.shape[1]
    data_diameter = pooled_diameter(real, fake)
    distance = w1(real, fake)
    divergences = noisy_divergences(real, fake, sigmas=[*sigmas, *grid], num_draws=num_draws, generator=generator)
    own, over_grid = divergences[: len(sigmas)], divergences[len(sigmas) :]
    best = min(over_grid, key=lambda d: _paper(d, d.jsd.value, dimension, data_diameter).value)
    shared = {
        "w1": distance,
        "data_diameter": data_diameter,
        "bound_best": _paper(best, best.jsd.value, dimension, data_diameter).value,
        "bound_best_sigma": best.sigma,
        "num_samples": len(fake),
    }
    best_limit = _paper(best, _upper(best), dimension, data_diameter).value
    return {
        divergence.sigma: {
            **shared,
            **_at_sigma(divergence, dimension, data_diameter, distance=distance, best_limit=best_limit),
        }
        for divergence in own
    }


def _at_sigma(
    divergence: NoisyDivergence, dimension: int, data_diameter: float, *, distance: float, best_limit: float
) -> Columns:
    paper = _paper(divergence, divergence.jsd.value, dimension, data_diameter)
    upper = _paper(divergence, _upper(divergence), dimension, data_diameter).value
    sharp_upper = _sharp(divergence, _upper(divergence), dimension, data_diameter)
    return {
        "jsd_mixture": divergence.jsd.value,
        "jsd_mixture_se": divergence.jsd.standard_error,
        "tv": divergence.tv.value,
        "noise_variance": noise_variance(sigma=divergence.sigma, dimension=dimension),
        "diameter": noisy_diameter(data_diameter, sigma=divergence.sigma, dimension=dimension),
        "bound_paper": paper.value,
        "bound_paper_noise_term": paper.noise_term,
        "bound_paper_divergence_term": paper.divergence_term,
        "bound_sharp": _sharp(divergence, divergence.jsd.value, dimension, data_diameter),
        "bound_holds": distance <= min(upper, sharp_upper, best_limit) * (1 + 1e-9),
        "vacuous": paper.value > data_diameter,
    }


def _upper(divergence: NoisyDivergence) -> float:
    """The upper 95 % confidence limit of the JSD."""
    return divergence.jsd.value + _ONE_SIDED_95 * divergence.jsd.standard_error


def _paper(divergence: NoisyDivergence, jsd: float, dimension: int, data_diameter: float) -> Bound:
    diameter = noisy_diameter(data_diameter, sigma=divergence.sigma, dimension=dimension)
    return paper_bound(jsd=jsd, sigma=divergence.sigma, dimension=dimension, diameter=diameter)


def _sharp(divergence: NoisyDivergence, jsd: float, dimension: int, data_diameter: float) -> float:
    diameter = noisy_diameter(data_diameter, sigma=divergence.sigma, dimension=dimension)
    return sharp_bound(jsd=jsd, sigma=divergence.sigma, dimension=dimension, diameter=diameter).value


@torch.no_grad()
def generate(
    generator: StackedModule, weights: Tensor, *, seeds: Sequence[int], num: int, batch: int, latent: int
) -> Tensor:
    """Samples for evaluation from k generators: ``[k, num, *shape]``.

    Made in batches of the training's size, since the generator normalises over its batch.
    """
    latents = Streams("evaluation", seeds, device=weights.device).normal("latents", batch, latent)
    batches = [generator(weights, latents.next()) for _ in range(-(-num // batch))]
    return torch.cat(batches, dim=1)[:, :num]


@torch.no_grad()
def judge(
    discriminator: StackedModule,
    weights: Tensor,
    real: Tensor,
    fake: Tensor,
    *,
    sigma: Tensor,
    seeds: Sequence[int],
    objective: Objective,
    batch: int,
    batch_norm: str,
) -> Verdicts:
    """Loss and accuracy of k discriminators on noisy held-out samples.

    Args:
      discriminator, weights: The discriminators, ``[k, p]``.
      real: Held-out samples, ``[n, *shape]``.
      fake: Samples of each member's generator, ``[k, n, *shape]``.
      sigma: Noise of each member, ``[k]``.
      seeds: Of the members, for the noise.
      batch: Samples judged at once; batches are as equal as possible.
    """
    num = min(len(real), fake.shape[1])
    streams = Streams("evaluation", seeds, device=weights.device)
    noise = [streams.unit_noise(f"{kind} noise", num, tuple(real.shape[1:])) for kind in ("real", "fake")]
    noisy_real = add_noise(real[:num].expand(len(weights), *[-1] * real.ndim), sigma, noise[0])
    noisy_fake = add_noise(fake[:, :num], sigma, noise[1])
    logits = [
        discriminate(discriminator, weights, reals, fakes, batch_norm=batch_norm)
        for reals, fakes in zip(
            noisy_real.tensor_split(-(-num // batch), dim=1),
            noisy_fake.tensor_split(-(-num // batch), dim=1),
            strict=True,
        )
    ]
    real_logits, fake_logits = (torch.cat(parts, dim=1) for parts in zip(*logits, strict=True))
    return Verdicts(
        d_loss=objective(real_logits, fake_logits).tolist(),
        accuracy=accuracy(objective, real_logits, fake_logits).tolist(),
    )


def discriminator_jsd(objective: Objective, d_loss: float | None) -> float | None:
    """``log 2 - L_D / 2``: what a discriminator's held-out cross-entropy says of the JSD, a lower estimate (nats)."""
    return LOG2 - d_loss / 2 if objective.is_cross_entropy and d_loss is not None else None
