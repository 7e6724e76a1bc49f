"""Metrics of two sets of features: closed forms, other programs, direct sums, and sets made by hand."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy import linalg, stats
from torch import Generator, Tensor

from harness.theory.features import (
    coverage,
    density,
    frechet_distance,
    kernel_distance,
    nearest_distances,
    precision,
    share_closer,
)
from tests.conftest import oracle
from tests.shapes import unchecked

pytestmark = pytest.mark.usefixtures("one_thread")
CASES: list[dict[str, Any]] = oracle("features")["cases"]
OTHERS = pytest.mark.parametrize("case", CASES, ids=lambda case: f"{len(case['real'])}x{len(case['real'][0])}")


def recall(real: Tensor, fake: Tensor, *, k: int) -> float:
    return precision(fake, real, k=k)


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=Generator().manual_seed(seed), dtype=torch.float64)


def exactly(num: int, mean: Tensor, root: Tensor, *, seed: int) -> Tensor:
    """Samples ``[num, d]`` whose mean is exactly this, and whose covariance is ``root^T root``."""
    draws = normal(num, len(mean), seed=seed)
    whitened, _ = torch.linalg.qr(draws - draws.mean(0))  # its columns sum to 0
    samples: Tensor = math.sqrt(num - 1) * whitened @ root + mean
    return samples


# --- other programs


@OTHERS
def test_the_frechet_distance_is_that_of_torch_fidelity(case: dict[str, Any]) -> None:
    real, fake = (torch.tensor(case[name], dtype=torch.float64) for name in ("real", "fake"))
    # a covariance without full rank costs the root of a matrix digits
    rel = 1e-6 if len(real) <= real.shape[1] else 1e-9
    assert frechet_distance(real, fake) == pytest.approx(case["frechet_distance"], rel=rel)


@OTHERS
def test_the_kernel_distance_is_that_of_torch_fidelity(case: dict[str, Any]) -> None:
    real, fake = (torch.tensor(case[name], dtype=torch.float64) for name in ("real", "fake"))
    assert kernel_distance(real, fake).value == pytest.approx(case["kid"], rel=1e-9)


@OTHERS
@pytest.mark.parametrize("metric", [precision, recall, density, coverage], ids=lambda metric: metric.__name__)
def test_metrics_of_balls_are_those_of_prdc(case: dict[str, Any], metric: Callable[..., float]) -> None:
    real, fake = torch.tensor(case["real"]), torch.tensor(case["fake"])
    assert metric(real, fake, k=case["k"]) == pytest.approx(case[metric.__name__], abs=1e-12)


# --- the Frechet distance


def test_the_frechet_distance_of_sets_with_given_moments_is_exact() -> None:
    """By SciPy's root of a matrix, more samples than dimensions."""
    roots, means = normal(2, 6, 6, seed=0), normal(2, 6, seed=1)
    covariances = [root.T @ root for root in roots]
    product = linalg.sqrtm((covariances[0] @ covariances[1]).numpy()).real
    expected = float((means[0] - means[1]).square().sum()) + float(sum(c.trace() for c in covariances))
    expected -= 2 * float(np.trace(product))
    real, fake = exactly(50, means[0], roots[0], seed=2), exactly(40, means[1], roots[1], seed=3)
    assert frechet_distance(real, fake) == pytest.approx(expected, rel=1e-10)
    assert frechet_distance(fake, real) == pytest.approx(expected, rel=1e-10)


def test_commuting_covariances_have_the_distance_of_their_deviations() -> None:
    """``sum (s_i - t_i)^2``, some of them 0."""
    deviations = torch.tensor([3.0, 2.0, 0.0, 1e-4], dtype=torch.float64)
    others = torch.tensor([1.0, 2.0, 5.0, 0.0], dtype=torch.float64)
    mean = torch.zeros(4, dtype=torch.float64)
    real, fake = (exactly(30, mean, torch.diag(s), seed=seed) for seed, s in enumerate((deviations, others)))
    assert frechet_distance(real, fake + 2) == pytest.approx(16 + 4 + 25 + 1e-8, rel=1e-12)


