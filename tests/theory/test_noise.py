"""Truncated Gaussian noise against quadrature over its radius, and the oracle."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.integrate import quad
from scipy.special import logsumexp
from scipy.stats import chi

from harness.job.parts.noise import NOISES, Diffusion
from harness.job.parts.noise import MixedLevels as MixedLevelsSpec
from harness.theory.diffusion import chain_levels, noise_to_signal
from harness.theory.levels import MixedLevels
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
    "mixed_levels": MixedLevels("mixed_levels", levels=(0.25, 1.0), weights=(0.4, 0.6)),
    "diffusion": MixedLevels("diffusion", levels=(0.1, 0.5, 1.0), weights=(0.2, 0.3, 0.5)),
}


@dataclass(frozen=True)
class Mixture:
    """Of normal densities within ``m (sqrt(3) + 5)`` at each level m, in three dimensions, by scipy."""

    levels: Sequence[float]
    weights: Sequence[float]

    def logpdf(self, x: Any) -> Any:
        parts = [stats.multivariate_normal(np.zeros(3), m**2 * np.eye(3)).logpdf(x) for m in self.levels]
        reach = [np.linalg.norm(x, axis=1) <= m * (math.sqrt(3) + 5) for m in self.levels]
        inside = [np.where(near, part, -np.inf) for near, part in zip(reach, parts, strict=True)]
        return logsumexp(np.stack(inside, axis=1), axis=1, b=np.array(self.weights))

    def cdf(self, x: Any) -> Any:
        """Along an axis."""
        return sum(w * stats.norm(scale=m).cdf(x) for m, w in zip(self.levels, self.weights, strict=True))


DENSITIES: dict[str, Any] = {
    "truncated": stats.multivariate_normal(np.zeros(3), np.eye(3)),
    "gaussian": stats.multivariate_normal(np.zeros(3), np.eye(3)),
    "full_covariance": stats.multivariate_normal(np.zeros(3), np.array(COVARIANCE)),
    "cauchy": stats.multivariate_t(np.zeros(3), np.eye(3), df=1),  # the multivariate Cauchy is t with one degree
    "mixed_levels": Mixture((0.25, 1.0), (0.4, 0.6)),
    "diffusion": Mixture((0.1, 0.5, 1.0), (0.2, 0.3, 0.5)),
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
        if isinstance(mixture := DENSITIES[name], Mixture):
            marginal = mixture
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


# --- levels that differ between samples ---------------------------------------------------------------------------


def no_samples(num: int) -> torch.Tensor:
    raise AssertionError(f"{num} samples are not needed")


@pytest.mark.parametrize("kind", ["unit", "training"])
def test_each_sample_has_one_level_and_the_levels_their_probabilities(kind: str) -> None:
    noise = MixedLevels("mixed_levels", levels=(0.0, 1.0, 0.2), weights=(0.5, 0.2, 0.3))
    draw = noise.unit if kind == "unit" else noise.training_draws
    norms = draw(20_000, 50, generator=seeded(8)).double().norm(dim=1).numpy()
    # in 50 dimensions the norms of N(0, m^2 I) are about 7 m, +- 0.7 m
    found = [(norms == 0).sum(), ((norms > 0.5) & (norms < 2.5)).sum(), (norms > 3).sum()]
    assert sum(found) == 20_000
    assert stats.chisquare(found, np.array([0.5, 0.3, 0.2]) * 20_000).pvalue > 1e-3


def test_noise_of_one_level_is_truncated_noise() -> None:
    mixed, squared = MixedLevels("mixed_levels", (1.0,), (1.0,)), torch.linspace(0, 60, 50)
    assert torch.equal(mixed.log_kernel(squared, dimension=3), Truncated().log_kernel(squared.clone(), dimension=3))
    assert torch.equal(mixed.unit(7, 3, generator=seeded()), Truncated().unit(7, 3, generator=seeded()))


def test_by_default_half_of_the_samples_have_noise() -> None:
    family = MixedLevelsSpec().family(no_samples)
    assert (family.levels, family.weights, family.clean) == ((0, 1), (0.5, 0.5), 0.5)
    assert family.continuous == MixedLevels("mixed_levels", (1.0,), (1.0,))
    assert family.radius(sigma=0.3, dimension=4) == truncation_radius(sigma=0.3, dimension=4)


def test_weights_are_probabilities_up_to_a_factor() -> None:
    spec = MixedLevelsSpec(levels=(0.0, 0.5, 1.0), weights=(2.0, 1.0, 1.0))
    assert spec.family(no_samples).weights == (0.5, 0.25, 0.25)


@pytest.mark.parametrize(
    ("levels", "weights", "message"),
    [
        ((0.0, 1.0), (1.0,), "2 levels and 1 weights"),
        ((0.0, 0.5), (0.5, 0.5), "the largest 1"),
        ((1.0, 1.0), (0.5, 0.5), "distinct"),
        ((-1.0, 1.0), (0.5, 0.5), r"in \[0, 1\]"),
        ((0.5, 1.0), (0.0, 1.0), "weights must be > 0"),
        ((0.5, 1.0), (0.5, 0.6), "their sum 1"),
    ],
)
def test_levels_check_themselves(levels: tuple[float, ...], weights: tuple[float, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MixedLevels("mixed_levels", levels, weights)


@pytest.mark.parametrize("num_steps", [1, 2, 10, 500, 1000])
def test_the_levels_of_a_chain_are_its_steps_carried_out(num_steps: int) -> None:
    """By the recursion ``x_t = sqrt(1 - beta_t) x_(t-1) + sqrt(beta_t) z``: of its signal and its noise, in numpy."""
    signal, variance, ratios = 1.0, 0.0, []
    for beta in np.linspace(1e-4, 2e-2, num_steps):
        signal, variance = signal * math.sqrt(1 - beta), variance * (1 - beta) + beta
        ratios.append(math.sqrt(variance) / signal)
    assert noise_to_signal(num_steps) == pytest.approx(ratios, rel=1e-9)


def test_with_a_level_for_each_step_priority_is_in_proportion_to_the_step() -> None:
    ratios = np.array(noise_to_signal(20))
    found = chain_levels(20, num_levels=20, distribution="priority", clean=0.0)
    assert list(found) == pytest.approx(list(ratios / ratios[-1]))
    assert list(found.values()) == pytest.approx(list(np.arange(1, 21) / 210))  # 1 + ... + 20 = 210
    uniform = chain_levels(20, num_levels=64, distribution="uniform", clean=0.2)
    assert list(uniform.values()) == pytest.approx([0.2, *[0.8 / 20] * 20])


def test_fewer_levels_stand_for_all_steps_and_never_for_less_noise() -> None:
    every = chain_levels(100, num_levels=64 * 2, distribution="priority", clean=0.5)
    few = chain_levels(100, num_levels=8, distribution="priority", clean=0.5)
    assert len(few) == 9
    assert sum(few.values()) == pytest.approx(1)
    for limit in few:  # as many samples, or more, have at least this much
        share = [sum(weight for level, weight in found.items() if level >= limit) for found in (few, every)]
        assert share[0] >= share[1] - 1e-12


def test_the_family_of_a_chain_has_its_levels() -> None:
    spec = Diffusion(steps=100, clean=0.25, distribution="uniform", levels=4)
    family = spec.family(no_samples)
    expected = chain_levels(100, num_levels=4, distribution="uniform", clean=0.25)
    assert dict(zip(family.levels, family.weights, strict=True)) == expected
    assert family.name == "diffusion"
    assert family.clean == 0.25
