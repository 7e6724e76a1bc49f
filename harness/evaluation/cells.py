"""From two sample sets to the measured columns of a cell."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from ..identity import stream_seed
from ..job.parts.noise import TRUNCATED as TRUNCATED_SPEC
from ..job.parts.noise import AnyNoise
from ..job.parts.settings import Evaluation
from ..planning.cells import Cell
from ..problems.sources import Source
from ..theory.bounds import pooled_diameter
from ..theory.noise import Noise
from ..training.noise import make_noise
from .sets import Columns, log_spaced_sigmas, measure_sets

_OF_THE_BASELINE = (
    *("num_samples", "jsd_mixture", "tv", "w1", "w1_sliced"),
    *("bound_paper", "bound_best", "bound_sliced", "bound_sliced_best"),
)
_WITHOUT_SIGMA = (
    *("w1", "w1_sliced", "data_diameter", "bound_best", "bound_best_upper", "bound_best_sigma", "bound_sharp_best"),
    *("bound_weighted_best", "bound_sliced_best", "bound_sliced_best_sigma", "num_samples"),
)


class Evaluator:
    """Measures sample sets against a problem's held-out samples; remembers what cells have in common."""

    def __init__(self, source: Source, evaluation: Evaluation) -> None:
        self.source, self.evaluation = source, evaluation
        self.real, self._halves = source.held_out_samples(evaluation.samples)
        self.sigmas = sigma_grid(self.real, evaluation)
        self._baselines: dict[tuple[float, AnyNoise], Columns] = {}
        self._of_the_halves: Columns | None = None
        self._noises: dict[AnyNoise, Noise] = {}

    def against_real(
        self, fake: Tensor, sigmas: Sequence[float], *, seed: int, noise: AnyNoise = TRUNCATED_SPEC
    ) -> dict[float, Columns]:
        """The measured columns of a generator's samples ``[n, *shape]`` at each sigma, with the baseline's."""
        if not bool(torch.isfinite(fake).all()):
            return {sigma: self._baseline(sigma, noise) for sigma in sigmas}
        measured = self._measure(self.real, fake, sigmas, noise, stream_seed("evaluation", "draws", seed))
        return {sigma: {**columns, **self._baseline(sigma, noise)} for sigma, columns in measured.items()}

    def _baseline(self, sigma: float, noise: AnyNoise) -> Columns:
        """The same of two halves of held-out data: what a perfect generator would get."""
        if (sigma, noise) not in self._baselines:
            seed = stream_seed("baseline", "draws")
            columns = self._measure(*self._halves, [sigma], noise, seed, known=self._of_the_halves)[sigma]
            self._of_the_halves = {name: columns[name] for name in _WITHOUT_SIGMA}
            self._baselines[sigma, noise] = {f"real_{name}": columns.get(name) for name in _OF_THE_BASELINE}
        return self._baselines[sigma, noise]

    def noise(self, spec: AnyNoise) -> Noise:
        """A family of noise for these samples; made once."""
        if spec not in self._noises:
            self._noises[spec] = make_noise(spec, self.source)
        return self._noises[spec]

    def _measure(
        self,
        real: Tensor,
        fake: Tensor,
        sigmas: Sequence[float],
        noise: AnyNoise,
        seed: int,
        *,
        known: Columns | None = None,
    ) -> dict[float, Columns]:
        return measure_sets(
            real.flatten(1),
            fake.flatten(1),
            sigmas=sigmas,
            noise=self.noise(noise),
            grid=self.sigmas,
            num_draws=self.evaluation.draws,
            num_directions=self.evaluation.directions,
            generator=Generator(self.source.device).manual_seed(seed),
            known=known,
        )


def sigma_grid(real: Tensor, evaluation: Evaluation) -> list[float]:
    """The sigmas over which the best bound is taken.

    ``auto``: 13 values, evenly spaced on a log axis, up to where the noise term alone is twice the diameter of
    the real samples; the same for all cells of a problem, so that their best bounds compare.
    """
    if evaluation.sigmas != "auto":
        return list(evaluation.sigmas)
    flat = real.flatten(1)
    return log_spaced_sigmas(pooled_diameter(flat, flat), flat.shape[1])


def same_generator(members: Sequence[int], cell_of: dict[int, Cell], fakes: Tensor) -> list[tuple[Tensor, list[int]]]:
    """Members grouped by the generator they are about and their family of noise, with its samples ``[n, *shape]``."""
    groups: dict[tuple[str, int, AnyNoise], list[int]] = {}
    for member in members:
        cell = cell_of[member]
        groups.setdefault((cell.run.run_id, cell.epoch, cell.sigma.noise), []).append(member)
    return [(fakes[members.index(group[0])], group) for group in groups.values()]