def test_fewer_samples_than_dimensions_are_no_matter() -> None:
    """Two pairs of points in 50 dimensions, along one line: variances 2 and 18, as numbers have them."""
    line = torch.zeros(50, dtype=torch.float64)
    line[[3, 7]] = torch.tensor([0.6, 0.8], dtype=torch.float64)
    real, fake = (torch.stack([-s * line, s * line]) for s in (1.0, 3.0))
    assert frechet_distance(real, fake) == pytest.approx((math.sqrt(2) - math.sqrt(18)) ** 2, rel=1e-12)
    across = torch.zeros(50, dtype=torch.float64)
    across[0] = 1.0
    assert frechet_distance(real, torch.stack([-across, across])) == pytest.approx(2 + 2, rel=1e-12)


@pytest.mark.parametrize("shape", [(200, 5), (20, 60)])
def test_a_set_has_no_distance_from_itself_in_any_order(shape: tuple[int, int]) -> None:
    samples = normal(*shape, seed=4)
    assert frechet_distance(samples, samples.flip(0)) == pytest.approx(0.0, abs=1e-11)


def test_far_from_the_origin_nothing_is_lost() -> None:
    samples = normal(300, 4, seed=5)
    near, far = (frechet_distance(samples + by, 2 * samples + by) for by in (0.0, 1e6))
    assert far == pytest.approx(near, rel=1e-6)


def test_samples_of_two_gaussians_have_the_closed_form_with_its_known_bias_and_error() -> None:
    """In 1-D (m - m')^2 + (s - s')^2, of known expectation, and whose variance is known to first order."""
    num, repeats, (shift, scale) = 100, 1500, (1.0, 2.0)
    values = []
    for seed in range(repeats):
        real, fake = normal(2, num, 1, seed=seed)
        values.append(frechet_distance(real, shift + scale * fake))
    c4 = math.sqrt(2 / (num - 1)) * math.exp(math.lgamma(num / 2) - math.lgamma((num - 1) / 2))
    exact = shift**2 + (scale - 1) ** 2
    expected = shift**2 + (1 + scale**2) / num + 1 + scale**2 - 2 * c4**2 * scale
    deviation = math.sqrt(4 * (1 + scale**2) / num * (shift**2 + (scale - 1) ** 2 / 2))
    assert np.std(values) == pytest.approx(deviation, rel=4 / math.sqrt(2 * repeats))
    assert abs(np.mean(values) - expected) < 4 * deviation / math.sqrt(repeats)
    assert expected - exact > 4 * deviation / math.sqrt(repeats)  # so that a wrong bias would be seen


def test_the_bias_between_equal_gaussians_is_what_the_docstring_says() -> None:
    """``2 d/n + d (d + 1) / 2n``, by a second-order expansion of the root."""
    d, repeats = 8, 200
    means = {}
    for num in (500, 2000):
        values = [frechet_distance(*normal(2, num, d, seed=seed)) for seed in range(repeats)]
        means[num] = np.mean(values)
        expected = 2 * d / num + d * (d + 1) / (2 * num)
        assert abs(means[num] - expected) < 4 * np.std(values) / math.sqrt(repeats) + 0.01 * expected
    assert means[500] / means[2000] == pytest.approx(4, rel=0.1)


# --- the kernel distance


def direct_kid(real: Tensor, fake: Tensor) -> float:
    def kernel(x: list[float], y: list[float]) -> float:
        return float((sum(a * b for a, b in zip(x, y, strict=True)) / len(x) + 1) ** 3)

    def within(points: list[list[float]]) -> float:
        pairs = list(itertools.permutations(range(len(points)), 2))
        return math.fsum(kernel(points[i], points[j]) for i, j in pairs) / len(pairs)

    x, y = real.tolist(), fake.tolist()
    between = math.fsum(kernel(a, b) for a in x for b in y) / (len(x) * len(y))
    return within(x) + within(y) - 2 * between


@pytest.mark.parametrize(("n", "m", "d"), [(7, 7, 3), (4, 9, 1), (12, 3, 20)])
def test_the_kernel_distance_is_its_double_sum_and_its_error_the_jackknifes(n: int, m: int, d: int) -> None:
    real, fake = normal(n, d, seed=6), 0.5 + normal(m, d, seed=7)
    found = kernel_distance(real, fake)
    assert found.value == pytest.approx(direct_kid(real, fake), rel=1e-10)

    def without(points: Tensor, index: int) -> Tensor:
        return torch.cat([points[:index], points[index + 1 :]])

    leaving = [
        [direct_kid(without(real, i), fake) for i in range(n)],
        [direct_kid(real, without(fake, j)) for j in range(m)],
    ]
    variance = sum((len(values) - 1) * np.var(values) for values in leaving)
    assert found.standard_error == pytest.approx(math.sqrt(variance), rel=1e-9)


