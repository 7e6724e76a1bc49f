"""Exact transport against the oracle, closed forms and SciPy's linear programme."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import linprog

from harness.theory.transport import w1
from tests.conftest import oracle
from tests.shapes import unchecked


@pytest.mark.parametrize("case", oracle("noisy_point_sets"), ids=lambda case: case["name"])
def test_w1_matches_the_oracle(case: dict[str, Any]) -> None:
    assert w1(
        torch.tensor(case["real"], dtype=torch.float64), torch.tensor(case["fake"], dtype=torch.float64)
    ) == pytest.approx(case["w1"], abs=1e-9)


@pytest.mark.parametrize("dimension", [1, 3])
def test_w1_of_sets_of_different_sizes_matches_a_linear_programme(dimension: int) -> None:
    generator = torch.Generator().manual_seed(dimension)
    real = torch.randn(7, dimension, generator=generator, dtype=torch.float64)
    fake = torch.randn(5, dimension, generator=generator, dtype=torch.float64)
    cost = torch.cdist(real, fake).numpy()
    rows = np.kron(np.eye(7), np.ones(5))
    columns = np.kron(np.ones(7), np.eye(5))
    marginals = np.concatenate([np.full(7, 1 / 7), np.full(5, 1 / 5)])
    solution = linprog(cost.ravel(), A_eq=np.concatenate([rows, columns]), b_eq=marginals)
    assert w1(real, fake) == pytest.approx(solution.fun, abs=1e-9)


def test_a_shift_costs_its_length() -> None:
    samples = torch.randn(40, 6, dtype=torch.float64)
    shift = torch.full((6,), 0.5, dtype=torch.float64)
    assert w1(samples, samples + shift) == pytest.approx(shift.norm().item(), abs=1e-9)


def test_different_dimensions_are_refused() -> None:
    with unchecked(), pytest.raises(ValueError, match="dimensions differ: real has 2, fake has 3"):
        w1(torch.zeros(4, 2), torch.zeros(4, 3))


@pytest.mark.parametrize("dimension", [1, 3])
def test_one_point_is_moved_to_all_others_in_the_only_way_there_is(dimension: int) -> None:
    """The distance is the mean length of the ways, whichever set has one point; of one to one it is the length."""
    point = torch.full((1, dimension), 2.0, dtype=torch.float64)
    others = torch.randn(6, dimension, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    lengths = (others - point).norm(dim=1)
    assert w1(point, others) == pytest.approx(lengths.mean().item(), rel=1e-12)
    assert w1(others, point) == pytest.approx(lengths.mean().item(), rel=1e-12)
    assert w1(point, others[:1]) == pytest.approx(lengths[0].item(), rel=1e-12)
    assert w1(point, point) == 0


@pytest.mark.parametrize("distance", [0.0, 1e-9, 1e-5, 1.0])
def test_in_many_dimensions_near_points_keep_their_distances(distance: float) -> None:
    """Products would round distances of 100 dimensions, all near 14, to 1e-7."""
    samples = 50 + torch.randn(120, 100, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    moved = samples.clone()
    moved[:, 0] += distance
    exact = (moved[:, 0] - samples[:, 0]).mean().item()  # as rounded; farther points are no way to save
    assert w1(samples, moved) == pytest.approx(exact, rel=1e-8, abs=1e-15)
