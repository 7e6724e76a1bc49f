"""Contrasts: one choice against another, on the seeds of both, with intervals and a verdict. No files."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, median
from typing import Any, Literal

from ..errors import counted
from ..job.parts.metrics import METRICS, Better
from ..theory.comparisons import (
    LEVEL,
    Difference,
    fisher_p,
    holm,
    holm_levels,
    mcnemar_p,
    paired_difference,
    pairs_needed,
    share_interval,
    unpaired_difference,
    wilcoxon_p,
)

Verdict = Literal["better", "worse", "less", "more", "undecided"]
_LESS_IS_BETTER = frozenset(
    {
        *("w1", "w1_sliced", "w1_minus_floor", "w1_sliced_minus_floor"),
        *("bound_best", "bound_best_upper", "bound_sharp_best", "bound_sharp_best_upper"),
        *("bound_weighted_best", "bound_weighted_best_upper", "bound_sliced_best"),
    }
)
"""Columns of `cells`. At a cell's own sigma neither a divergence nor a bound compares with those at another sigma."""


_LEAST_EFFECT = 0.02
"""In standard deviations of the differences: 20,000 pairs show it."""


@dataclass(frozen=True)
class Seed:
    """What came of a seed.

    Attributes:
      value: Of the metric; None where there is none.
      status: As in `cells`.
      has_collapsed: By the job's limit; None where none is set. One that diverged or did not complete has, if any has.
    """

    value: float | None
    status: str
    has_collapsed: bool | None = None


Seeds = Mapping[int, Seed]


@dataclass(frozen=True)
class Shares:
    """Collapsed seeds of both sides.

    Attributes:
      ours, theirs: Count and number of seeds.
      ours_interval, theirs_interval: Exact 95 % intervals of the shares.
      p: Of McNemar's exact test where the seeds are the same, else of Fisher's.
    """

    ours: tuple[int, int]
    theirs: tuple[int, int]
    ours_interval: tuple[float, float]
    theirs_interval: tuple[float, float]
    p: float


@dataclass(frozen=True)
class Contrast:
    """One choice against another, everything else equal.

    Attributes:
      within: The other axes' values, for a person; empty where there is one combination of them.
      ours, theirs: The values that are contrasted.
      metric: A column of `cells`, or a name in `metrics`.
      our_mean, their_mean, our_median, their_median: Over the seeds that count: the pairs, or all where there are none.
      num_pairs: Seeds that both have. Where there are none, all seeds are compared, unpaired.
      num_ours_alone, num_theirs_alone: Seeds that one side alone has a value of.
      num_diverged: Of ours and of theirs; they count with their last finite values.
      difference: Of the means.
      interval: Of the difference, which excludes 0 where the verdict is decided.
      wilcoxon_p, t_p: As they are.
      p: `t_p` by Holm's correction over all contrasts that are reported together.
      shares: Of collapsed seeds, where the job says what that is.
    """

    within: str
    ours: str
    theirs: str
    metric: str
    our_mean: float
    their_mean: float
    our_median: float
    their_median: float
    num_pairs: int
    num_ours_alone: int
    num_theirs_alone: int
    num_diverged: tuple[int, int]
    difference: Difference
    wilcoxon_p: float
    shares: Shares | None
    p: float = math.nan
    interval: tuple[float, float] = (-math.inf, math.inf)

    def __str__(self) -> str:
        return sentence(self)

    @property
    def t_p(self) -> float:
        """Of the t test, uncorrected."""
        return self.difference.p

    @property
    def is_paired(self) -> bool:
        """Whether seeds are compared with themselves."""
        return self.num_pairs > 0

    @property
    def verdict(self) -> Verdict:
        """By the corrected p of the difference of the means; less or more where neither is known to be the better."""
        if not self.p <= LEVEL:
            return "undecided"
        is_less = self.difference.mean < 0
        better = _better(self.metric)
        if better is None:
            return "less" if is_less else "more"
        return "better" if is_less == (better == "less") else "worse"


def contrast(ours: Seeds, theirs: Seeds, *, metric: str, names: tuple[str, str], within: str = "") -> Contrast:
    """Compares two choices by their seeds; `corrected` makes verdicts of several.

    Args:
      ours, theirs: By seed.
      metric: Their values' column.
      names: What the two are called.
      within: What is equal in both, for a person.
    """
    our_values, their_values = (
        {seed: found.value for seed, found in side.items() if found.value is not None} for side in (ours, theirs)
    )
    both = sorted(our_values.keys() & their_values.keys())
    one = [our_values[seed] for seed in both or sorted(our_values)]
    two = [their_values[seed] for seed in both or sorted(their_values)]
    return Contrast(
        within=within,
        ours=names[0],
        theirs=names[1],
        metric=metric,
        our_mean=fmean(one) if one else math.nan,
        their_mean=fmean(two) if two else math.nan,
        our_median=median(one) if one else math.nan,
        their_median=median(two) if two else math.nan,
        num_pairs=len(both),
        num_ours_alone=len(our_values) - len(both),
        num_theirs_alone=len(their_values) - len(both),
        num_diverged=(_num_diverged(ours), _num_diverged(theirs)),
        difference=paired_difference(one, two) if both else unpaired_difference(one, two),
        wilcoxon_p=wilcoxon_p(one, two) if both else math.nan,
        shares=_shares(ours, theirs),
    )