def test_blocks_are_no_matter_for_the_kernel_distance() -> None:
    real, fake = normal(1500, 2, seed=8), normal(1100, 2, seed=9)
    x, y = real.numpy(), fake.numpy()
    xx, yy, xy = ((a @ b.T / 2 + 1) ** 3 for a, b in ((x, x), (y, y), (x, y)))
    expected = sum((k.sum() - np.trace(k)) / (len(k) * (len(k) - 1)) for k in (xx, yy)) - 2 * xy.mean()
    assert kernel_distance(real, fake).value == pytest.approx(expected, rel=1e-9)


def test_the_kernel_distance_is_unbiased_and_of_equal_distributions_negative_as_often_as_it_should() -> None:
    repeats, values, errors = 600, [], []
    for seed in range(repeats):
        found = kernel_distance(*normal(2, 60, 3, seed=seed))
        values.append(found.value)
        errors.append(found.standard_error)
    deviation = np.std(values, ddof=1)
    assert abs(np.mean(values)) < 4 * deviation / math.sqrt(repeats)
    assert 0.4 < np.mean(np.array(values) < 0) < 0.8
    assert 1 < np.sqrt(np.mean(np.square(errors))) / deviation < 1.7  # conservative, by about sqrt 2


def test_between_other_distributions_it_has_its_expectation_and_its_standard_error() -> None:
    """In 1-D, N(0, 1) and N(1, 1): E k over moments 1, mu, 1 + mu^2, mu^3 + 3 mu of the kernel's powers."""

    def moments(mu: float) -> list[float]:
        return [1.0, mu, 1 + mu**2, mu**3 + 3 * mu]

    def mean_kernel(mu: float, nu: float) -> float:
        return sum(math.comb(3, p) * a * b for p, (a, b) in enumerate(zip(moments(mu), moments(nu), strict=True)))

    expected = mean_kernel(0, 0) + mean_kernel(1, 1) - 2 * mean_kernel(0, 1)
    repeats, values, errors = 400, [], []
    for seed in range(repeats):
        real, fake = normal(2, 80, 1, seed=seed)
        found = kernel_distance(real, fake + 1)
        values.append(found.value)
        errors.append(found.standard_error)
    deviation = np.std(values, ddof=1)
    assert abs(np.mean(values) - expected) < 4 * deviation / math.sqrt(repeats)
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(deviation, rel=0.15)


# --- balls


def by_hand(real: Tensor, fake: Tensor, k: int) -> dict[str, float]:
    """All four from sorted lists of distances, pair by pair."""

    def radius(points: list[list[float]], index: int) -> float:
        return sorted(math.dist(points[index], other) for j, other in enumerate(points) if j != index)[k - 1]

    x, y = real.tolist(), fake.tolist()
    of_real, of_fake = ([radius(points, index) for index in range(len(points))] for points in (x, y))
    held = [[math.dist(b, a) < r for a, r in zip(x, of_real, strict=True)] for b in y]  # [m, n]
    found = [any(math.dist(a, b) < r for b, r in zip(y, of_fake, strict=True)) for a in x]
    return {
        "precision": sum(map(any, held)) / len(y),
        "recall": sum(found) / len(x),
        "density": sum(map(sum, held)) / (k * len(y)),
        "coverage": sum(map(any, zip(*held, strict=True))) / len(x),
    }


@pytest.mark.parametrize(("n", "d", "k"), [(40, 2, 1), (40, 2, 5), (25, 12, 3), (6, 1, 5)])
def test_metrics_of_balls_are_what_lists_of_distances_give(n: int, d: int, k: int) -> None:
    real, fake = normal(n, d, seed=10), 0.3 + 0.8 * normal(n, d, seed=11)
    for metric in (precision, recall, density, coverage):
        assert metric(real, fake, k=k) == pytest.approx(by_hand(real, fake, k)[metric.__name__], abs=1e-12)


