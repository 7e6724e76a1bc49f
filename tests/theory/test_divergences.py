"""Exact divergences against quadrature, closed forms, and their own definition."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import rel_entr, xlogy
from torch import Tensor

from harness.theory.divergences import Estimate, NoisyDivergence, discrete_divergence, noisy_divergences
from harness.theory.levels import MixedLevels
from harness.theory.noise import Cauchy, FullCovariance, Gaussian, Noise, Truncated
from tests.conftest import oracle

LOG2 = math.log(2)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def points(values: list[list[float]]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize("case", oracle("noisy_point_sets"), ids=lambda case: case["name"])
def test_jsd_and_tv_match_the_oracle_within_four_standard_errors(case: dict[str, Any]) -> None:
    (found,) = noisy_divergences(
        points(case["real"]), points(case["fake"]), sigmas=[case["sigma"]], num_draws=100_000, generator=seeded()
    )
    assert abs(found.jsd.value - case["jsd"]) < 4 * found.jsd.standard_error < 0.01
    assert abs(found.tv.value - case["tv"]) < 4 * found.tv.standard_error < 0.02


@pytest.mark.parametrize("case", oracle("gaussians"), ids=lambda case: f"mean {case['mean']}")
def test_single_points_give_the_divergence_of_two_gaussians(case: dict[str, Any]) -> None:
    (found,) = noisy_divergences(
        points([[0.0]]), points([[case["mean"]]]), sigmas=[case["sigma"]], num_draws=100_000, generator=seeded(1)
    )
    assert abs(found.jsd.value - case["jsd"]) < 4 * found.jsd.standard_error
    assert abs(found.tv.value - case["tv"]) < 4 * found.tv.standard_error


@pytest.mark.parametrize("mean", [0.05, 0.2, 0.8])
def test_near_equal_measures_are_told_apart_by_few_draws(mean: float) -> None:
    """Where log 2 D* on one kind of draws and log 2 (1 - D*) on the other nearly cancel: by quadrature, to a tenth."""
    grid = torch.linspace(-12, 13, 200_001, dtype=torch.float64)
    p, q = (torch.distributions.Normal(centre, 1.0).log_prob(grid).exp() for centre in (0.0, mean))
    middle = (p + q) / 2
    expected = torch.trapezoid((torch.xlogy(p, p / middle) + torch.xlogy(q, q / middle)) / 2, grid).item()
    (found,) = noisy_divergences(
        points([[0.0]]), points([[mean]]), sigmas=[1.0], num_draws=1000, generator=seeded(2), noise=Gaussian()
    )
    assert abs(found.jsd.value - expected) < 4 * found.jsd.standard_error < 0.2 * expected


def test_without_common_points_the_jsd_at_sigma_zero_is_log_2_exactly() -> None:
    (found,) = noisy_divergences(torch.randn(50, 3), torch.randn(40, 3), sigmas=[0.0], num_draws=10, generator=seeded())
    assert found.jsd.value == LOG2
    assert found.jsd.standard_error == 0
    assert found.tv.value == 1


def test_common_points_lower_the_jsd_at_sigma_zero() -> None:
    # p = (1/2, 1/2, 0), q = (0, 1/2, 1/2): JSD = log 2 / 2, TV = 1/2
    found = discrete_divergence(points([[0.0], [1.0]]), points([[1.0], [2.0]]))
    assert found.jsd.value == pytest.approx(LOG2 / 2, abs=1e-12)
    assert found.tv.value == pytest.approx(0.5, abs=1e-12)


def test_equal_sets_have_no_divergence() -> None:
    samples = torch.randn(30, 2)
    for found in noisy_divergences(samples, samples, sigmas=[0.0, 0.1, 2.0], num_draws=300, generator=seeded()):
        assert found.jsd.value == pytest.approx(0, abs=1e-12)
        assert found.tv.value == pytest.approx(0, abs=1e-12)


def test_far_sets_are_told_apart_perfectly_because_the_noise_is_bounded() -> None:
    real, fake = torch.randn(30, 5), torch.randn(30, 5) + 100
    (found,) = noisy_divergences(real, fake, sigmas=[0.5], num_draws=300, generator=seeded())
    assert found.jsd.value == pytest.approx(LOG2, abs=1e-12)
    assert found.tv.value == pytest.approx(1, abs=1e-12)


def test_more_noise_lowers_the_divergence() -> None:
    real, fake = torch.randn(100, 2, generator=seeded(2)), torch.randn(100, 2, generator=seeded(3)) + 1
    values = [
        d.jsd.value
        for d in noisy_divergences(real, fake, sigmas=[0.01, 0.1, 1.0, 10.0], num_draws=2000, generator=seeded())
    ]
    assert values == sorted(values, reverse=True)
    assert values[-1] < 0.01


def test_a_sigma_has_the_same_value_in_any_company() -> None:
    real, fake = torch.randn(40, 3, generator=seeded(4)), torch.randn(30, 3, generator=seeded(5))
    arguments: dict[str, Any] = {"num_draws": 500}
    (alone,) = noisy_divergences(real, fake, sigmas=[0.5], generator=seeded(), **arguments)
    among = noisy_divergences(real, fake, sigmas=[2.0, 0.5, 0.1], generator=seeded(), **arguments)
    assert among[1] == alone


def test_the_kernels_are_the_densities_written_out() -> None:
    """JSD from densities evaluated one by one, without the shortcuts, at the same kind of draws."""
    real, fake, sigma = (
        torch.randn(6, 3, generator=seeded(6)).double(),
        torch.randn(9, 3, generator=seeded(7)).double(),
        0.8,
    )
    radius = sigma * (math.sqrt(3) + 5)

    def log_density(x: Tensor, centres: Tensor) -> Tensor:
        distance = torch.cdist(x, centres, compute_mode="donot_use_mm_for_euclid_dist")
        kernel = (-(distance**2) / (2 * sigma**2)).masked_fill(distance > radius, -math.inf)
        return kernel.logsumexp(1) - math.log(len(centres))

    def draws(centres: Tensor, seed: int) -> Tensor:
        generator = seeded(seed)
        chosen = centres[torch.randint(len(centres), (100_000,), generator=generator)]
        return chosen + sigma * torch.randn(100_000, 3, generator=generator, dtype=torch.float64)

    x, y = draws(real, 8), draws(fake, 9)
    on_real = LOG2 - torch.nn.functional.softplus(log_density(x, fake) - log_density(x, real))
    on_fake = LOG2 - torch.nn.functional.softplus(log_density(y, real) - log_density(y, fake))
    expected = (on_real.mean() + on_fake.mean()) / 2
    spread = math.sqrt((on_real.var() + on_fake.var()).item() / 4 / 100_000)
    (found,) = noisy_divergences(real, fake, sigmas=[sigma], num_draws=100_000, generator=seeded())
    assert abs(found.jsd.value - expected) < 4 * math.hypot(spread, found.jsd.standard_error)


@pytest.mark.parametrize(
    ("real", "fake", "sigmas", "message"),
    [
        (torch.zeros(4, 2), torch.zeros(4, 3), [1.0], "dimensions differ"),
        (torch.zeros(4, 2), torch.zeros(4, 2), [-1.0], "sigmas must be finite and >= 0"),
        (torch.full((4, 2), math.nan), torch.zeros(4, 2), [1.0], "samples must be finite"),
    ],
)
def test_bad_input_is_refused(real: Tensor, fake: Tensor, sigmas: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        noisy_divergences(real, fake, sigmas=sigmas, num_draws=10, generator=seeded())


@pytest.mark.parametrize("case", oracle("gaussians"), ids=lambda case: f"mean {case['mean']}")
def test_kl_of_single_points_is_that_of_two_gaussians(case: dict[str, Any]) -> None:
    (found,) = noisy_divergences(
        points([[0.0]]),
        points([[case["mean"]]]),
        sigmas=[case["sigma"]],
        num_draws=20_000,
        generator=seeded(2),
        noise=Gaussian(),
    )
    for estimate in (found.kl_real_fake, found.kl_fake_real):
        assert estimate is not None
        assert abs(estimate.value - case["kl"]) < 4 * estimate.standard_error


def test_far_beyond_what_densities_can_hold_kl_is_still_that_of_two_gaussians() -> None:
    """100 deviations apart a density underflows; ``KL = (mean / sigma)^2 / 2 = 5000`` does not."""
    (found,) = noisy_divergences(
        points([[0.0]]), points([[10.0]]), sigmas=[0.1], num_draws=20_000, generator=seeded(2), noise=Gaussian()
    )
    for estimate in (found.kl_real_fake, found.kl_fake_real):
        assert estimate is not None
        assert abs(estimate.value - 5000) < 4 * estimate.standard_error < 5


MAHALANOBIS = math.sqrt(
    torch.tensor([1.0, -0.5]) @ torch.tensor([[2.0, 0.6], [0.6, 1.0]]).inverse() @ torch.tensor([1.0, -0.5])
)


@pytest.mark.parametrize(
    ("noise", "fake", "density", "shift"),
    [
        (Gaussian(), [[1.5]], stats.norm.pdf, 1.5 / 0.8),
        (Cauchy(), [[1.5]], stats.cauchy.pdf, 1.5 / 0.8),
        # whitened, two points differ along one axis by their Mahalanobis distance
        (FullCovariance(((2.0, 0.6), (0.6, 1.0))), [[1.0, -0.5]], stats.norm.pdf, MAHALANOBIS / 0.8),
    ],
    ids=["gaussian", "cauchy", "full_covariance"],
)
def test_two_points_under_other_noise_against_quadrature(
    noise: Noise, fake: list[list[float]], density: Callable[[Any], Any], shift: float
) -> None:
    grid = np.concatenate(
        [-np.geomspace(1e6, 20, 200_000), np.linspace(-20, 22, 400_001), np.geomspace(22, 1e6, 200_000)]
    )
    p, q = density(grid), density(grid - shift)
    m = (p + q) / 2
    jsd = np.trapezoid(xlogy(p, p / np.where(m > 0, m, 1)) + xlogy(q, q / np.where(m > 0, m, 1)), grid) / 2
    tv = np.trapezoid(np.abs(p - q), grid) / 2
    (found,) = noisy_divergences(
        torch.zeros(1, len(fake[0])), points(fake), sigmas=[0.8], num_draws=50_000, generator=seeded(4), noise=noise
    )
    assert abs(found.jsd.value - jsd) < 4 * found.jsd.standard_error < 0.01
    assert abs(found.tv.value - tv) < 4 * found.tv.standard_error < 0.02


def test_kl_is_infinite_beyond_the_reach_of_bounded_noise() -> None:
    """Plain Gaussian noise 13 sigma apart would give 84.5; truncated at 6 sigma the supports do not meet."""
    (found,) = noisy_divergences(points([[0.0]]), points([[13.0]]), sigmas=[1.0], num_draws=100, generator=seeded())
    assert found.kl_real_fake == found.kl_fake_real == Estimate(math.inf, 0.0)
    assert found.jsd.value == pytest.approx(LOG2, abs=1e-15)


def test_a_finite_mean_of_draws_is_no_kl_under_bounded_noise() -> None:
    """Supports of half a sigma's shift differ by a strip that a draw meets once in a thousand million."""
    (found,) = noisy_divergences(points([[0.0]]), points([[0.5]]), sigmas=[1.0], num_draws=1000, generator=seeded())
    assert found.kl_real_fake is None
    assert found.kl_fake_real is None


