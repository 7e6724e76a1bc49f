"""What a handful of seeds can say of a difference: intervals, tests, their correction, and their power.

Seeds are pairs: two losses, schedules or noises are trained from the same ones. Means are compared by the paired t
test, ranks by Wilcoxon's, shares (of seeds that collapsed, say) by McNemar's exact test, or by Fisher's where the
seeds are not the same. Of several contrasts Holm's correction keeps the chance of any false verdict below the level.

References:
  Student (1908); Wilcoxon (1945); McNemar (1947); Fisher (1935); Clopper & Pearson (1934); Holm (1979), "A simple
  sequentially rejective multiple test procedure". Colas, Sigaud & Oudeyer (2018), arXiv:1806.08295, on how many seeds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

LEVEL = 0.05
"""Of verdicts: the chance of a false one, over all contrasts together."""


@dataclass(frozen=True)
class Difference:
    """Mean of ours less theirs.

    Attributes:
      mean, standard_error: In the unit of the values; the error is NaN for fewer than two values.
      degrees: Of freedom.
      p: Two-sided, of the t test that there is no difference; NaN where there is none.
    """

    mean: float
    standard_error: float
    degrees: float
    p: float

    def interval(self, *, level: float = LEVEL) -> tuple[float, float]:
        """Contains the difference but for a chance of `level`; without ends where the error is not known."""
        if math.isnan(self.standard_error):
            return -math.inf, math.inf
        half = float(stats.t.isf(level / 2, self.degrees)) * self.standard_error
        return self.mean - half, self.mean + half


def paired_difference(ours: Sequence[float], theirs: Sequence[float]) -> Difference:
    """By the paired t test: values of the same seeds, in the same order.

    Example:
      >>> found = paired_difference([1.0, 2.0, 3.0], [2.0, 2.0, 5.0])
      >>> found.mean, round(found.p, 3)
      (-1.0, 0.225)
    """
    differences = np.subtract(np.asarray(ours, dtype=float), np.asarray(theirs, dtype=float))
    num = len(differences)
    if num < 2:
        return Difference(float(differences.mean()) if num else math.nan, math.nan, math.nan, math.nan)
    mean, error = float(differences.mean()), float(differences.std(ddof=1) / math.sqrt(num))
    return Difference(mean, error, num - 1, _p_of_t(mean, error, num - 1))


def unpaired_difference(ours: Sequence[float], theirs: Sequence[float]) -> Difference:
    """By Welch's t test: values of different seeds, whose variances may differ."""
    one, two = np.asarray(ours, dtype=float), np.asarray(theirs, dtype=float)
    mean = float(one.mean() - two.mean()) if len(one) and len(two) else math.nan
    if min(len(one), len(two)) < 2:
        return Difference(mean, math.nan, math.nan, math.nan)
    parts = [float(values.var(ddof=1) / len(values)) for values in (one, two)]
    error = math.sqrt(sum(parts))
    weights = sum(part**2 / (len(values) - 1) for part, values in zip(parts, (one, two), strict=True))
    degrees = sum(parts) ** 2 / weights if weights else len(one) + len(two) - 2.0
    return Difference(mean, error, degrees, _p_of_t(mean, error, degrees))


def _p_of_t(mean: float, error: float, degrees: float) -> float:
    if error == 0:  # equal differences: no chance is left
        return 1.0 if mean == 0 else 0.0
    return float(2 * stats.t.sf(abs(mean) / error, degrees))