def test_blocks_are_no_matter_for_balls() -> None:
    """More samples than are looked at at once, in one dimension, where neighbours are those in order."""
    real, fake = normal(1500, 1, seed=12), normal(1500, 1, seed=13)
    x = np.sort(real[:, 0].numpy())
    gaps = np.diff(x, prepend=-np.inf, append=np.inf)
    radii = np.minimum(gaps[:-1], gaps[1:])  # k = 1
    inside = np.abs(fake.numpy() - x) < radii
    assert precision(real, fake, k=1) == inside.any(1).mean()
    assert density(real, fake, k=1) == pytest.approx(inside.sum(1).mean())
    assert coverage(real, fake, k=1) == inside.any(0).mean()


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize("shift", [0.0, 1e4])
def test_identical_sets_have_ones(k: int, shift: float) -> None:
    """Each ball holds its own centre and k - 1 others, and the k-th neighbour lies on it: density 1."""
    samples = normal(60, 4, seed=14) + shift
    again = samples[torch.randperm(60, generator=Generator().manual_seed(0))]
    found = [metric(samples, again, k=k) for metric in (precision, recall, density, coverage)]
    assert found == [1.0, 1.0, pytest.approx(1.0), 1.0]


def test_disjoint_sets_have_zeros() -> None:
    samples = normal(60, 4, seed=15)
    assert [metric(samples, samples + 100, k=3) for metric in (precision, recall, density, coverage)] == [0, 0, 0, 0]


def test_a_set_at_one_of_two_modes_is_precise_and_recalls_half() -> None:
    """And half of it at one mode, half nowhere, is half as precise."""
    points = normal(40, 2, seed=16)
    real = torch.cat([points, points + 100])
    one_mode = torch.cat([points, points])
    assert precision(real, one_mode, k=3) == 1.0
    assert recall(real, one_mode, k=3) == 0.5
    assert coverage(real, one_mode, k=3) == 0.5
    assert density(real, one_mode, k=3) == pytest.approx(1.0)
    half_lost = torch.cat([points, points - 100])
    assert precision(real, half_lost, k=3) == 0.5
    assert recall(real, half_lost, k=3) == 0.5
    assert density(real, half_lost, k=3) == pytest.approx(0.5)


def test_one_outlier_deceives_precision_and_not_density() -> None:
    """Naeem et al. (2020), figure 2: a far real sample's ball holds all fakes between it and the others."""
    real = torch.cat([normal(100, 2, seed=17), torch.tensor([[50.0, 0.0]], dtype=torch.float64)])
    fake = 0.1 * normal(101, 2, seed=18) + torch.tensor([30.0, 0.0], dtype=torch.float64)
    assert precision(real, fake, k=3) == 1.0
    assert density(real, fake, k=3) == pytest.approx(1 / 3)
    assert coverage(real, fake, k=3) == pytest.approx(1 / 101)


@pytest.mark.parametrize("k", [1, 5])
def test_of_equal_distributions_density_and_coverage_have_their_expectations(k: int) -> None:
    """Naeem et al. (2020), section 3.2: 1, and ``1 - prod (n - i) / (2 n - i)``, whatever the distribution."""
    num, repeats = 100, 300
    sets = [normal(2, num, 5, seed=seed).exp() for seed in range(repeats)]
    expected = 1 - math.prod((num - i) / (2 * num - i) for i in range(1, k + 1))
    for metric, value in ((density, 1.0), (coverage, expected)):
        found = [metric(*pair, k=k) for pair in sets]
        assert abs(np.mean(found) - value) < 4 * np.std(found) / math.sqrt(repeats)


def test_points_that_coincide_are_in_balls_of_no_size_of_precision_alone() -> None:
    """Every real sample three times: with k = 2 radii are 0, and a closed ball holds its own copies."""
    points = normal(20, 3, seed=19).repeat(3, 1)
    assert [metric(points, points, k=2) for metric in (precision, recall, density, coverage)] == [1, 1, 0, 0]
    assert density(points, points, k=3) > 0


@pytest.mark.parametrize("metric", [precision, density, coverage], ids=lambda metric: metric.__name__)
@pytest.mark.parametrize(("n", "m", "k"), [(4, 4, 4), (4, 4, 0), (5, 6, 1)])
def test_balls_need_equal_sets_of_more_than_k(metric: Callable[..., float], n: int, m: int, k: int) -> None:
    with unchecked(), pytest.raises(ValueError, match=f"more than k = {k}; got {n} and {m}"):
        metric(torch.zeros(n, 2), torch.zeros(m, 2), k=k)


# --- copies of a training set

TRAINING = normal(500, 6, seed=20)


