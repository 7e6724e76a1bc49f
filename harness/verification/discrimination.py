"""Theorems 2.1 to 2.3: between supports of low dimension there is a perfect discriminator, and it teaches nothing.

References:
  Arjovsky & Bottou (2017), section 2.1; arXiv:1701.04862. Its Theorem 2.3 says 2 log 2, which exceeds the largest value
  of the JSD it defines; the right constant is log 2.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from ..job.parts.networks import MLP
from ..stacking.module import StackedModule
from ..theory.divergences import LOG2, noisy_divergences
from ..theory.losses import CROSS_ENTROPY, accuracy
from .findings import Assessment, assess, at_most, close, holds

_BATCH = 128
_FRESH = 2000  # samples of each kind that training has not seen
_EARLY = 10  # steps


def theorem_2_1(*, distance: float = 0.5, num_steps: int = 400, max_slope: float = 0.02, seed: int = 0) -> Assessment:
    """Disjoint compact supports: a discriminator of accuracy 1 with ``grad_x D = 0`` on both.

    Real and fake samples are uniform on two parallel segments of length 2 in the plane. The harness's MLP, trained by
    cross-entropy, must get all fresh samples right, and the mean of ``||grad_x D||``, ``D = sigmoid(logit)``, on them
    must become small beside ``1 / distance``, the mean slope any D needs between the segments; it must also have
    fallen tenfold since the first steps. The control, trained beside it on one and the same segment, must do no better
    than guess: its accuracy within 4 standard errors of 1/2. (Its slope vanishes too, since there D* = 1/2.)

    Args:
      distance: Between the segments.
      num_steps: Of Adam.
      max_slope: In units of ``1 / distance``; the theorem's 0 is a limit that training only approaches.
      seed: Of weights and samples.
    """
    real = _segment(angle=0.0, offset=0.0)
    players = [(real, _segment(angle=0.0, offset=distance)), (real, real)]
    early, late = _train(players, steps=(_EARLY, num_steps), seed=seed)
    needed = 1 / distance if distance > 0 else 1.0
    slope = float(late.slope[0]) / needed
    return assess(
        f"accuracy {float(late.accuracy[0]):.4f}, slope {slope:.2g} / delta (control: {float(late.accuracy[1]):.3f})",
        f"accuracy 1, slope -> 0, here <= {max_slope:g} / delta (control: 1/2)",
        holds(float(late.accuracy[0]) == 1.0),
        at_most(slope, max_slope),
        at_most(float(late.slope[0]), float(early.slope[0]) / 10),
        close(float(late.accuracy[1]), 0.5, tolerance=4 * 0.5 / math.sqrt(2 * _FRESH)),
    )


def theorem_2_2(
    *,
    angle: float = math.pi / 2,
    radius: float = 0.15,
    num_steps: int = 600,
    max_slope: float = 0.05,
    seed: int = 0,
) -> Assessment:
    """Supports that cross without aligning: the same almost everywhere.

    Two segments of length 2 in the plane cross in their middle. Perfect discrimination fails on the crossing alone, so
    outside any ball around it a trained discriminator must get all fresh samples right, with a slope that is small
    beside the ``1 / radius`` it needs to tell the segments apart there. The control is one and the same segment.

    Args:
      angle: Between the segments; at 0 they align.
      radius: Of the ball left out, in which a share `radius` of either measure lies.
      num_steps, max_slope, seed: As of `theorem_2_1`, the slope in units of ``1 / radius``.
    """
    real = _segment(angle=0.0, offset=0.0)
    players = [(real, _segment(angle=angle, offset=0.0)), (real, real)]
    (late,) = _train(players, steps=(num_steps,), seed=seed, outside=radius)
    slope = late.slope * radius
    return assess(
        f"accuracy {float(late.accuracy[0]):.4f}, slope {slope[0]:.2g} / r (control: {float(late.accuracy[1]):.3f})",
        f"accuracy 1, slope -> 0, here <= {max_slope:g} / r, outside r = {radius:g} (control: 1/2)",
        holds(float(late.accuracy[0]) == 1.0),
        at_most(float(slope[0]), max_slope),
        close(float(late.accuracy[1]), 0.5, tolerance=4 * 0.5 / math.sqrt(2 * _FRESH * (1 - radius))),
    )


def theorem_2_3(
    *,
    distances: Sequence[float] = (1.0, 1e-3, 1e-9),
    angles: Sequence[float] = (math.pi / 2, 1e-6),
    sigma: float = 0.0,
    jsd: float = LOG2,
    num_samples: int = 200,
    seed: int = 0,
) -> Assessment:
    """``JSD = log 2, KL(P_r||P_g) = KL(P_g||P_r) = inf``, however close the supports are.

    Samples of parallel segments at several distances, with the same coordinates along them, so that nothing but the
    distance differs; samples of segments that cross at several angles; and, as the theorem is about all disjoint
    supports, parallel segments thickened by truncated noise of a twentieth of their distance, too little to overlap.
    Divergences are the harness's.

    Args:
      distances: Between parallel segments, > 0.
      angles: Between crossing segments, > 0.
      sigma: Noise, data units; any that makes the supports overlap breaks the statement.
      jsd: What the statement says, nats.
      num_samples: Of each segment.
      seed: Of samples and draws.
    """
    draws = Generator().manual_seed(seed)
    along = 2 * torch.rand(num_samples, generator=draws, dtype=torch.float64) - 1
    flat, others = torch.stack([along, torch.zeros_like(along)], 1), along.roll(1)
    pairs = [(torch.stack([along, torch.full_like(along, distance)], 1), sigma) for distance in distances]
    pairs += [(torch.stack([others * math.cos(angle), others * math.sin(angle)], 1), sigma) for angle in angles]
    pairs += [(pairs[0][0], max(sigma, distances[0] / 20))]
    found = [
        noisy_divergences(flat, other, sigmas=[noise], num_draws=2000, generator=draws)[0] for other, noise in pairs
    ]
    worst = max((divergence.jsd.value for divergence in found), key=lambda value: abs(value - jsd))
    kls = [kl for divergence in found for kl in (divergence.kl_real_fake, divergence.kl_fake_real)]
    # None: bounded noise whose supports overlap
    smallest_kl = math.nan if None in kls else min(kl.value for kl in kls if kl is not None)
    return assess(
        f"JSD {worst:.12g}, KL {smallest_kl:g}",
        f"JSD {jsd:.12g}, KL inf",
        close(worst, jsd, tolerance=1e-12),  # of rounding: nothing is estimated
        holds(smallest_kl == math.inf),
    )


@dataclass(frozen=True)
class _Measured:
    """On fresh samples, of every discriminator ``[k]``: accuracy, and the mean of ``||grad_x sigmoid(logit)||``."""

    accuracy: Tensor
    slope: Tensor


Sampler = Callable[[int, Generator], Tensor]


def _segment(*, angle: float, offset: float) -> Sampler:
    """Uniform samples ``[num, 2]`` of a segment of length 2, turned by `angle` and moved up by `offset`."""

    def sample(num: int, draws: Generator) -> Tensor:
        along = 2 * torch.rand(num, generator=draws) - 1
        return torch.stack([along * math.cos(angle), along * math.sin(angle) + offset], 1)

    return sample


def _train(
    players: Sequence[tuple[Sampler, Sampler]], *, steps: Sequence[int], seed: int, outside: float = 0.0
) -> list[_Measured]:
    """Trains one discriminator a pair of samplers, as one pack, and measures all of them after each of `steps`.

    Args:
      players: Samplers of real and fake samples.
      steps: Increasing numbers of updates.
      seed: Of weights and samples; weights are the same for all.
      outside: Fresh samples nearer to the origin than that are left out.
    """
    draws = Generator().manual_seed(seed)
    module = StackedModule.discriminator(MLP(), (2,))
    weights = module.initial(draws).repeat(len(players), 1).requires_grad_()
    optimizer = torch.optim.Adam([weights], lr=5e-3)  # elementwise, so members do not touch each other
    measured = []
    for step in range(1, steps[-1] + 1):
        real, fake = (torch.stack([pair[kind](_BATCH, draws) for pair in players]) for kind in (0, 1))
        optimizer.zero_grad()
        CROSS_ENTROPY(module(weights, real), module(weights, fake)).sum().backward()
        optimizer.step()
        if step in steps:
            measured.append(_measure(module, weights.detach(), players, seed=seed, outside=outside))
    return measured


def _measure(
    module: StackedModule,
    weights: Tensor,
    players: Sequence[tuple[Sampler, Sampler]],
    *,
    seed: int,
    outside: float,
) -> _Measured:
    draws = Generator().manual_seed(seed + 1)
    accuracies, slopes = [], []
    for own, pair in zip(weights, players, strict=True):
        fresh = [samples[samples.norm(dim=1) >= outside] for samples in (kind(_FRESH, draws) for kind in pair)]
        points = [samples[None].requires_grad_() for samples in fresh]
        logits = [module(own[None], samples) for samples in points]
        gradients = torch.autograd.grad([values.sigmoid().sum() for values in logits], points)
        accuracies.append(accuracy(CROSS_ENTROPY, *(values[0].detach() for values in logits)))
        slopes.append(torch.cat(gradients, 1).norm(dim=2).mean())
    return _Measured(torch.stack(accuracies), torch.stack(slopes))
