"""Bounds against the oracle, and against exact transport on random sample sets."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.theory.bounds import (
    inverse_phi,
    noisy_diameter,
    paper_bound,
    pooled_diameter,
    sharp_bound,
    weighted_bound,
)
from harness.theory.divergences import noisy_divergences
from harness.theory.transport import w1
from tests.conftest import oracle

CASES = pytest.mark.parametrize("case", oracle("noisy_point_sets"), ids=lambda case: case["name"])


@CASES
def test_bounds_at_the_given_jsd_match_the_oracle(case: dict) -> None:
    at = {"jsd": case["jsd"], "sigma": case["sigma"], "dimension": case["dimension"], "diameter": case["diameter"]}
    assert paper_bound(**at).value == pytest.approx(case["bound_paper"], abs=1e-9)
    assert sharp_bound(**at).value == pytest.approx(case["bound_sharp"], abs=1e-9)


@CASES
def test_the_diameter_matches_the_oracle(case: dict) -> None:
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
    at = {"jsd": jsd, "sigma": 0.4, "dimension": 3, "diameter": 5.0}
    assert sharp_bound(**at).value <= paper_bound(**at).value + 1e-12


def test_monte_carlo_values_outside_the_range_are_moved_to_its_ends() -> None:
    at = {"sigma": 0.0, "dimension": 1, "diameter": 1.0}
    assert paper_bound(jsd=-1e-3, **at).value == 0
    assert sharp_bound(jsd=0.7, **at).value == 1


def test_a_jsd_that_is_not_a_number_gives_no_bound() -> None:
    with pytest.raises(ValueError, match="NaN"):
        paper_bound(jsd=math.nan, sigma=1.0, dimension=1, diameter=1.0)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    dimension=st.integers(1, 32),
    sizes=st.tuples(st.integers(2, 60), st.integers(2, 60)),
    log_sigma=st.floats(math.log(0.01), math.log(10)),
    shift=st.floats(0, 5),
)
def test_no_bound_is_below_exact_transport(
    seed: int, dimension: int, sizes: tuple[int, int], log_sigma: float, shift: float
) -> None:
    generator = torch.Generator().manual_seed(seed)
    real = torch.randn(sizes[0], dimension, generator=generator, dtype=torch.float64)
    fake = torch.randn(sizes[1], dimension, generator=generator, dtype=torch.float64) + shift
    sigma = math.exp(log_sigma)
    (divergence,) = noisy_divergences(real, fake, sigmas=[sigma], num_draws=500, generator=generator)
    at = {
        "jsd": divergence.jsd.value + 1.6449 * divergence.jsd.standard_error,
        "sigma": sigma,
        "dimension": dimension,
        "diameter": noisy_diameter(pooled_diameter(real, fake), sigma=sigma, dimension=dimension),
    }
    distance = w1(real, fake)
    assert distance <= paper_bound(**at).value
    assert distance <= sharp_bound(**at).value
    weighted = divergence.weighted_tv.value + 1.6449 * divergence.weighted_tv.standard_error
    assert distance <= weighted_bound(weighted_tv=weighted, sigma=sigma, dimension=dimension).value
