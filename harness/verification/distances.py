"""Lemma 4 and Theorem 3.3: noise and divergences bound the Wasserstein distance.

References:
  Arjovsky & Bottou (2017), section 3; arXiv:1701.04862. C is the diameter of the noisy supports, V = E||eps||^2.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from ..theory.bounds import Bound, noisy_diameter, paper_bound, pooled_diameter, sharp_bound, weighted_bound
from ..theory.divergences import Estimate, noisy_divergences
from ..theory.noise import Gaussian, Truncated
from ..theory.sliced import project, random_directions
from ..theory.transport import w1
from .findings import Assessment, assess, at_least, at_most

_STANDARD_ERRORS = 4.0  # a limit that a right program exceeds with probability 3e-5


def lemma_4(
    *,
    dimensions: Sequence[int] = (1, 2, 16),
    sigmas: Sequence[float] = (0.01, 0.1),
    noise_scale: float = 1.0,
    num_points: int = 16,
    num_copies: int = 64,
    seed: int = 0,
) -> Assessment:
    """``W(P_X, P_{X + eps}) <= sqrt V``, V = E||eps||^2.

    Exact transport between random points and many noisy copies of each, under the harness's truncated and Gaussian
    noise, whose variance and mean norm are its own. The distance of the samples may exceed that of the measures by the
    sampling error of the mean of ``||eps||``; four standard errors, ``sqrt((V - (E||eps||)^2) / num)`` each, are
    allowed. As the points are far apart, the ratio must also exceed 0.3: the lemma is not trivially met. The lemma is
    Jensen's inequality for ``||eps||``, which hardly varies in many dimensions: a ratio just below 1 in the highest
    one, and so a margin near 0, is what a right program measures.

    Args:
      dimensions, sigmas: All combinations are checked.
      noise_scale: Factor of the noise that is added, 1 for that of which V speaks.
      num_points: Of X.
      num_copies: Of every point.
      seed: Of all draws.
    """
    draws = Generator().manual_seed(seed)
    ratios, margins = [], []
    for noise in (Truncated(), Gaussian()):
        for dimension in dimensions:
            points = 5 * torch.randn(num_points, dimension, generator=draws, dtype=torch.float64)
            for sigma in sigmas:
                copies = points.repeat(num_copies, 1)
                eps = noise_scale * sigma * noise.unit(len(copies), dimension, generator=draws)
                limit = math.sqrt(noise.variance(sigma=sigma, dimension=dimension))
                spread = max(limit**2 - noise.mean_norm(sigma=sigma, dimension=dimension) ** 2, 0.0)
                distance = w1(points, copies + eps)
                ratios.append(distance / limit)
                margins.append(at_most(distance, limit + _STANDARD_ERRORS * math.sqrt(spread / len(copies))))
    return assess(
        f"W / sqrt V from {min(ratios):.3f} to {max(ratios):.3f}",
        "<= 1, > 0.3",
        *margins,
        at_least(min(ratios), 0.3),
    )


@dataclass(frozen=True)
class _Pair:
    real: Tensor
    fake: Tensor
    sigmas: tuple[float, ...]
    num_draws: int


def theorem_3_3(
    *,
    dimensions: Sequence[int] = (1, 2, 8, 32),
    noise_weight: float = 1.0,
    divergence_weight: float = 1.0,
    seed: int = 0,
) -> Assessment:
    """``W(P_r, P_g) <= 2 sqrt V + 2 C sqrt(JSD(P_{r+eps} || P_{g+eps}))``, and the sharper forms, at every sigma.

    Bounds `paper`, `sharp`, `weighted` and `sliced` of the harness against exact transport of the same samples, sliced
    for the last one: on random pairs of sample sets of several dimensions, sizes and distances, and on two pairs made
    to leave little room. Two single points far apart (all JSD, no noise) nearly attain `sharp` and `weighted`, so that
    half the divergence term fails. The even and the odd half of a binomial distribution differ in their fourth moment
    only, so noise hides all but 1/5 of W from the divergence, and without the noise term the bound fails. These two
    pairs make a margin near 0 natural: it is how nearly the single points attain `weighted`, 2 E||eps|| above W at
    sigma = 1e-3. The JSD is taken four standard errors above its estimate.

    Args:
      dimensions: Of the random pairs.
      noise_weight, divergence_weight: Factors of the bounds' two terms, 1 in the theorem.
      seed: Of all draws.
    """
    draws = Generator().manual_seed(seed)
    smallest: dict[str, float] = {}
    num_rows = 0
    for pair in _pairs(dimensions, draws):
        for name, bound, distance in _rows(pair, draws):
            value = noise_weight * bound.noise_term + divergence_weight * bound.divergence_term
            smallest[name] = min(smallest.get(name, math.inf), value / distance)
            num_rows += 1
    return assess(
        "bound / W >= " + ", ".join(f"{value:.3f} ({name})" for name, value in smallest.items()),
        f">= 1 in all of {num_rows} rows",
        *(at_least(value, 1.0) for value in smallest.values()),
    )


def _pairs(dimensions: Sequence[int], draws: Generator) -> Iterator[_Pair]:
    for dimension in dimensions:
        for shift in (0.0, 0.5, 4.0):
            num_real, num_fake = (int(torch.randint(5, 60, (), generator=draws)) for _ in range(2))
            real = torch.randn(num_real, dimension, generator=draws, dtype=torch.float64)
            fake = torch.randn(num_fake, dimension, generator=draws, dtype=torch.float64)
            yield _Pair(real, fake + shift / math.sqrt(dimension), (0.05, 0.3, 1.0, 4.0), num_draws=500)
    for dimension in (1, 3):
        point = torch.zeros(1, dimension, dtype=torch.float64)
        yield _Pair(point, point + 1 / math.sqrt(dimension), (1e-3,), num_draws=500)
    even, odd = ([place for place in range(kind, 5, 2) for _ in range(math.comb(4, place))] for kind in (0, 1))
    yield _Pair(_column(even), _column(odd), (3.0,), num_draws=100_000)


def _column(values: Sequence[int]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)[:, None]


def _rows(pair: _Pair, draws: Generator) -> Iterator[tuple[str, Bound, float]]:
    """Every bound at every sigma of a pair, with the distance it bounds."""
    dimension = pair.real.shape[1]
    distance, data_diameter = w1(pair.real, pair.fake), pooled_diameter(pair.real, pair.fake)
    projections = project(pair.real, pair.fake, random_directions(20, dimension, generator=draws))
    sliced_distance = projections.w1()
    for found in noisy_divergences(pair.real, pair.fake, sigmas=pair.sigmas, num_draws=pair.num_draws, generator=draws):
        sigma = found.sigma
        diameter = noisy_diameter(data_diameter, sigma=sigma, dimension=dimension)
        jsd, weighted_tv = _upper(found.jsd), _upper(found.weighted_tv)
        yield "paper", paper_bound(jsd=jsd, sigma=sigma, dimension=dimension, diameter=diameter), distance
        yield "sharp", sharp_bound(jsd=jsd, sigma=sigma, dimension=dimension, diameter=diameter), distance
        yield "weighted", weighted_bound(weighted_tv=weighted_tv, sigma=sigma, dimension=dimension), distance
        yield "sliced", projections.bound(sigma), sliced_distance


def _upper(estimate: Estimate) -> float:
    return estimate.value + _STANDARD_ERRORS * estimate.standard_error
