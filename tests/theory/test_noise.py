"""Truncated Gaussian noise against quadrature over its radius, and the oracle."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.integrate import quad
from scipy.stats import chi

from harness.theory.noise import confine, mean_noise_norm, noise_variance, sample_truncated, truncation_radius
from tests.conftest import oracle


@pytest.mark.parametrize("case", oracle("noisy_point_sets"), ids=lambda case: case["name"])
def test_moments_match_the_oracle(case: dict) -> None:
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
