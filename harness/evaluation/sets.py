"""Two sample sets to columns: divergences, bounds, exact transport."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

from jaxtyping import Float64
from torch import Generator, Tensor

from ..storage.records import Columns
from ..theory import transport
from ..theory.bounds import Bound, noisy_diameter, paper_bound, pooled_diameter, sharp_bound, weighted_bound
from ..theory.divergences import Estimate, NoisyDivergence, noisy_divergences
from ..theory.noise import GAUSSIAN, TRUNCATED, Noise
from ..theory.samples import Half, ProgressCallback, SampleSet
from ..theory.sliced import Projections, project

_LEVEL = 0.05
_MIN_HALVED = 4  # samples in the smaller set, below which half of it is no set to speak of


@dataclass(frozen=True)
class Geometry:
    """What the bounds need to know of two sample sets besides their divergence.

    A bound is that at the estimated divergence or, with `limits`, at one of so many upper 95 % limits that hold
    together (`upper_limit`).
    """

    dimension: int
    data_diameter: float

    def noisy_diameter(self, sigma: float, noise: Noise = TRUNCATED) -> float:
        """C: the diameter of the union of both noisy supports."""
        return noisy_diameter(self.data_diameter, sigma=sigma, dimension=self.dimension, noise=noise)

    def paper(self, divergence: NoisyDivergence, noise: Noise = TRUNCATED, *, limits: int = 0) -> Bound:
        """The bound of Theorem 3.3."""
        return self._from_jsd(paper_bound, divergence, noise, limits)

    def sharp(self, divergence: NoisyDivergence, noise: Noise = TRUNCATED, *, limits: int = 0) -> Bound:
        """Its sharp form."""
        return self._from_jsd(sharp_bound, divergence, noise, limits)

    def weighted(self, divergence: NoisyDivergence, noise: Noise, *, limits: int = 0) -> Bound:
        """The weighted bound."""
        return weighted_bound(
            weighted_tv=upper_limit(divergence.weighted_tv, limits),
            sigma=divergence.sigma,
            dimension=self.dimension,
            noise=noise,
        )

    def _from_jsd(self, form: Callable[..., Bound], divergence: NoisyDivergence, noise: Noise, limits: int) -> Bound:
        return form(
            jsd=upper_limit(divergence.jsd, limits),
            sigma=divergence.sigma,
            dimension=self.dimension,
            diameter=self.noisy_diameter(divergence.sigma, noise),
            noise=noise,
        )


class SetPair:
    """Two sample sets, and what has been measured of them so far.

    Geometry, distances and divergences are measured when they are first asked for and then kept, so asking at other
    sigmas costs only what is new. One pass over the sets serves all sigmas of a family of noise that are asked for
    together. Every pass starts from the same state of the generator: all sigmas share their draws, whichever were
    asked for before. The sets are read in parts, except for the exact W1.

    Args:
      real: Samples ``[n, d]``, data units.
      fake: Samples ``[m, d]``.
      grid: Sigmas over which the best bounds are taken.
      num_draws: Draws from each noisy measure.
      directions: Unit vectors of the sliced distance and bound (`theory.sliced.random_directions`).
      generator: Source of the draws, the pair's own from here on; its device is where the work is done.
      data_diameter: Of both sets together, or an upper limit of it, where it is known already.
      max_for_w1: Samples in the larger set beyond which the exact W1 is left out (None): its memory is quadratic.
      progress: Told of the work done, in each pass.
    """

    def __init__(
        self,
        real: SampleSet,
        fake: SampleSet,
        *,
        grid: Sequence[float],
        num_draws: int,
        directions: Float64[Tensor, "l d"],
        generator: Generator,
        data_diameter: float | None = None,
        max_for_w1: int | None = None,
        progress: ProgressCallback | None = None,
    ) -> None:
        self.real, self.fake, self.grid = real, fake, grid
        self._num_draws, self._data_diameter, self._max_for_w1 = num_draws, data_diameter, max_for_w1
        self._generator, self._progress, self._directions = generator, progress, directions
        self._before_draws = generator.get_state()
        self._divergences: dict[tuple[Noise, float], NoisyDivergence] = {}
        self._of_halves: dict[tuple[Noise, float], NoisyDivergence] = {}
        self._sliced: dict[float, float] = {}

    def columns(self, sigmas: Sequence[float], noise: Noise = TRUNCATED) -> dict[float, Columns]:
        """All columns at each sigma (data units): the distances, what `best` and `at` say, and `bound_holds`."""
        self._measure_at(sigmas, noise)
        self._measure_sliced(sigma for sigma in sigmas if sigma > 0)
        shared = {
            "w1": self.w1,
            "w1_sliced": self.w1_sliced,
            "data_diameter": self.geometry.data_diameter,
            "num_samples": len(self.fake),
            **self.best,
        }
        return {sigma: _with_bound_holds({**shared, **self.at(sigma, noise)}) for sigma in sigmas}

    def at(self, sigma: float, noise: Noise = TRUNCATED) -> Columns:
        """Divergences and bounds at a sigma (data units, >= 0) of a family; of the bounds those that hold there."""
        self._measure_at([sigma], noise)
        self._measure_sliced([sigma] if sigma > 0 else [])
        divergence, dimension = self._divergences[noise, sigma], self.geometry.dimension
        halves, unbounded = self._of_halves.get((noise, sigma)), self._divergences[_unbounded(noise), sigma]
        columns = {
            "jsd_mixture": divergence.jsd.value,
            "jsd_mixture_se": divergence.jsd.standard_error,
            "jsd_mixture_half": None if halves is None else halves.jsd.value,
            "tv": divergence.tv.value,
            "kl_real_fake": None if unbounded.kl_real_fake is None else unbounded.kl_real_fake.value,
            "kl_fake_real": None if unbounded.kl_fake_real is None else unbounded.kl_fake_real.value,
            # the quadrature needs noise; without any, a projection's bound is the trivial one of disjoint supports
            "bound_sliced": self._sliced[sigma] if sigma > 0 else None,
        }
        if math.isfinite(noise.variance(sigma=sigma, dimension=dimension)):
            columns |= self._with_variance(divergence, noise)
        if math.isfinite(noise.radius(sigma=sigma, dimension=dimension)):
            columns |= self._with_bounded_support(divergence, noise)
        return columns

    @functools.cached_property
    def best(self) -> Columns:
        """The least of each bound over the grid, under truncated noise: these hold for the sample sets as such.

        Their upper limits are the least of limits that hold at all sigmas of the grid together.
        """
        self._measure(self.grid, TRUNCATED)
        over_grid = [self._divergences[TRUNCATED, sigma] for sigma in self.grid]
        geometry, all_sigmas = self.geometry, len(self.grid)

        def least(form: Callable[..., Bound], *arguments: Noise, limits: int = 0) -> float:
            return min(form(divergence, *arguments, limits=limits).value for divergence in over_grid)

        self._measure_sliced(self.grid)
        best_sliced = min(self.grid, key=self._sliced.__getitem__)
        return {
            "bound_best": least(geometry.paper),
            "bound_best_upper": least(geometry.paper, limits=all_sigmas),
            "bound_best_sigma": min(over_grid, key=lambda divergence: geometry.paper(divergence).value).sigma,
            "bound_sharp_best": least(geometry.sharp),
            "bound_sharp_best_upper": least(geometry.sharp, limits=all_sigmas),
            "bound_weighted_best": least(geometry.weighted, TRUNCATED),
            "bound_weighted_best_upper": least(geometry.weighted, TRUNCATED, limits=all_sigmas),
            "bound_sliced_best": self._sliced[best_sliced],
            "bound_sliced_best_sigma": best_sliced,
        }

    @functools.cached_property
    def geometry(self) -> Geometry:
        """Dimension and diameter of both sets together."""
        known = self._data_diameter
        return Geometry(self.real.shape[1], pooled_diameter(self.real, self.fake) if known is None else known)

    @functools.cached_property
    def w1(self) -> float | None:
        """Exact Wasserstein-1 distance, data units; None for sets that are too large for it."""
        if self._max_for_w1 is not None and max(len(self.real), len(self.fake)) > self._max_for_w1:
            return None
        return transport.w1(self.real[:], self.fake[:])

    @functools.cached_property
    def w1_sliced(self) -> float:
        """Sliced Wasserstein-1 distance over the pair's directions, data units."""
        return self._projections.w1()

    @functools.cached_property
    def _projections(self) -> Projections:
        return project(self.real, self.fake, self._directions)

    def _measure_at(self, sigmas: Sequence[float], noise: Noise) -> None:
        """Sees to all divergences that columns at these sigmas need.

        In truncated noise the grid's come along in the same pass, and Kullback-Leibler divergences are those of the
        normal noise that is not truncated.
        """
        self._measure([*sigmas, *self.grid] if noise == TRUNCATED else sigmas, noise)
        self._measure(sigmas, _unbounded(noise))
        if min(len(self.real), len(self.fake)) >= _MIN_HALVED:
            halves = Half(self.real), Half(self.fake)
            self._of_halves |= self._found(*halves, sigmas, noise, known=self._of_halves)

    def _measure(self, sigmas: Iterable[float], noise: Noise) -> None:
        """Sees to the divergences at these sigmas."""
        self._divergences |= self._found(self.real, self.fake, sigmas, noise, known=self._divergences)

    def _found(
        self,
        real: SampleSet,
        fake: SampleSet,
        sigmas: Iterable[float],
        noise: Noise,
        *,
        known: Mapping[tuple[Noise, float], NoisyDivergence],
    ) -> dict[tuple[Noise, float], NoisyDivergence]:
        """The divergences of two sets that are not known yet, in one pass."""
        missing = [sigma for sigma in dict.fromkeys(sigmas) if (noise, sigma) not in known]
        if not missing:
            return {}
        self._generator.set_state(self._before_draws)
        found = noisy_divergences(
            real,
            fake,
            sigmas=missing,
            num_draws=self._num_draws,
            generator=self._generator,
            noise=noise,
            progress=self._progress,
        )
        return {(noise, divergence.sigma): divergence for divergence in found}

    def _measure_sliced(self, sigmas: Iterable[float]) -> None:
        """Sees to the sliced bounds at these sigmas (> 0) and, the first time, at those of the grid."""
        missing = [sigma for sigma in dict.fromkeys([*sigmas, *self.grid]) if sigma not in self._sliced]
        if missing:
            bounds = self._projections.bounds(missing)
            self._sliced |= {sigma: bound.value for sigma, bound in zip(missing, bounds, strict=True)}

    def _with_variance(self, divergence: NoisyDivergence, noise: Noise) -> Columns:
        """What there is for noise of finite variance."""
        return {
            "noise_variance": noise.variance(sigma=divergence.sigma, dimension=self.geometry.dimension),
            "bound_weighted": self.geometry.weighted(divergence, noise).value,
            "bound_weighted_upper": self.geometry.weighted(divergence, noise, limits=1).value,
        }

    def _with_bounded_support(self, divergence: NoisyDivergence, noise: Noise) -> Columns:
        """What there is for noise of bounded support."""
        paper = self.geometry.paper(divergence, noise)
        return {
            "diameter": self.geometry.noisy_diameter(divergence.sigma, noise),
            "bound_paper": paper.value,
            "bound_paper_upper": self.geometry.paper(divergence, noise, limits=1).value,
            "bound_paper_noise_term": paper.noise_term,
            "bound_paper_divergence_term": paper.divergence_term,
            "bound_sharp": self.geometry.sharp(divergence, noise).value,
            "bound_sharp_upper": self.geometry.sharp(divergence, noise, limits=1).value,
            "vacuous": paper.value > self.geometry.data_diameter,
        }


