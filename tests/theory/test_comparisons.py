"""Tests of comparisons: SciPy's own functions, published tables, and simulations with their Monte Carlo error."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from harness.theory import comparisons

RANDOM = np.random.default_rng(20_261_128)


def pairs(num: int, *, shift: float = 0.0) -> tuple[list[float], list[float]]:
    """Two columns with a common part, as seeds have."""
    common = RANDOM.normal(0, 2, num)
    return [list(common + RANDOM.normal(at, 1, num)) for at in (shift, 0.0)]  # type: ignore[return-value]


@pytest.mark.parametrize("num", [2, 3, 10, 40])
@pytest.mark.parametrize("level", [0.05, 0.01])
def test_the_paired_test_and_its_interval_are_scipys(num: int, level: float) -> None:
    ours, theirs = pairs(num, shift=0.4)
    found, expected = comparisons.paired_difference(ours, theirs), stats.ttest_rel(ours, theirs)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-9)
    interval = expected.confidence_interval(1 - level)
    assert found.interval(level=level) == pytest.approx((interval.low, interval.high), rel=1e-9)
    assert found.mean == pytest.approx(np.mean(ours) - np.mean(theirs), rel=1e-9)


@pytest.mark.parametrize(("num", "other"), [(2, 9), (7, 7), (12, 30)])
def test_the_unpaired_test_and_its_interval_are_scipys(num: int, other: int) -> None:
    ours, theirs = pairs(num)[0], pairs(other)[1]
    found, expected = comparisons.unpaired_difference(ours, theirs), stats.ttest_ind(ours, theirs, equal_var=False)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-9)
    interval = expected.confidence_interval(0.95)
    assert found.interval() == pytest.approx((interval.low, interval.high), rel=1e-9)


def test_what_one_pair_or_none_leaves_open() -> None:
    one = comparisons.paired_difference([2.0], [1.0])
    assert (one.mean, one.interval()) == (1.0, (-math.inf, math.inf))
    assert math.isnan(one.p)
    assert math.isnan(comparisons.paired_difference([], []).mean)
    assert math.isnan(comparisons.unpaired_difference([1.0], [2.0, 3.0]).p)
    assert math.isnan(comparisons.wilcoxon_p([], []))


def test_equal_differences_leave_no_doubt() -> None:
    assert comparisons.paired_difference([1.0, 2.0], [1.0, 2.0]).p == 1.0
    assert comparisons.paired_difference([2.0, 3.0], [1.0, 2.0]).p == 0.0
    assert comparisons.wilcoxon_p([1.0, 2.0], [1.0, 2.0]) == 1.0


@pytest.mark.parametrize("num", [3, 5, 9, 12])
def test_the_least_p_of_wilcoxons_test_is_that_of_one_sign(num: int) -> None:
    ours = [value + 1 + index / 7 for index, value in enumerate(range(num))]
    assert comparisons.wilcoxon_p(ours, list(range(num))) == comparisons.smallest_wilcoxon_p(num) == 2.0 ** (1 - num)


# Hollander & Wolfe (1973), depression factors before and after a tranquiliser; W+ = 40, two-sided p = 0.039
BEFORE = [1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30]
AFTER = [0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29]


def test_wilcoxons_p_of_a_published_table() -> None:
    assert comparisons.wilcoxon_p(BEFORE, AFTER) == pytest.approx(0.0391, abs=5e-5)


@pytest.mark.parametrize(
    ("count", "total", "interval"),
    # Clopper & Pearson (1934) in the usual tables: 0 and 10 of 10 by hand, 1 - 0.025^(1/10); 3 of 10
    [(0, 10, (0.0, 0.3085)), (10, 10, (0.6915, 1.0)), (3, 10, (0.0667, 0.6525)), (0, 0, (0.0, 1.0))],
)
def test_exact_intervals_of_shares(count: int, total: int, interval: tuple[float, float]) -> None:
    assert comparisons.share_interval(count, total) == pytest.approx(interval, abs=5e-5)


def test_mcnemar_and_fisher_by_hand() -> None:
    # 1 against 8 discordant pairs: 2 (C(9,0) + C(9,1)) / 2^9
    assert comparisons.mcnemar_p(1, 8) == pytest.approx(20 / 512)
    assert comparisons.mcnemar_p(0, 0) == 1.0
    # the lady tasting tea, all eight cups right: 2 / C(8,4)
    assert comparisons.fisher_p(4, 4, 0, 4) == pytest.approx(2 / 70)


def test_holms_example() -> None:
    """Holm (1979) on four p-values, by hand: 4 x .005, 3 x .01, then 2 x .03, and no less for the last."""
    assert comparisons.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert comparisons.holm([]) == []
    untested = comparisons.holm([0.01, math.nan])
    assert untested[0] == 0.02
    assert math.isnan(untested[1])


@pytest.mark.parametrize("num", [1, 2, 5, 9])
def test_intervals_exclude_0_where_holms_verdict_does_and_only_there(num: int) -> None:
    for _ in range(200):
        found = [comparisons.paired_difference(*pairs(6, shift=RANDOM.choice([0.0, 1.5]))) for _ in range(num)]
        ps = [difference.p for difference in found]
        verdicts = [p <= comparisons.LEVEL for p in comparisons.holm(ps)]
        intervals = [d.interval(level=level) for d, level in zip(found, comparisons.holm_levels(ps), strict=True)]
        assert [not low <= 0 <= high for low, high in intervals] == verdicts


def within_error(count: int, total: int, expected: float) -> bool:
    """Four standard errors of a share."""
    return abs(count / total - expected) < 4 * math.sqrt(expected * (1 - expected) / total)


def test_intervals_cover_and_tests_reject_as_often_as_they_say() -> None:
    total = 4000
    covered = rejected = 0
    for _ in range(total):
        found = comparisons.paired_difference(*pairs(8, shift=0.3))
        low, high = found.interval()
        covered += low <= 0.3 <= high
        rejected += comparisons.paired_difference(*pairs(8)).p <= 0.05
    assert within_error(covered, total, 0.95)
    assert within_error(rejected, total, 0.05)


def test_exact_intervals_cover_at_least_as_often_as_they_say() -> None:
    """In full, over the binomial distribution."""
    for share in (0.05, 0.3, 0.5):
        counts = np.arange(21)
        inside = [low <= share <= high for low, high in (comparisons.share_interval(int(k), 20) for k in counts)]
        assert float(stats.binom.pmf(counts, 20, share) @ np.array(inside)) >= 0.95


def test_of_several_contrasts_one_is_falsely_significant_as_rarely_as_of_one() -> None:
    total, false = 1500, 0
    for _ in range(total):
        ps = [comparisons.paired_difference(*pairs(6)).p for _ in range(5)]
        false += min(comparisons.holm(ps)) <= 0.05
    assert false / total < 0.05 + 4 * math.sqrt(0.05 * 0.95 / total)


@pytest.mark.parametrize("num", [5, 20])
def test_the_power_is_that_of_simulated_tests(num: int) -> None:
    effect, total = comparisons.detectable_effect(num), 3000
    draws = RANDOM.normal(effect, 1, (total, num))
    shown = int((stats.ttest_1samp(draws, 0, axis=1).pvalue <= 0.05).sum())
    assert within_error(shown, total, 0.8)


@pytest.mark.parametrize(("effect", "num"), [(0.2, 199), (0.5, 34), (0.8, 15)])
def test_the_number_of_pairs_is_that_of_cohens_tables(effect: float, num: int) -> None:
    """Cohen (1988) for small, medium and large effects: paired, two-sided 5 %, power 80 %."""
    assert comparisons.pairs_needed(effect) == num
    assert comparisons.detectable_effect(num) <= effect < comparisons.detectable_effect(num - 1)


def test_no_number_of_pairs_shows_nothing() -> None:
    with pytest.raises(ValueError, match="no number of pairs shows an effect of 0"):
        comparisons.pairs_needed(0.0)
    assert comparisons.detectable_effect(1) == math.inf