@pytest.mark.parametrize(("mean", "sigma"), [(0.5, 1.0), (2.0, 0.5), (1.0, 3.0)])
def test_the_weighted_total_variation_matches_quadrature(mean: float, sigma: float) -> None:
    grid = torch.linspace(-25, 27, 400_001, dtype=torch.float64)
    p, q = (torch.distributions.Normal(centre, sigma).log_prob(grid).exp() for centre in (0.0, mean))
    expected = torch.trapezoid((grid - mean / 2).abs() * (p - q).abs(), grid).item()
    (found,) = noisy_divergences(
        points([[0.0]]), points([[mean]]), sigmas=[sigma], num_draws=100_000, generator=seeded(3)
    )
    assert abs(found.weighted_tv.value - expected) < 4 * found.weighted_tv.standard_error


def test_discrete_measures_have_their_own_kl_and_weighted_total_variation() -> None:
    # p = (1/2, 1/2, 0), q = (0, 1/2, 1/2) at 0, 1, 2; pooled mean 1
    found = discrete_divergence(points([[0.0], [1.0]]), points([[1.0], [2.0]]))
    assert found.kl_real_fake == Estimate(math.inf, 0.0)
    assert found.weighted_tv.value == pytest.approx(1.0, abs=1e-12)
    same = discrete_divergence(points([[0.0], [1.0], [1.0]]), points([[0.0], [0.0], [1.0]]))
    assert same.kl_real_fake is not None
    assert same.kl_real_fake.value == pytest.approx(1 / 3 * math.log(1 / 2) + 2 / 3 * math.log(2))


