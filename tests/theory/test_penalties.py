"""Gradient penalties against closed forms, finite differences and plain per-sample autograd."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.special import expit, log_expit
from torch import Tensor

from harness.theory.penalties import (
    around,
    logits_and_squared_norms,
    on_segments,
    roth,
    squared_gradient_norms,
    towards_one,
    towards_zero,
)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def quadratic(matrix: Tensor) -> Callable[[Tensor], Tensor]:
    """D(x) = x^T A x / 2 for symmetric A, whose gradient is A x: ``[k, b, d] -> [k, b]``."""
    return lambda x: ((x @ matrix) * x).sum(-1) / 2


@pytest.fixture
def matrix() -> Tensor:
    half = torch.randn(3, 3, generator=seeded(), dtype=torch.float64)
    return half + half.T


def test_norms_are_those_of_the_closed_form(matrix: Tensor) -> None:
    x = torch.randn(2, 5, 3, generator=seeded(1), dtype=torch.float64)
    torch.testing.assert_close(squared_gradient_norms(quadratic(matrix), x), (x @ matrix).square().sum(-1))


@pytest.mark.parametrize("centre", [towards_one, towards_zero])
def test_penalties_are_differentiable_in_the_discriminator(centre: Callable[..., Tensor], matrix: Tensor) -> None:
    x = torch.randn(1, 4, 3, generator=seeded(2), dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda a: centre(squared_gradient_norms(quadratic((a + a.T) / 2), x), weight=3.0), (matrix.requires_grad_(),)
    )


def test_a_linear_discriminator_of_unit_slope_has_no_penalty_towards_one() -> None:
    slope = torch.tensor([0.6, 0.8])
    squared = squared_gradient_norms(lambda x: x @ slope, torch.randn(1, 7, 2))
    assert towards_one(squared, weight=10.0).item() == pytest.approx(0, abs=1e-9)
    assert towards_zero(squared, weight=5.0).item() == pytest.approx(5.0, rel=1e-6)
    doubled = squared_gradient_norms(lambda x: x @ (2 * slope), torch.randn(1, 7, 2))
    assert towards_one(doubled, weight=10.0).item() == pytest.approx(10.0, rel=1e-5)


def test_a_flat_discriminator_has_a_finite_gradient() -> None:
    slope = torch.zeros(2, requires_grad=True)
    penalty = towards_one(squared_gradient_norms(lambda x: x @ slope, torch.randn(1, 7, 2)), weight=10.0)
    (gradient,) = torch.autograd.grad(penalty.sum(), slope)
    assert penalty.item() == pytest.approx(10.0)
    assert torch.isfinite(gradient).all()


def test_segments_have_one_alpha_a_sample() -> None:
    real, fake = torch.ones(1, 2, 3), torch.zeros(1, 2, 3)
    points = on_segments(real, fake, torch.tensor([[0.25, 1.0]]))
    torch.testing.assert_close(points, torch.tensor([[[0.25] * 3, [1.0] * 3]]))


def test_perturbations_are_measured_in_the_batchs_own_deviation() -> None:
    real = torch.tensor([[[0.0], [2.0]], [[0.0], [20.0]]])  # deviations sqrt 2 and 10 sqrt 2
    points = around(real, torch.ones(2, 2), torch.ones(2, 2, 1), spread=0.5)
    torch.testing.assert_close((points - real)[:, :, 0], 0.5 * torch.tensor([[2**0.5] * 2, [10 * 2**0.5] * 2]))


# Roth's regulariser and instance noise, by quadrature in one dimension


def bump(weight: float) -> Callable[[Tensor], Tensor]:
    """``D(x) = log(p / q)(x) + weight sin(2 x)`` of the two normal densities below; the optimal one with weight 0."""

    def discriminate(x: Tensor) -> Tensor:
        x = x[..., 0]
        log_ratio = (-((x - 0.6) ** 2) / 2).sub((-((x + 0.4) ** 2) / (2 * 1.3**2)) - np.log(1.3))
        return log_ratio + weight * (2 * x).sin()

    return discriminate


X = np.linspace(-12, 12, 4801)
STEP = X[1] - X[0]
P = np.exp(-((X - 0.6) ** 2) / 2) / np.sqrt(2 * np.pi)
Q = np.exp(-((X + 0.4) ** 2) / (2 * 1.3**2)) / np.sqrt(2 * np.pi) / 1.3


def on_the_grid(weight: float) -> tuple[Tensor, np.ndarray, np.ndarray, np.ndarray]:
    """The points, and D, D' and D'' there."""
    points = torch.from_numpy(X)[None, :, None].requires_grad_()
    logits = bump(weight)(points)
    (slope,) = torch.autograd.grad(logits.sum(), points, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.sum(), points)
    values = (value.detach().numpy().ravel() for value in (logits, slope, curvature))
    return points.detach(), *values  # type: ignore[return-value]


