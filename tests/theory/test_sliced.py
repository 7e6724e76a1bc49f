"""Sliced distances and bounds against the one-dimensional oracle, closed forms and POT."""

from __future__ import annotations

import math
from typing import Any

import ot
import pytest
import torch

from harness.theory import sliced
from harness.theory.sliced import project, random_directions
from tests.conftest import oracle

LINE = [case for case in oracle("noisy_point_sets") if case["dimension"] == 1]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("case", LINE, ids=lambda case: case["name"])
@pytest.mark.parametrize("direction", [1.0, -1.0])
def test_on_a_line_everything_is_the_one_dimensional_oracle(case: dict[str, Any], direction: float) -> None:
    real, fake = (torch.tensor(case[key], dtype=torch.float64) for key in ("real", "fake"))
    projections = project(real, fake, torch.tensor([[direction]], dtype=torch.float64))
    assert projections.w1() == pytest.approx(case["w1"], abs=1e-9)
    assert projections.jsd(case["sigma"]).item() == pytest.approx(case["jsd"], abs=1e-7)
    assert projections.bound(case["sigma"]).value == pytest.approx(case["bound_paper"], abs=1e-6)


@pytest.mark.parametrize(("num_real", "num_fake"), [(40, 40), (30, 47)])
def test_sliced_w1_is_the_mean_of_pots_one_dimensional_distances(num_real: int, num_fake: int) -> None:
    real, fake = (torch.randn(num, 5, generator=seeded(num), dtype=torch.float64) for num in (num_real, num_fake))
    directions = random_directions(12, 5, generator=seeded())
    distances = [ot.wasserstein_1d((real @ u).numpy(), (fake @ u).numpy(), p=1) for u in directions]
    assert project(real, fake, directions).w1() == pytest.approx(sum(distances) / 12, abs=1e-9)


def test_directions_are_uniform_on_the_sphere() -> None:
    directions = random_directions(20_000, 3, generator=seeded())
    assert directions.norm(dim=1).sub(1).abs().max() < 1e-12
    assert directions.mean(0).abs().max() < 4 / math.sqrt(3 * 20_000)
    # each squared coordinate has mean 1/d
    assert directions.square().mean(0).sub(1 / 3).abs().max() < 0.01


def test_a_shift_by_delta_has_the_sliced_distance_of_its_projections() -> None:
    samples, shift = torch.randn(50, 4, generator=seeded(), dtype=torch.float64), torch.tensor([0.3, 0, 0, 0.4])
    directions = random_directions(200, 4, generator=seeded(1))
    expected = (directions @ shift.double()).abs().mean().item()
    assert project(samples, samples + shift, directions).w1() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("sigma", [0.02, 0.3])