@pytest.mark.parametrize("sigma", [1e-9, 1e-7, 1e-5])
def test_rounding_tells_no_equal_sets_apart(sigma: float) -> None:
    """Squared distances come from norms; their rounding must not tell coinciding points apart."""
    samples = 50 + torch.randn(20, 3072, generator=seeded(8), dtype=torch.float64)
    (found,) = noisy_divergences(samples, samples.clone(), sigmas=[sigma], num_draws=60, generator=seeded())
    assert found.jsd.value == pytest.approx(0, abs=1e-12)


SINGLE = [
    pytest.param([[0.0, 0.0]], [[3.0, 4.0]], id="one against one"),
    pytest.param([[0.0, 0.0]], [[3.0, 4.0], [-3.0, 4.0], [0.0, 5.0]], id="one against many"),
    pytest.param([[3.0, 4.0], [-3.0, 4.0], [0.0, 5.0]], [[0.0, 0.0]], id="many against one"),
    pytest.param([[1.0, 2.0]], [[1.0, 2.0]], id="one against itself"),
]


def everything(found: NoisyDivergence) -> list[Estimate]:
    of_all = [found.jsd, found.tv, found.weighted_tv]
    return of_all + [kl for kl in (found.kl_real_fake, found.kl_fake_real) if kl is not None]


