"""Truncated Gaussian noise against quadrature over its radius, and the oracle."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.integrate import quad
from scipy.stats import chi

from harness.job.parts.noise import NOISES
from harness.theory.noise import (
    Cauchy,
    FullCovariance,
    Gaussian,
    Noise,
    Truncated,
    _as_cauchy,
    confine,
    mean_noise_norm,
    noise_variance,
    sample_truncated,
    truncation_radius,
)
from tests.conftest import oracle

COVARIANCE = ((2.0, 0.6, 0.0), (0.6, 1.0, -0.3), (0.0, -0.3, 0.5))
FAMILIES: dict[str, Noise] = {
    "truncated": Truncated(),
    "gaussian": Gaussian(),
    "full_covariance": FullCovariance(COVARIANCE),
    "cauchy": Cauchy(),
}
DENSITIES = {
    "truncated": stats.multivariate_normal(np.zeros(3), np.eye(3)),
    "gaussian": stats.multivariate_normal(np.zeros(3), np.eye(3)),
    "full_covariance": stats.multivariate_normal(np.zeros(3), np.array(COVARIANCE)),
    "cauchy": stats.multivariate_t(np.zeros(3), np.eye(3), df=1),  # the multivariate Cauchy is t with one degree
}
EVERY_FAMILY = pytest.mark.parametrize("name", NOISES)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_every_family_has_an_example_here() -> None:
    assert set(FAMILIES) == set(DENSITIES) == set(NOISES)


@EVERY_FAMILY
def test_draws_have_the_promised_shape_type_and_stream(name: str) -> None:
    noise = FAMILIES[name]
    assert noise.name == name
    unit, training = noise.unit(7, 3, generator=seeded()), noise.training_draws(2, 5, 3, generator=seeded())
    assert unit.shape == (7, 3)
    assert unit.dtype == torch.float64
    assert training.shape == (2, 5, 3)
    assert training.dtype == torch.float32
    assert unit.device == training.device == seeded().device
    assert torch.equal(unit, noise.unit(7, 3, generator=seeded()))
    assert torch.equal(training, noise.training_draws(2, 5, 3, generator=seeded()))


@EVERY_FAMILY
def test_the_kernel_is_scipys_log_density_up_to_a_constant(name: str) -> None:
    noise, points = FAMILIES[name], torch.randn(50, 3, generator=seeded(1), dtype=torch.float64)
    kernel = noise.log_kernel(noise.whiten(points).square().sum(1), dimension=3).numpy()
    expected = DENSITIES[name].logpdf(points.numpy())
    assert kernel - kernel[0] == pytest.approx(expected - expected[0], abs=1e-9)


@EVERY_FAMILY
def test_the_kernels_slope_is_that_of_scipys_density(name: str) -> None:
    """By finite differences on both sides: what a gradient through a noisy density would follow."""
    noise, h = FAMILIES[name], 1e-5
    points = torch.randn(20, 3, generator=seeded(2), dtype=torch.float64)
    moved = [points + sign * h * torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64) for sign in (1, -1)]
    ours = [noise.log_kernel(noise.whiten(x).square().sum(1), dimension=3) for x in moved]
    theirs = [DENSITIES[name].logpdf(x.numpy()) for x in moved]
    assert ((ours[0] - ours[1]) / (2 * h)).numpy() == pytest.approx((theirs[0] - theirs[1]) / (2 * h), abs=1e-5)


@EVERY_FAMILY
@pytest.mark.parametrize("kind", ["unit", "training"])
def test_draws_follow_the_density_along_every_axis(name: str, kind: str) -> None:
    noise = FAMILIES[name]
    if kind == "unit":
        draws = noise.unit(4000, 3, generator=seeded(3))
    else:
        draws = noise.training_draws(4000, 3, generator=seeded(4))
    for axis in range(3):
        scale = math.sqrt(COVARIANCE[axis][axis]) if name == "full_covariance" else 1.0
        marginal = stats.cauchy(scale=scale) if name == "cauchy" else stats.norm(scale=scale)
        assert stats.kstest(draws[:, axis].double().numpy(), marginal.cdf).pvalue > 1e-3


@EVERY_FAMILY
def test_whitening_and_colouring_are_inverse(name: str) -> None:
    points = torch.randn(10, 3, generator=seeded(5), dtype=torch.float64)
    torch.testing.assert_close(FAMILIES[name].colour(FAMILIES[name].whiten(points)), points)


@EVERY_FAMILY
def test_moments_hold_for_the_draws_and_grow_with_sigma(name: str) -> None:
    noise = FAMILIES[name]
    at: dict[str, Any] = {"sigma": 0.5, "dimension": 3}
    norms = 0.5 * noise.unit(200_000, 3, generator=seeded(6)).norm(dim=1)
    assert norms.max().item() <= noise.radius(**at)
    if name == "cauchy":
        assert noise.variance(**at) == noise.mean_norm(**at) == math.inf
    else:
        assert norms.square().mean().item() == pytest.approx(noise.variance(**at), rel=0.02)
        largest = math.sqrt(noise.variance(**at)) if name == "full_covariance" else norms.mean().item()
        assert noise.mean_norm(**at) == pytest.approx(largest, rel=0.01)
    assert [moment(sigma=0.0, dimension=3) for moment in (noise.variance, noise.mean_norm, noise.radius)] == [0, 0, 0]


def test_the_draws_of_full_covariance_have_that_covariance() -> None:
    draws = FAMILIES["full_covariance"].unit(200_000, 3, generator=seeded(7)).numpy()
    assert np.cov(draws.T) == pytest.approx(np.array(COVARIANCE), abs=0.03)


@pytest.mark.parametrize(
    ("covariance", "message"),
    [
        (((1.0, 0.0),), "square"),
        (((1.0, 0.5), (0.0, 1.0)), "symmetric and positive definite"),
        (((1.0, 2.0), (2.0, 1.0)), "symmetric and positive definite"),
    ],
)
def test_a_covariance_checks_itself(covariance: tuple[tuple[float, ...], ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FullCovariance(covariance)


def test_a_covariance_of_another_dimension_is_refused() -> None:
    with pytest.raises(ValueError, match="3-dimensional"):
        FAMILIES["full_covariance"].unit(4, 2, generator=seeded())


@pytest.mark.parametrize("case", oracle("noisy_point_sets"), ids=lambda case: case["name"])
def test_moments_match_the_oracle(case: dict[str, Any]) -> None:
    at = {"sigma": case["sigma"], "dimension": case["dimension"]}
    assert truncation_radius(**at) == pytest.approx(case["truncation_radius"], abs=1e-12)
    assert noise_variance(**at) == pytest.approx(case["noise_variance"], abs=1e-12)
    assert mean_noise_norm(**at) == pytest.approx(case["mean_noise_norm"], abs=1e-9)


@pytest.mark.parametrize("dimension", [1, 2, 7, 64])
def test_the_mean_norm_matches_quadrature_over_the_radius(dimension: int) -> None:
    radius = math.sqrt(dimension) + 5
    mass, _ = quad(chi(dimension).pdf, 0, radius)
    first, _ = quad(lambda r: r * chi(dimension).pdf(r), 0, radius)
    assert mean_noise_norm(sigma=0.3, dimension=dimension) == pytest.approx(0.3 * first / mass, rel=1e-7)


@pytest.mark.parametrize("dimension", [1, 2, 16, 1024, 3072])
def test_truncation_loses_less_than_2e9_of_the_probability(dimension: int) -> None:
    assert chi(dimension).sf(math.sqrt(dimension) + 5) < 2e-9


def test_draws_have_unit_variance_and_stay_inside() -> None:
    draws = sample_truncated(20_000, 4, generator=torch.Generator().manual_seed(0))
    assert draws.norm(dim=1).max() <= truncation_radius(sigma=1.0, dimension=4)
    standard_error = math.sqrt(2 / draws.numel())
    assert abs(draws.var() - 1) < 4 * standard_error


def test_confining_touches_nothing_inside_and_pulls_the_rest_to_the_surface() -> None:
    draws = torch.tensor([[0.5, 0.5], [30.0, 40.0]])
    radius = truncation_radius(sigma=1.0, dimension=2)
    confined = confine(draws, dimension=2)
    torch.testing.assert_close(confined[0], draws[0])
    torch.testing.assert_close(confined[1], radius * torch.tensor([0.6, 0.8]))


def test_a_cauchy_draw_is_never_infinite() -> None:
    """torch's float32 normals are exactly 0 once in 2^24 draws, and the last one is the divisor."""
    draws = _as_cauchy(torch.tensor([[1.0, -2.0, 0.0]]))
    assert torch.isfinite(draws).all()
    assert draws.abs().min() >= 2.0**24