def wilcoxon_p(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Two-sided p of Wilcoxon's signed-rank test of pairs; exact for few pairs without ties. NaN for no pairs.

    Example:
      Five pairs cannot go below 0.0625.

      >>> wilcoxon_p([1.0, 2.0, 3.0, 4.0, 5.0], [0.0, 0.5, 1.0, 1.5, 2.0])
      0.0625
    """
    differences = np.subtract(np.asarray(ours, dtype=float), np.asarray(theirs, dtype=float))
    if not len(differences):
        return math.nan
    if not differences.any():
        return 1.0
    return float(stats.wilcoxon(differences).pvalue)


def smallest_wilcoxon_p(num_pairs: int) -> float:
    """What no result of so many pairs can go below: ``2^(1 - n)``, where all differences have one sign."""
    return min(1.0, 2.0 ** (1 - num_pairs))


def share_interval(count: int, total: int, *, level: float = LEVEL) -> tuple[float, float]:
    """The exact binomial interval of a share (Clopper & Pearson).

    Example:
      >>> low, high = share_interval(0, 40)
      >>> low, round(high, 4)
      (0.0, 0.0881)
    """
    if not total:
        return 0.0, 1.0
    found = stats.binomtest(count, total).proportion_ci(confidence_level=1 - level, method="exact")
    return float(found.low), float(found.high)


def mcnemar_p(num_ours_alone: int, num_theirs_alone: int) -> float:
    """Two-sided p of McNemar's exact test: pairs in which one side alone has a property.

    Example:
      Nine seeds collapse without, none with.

      >>> round(mcnemar_p(0, 9), 4)
      0.0039
    """
    total = num_ours_alone + num_theirs_alone
    return float(stats.binomtest(num_ours_alone, total).pvalue) if total else 1.0


def fisher_p(count: int, total: int, other_count: int, other_total: int) -> float:
    """Two-sided p of Fisher's exact test of two shares of different seeds.

    Example:
      >>> round(fisher_p(0, 40, 9, 40), 4)
      0.0024
    """
    table = [[count, total - count], [other_count, other_total - other_count]]
    return float(stats.fisher_exact(table).pvalue)


def holm(ps: Sequence[float]) -> list[float]:
    """Adjusted p-values: below a level, verdicts are false with at most that chance over all of them (Holm 1979).

    Those that are NaN (of contrasts that cannot be tested) stay so, and count as contrasts all the same.

    Example:
      >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
      [0.03, 0.06, 0.06]
    """
    adjusted = [math.nan] * len(ps)
    largest = 0.0
    for rank, index in enumerate(_by_size(ps)):
        if not math.isnan(ps[index]):
            largest = max(largest, min(1.0, (len(ps) - rank) * ps[index]))
            adjusted[index] = largest
    return adjusted


def holm_levels(ps: Sequence[float], *, level: float = LEVEL) -> list[float]:
    """The level of each contrast's interval that makes it exclude 0 where Holm's verdict does, and only there.

    That of the k-th smallest p of m is ``level / (m - k + 1)``, up to the first that is not significant; those behind
    it have the level of that one.
    """
    levels = [level] * len(ps)
    has_stopped, current = False, level
    for rank, index in enumerate(_by_size(ps)):
        if not has_stopped:
            current = level / (len(ps) - rank)
        levels[index] = current
        has_stopped = has_stopped or not ps[index] <= current
    return levels


def _by_size(ps: Sequence[float]) -> list[int]:
    """Indices in the order of p, NaN last."""
    return sorted(range(len(ps)), key=lambda index: (math.isnan(ps[index]), ps[index]))


def detectable_effect(num_pairs: int, *, power: float = 0.8, level: float = LEVEL) -> float:
    """The mean difference, in standard deviations of the differences, that so many pairs show with a given power.

    By the noncentral t distribution of the paired test; infinite for fewer than two pairs.

    Example:
      >>> round(detectable_effect(20), 2)
      0.66
    """
    if num_pairs < 2:
        return math.inf
    return float(optimize.brentq(lambda effect: _power(effect, num_pairs, level) - power, 1e-6, 1e3))


def pairs_needed(effect: float, *, power: float = 0.8, level: float = LEVEL) -> int:
    """The fewest pairs that show such an effect (in standard deviations of the differences) with a given power.

    Example:
      >>> pairs_needed(0.66)
      21
    """
    if not effect:
        raise ValueError("no number of pairs shows an effect of 0")
    low, high = 2, 2
    while _power(abs(effect), high, level) < power:
        low, high = high, 2 * high
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if _power(abs(effect), middle, level) >= power else (middle + 1, high)
    return high


def _power(effect: float, num_pairs: int, level: float) -> float:
    """Of the two-sided paired t test."""
    critical, centre = stats.t.isf(level / 2, num_pairs - 1), effect * math.sqrt(num_pairs)
    upper, lower = stats.nct.sf(critical, num_pairs - 1, centre), stats.nct.cdf(-critical, num_pairs - 1, centre)
    return float(np.nan_to_num(upper, nan=1.0) + np.nan_to_num(lower))