@pytest.mark.parametrize(("real", "fake"), SINGLE)
@pytest.mark.parametrize(
    "noise", [Truncated(), Gaussian(), Cauchy(), FullCovariance(((2.0, 0.6), (0.6, 1.0)))], ids=repr
)
def test_sets_of_one_sample_have_finite_standard_errors(
    real: list[list[float]], fake: list[list[float]], noise: Noise
) -> None:
    found = noisy_divergences(
        points(real), points(fake), sigmas=[0.0, 1e-3, 0.5, 5.0], num_draws=50, generator=seeded(), noise=noise
    )
    for estimate in (each for divergence in found for each in everything(divergence)):
        assert not math.isnan(estimate.value)
        assert math.isfinite(estimate.standard_error)
        assert estimate.standard_error >= 0
    assert all(estimate.standard_error == 0 for estimate in everything(found[0]))


def test_two_points_out_of_reach_of_each_other_have_the_values_of_disjoint_measures() -> None:
    """``Int ||x - x0|| |p - q| = E_p ||x - x0|| + E_q ||x - x0||``, 5 / 2 twice to second order in sigma."""
    (found,) = noisy_divergences(
        points([[0.0, 0.0]]), points([[3.0, 4.0]]), sigmas=[1e-3], num_draws=200, generator=seeded()
    )
    assert found.jsd == Estimate(LOG2, 0.0)
    assert found.tv == Estimate(1.0, 0.0)
    assert found.kl_real_fake == found.kl_fake_real == Estimate(math.inf, 0.0)
    # a draw's distance varies by sigma along the line between the points: 1e-3 / sqrt(200) for each, and twice that
    assert found.weighted_tv.standard_error == pytest.approx(2 * 1e-3 / math.sqrt(2 * 200), rel=0.2)
    assert abs(found.weighted_tv.value - 5.0) < 4 * found.weighted_tv.standard_error


