"""Gradient penalties against closed forms, finite differences and plain per-sample autograd."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from harness.theory.penalties import (
    around,
    on_segments,
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
