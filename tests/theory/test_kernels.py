"""Log densities in float32 and by blocks against the sums written out in float64."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from harness.theory import kernels
from harness.theory.kernels import Centres, Draws, log_kernel_sums
from harness.theory.levels import MixedLevels
from harness.theory.noise import Cauchy, FullCovariance, Gaussian, Noise, Truncated

NOISES: list[Noise] = [Truncated(), Gaussian(), Cauchy()]


def written_out(draws: Draws, others: Tensor, sigma: float, noise: Noise) -> Tensor:
    """``log sum_j K((x - c_j) / sigma)`` by its definition: differences, in float64."""
    x = draws.centres + sigma * draws.units
    squared = (x[:, None] - others).square().sum(2) / sigma**2
    dimension = others.shape[1]
    if isinstance(noise, Cauchy):
        logs = -(dimension + 1) / 2 * squared.log1p()
    else:
        logs = -squared / 2
        if isinstance(noise, Truncated):
            logs[squared.sqrt() > math.sqrt(dimension) + 5] = -math.inf
    return logs.logsumexp(1)


def setting(dimension: int, *, spread: float, num: int = 250) -> tuple[Draws, Tensor, Tensor]:
    """Draws about clustered centres, some of which are points of the other set."""
    generator = torch.Generator().manual_seed(dimension)
    clusters = 3 * torch.randn(5, dimension, generator=generator, dtype=torch.float64)
    which = torch.randint(5, (num,), generator=generator)
    others = clusters[which] + spread * torch.randn(num, dimension, generator=generator, dtype=torch.float64)
    own = torch.randint(num, (300,), generator=generator)
    own[:100] = -1
    centres = others[own] + 0.0
    centres[:100] = clusters[0] + spread * torch.randn(100, dimension, generator=generator, dtype=torch.float64)
    units = torch.randn(300, dimension, generator=generator, dtype=torch.float64)
    return Draws(centres, units), own, others


@pytest.mark.parametrize("noise", NOISES, ids=lambda noise: noise.name)
@pytest.mark.parametrize("dimension", [1, 2, 8, 9, 64, 200])
def test_log_densities_are_those_written_out(noise: Noise, dimension: int) -> None:
    draws, own, others = setting(dimension, spread=0.3)
    sigmas = [3.0, 0.7, 0.2, 0.05, 1e-3]
    found = torch.empty(300, len(sigmas), dtype=torch.float64)
    for index, block in draws.in_blocks():
        found[index] = log_kernel_sums(block, Centres(others), sigmas=sigmas, noise=noise)
    for column, sigma in enumerate(sigmas):
        expected = written_out(draws, others, sigma, noise)
        finite = expected.isfinite()
        assert torch.equal(found[:, column].isfinite(), finite)
        # of the bound that the module states, with what a tenth of the norms leaves to float32 in many dimensions
        scale = 1 + expected[finite].abs()
        assert ((found[finite, column] - expected[finite]).abs() / scale).max() < (3e-6 if dimension < 64 else 3e-4)
        with_own = finite & (own >= 0)
        assert (found[with_own, column] - expected[with_own]).abs().max() < 1e-5 + 4e-7 * dimension


def test_blocks_hold_every_draw_once_and_neighbours_together() -> None:
    draws, _, _ = setting(2, spread=0.1)
    indices, blocks = zip(*draws.in_blocks(), strict=True)
    assert torch.cat(list(indices)).sort().values.tolist() == list(range(300))
    whole = float((draws.centres - draws.centres.mean(0)).norm(dim=1).max())
    for index, block in zip(indices, blocks, strict=True):
        assert torch.equal(block.centres, draws.centres[index])
        assert len(index) <= kernels.DRAWS_AT_ONCE
        assert float((block.centres - block.centres.mean(0)).norm(dim=1).max()) < whole


def test_kernels_out_of_reach_are_left_out_and_no_others() -> None:
    draws, _, others = setting(2, spread=0.1)
    block = Draws(draws.centres[:100], draws.units[:100])  # of one cluster
    sigmas = [3.0, 0.3, 0.01]
    near, widths = kernels._in_reach(block, Centres(others), sigmas)
    assert widths[0] == 250
    assert widths[2] < 200
    for sigma, width in zip(sigmas, widths, strict=True):
        x = block.centres + sigma * block.units
        exponents = -(x[:, None] - near.points).square().sum(2) / sigma**2 / 2
        below = exponents - exponents.amax(1, keepdim=True)
        assert (below[:, width:] < -kernels._NEGLIGIBLE).all()


@pytest.mark.parametrize("dimension", [2, 20, 100])
def test_points_that_coincide_are_at_distance_0_however_far_from_the_middle(dimension: int) -> None:
    points = 1e3 + torch.randn(5, dimension, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    draws = Draws(points, torch.zeros_like(points))
    found = log_kernel_sums(draws, Centres(points), sigmas=[1e-6], noise=Gaussian())
    assert found.abs().max() == 0  # the log of one kernel at its centre


@pytest.mark.parametrize("dimension", [2, 20, 100])
@pytest.mark.parametrize("distance", [1e-7, 1e-10])
def test_points_that_nearly_coincide_have_their_distance(dimension: int, distance: float) -> None:
    """Two points a little apart among others 1 apart, at noise of ten times that: rounding must not make them one."""
    generator = torch.Generator().manual_seed(1)
    points = torch.randn(6, dimension, generator=generator, dtype=torch.float64)
    points[1] = points[0]
    points[1, 0] += distance
    apart = float(points[1, 0] - points[0, 0])  # as rounded
    draws, sigma = Draws(points[:1], torch.zeros(1, dimension, dtype=torch.float64)), 10 * distance
    found = log_kernel_sums(draws, Centres(points[1:]), sigmas=[sigma], noise=Gaussian())
    assert float(found) == pytest.approx(-((apart / sigma) ** 2) / 2, rel=1e-5)


def test_many_near_pairs_are_left_to_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    draws, _, others = setting(100, spread=1e-3)  # all pairs of a cluster are near one another
    _, block = next(iter(draws.in_blocks()))
    assert kernels._in_single(block, Centres(others)) is None
    found = log_kernel_sums(block, Centres(others), sigmas=[0.05, 1e-3], noise=Gaussian())
    for column, sigma in enumerate([0.05, 1e-3]):
        torch.testing.assert_close(found[:, column], written_out(block, others, sigma, Gaussian()), rtol=0, atol=5e-5)


def test_a_coloured_noise_is_measured_after_whitening() -> None:
    noise = FullCovariance(torch.tensor([[2.0, 0.5], [0.5, 1.0]]))
    draws, _, others = setting(2, spread=0.3)
    _, block = next(iter(draws.in_blocks()))
    found = log_kernel_sums(block, Centres(others), sigmas=[0.4], noise=noise)
    torch.testing.assert_close(found[:, 0], written_out(block, others, 0.4, Gaussian()), rtol=0, atol=1e-5)


def levels_written_out(x: Tensor, others: Tensor, sigma: float, noise: MixedLevels) -> Tensor:
    """``log sum_i sum_j w_j m_j^-d phi(||x - c_i|| / (sigma m_j))`` by its definition, in float64."""
    dimension = others.shape[1]
    distances = (x[:, None] - others).norm(dim=2) / sigma
    parts = []
    for level, weight in zip(noise.levels, noise.weights, strict=True):
        logs = math.log(weight) - dimension * math.log(level) - (distances / level).square() / 2
        parts.append(logs.masked_fill(distances / level > math.sqrt(dimension) + 5, -math.inf))
    return torch.cat(parts, dim=1).logsumexp(1)


@pytest.mark.parametrize("dimension", [1, 2, 8, 9, 64, 200])
def test_log_densities_of_mixed_levels_are_those_written_out(dimension: int) -> None:
    noise = MixedLevels("m", (1e-3, 0.05, 1.0), (0.3, 0.3, 0.4))
    draws, _, others = setting(dimension, spread=0.3)
    units = noise.unit(300, dimension, generator=torch.Generator().manual_seed(1))
    draws = Draws(draws.centres, units)
    for _, block in draws.in_blocks():
        found = log_kernel_sums(block, Centres(others), sigmas=[0.7, 0.05], noise=noise)
        for column, sigma in enumerate([0.7, 0.05]):
            expected = levels_written_out(block.centres + sigma * block.units, others, sigma, noise)
            finite = expected.isfinite()
            assert torch.equal(found[:, column].isfinite(), finite)
            error = (found[finite, column] - expected[finite]).abs() / (1 + expected[finite].abs())
            assert error.max() < (3e-6 if dimension < 64 else 3e-4)


def test_a_draw_of_a_large_level_near_the_centre_of_a_small_one_is_told_exactly() -> None:
    """Centres 0.002 apart, so that every draw is within reach of some kernel of width 0.001."""
    noise = MixedLevels("m", (1e-3, 1.0), (0.5, 0.5))
    others = torch.arange(-4, 4, 0.002, dtype=torch.float64)[:, None]
    units = noise.unit(200, 1, generator=torch.Generator().manual_seed(2))
    draws = Draws(others[1900:2100], units)
    found = log_kernel_sums(draws, Centres(others), sigmas=[1.0], noise=noise)
    torch.testing.assert_close(
        found[:, 0], levels_written_out(draws.centres + units, others, 1.0, noise), rtol=0, atol=1e-5
    )