def test_transforms_and_direct_sums_give_the_same_divergence(sigma: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Far below the range of the data there are no transforms: kernels, truncated, are summed on occupied points.

    Truncation takes 2e-9 of the probability, aliasing less than 1e-8 of the densities.
    """
    real, fake = (torch.randn(num, 3, generator=seeded(num), dtype=torch.float64) for num in (50, 70))
    projections = project(real, fake, random_directions(5, 3, generator=seeded()))
    dense = projections.jsd(sigma)
    monkeypatch.setattr(sliced, "_MAX_GRID", 10)
    torch.testing.assert_close(projections.jsd(sigma), dense, rtol=0, atol=1e-8)


def test_sigmas_measured_together_have_the_divergences_they_have_alone() -> None:
    real, fake = (torch.randn(num, 3, generator=seeded(num), dtype=torch.float64) for num in (50, 70))
    projections = project(real, fake, random_directions(5, 3, generator=seeded()))
    sigmas = [1.0, 0.003, 0.02, 5.0, 0.02, 0.3, 0.1, 1e-7]
    together = projections.jsds(sigmas)
    assert together.shape == (8, 5)
    for sigma, found in zip(sigmas, together, strict=True):
        torch.testing.assert_close(found, projections.jsd(sigma), rtol=0, atol=1e-8)


def test_directions_taken_in_parts_have_the_same_divergences(monkeypatch: pytest.MonkeyPatch) -> None:
    real, fake = (torch.randn(num, 3, generator=seeded(num), dtype=torch.float64) for num in (50, 70))
    projections = project(real, fake, random_directions(5, 3, generator=seeded()))
    whole = projections.jsds([0.1, 0.5])
    monkeypatch.setattr(sliced, "_NUMBERS_AT_ONCE", 1000)
    torch.testing.assert_close(projections.jsds([0.1, 0.5]), whole, rtol=0, atol=1e-14)


@pytest.mark.parametrize("offset", [0.0, 0.25, 0.999])
def test_the_weights_of_a_spline_are_those_of_scipy(offset: float) -> None:
    from scipy.interpolate import BSpline

    order = sliced._SPLINE_ORDER
    spline = BSpline.basis_element(list(range(order + 1)), extrapolate=False)
    expected = [spline(1 - offset + j) for j in range(order)]
    found = sliced._spline_weights(torch.tensor([[offset]], dtype=torch.float64))[:, 0, 0]
    assert found.tolist() == pytest.approx(
        [0.0 if math.isnan(value) else float(value) for value in expected], abs=1e-14
    )


def test_a_sigma_far_below_the_range_needs_no_memory() -> None:
    line = project(torch.tensor([[0.0], [1.0]]), torch.tensor([[0.0], [0.5]]), torch.ones(1, 1, dtype=torch.float64))
    # p and q share half their mass and no more: JSD = log 2 / 2
    assert line.jsd(1e-9).item() == pytest.approx(math.log(2) / 2, abs=1e-9)


def test_different_dimensions_are_refused() -> None:
    with pytest.raises(ValueError, match="dimensions differ"):
        project(torch.zeros(4, 2), torch.zeros(4, 3), torch.zeros(1, 2, dtype=torch.float64))


@pytest.mark.parametrize("sigma", [1e-20, 1e-12])
def test_the_sliced_bound_holds_for_noise_below_the_resolution_of_the_data(sigma: float) -> None:
    real, fake = (torch.randn(40, 3, generator=seeded(num), dtype=torch.float64) for num in (1, 2))
    projections = project(real, fake, random_directions(6, 3, generator=seeded()))
    # without common points the divergence is log 2, and the bound 2 sqrt(log 2) times the range at least
    assert projections.jsd(sigma).tolist() == pytest.approx([math.log(2)] * 6)
    assert projections.w1() <= projections.bound(sigma).value


def test_single_points_have_the_closed_forms_of_their_projections() -> None:
    """Along u the points ``a`` and ``b`` are ``|u.(a - b)|`` apart, which is the distance and the range at once."""
    real, fake = torch.tensor([[1.0, 2.0]]).double(), torch.tensor([[4.0, -2.0]]).double()
    directions = random_directions(16, 2, generator=seeded())
    apart = (directions @ torch.tensor([-3.0, 4.0]).double()).abs()
    projections = project(real, fake, directions)
    assert projections.w1() == pytest.approx(apart.mean().item(), rel=1e-12)
    torch.testing.assert_close(projections.ranges(), apart, rtol=1e-12, atol=0)
    # noise too small for the supports to meet: JSD log 2, so the bound is 2 sigma + 2 (range + 12 sigma) sqrt(log 2)
    sigma = float(apart.min()) / 100
    expected = 2 * sigma + 2 * math.sqrt(math.log(2)) * (apart.mean().item() + 12 * sigma)
    assert projections.bound(sigma).value == pytest.approx(expected, rel=1e-9)


def test_one_point_against_many_has_the_mean_distance_of_the_projections() -> None:
    point, others = torch.zeros(1, 3), torch.randn(7, 3, generator=seeded(), dtype=torch.float64)
    directions = random_directions(10, 3, generator=seeded(1))
    expected = (directions @ others.T).abs().mean().item()
    assert project(point, others, directions).w1() == pytest.approx(expected, rel=1e-12)
    assert project(others, point, directions).w1() == pytest.approx(expected, rel=1e-12)


def test_equal_single_points_do_not_differ_along_any_direction() -> None:
    point = torch.tensor([[0.3, -0.7]])
    projections = project(point, point, random_directions(4, 2, generator=seeded()))
    assert projections.w1() == 0
    assert projections.jsd(0.1).tolist() == [0.0] * 4
    assert projections.bound(0.1).value == pytest.approx(0.2, rel=1e-12)