def memorised(fake: Tensor, held_out: Tensor) -> tuple[float, float]:
    """The share and its standard error."""
    found = share_closer(nearest_distances(fake, TRAINING), nearest_distances(held_out, TRAINING))
    return found.value, found.standard_error


def test_nearest_distances_are_those_of_a_tree() -> None:
    from scipy.spatial import cKDTree

    queries, among = normal(90, 3, seed=21), normal(3000, 3, seed=22)
    expected, _ = cKDTree(among.numpy()).query(queries.numpy())
    torch.testing.assert_close(nearest_distances(queries, among), torch.from_numpy(expected), rtol=1e-10, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_copy_is_at_no_distance_however_far_from_the_origin(dtype: torch.dtype) -> None:
    among = (normal(2000, 30, seed=23) + 1e3).to(dtype)
    assert (nearest_distances(among[700:800], among) == 0).all()
    moved = among[:5].double() + 1e-5
    expected = torch.full((5,), 1e-5 * math.sqrt(30), dtype=torch.float64)
    torch.testing.assert_close(nearest_distances(moved, among.double()), expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_copies_of_the_training_set_are_seen(noise: float) -> None:
    value, error = memorised(TRAINING[:200] + noise * normal(200, 6, seed=24), normal(200, 6, seed=25))
    assert value > 0.95
    assert value - 5 * error > 0.5


def test_new_samples_are_no_copies_and_have_the_standard_error_they_show() -> None:
    values, errors = zip(*(memorised(*normal(2, 150, 6, seed=1000 + seed)) for seed in range(300)), strict=True)
    deviation = np.std(values, ddof=1)
    assert abs(np.mean(values) - 0.5) < 4 * deviation / math.sqrt(300)
    assert np.mean(errors) == pytest.approx(deviation, rel=0.15)
    z = (np.array(values) - 0.5) / math.sqrt(301 / (12 * 150 * 150))
    assert stats.kstest(z, stats.norm.cdf).pvalue > 1e-3


def test_samples_far_from_all_data_are_further_than_held_out_ones() -> None:
    assert memorised(normal(100, 6, seed=26) + 10, normal(100, 6, seed=27)) == (0.0, 0.0)


def test_the_share_is_scipys_mann_whitney_statistic_with_ties() -> None:
    fake = torch.tensor([0.0, 0.0, 1.0, 2.0, 2.0, 5.0])
    held_out = torch.tensor([0.0, 1.0, 1.0, 3.0])
    statistic = stats.mannwhitneyu(held_out.numpy(), fake.numpy()).statistic  # counts held-out > fake
    assert share_closer(fake, held_out).value == pytest.approx(statistic / 24)


@pytest.mark.parametrize(
    ("least", "metric"),
    [(2, lambda x, y: frechet_distance(x, y)), (3, kernel_distance), (2, lambda x, y: share_closer(x[:, 0], y[:, 0]))],
)
def test_too_few_samples_are_refused(least: int, metric: Callable[..., Any]) -> None:
    metric(torch.zeros(least, 1), torch.zeros(least, 1))
    for n, m in ((least - 1, least), (least, least - 1)):
        with pytest.raises(ValueError, match=f"at least {least} samples of each are needed; got"):
            metric(torch.zeros(n, 1), torch.zeros(m, 1))


def test_two_thousand_samples_of_3072_dimensions_are_exact_too() -> None:
    """Of a set and the same moved by 1/2 in every coordinate, and of one that is moved by nearly nothing."""
    real = torch.randn(2000, 3072, generator=Generator().manual_seed(28))
    assert frechet_distance(real, real + 0.5) == pytest.approx(3072 / 4, rel=1e-6)
    nearly = real + 1e-5
    assert [metric(real, nearly, k=3) for metric in (precision, coverage)] == [1.0, 1.0]
    # of the third neighbours, which are moved from the radius, half are within: (1 + 2 + 1/2) / 3
    assert density(real, nearly, k=3) == pytest.approx(7 / 6, abs=0.015)
    assert nearest_distances(real[:10], real).sum() == 0
    x, y = real.double().numpy(), (real + 0.5).double().numpy()
    xx, yy, xy = ((a @ b.T / 3072 + 1) ** 3 for a, b in ((x, x), (y, y), (x, y)))
    expected = sum((k.sum() - np.trace(k)) / (2000 * 1999) for k in (xx, yy)) - 2 * xy.mean()
    assert kernel_distance(real, real + 0.5).value == pytest.approx(expected, rel=1e-9)