def corrected(contrasts: Sequence[Contrast]) -> list[Contrast]:
    """The contrasts with Holm's correction over all of them, intervals likewise."""
    ps = [found.t_p for found in contrasts]
    together = zip(contrasts, holm(ps), holm_levels(ps), strict=True)
    return [replace(found, p=p, interval=found.difference.interval(level=level)) for found, p, level in together]


def sentence(found: Contrast) -> str:
    """A contrast in words."""
    within = f" ({found.within})" if found.within else ""
    head = f"{found.ours} against {found.theirs}{within}: {found.metric} "
    how = f"{counted(found.num_pairs, 'pair')} of seeds" if found.is_paired else "seeds that are not the same"
    if math.isnan(found.t_p):
        return f"{head}cannot be decided{_by(found.difference.mean)} on {how}: 2 pairs are the least for an interval"
    low, high = found.interval
    head += f"{found.verdict}, by {found.difference.mean:+.3g} [{low:+.3g}, {high:+.3g}] on {how}, p {_p(found.p)}"
    alone = found.num_ours_alone + found.num_theirs_alone
    if found.is_paired and alone:
        head += f", {alone} without a partner left out"
    if any(found.num_diverged):
        head += f"; diverged {found.num_diverged[0]} against {found.num_diverged[1]}"
    if found.shares is not None:
        (count, total), (other, of) = found.shares.ours, found.shares.theirs
        head += f"; collapsed {count} of {total} against {other} of {of}, p {_p(found.shares.p)}"
    return head


def seeds_needed(found: Contrast, *, num_contrasts: int) -> int | None:
    """Pairs of seeds that would show this difference with power 0.8, if it and its spread are what they look like.

    Args:
      found: Of at least two pairs.
      num_contrasts: That are corrected for together.

    Returns:
      None where nothing is known of the spread, or the difference is too small for any number of seeds.
    """
    spread = found.difference.standard_error * math.sqrt(found.num_pairs)
    if not found.is_paired or not spread > 0:
        return None
    effect = abs(found.difference.mean) / spread
    return pairs_needed(effect, level=LEVEL / num_contrasts) if effect > _LEAST_EFFECT else None


def row(found: Contrast) -> dict[str, Any]:
    """A contrast as a row of a table, unrounded."""
    shares: dict[str, Any] = {}
    if found.shares is not None:
        for side, (count, total), interval in (
            ("ours", found.shares.ours, found.shares.ours_interval),
            ("theirs", found.shares.theirs, found.shares.theirs_interval),
        ):
            shares |= {f"collapsed_{side}": count, f"seeds_{side}": total}
            shares |= {f"collapsed_{side}_low": interval[0], f"collapsed_{side}_high": interval[1]}
        shares["collapsed_p"] = found.shares.p
    return {
        "within": found.within,
        "ours": found.ours,
        "theirs": found.theirs,
        "metric": found.metric,
        "verdict": found.verdict,
        "mean_ours": found.our_mean,
        "mean_theirs": found.their_mean,
        "median_ours": found.our_median,
        "median_theirs": found.their_median,
        "difference": found.difference.mean,
        "low": found.interval[0],
        "high": found.interval[1],
        "t_p": found.t_p,
        "holm_p": found.p,
        "wilcoxon_p": found.wilcoxon_p,
        "pairs": found.num_pairs,
        "alone_ours": found.num_ours_alone,
        "alone_theirs": found.num_theirs_alone,
        "diverged_ours": found.num_diverged[0],
        "diverged_theirs": found.num_diverged[1],
        **shares,
    }


def _better(metric: str) -> Better:
    """Which is the better of a column's values, or of a metric's, whose label may go on: ``kid[classifier]``."""
    if metric in _LESS_IS_BETTER:
        return "less"
    found = METRICS.get(re.split(r"[\[(]", metric, maxsplit=1)[0])
    return None if found is None else found.better


def _by(mean: float) -> str:
    return "" if math.isnan(mean) else f", by {mean:+.3g}"


def _p(value: float) -> str:
    return "< 0.0001" if value < 1e-4 else f"{value:.2g}"


def _num_diverged(seeds: Seeds) -> int:
    return sum(found.status == "diverged" for found in seeds.values())


def _shares(ours: Seeds, theirs: Seeds) -> Shares | None:
    one, two = (
        {seed: found.has_collapsed for seed, found in side.items() if found.has_collapsed is not None}
        for side in (ours, theirs)
    )
    if not one or not two:
        return None
    if one.keys() == two.keys():
        p = mcnemar_p(_count(one[seed] and not two[seed] for seed in one), _count(two[s] and not one[s] for s in one))
    else:
        p = fisher_p(_count(one.values()), len(one), _count(two.values()), len(two))
    counts = [(_count(side.values()), len(side)) for side in (one, two)]
    return Shares(counts[0], counts[1], share_interval(*counts[0]), share_interval(*counts[1]), p)


def _count(flags: Iterable[bool | None]) -> int:
    return sum(bool(flag) for flag in flags)
