"""Two sample sets to columns: divergences, bounds, exact transport."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Generator

from ..theory.bounds import Bound, noisy_diameter, paper_bound, pooled_diameter, sharp_bound, weighted_bound
from ..theory.divergences import Estimate, NoisyDivergence, noisy_divergences
from ..theory.noise import TRUNCATED, Noise
from ..theory.samples import ProgressCallback, SampleSet
from ..theory.sliced import Projections, project, random_directions
from ..theory.transport import w1

_ONE_SIDED_95 = 1.6449
Columns = dict[str, Any]


@dataclass(frozen=True)
class Geometry:
    """What the bounds need to know of two sample sets besides their divergence."""

    dimension: int
    data_diameter: float

    def noisy_diameter(self, sigma: float) -> float:
        """C: the diameter of the union of both noisy supports."""
        return noisy_diameter(self.data_diameter, sigma=sigma, dimension=self.dimension)


def log_spaced_sigmas(diameter: float, dimension: int) -> list[float]:
    """13 values up to where the noise term of the bound, ``2 sigma sqrt(d)``, is twice the diameter; 1 stands for 0."""
    largest = (diameter or 1.0) / math.sqrt(dimension)
    return [largest * 0.005 ** (1 - index / 12) for index in range(13)]


def measure_sets(
    real: SampleSet,
    fake: SampleSet,
    *,
    sigmas: Sequence[float],
    grid: Sequence[float],
    num_draws: int,
    num_directions: int,
    generator: Generator,
    noise: Noise = TRUNCATED,
    data_diameter: float | None = None,
    most_for_w1: int | None = None,
    known: Columns | None = None,
    progress: ProgressCallback | None = None,
) -> dict[float, Columns]:
    """Divergences, bounds and exact transport between two sample sets, at each sigma.

    The best bounds are those of truncated noise, whatever `noise` is: they hold for the sample sets as such.

    Args:
      real: Samples ``[n, d]``, data units.
      fake: Samples ``[m, d]``.
      sigmas: Where divergence and bounds are wanted.
      grid: Where the best bounds are looked for.
      num_draws: Draws from each noisy measure.
      num_directions: Of the sliced distance and bound.
      generator: Source of the draws and directions.
      noise: Family of the noise at `sigmas`.
      data_diameter: Of both sets together, or an upper limit of it, where it is known already.
      most_for_w1: Samples in the larger set beyond which the full W1 is left out (null): its memory is quadratic.
      known: The columns of the same sets and draws that do not depend on sigma, which then are not measured again.
      progress: Told of the work done.
    """
    dimension = real.shape[1]
    projections = project(real, fake, random_directions(num_directions, dimension, generator=generator))
    settings: dict[str, Any] = {"num_draws": num_draws, "generator": generator}
    if known is not None:
        own = noisy_divergences(real, fake, sigmas=sigmas, noise=noise, **settings)
        geometry = Geometry(dimension, known["data_diameter"])
        return {d.sigma: _judged({**known, **_at_sigma(d, projections, geometry, noise)}) for d in own}
    if noise == TRUNCATED:
        both = noisy_divergences(real, fake, sigmas=[*sigmas, *grid], progress=progress, **settings)
        own, over_grid = both[: len(sigmas)], both[len(sigmas) :]
    else:
        # the same draws for the grid as in the other branch: the best bounds do not depend on the cell's noise
        for_grid = Generator(generator.device)
        for_grid.set_state(generator.get_state())
        own = noisy_divergences(real, fake, sigmas=sigmas, noise=noise, **settings)
        over_grid = noisy_divergences(real, fake, sigmas=grid, progress=progress, **{**settings, "generator": for_grid})
    geometry = Geometry(dimension, pooled_diameter(real, fake) if data_diameter is None else data_diameter)
    is_small = most_for_w1 is None or max(len(real), len(fake)) <= most_for_w1
    shared = {
        "w1": w1(real[:], fake[:]) if is_small else None,
        "w1_sliced": projections.w1(),
        "data_diameter": geometry.data_diameter,
        "num_samples": len(fake),
        **_best_bounds(over_grid, projections, geometry),
    }
    return {d.sigma: _judged({**shared, **_at_sigma(d, projections, geometry, noise)}) for d in own}


def _best_bounds(over_grid: Sequence[NoisyDivergence], projections: Projections, geometry: Geometry) -> Columns:
    """The least of each bound over a grid of sigmas."""
    best = min(over_grid, key=lambda divergence: paper(divergence, geometry).value)
    sliced = {divergence.sigma: projections.bound(divergence.sigma).value for divergence in over_grid}
    best_sliced = min(sliced, key=lambda sigma: sliced[sigma])
    return {
        "bound_best": paper(best, geometry).value,
        "bound_best_upper": paper(best, geometry, upper=True).value,
        "bound_best_sigma": best.sigma,
        "bound_sharp_best": min(sharp(divergence, geometry).value for divergence in over_grid),
        "bound_weighted_best": min(weighted(divergence, geometry, TRUNCATED).value for divergence in over_grid),
        "bound_sliced_best": sliced[best_sliced],
        "bound_sliced_best_sigma": best_sliced,
    }


def _at_sigma(divergence: NoisyDivergence, projections: Projections, geometry: Geometry, noise: Noise) -> Columns:
    sigma = divergence.sigma
    columns = {
        "jsd_mixture": divergence.jsd.value,
        "jsd_mixture_se": divergence.jsd.standard_error,
        "tv": divergence.tv.value,
        "kl_real_fake": divergence.kl_real_fake.value,
        "kl_fake_real": divergence.kl_fake_real.value,
        # the quadrature needs noise; without any, a projection's bound is the trivial one of disjoint supports
        "bound_sliced": projections.bound(sigma).value if sigma > 0 else None,
    }
    variance = noise.variance(sigma=sigma, dimension=geometry.dimension)
    if math.isfinite(variance):
        columns["noise_variance"] = variance
        columns["bound_weighted"] = weighted(divergence, geometry, noise).value
        columns["bound_weighted_upper"] = weighted(divergence, geometry, noise, upper=True).value
    if math.isfinite(noise.radius(sigma=sigma, dimension=geometry.dimension)):
        full = paper(divergence, geometry)
        columns |= {
            "diameter": geometry.noisy_diameter(sigma),
            "bound_paper": full.value,
            "bound_paper_upper": paper(divergence, geometry, upper=True).value,
            "bound_paper_noise_term": full.noise_term,
            "bound_paper_divergence_term": full.divergence_term,
            "bound_sharp": sharp(divergence, geometry).value,
            "bound_sharp_upper": sharp(divergence, geometry, upper=True).value,
            "vacuous": full.value > geometry.data_diameter,
        }
    return columns


def _judged(columns: Columns) -> Columns:
    """The columns with `bound_holds`: no bound, at its upper limit, is below the distance it bounds."""

    def least(*names: str) -> float:
        values: list[float] = [columns[name] for name in names if columns.get(name) is not None]
        return min(values) * (1 + 1e-9) + 1e-12 * float(columns["data_diameter"])  # of rounding

    full = least(*(f"bound_{name}_upper" for name in ("paper", "sharp", "weighted", "best")))
    holds = columns["w1_sliced"] <= least("bound_sliced", "bound_sliced_best")
    if columns["w1"] is not None:
        holds = holds and columns["w1"] <= full
    return {**columns, "bound_holds": holds}


def paper(divergence: NoisyDivergence, geometry: Geometry, *, upper: bool = False) -> Bound:
    """The bound of Theorem 3.3, at the estimated JSD or at its upper 95 % limit."""
    return _from_jsd(paper_bound, divergence, geometry, upper=upper)


def sharp(divergence: NoisyDivergence, geometry: Geometry, *, upper: bool = False) -> Bound:
    """Its sharp form, at the estimated JSD or at its upper 95 % limit."""
    return _from_jsd(sharp_bound, divergence, geometry, upper=upper)


def _from_jsd(form: Callable[..., Bound], divergence: NoisyDivergence, geometry: Geometry, *, upper: bool) -> Bound:
    return form(
        jsd=_value(divergence.jsd, upper=upper),
        sigma=divergence.sigma,
        dimension=geometry.dimension,
        diameter=geometry.noisy_diameter(divergence.sigma),
    )


def weighted(divergence: NoisyDivergence, geometry: Geometry, noise: Noise, *, upper: bool = False) -> Bound:
    """The weighted bound, at the estimated integral or at its upper 95 % limit."""
    return weighted_bound(
        weighted_tv=_value(divergence.weighted_tv, upper=upper),
        sigma=divergence.sigma,
        dimension=geometry.dimension,
        noise=noise,
    )


def _value(estimate: Estimate, *, upper: bool) -> float:
    return estimate.value + (_ONE_SIDED_95 * estimate.standard_error if upper else 0.0)
