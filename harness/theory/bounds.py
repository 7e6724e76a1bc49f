"""Upper bounds on the Wasserstein-1 distance of two sample sets from the divergence of their noisy versions.

References:
  Arjovsky & Bottou (2017), Theorem 3.3, with C the *diameter* of the noisy support and V = E||eps||^2.
  Topsoe (2000), "Some inequalities for information divergence", for TV <= phi^{-1}(JSD).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float64, Integer
from scipy.optimize import brentq
from scipy.special import xlogy
from torch import Tensor

from .noise import TRUNCATED, Noise
from .samples import SampleSet, chunks, pooled_mean, rows, rows_at_once

LOG2 = math.log(2.0)


@dataclass(frozen=True)
class Bound:
    """A bound on W1 and its two terms, data units."""

    noise_term: float
    divergence_term: float

    @property
    def value(self) -> float:
        return self.noise_term + self.divergence_term


def paper_bound(*, jsd: float, sigma: float, dimension: int, diameter: float, noise: Noise = TRUNCATED) -> Bound:
    """Theorem 3.3: ``W1 <= 2 sqrt(V) + 2 C sqrt(JSD)``.

    Args:
      jsd: Of the noisy measures, nats; a Monte Carlo value outside [0, log 2] is moved to the nearest end.
      sigma: Of the noise, data units.
      dimension: Of the data.
      diameter: C, of the noisy support (`noisy_diameter`).
      noise: Its family, of bounded support.

    Raises:
      ValueError: If the JSD is NaN.

    Example:
      Two points that no noise mixes: their bound is ``2 C sqrt(log 2)``, 1.67 times their distance.

      >>> round(paper_bound(jsd=math.log(2), sigma=0.0, dimension=2, diameter=1.0).value, 4)
      1.6651
    """
    return Bound(
        noise_term=2 * math.sqrt(noise.variance(sigma=sigma, dimension=dimension)),
        divergence_term=2 * diameter * math.sqrt(_clip(jsd)),
    )


def sharp_bound(*, jsd: float, sigma: float, dimension: int, diameter: float, noise: Noise = TRUNCATED) -> Bound:
    """``W1 <= 2 E||eps|| + C phi^{-1}(JSD)``; the arguments are those of `paper_bound`.

    Two inequalities of the theorem's proof are replaced by their sharp forms: ``E||eps||`` for its bound
    ``sqrt(V)``, and Topsoe's ``TV <= phi^{-1}(JSD)`` for Pinsker's.

    Example:
      Two points that no noise mixes: the bound is attained.

      >>> sharp_bound(jsd=math.log(2), sigma=0.0, dimension=2, diameter=1.0).value
      1.0
    """
    return Bound(
        noise_term=2 * noise.mean_norm(sigma=sigma, dimension=dimension),
        divergence_term=diameter * inverse_phi(jsd),
    )


def weighted_bound(*, weighted_tv: float, sigma: float, dimension: int, noise: Noise = TRUNCATED) -> Bound:
    """``W1 <= 2 E||eps|| + Int ||x - x0|| |p - q| dx``; no diameter, so any noise with a finite mean will do.

    References:
      Villani (2009), "Optimal transport: old and new", Theorem 6.15.
    """
    return Bound(noise_term=2 * noise.mean_norm(sigma=sigma, dimension=dimension), divergence_term=weighted_tv)


def inverse_phi(jsd: float) -> float:
    """The ``t`` in [0, 1] with ``phi(t) = [(1+t) log(1+t) + (1-t) log(1-t)] / 2 = jsd`` (nats).

    Example:
      >>> phi = (1.5 * math.log(1.5) + 0.5 * math.log(0.5)) / 2  # of 1/2
      >>> round(inverse_phi(phi), 12)
      0.5
    """
    jsd = _clip(jsd)
    if jsd == 0.0 or jsd == LOG2:
        return 0.0 if jsd == 0.0 else 1.0

    def excess(t: float) -> float:
        return float((xlogy(1 + t, 1 + t) + xlogy(1 - t, 1 - t)) / 2 - jsd)

    return float(brentq(excess, 0.0, 1.0, xtol=1e-16, rtol=1e-14))


def noisy_diameter(data_diameter: float, *, sigma: float, dimension: int, noise: Noise = TRUNCATED) -> float:
    """C: the diameter of the union of both noisy supports, ``data_diameter + 2 R``."""
    return data_diameter + 2 * noise.radius(sigma=sigma, dimension=dimension)


_FEW = 256
"""Points all of whose pairs take less time than it takes to find out which can be left out."""


def pooled_diameter(real: SampleSet, fake: SampleSet) -> float:
    """Largest Euclidean distance within ``real`` [n, d] and ``fake`` [m, d] taken together; exact.

    Pairs are left out that cannot be the farthest: two points are no farther apart than the sum of their distances to
    the mean. Rows are read in parts.

    Raises:
      ValueError: If a sample is not finite.

    Example:
      >>> pooled_diameter(torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 4.0], [3.0, 0.0]]))
      5.0
    """
    mean = pooled_mean(real, fake)
    if len(real) + len(fake) <= _FEW:
        points = torch.cat([rows(real, slice(None)), rows(fake, slice(None))]) - mean
        return float(torch.cdist(points, points).max())
    pooled = _Pooled(real, fake)
    radii = _radii(real, fake, mean)
    order = radii.argsort(descending=True)
    radii = radii[order]
    largest, size = 0.0, rows_at_once(real.shape[1])
    for start in range(0, len(order), size):
        outermost = float(radii[start])
        if 2 * outermost <= largest:
            break
        block = pooled.rows(order[start : start + size]) - mean
        for other in range(start, len(order), size):
            if outermost + float(radii[other]) <= largest:
                break
            candidates = pooled.rows(order[other : other + size]) - mean
            largest = max(largest, float(torch.cdist(block, candidates).max()))
    return largest


def diameter_limit(real: SampleSet, fake: SampleSet) -> float:
    """An upper limit of `pooled_diameter`, in one pass: the sum of the two largest distances to the pooled mean."""
    return float(_radii(real, fake, pooled_mean(real, fake)).topk(2).values.sum())


def _radii(real: SampleSet, fake: SampleSet, mean: Float64[Tensor, " d"]) -> Float64[Tensor, " k"]:
    """Distances to the mean of both sets, one after the other."""
    # filled in place: small results kept between large temporary ones would break up the heap until it holds all data
    radii = torch.empty(len(real) + len(fake), dtype=torch.float64)
    for samples, offset in ((real, 0), (fake, len(real))):
        for part, values in chunks(samples):
            radii[offset + part.start : offset + part.stop] = (values - mean).norm(dim=1)
    return radii


@dataclass(frozen=True)
class _Pooled:
    """Two sample sets as one."""

    real: SampleSet
    fake: SampleSet

    def rows(self, index: Integer[Tensor, " m"]) -> Float64[Tensor, "m d"]:
        """Rows in any order."""
        is_real = index < len(self.real)
        found = torch.empty(len(index), self.real.shape[1], dtype=torch.float64)
        found[is_real] = rows(self.real, index[is_real])
        found[~is_real] = rows(self.fake, index[~is_real] - len(self.real))
        return found


def _clip(jsd: float) -> float:
    if math.isnan(jsd):
        raise ValueError("the Jensen-Shannon divergence is NaN, so no bound follows from it")
    return min(max(jsd, 0.0), LOG2)