@pytest.mark.parametrize("sigma", [0.0, 1e-3, 1.0])
def test_one_point_against_itself_differs_in_nothing(sigma: float) -> None:
    samples = points([[1.0, 2.0]])
    (found,) = noisy_divergences(samples, samples, sigmas=[sigma], num_draws=100, generator=seeded(), noise=Gaussian())
    assert everything(found) == [Estimate(0.0, 0.0)] * 5


def test_two_points_at_sigma_zero_are_two_atoms() -> None:
    """All mass of both measures is half the distance from their mean."""
    found = discrete_divergence(points([[0.0, 0.0]]), points([[3.0, 4.0]]))
    assert (found.jsd.value, found.tv.value) == (LOG2, 1.0)
    assert found.kl_real_fake == found.kl_fake_real == Estimate(math.inf, 0.0)
    assert found.weighted_tv.value == pytest.approx(5.0, rel=1e-12)


def test_a_single_draw_has_no_standard_error_and_is_refused() -> None:
    with pytest.raises(ValueError, match="num_draws must be at least 2, got 1"):
        noisy_divergences(points([[0.0]]), points([[1.0]]), sigmas=[1.0], num_draws=1, generator=seeded())


# --- levels that differ between samples: densities, and atoms where one of them is 0 ------------------------------

LEVELS, WEIGHTS = (0.0, 0.3, 1.0), (0.4, 0.25, 0.35)
MIXED = MixedLevels("mixed_levels", LEVELS, WEIGHTS)


def by_quadrature(real: list[float], fake: list[float], sigma: float) -> dict[str, float]:
    """All divergences under `MIXED` noise in one dimension: atoms by sums, the rest by the trapezoidal rule, in numpy.

    Neither is normalised: what has mass w has it here too.
    """
    atoms = sorted({*real, *fake})
    masses = [np.array([WEIGHTS[0] * samples.count(x) / len(samples) for x in atoms]) for samples in (real, fake)]
    grid = np.linspace(-8, 12, 400_001)
    densities = [
        1e-290  # so that no quotient is that of two zeros
        + sum(
            w * stats.norm(loc=centre, scale=sigma * m).pdf(grid) / len(samples)
            for m, w in zip(LEVELS[1:], WEIGHTS[1:], strict=True)
            for centre in samples
        )
        for samples in (real, fake)
    ]
    middle = (np.mean(real) * len(real) + np.mean(fake) * len(fake)) / (len(real) + len(fake))

    def total(of: Callable[[Any, Any, Any], Any]) -> float:
        return float(of(np.array(atoms), *masses).sum() + np.trapezoid(of(grid, *densities), grid))

    return {
        "jsd": total(lambda x, p, q: (rel_entr(p, (p + q) / 2) + rel_entr(q, (p + q) / 2)) / 2),
        "tv": total(lambda x, p, q: abs(p - q) / 2),
        "kl_real_fake": total(lambda x, p, q: rel_entr(p, q)),
        "kl_fake_real": total(lambda x, p, q: rel_entr(q, p)),
        "weighted_tv": total(lambda x, p, q: abs(x - middle) * abs(p - q)),
    }