def log_spaced_sigmas(diameter: float, dimension: int) -> list[float]:
    """13 values up to where the noise term of the bound, ``2 sigma sqrt(d)``, is twice the diameter; 1 stands for 0."""
    largest = (diameter or 1.0) / math.sqrt(dimension)
    return [largest * 0.005 ** (1 - index / 12) for index in range(13)]


def _with_bound_holds(columns: Columns) -> Columns:
    """The columns with `bound_holds`: no bound, at its upper limit, is below the distance it bounds."""

    def least(*names: str) -> float:
        values: list[float] = [columns[name] for name in names if columns.get(name) is not None]
        return min(values) * (1 + 1e-9) + 1e-12 * float(columns["data_diameter"])  # of rounding

    forms = ("paper", "sharp", "weighted", "best", "sharp_best", "weighted_best")
    full = least(*(f"bound_{form}_upper" for form in forms))
    holds = columns["w1_sliced"] <= least("bound_sliced", "bound_sliced_best")
    if columns["w1"] is not None:
        holds = holds and columns["w1"] <= full
    return {**columns, "bound_holds": holds}


def upper_limit(estimate: Estimate, num: int = 1) -> float:
    """An upper 95 % limit of an estimate: one of `num` that hold together (Bonferroni); for 0 the value itself.

    A limit is used after the least of many values has been chosen, which is the more likely to be too small by chance:
    only limits that hold for all of them at once still hold for the chosen one. Where samples were the centres of no
    draw, the limit has room for what they may hide: so many of them that draws would have met one, at this level.
    """
    if num == 0:
        return estimate.value
    level = _LEVEL / num
    return (
        estimate.value + NormalDist().inv_cdf(1 - level) * estimate.standard_error - math.log(level) * estimate.unseen
    )


def _unbounded(noise: Noise) -> Noise:
    return GAUSSIAN if noise == TRUNCATED else noise