def cross_entropy(weight: float, sigma: float) -> float:
    """The discriminator's expected loss under Gaussian noise, which is added to both kinds of samples."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    moved = torch.from_numpy(X[:, None] + sigma * nodes)[..., None]
    logits = bump(weight)(moved).numpy()
    kernel = weights / weights.sum()
    return float(STEP * (P @ (-log_expit(logits) @ kernel) + Q @ (-log_expit(-logits) @ kernel)))


def roth_term(weight: float, gamma: float) -> float:
    """`roth` of the two densities: the mean over grid points of values that carry p and q."""
    points, *_ = on_the_grid(weight)
    logits, squared = logits_and_squared_norms(bump(weight), points)
    density = [torch.from_numpy(values * STEP * len(X))[None] for values in (P, Q)]
    return roth((logits, squared * density[0]), (logits, squared * density[1]), gamma=gamma).item()


def left_out(weight: float) -> float:
    """``int d (D'' + (1 - 2 s) D'^2)``, d = p (1 - s) - q s: what the derivation drops."""
    _, logits, slope, curvature = on_the_grid(weight)
    real = expit(logits)
    return float(STEP * np.sum((P * (1 - real) - Q * real) * (curvature + (1 - 2 * real) * slope**2)))


SIGMAS = (0.1, 0.05)


def test_at_the_optimum_roths_term_is_what_noise_adds_up_to_the_fourth_power_of_sigma() -> None:
    errors = [cross_entropy(0.0, sigma) - cross_entropy(0.0, 0.0) - roth_term(0.0, sigma**2) for sigma in SIGMAS]
    assert abs(errors[0]) < 0.02 * roth_term(0.0, SIGMAS[0] ** 2)
    assert errors[0] / errors[1] == pytest.approx(16, rel=0.05)
    assert left_out(0.0) == pytest.approx(0, abs=1e-12)


def test_elsewhere_the_term_that_is_dropped_has_the_order_of_the_regulariser() -> None:
    weight = 0.7
    gaps = [cross_entropy(weight, s) - cross_entropy(weight, 0.0) - roth_term(weight, s**2) for s in SIGMAS]
    assert abs(gaps[0]) > 0.5 * roth_term(weight, SIGMAS[0] ** 2)
    assert gaps[0] / gaps[1] == pytest.approx(4, rel=0.05)
    errors = [gap + s**2 / 2 * left_out(weight) for gap, s in zip(gaps, SIGMAS, strict=True)]
    assert abs(errors[0]) < 0.05 * abs(gaps[0])
    assert errors[0] / errors[1] == pytest.approx(16, rel=0.05)


def test_roths_term_is_differentiated_through_the_probabilities_too() -> None:
    """``D(x) = w x``: ``gamma/2 w^2 ((1 - s(w x))^2 + s(w y)^2)``, whose derivative has a part through s."""
    w, x, y, gamma = 0.8, 0.5, -1.2, 3.0
    weight = torch.tensor(w, dtype=torch.float64, requires_grad=True)
    samples = [torch.tensor([[[value]]], dtype=torch.float64) for value in (x, y)]
    term = roth(*(logits_and_squared_norms(lambda s: weight * s[..., 0], points) for points in samples), gamma=gamma)
    a, b = expit(-w * x), expit(w * y)  # 1 - s(real), s(fake)
    assert term.item() == pytest.approx(gamma / 2 * w**2 * (a**2 + b**2), rel=1e-12)
    (found,) = torch.autograd.grad(term.sum(), weight)
    through_s = -2 * a**2 * (1 - a) * x + 2 * b**2 * (1 - b) * y
    assert found.item() == pytest.approx(gamma * w * (a**2 + b**2) + gamma / 2 * w**2 * through_s, rel=1e-12)
