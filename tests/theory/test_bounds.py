"""Bounds against the oracle, and against exact transport on random sample sets."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist

from harness.theory.bounds import (
    diameter_limit,
    inverse_phi,
    noisy_diameter,
    paper_bound,
    pooled_diameter,
    sharp_bound,
    weighted_bound,
)
from harness.theory.divergences import noisy_divergences
from harness.theory.noise import Cauchy, FullCovariance, Gaussian, Noise, Truncated
from harness.theory.sliced import project, random_directions
from harness.theory.transport import w1
from tests.conftest import oracle

CASES = pytest.mark.parametrize("case", oracle("noisy_point_sets"), ids=lambda case: case["name"])


@CASES
def test_bounds_at_the_given_jsd_match_the_oracle(case: dict[str, Any]) -> None:
    at = {"jsd": case["jsd"], "sigma": case["sigma"], "dimension": case["dimension"], "diameter": case["diameter"]}
    assert paper_bound(**at).value == pytest.approx(case["bound_paper"], abs=1e-9)
    assert sharp_bound(**at).value == pytest.approx(case["bound_sharp"], abs=1e-9)


@CASES
def test_the_diameter_matches_the_oracle(case: dict[str, Any]) -> None:
    data_diameter = pooled_diameter(
        torch.tensor(case["real"], dtype=torch.float64), torch.tensor(case["fake"], dtype=torch.float64)
    )
    assert data_diameter == pytest.approx(case["data_diameter"], abs=1e-9)
    diameter = noisy_diameter(data_diameter, sigma=case["sigma"], dimension=case["dimension"])
    assert diameter == pytest.approx(case["diameter"], abs=1e-9)


@given(st.floats(0, 1))
def test_inverse_phi_inverts_phi(t: float) -> None:
    phi = (((1 + t) * math.log1p(t)) + ((1 - t) * math.log1p(-t) if t < 1 else 0.0)) / 2
    assert inverse_phi(phi) == pytest.approx(t, abs=1e-6)


@given(st.floats(1e-6, math.log(2)))
def test_the_sharp_form_never_exceeds_pinskers(jsd: float) -> None:
    at: dict[str, Any] = {"jsd": jsd, "sigma": 0.4, "dimension": 3, "diameter": 5.0}
    assert sharp_bound(**at).value <= paper_bound(**at).value + 1e-12


def test_monte_carlo_values_outside_the_range_are_moved_to_its_ends() -> None:
    at: dict[str, Any] = {"sigma": 0.0, "dimension": 1, "diameter": 1.0}
    assert paper_bound(jsd=-1e-3, **at).value == 0
    assert sharp_bound(jsd=0.7, **at).value == 1


def test_a_jsd_that_is_not_a_number_gives_no_bound() -> None:
    with pytest.raises(ValueError, match="NaN"):
        paper_bound(jsd=math.nan, sigma=1.0, dimension=1, diameter=1.0)


NOISES: dict[str, Noise] = {
    "truncated": Truncated(),
    "gaussian": Gaussian(),
    "cauchy": Cauchy(),
}


def noise_of(name: str, dimension: int, generator: torch.Generator) -> Noise:
    if name != "full_covariance":
        return NOISES[name]
    factor = torch.randn(dimension, dimension, generator=generator, dtype=torch.float64) / math.sqrt(dimension)
    return FullCovariance(factor @ factor.T + 0.1 * torch.eye(dimension, dtype=torch.float64))


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**31),
    family=st.sampled_from(["truncated", "gaussian", "full_covariance", "cauchy"]),
    dimension=st.integers(1, 64),
    sizes=st.tuples(st.integers(2, 500), st.integers(2, 500)),
    log_sigma=st.floats(math.log(0.01), math.log(10)),
    shift=st.floats(0, 5),
    scale=st.floats(0.01, 3),
)
# one point against one, where the weighted bound is nearly attained; equal sets; collapsed against spread
@example(seed=0, family="truncated", dimension=1, sizes=(2, 2), log_sigma=math.log(0.01), shift=5.0, scale=0.01)
@example(seed=0, family="gaussian", dimension=1, sizes=(2, 2), log_sigma=math.log(0.01), shift=5.0, scale=0.01)
@example(seed=0, family="full_covariance", dimension=64, sizes=(2, 500), log_sigma=math.log(10), shift=0.0, scale=3.0)
@example(seed=0, family="cauchy", dimension=2, sizes=(2, 500), log_sigma=0.0, shift=0.0, scale=0.01)
def test_no_bound_is_below_exact_transport(
    seed: int, family: str, dimension: int, sizes: tuple[int, int], log_sigma: float, shift: float, scale: float
) -> None:
    generator = torch.Generator().manual_seed(seed)
    real = torch.randn(sizes[0], dimension, generator=generator, dtype=torch.float64)
    fake = scale * torch.randn(sizes[1], dimension, generator=generator, dtype=torch.float64) + shift
    sigma, noise = math.exp(log_sigma), noise_of(family, dimension, generator)
    at: dict[str, Any] = {"sigma": sigma, "dimension": dimension}
    (found,) = noisy_divergences(real, fake, sigmas=[sigma], num_draws=300, generator=generator, noise=noise)
    distance = w1(real, fake)
    # 4 standard errors: one in 30,000 draws of the noise would be beyond
    weighted = found.weighted_tv.value + 4 * found.weighted_tv.standard_error
    assert distance <= weighted_bound(weighted_tv=weighted, noise=noise, **at).value * (1 + 1e-9)
    if family == "truncated":
        jsd = found.jsd.value + 4 * found.jsd.standard_error
        diameter = noisy_diameter(pooled_diameter(real, fake), **at)
        assert distance <= paper_bound(jsd=jsd, diameter=diameter, **at).value
        assert distance <= sharp_bound(jsd=jsd, diameter=diameter, **at).value
    projections = project(real, fake, random_directions(8, dimension, generator=generator))
    assert projections.w1() <= projections.bound(sigma).value


@pytest.mark.parametrize(("sizes", "dimension"), [((3, 2), 1), ((40, 30), 5), ((1500, 1200), 3)])
def test_the_diameter_leaves_out_no_pair_that_matters(sizes: tuple[int, int], dimension: int) -> None:
    generator = torch.Generator().manual_seed(1)
    real, fake = (torch.randn(num, dimension, generator=generator, dtype=torch.float64) for num in sizes)
    fake = fake * torch.tensor([4.0, *[1.0] * (dimension - 1)]).double() + 1  # long in one direction, off centre
    expected = pdist(torch.cat([real, fake]).numpy()).max()
    assert pooled_diameter(real, fake) == pytest.approx(expected, rel=1e-12)


def test_the_diameter_of_two_points_is_their_distance_and_so_is_its_limit() -> None:
    real, fake = torch.tensor([[1.0, 1.0]]), torch.tensor([[4.0, 5.0]])
    assert pooled_diameter(real, fake) == pytest.approx(5.0, rel=1e-12)
    assert diameter_limit(real, fake) == pytest.approx(5.0, rel=1e-12)
    assert pooled_diameter(real, real) == diameter_limit(real, real) == 0


def test_the_diameter_of_one_point_against_many_counts_all_pairs() -> None:
    real, fake = torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 0.0], [-3.0, 0.0], [0.0, 4.0]])
    assert pooled_diameter(real, fake) == pytest.approx(6.0, rel=1e-12)
    assert pooled_diameter(fake, real) == pytest.approx(6.0, rel=1e-12)