@pytest.mark.parametrize("sigma", [0.2, 0.7, 2.0])
@pytest.mark.parametrize(
    ("real", "fake"),
    [
        ([0.0, 1.0, 2.5], [0.4, 1.0, 3.0, 3.1]),  # one point in common
        ([0.0, 0.0, 1.0], [0.0, 1.0, 1.0]),  # all, with other masses: the KL divergences are finite
        ([0.0, 1.0], [0.3, 4.0]),
    ],
)
def test_atoms_and_densities_of_mixed_levels_match_quadrature(
    real: list[float], fake: list[float], sigma: float
) -> None:
    sets = [points([[x] for x in samples]) for samples in (real, fake)]
    (found,) = noisy_divergences(*sets, sigmas=[sigma], num_draws=100_000, generator=seeded(3), noise=MIXED)
    for name, expected in by_quadrature(real, fake, sigma).items():
        estimate: Estimate | None = getattr(found, name)
        if name.startswith("kl"):  # of bounded noise: infinite, or none that draws could tell
            assert estimate == (Estimate(math.inf, 0.0) if math.isinf(expected) else None)
        else:
            assert estimate is not None
            assert abs(estimate.value - expected) < 4 * estimate.standard_error + 1e-6 < 0.02


def test_without_common_points_a_clean_half_is_told_apart_whatever_hides_the_rest() -> None:
    """However large sigma: the atoms' half of the JSD is log 2, and half of the TV is 1."""
    half = MixedLevels("mixed_levels", (0.0, 1.0), (0.5, 0.5))
    real, fake = torch.randn(30, 2, generator=seeded(4)), torch.randn(40, 2, generator=seeded(5))
    (found,) = noisy_divergences(real, fake, sigmas=[1e4], num_draws=500, generator=seeded(), noise=half)
    assert found.jsd.value == pytest.approx(LOG2 / 2, abs=1e-6)
    assert found.tv.value == pytest.approx(0.5, abs=1e-3)
    assert found.kl_real_fake == Estimate(math.inf, 0.0)


def test_at_sigma_zero_levels_do_not_matter() -> None:
    real, fake = points([[0.0], [1.0]]), points([[1.0], [2.0]])
    found = noisy_divergences(real, fake, sigmas=[0.0, 0.5], num_draws=50, generator=seeded(), noise=MIXED)
    assert found[0] == discrete_divergence(real, fake)
    assert found[1].sigma == 0.5


def test_equal_sets_have_no_divergence_at_any_levels() -> None:
    samples = torch.randn(30, 2)
    (found,) = noisy_divergences(samples, samples, sigmas=[0.3], num_draws=300, generator=seeded(), noise=MIXED)
    assert found.jsd.value == pytest.approx(0, abs=1e-12)
    assert found.tv.value == pytest.approx(0, abs=1e-12)


def test_who_is_told_the_levels_tells_the_measures_apart_better() -> None:
    """JSD is jointly convex: mixed over levels it is at most the mean over levels of the JSD at each."""
    real, fake = torch.randn(30, 2, generator=seeded(6)), torch.randn(40, 2, generator=seeded(7)) + 0.5
    levels, weights, sigma = (0.2, 0.6, 1.0), (0.3, 0.3, 0.4), 0.8
    (mixed,) = noisy_divergences(
        real, fake, sigmas=[sigma], num_draws=4000, generator=seeded(), noise=MixedLevels("m", levels, weights)
    )
    at_each = noisy_divergences(real, fake, sigmas=[sigma * m for m in levels], num_draws=4000, generator=seeded())
    told = sum(weight * found.jsd.value for weight, found in zip(weights, at_each, strict=True))
    assert 0.05 < mixed.jsd.value < told - 4 * mixed.jsd.standard_error
