"""A pair of sets: what it says, and that it measures nothing twice.

That the numbers are right is shown in test_compare.py, by quadrature and assignments.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from scipy.spatial.distance import pdist
from scipy.stats import wasserstein_distance
from torch import Tensor

from harness.evaluation import sets
from harness.evaluation.sets import SetPair
from harness.theory import transport
from harness.theory.divergences import noisy_divergences
from harness.theory.noise import TRUNCATED, Cauchy, FullCovariance, Gaussian, Noise, Truncated

pytestmark = pytest.mark.usefixtures("one_thread")
GRID = [0.05, 0.1, 0.3]
FAMILIES: list[Noise] = [Truncated(), Gaussian(), Cauchy(), FullCovariance(((1.0, 0.5), (0.5, 2.0)))]
OF_A_FAMILY = pytest.mark.parametrize("noise", FAMILIES, ids=lambda noise: noise.name)


def samples(num: int, seed: int, *, shift: float = 0.0, dimension: int = 2) -> Tensor:
    return torch.randn(num, dimension, generator=torch.Generator().manual_seed(seed)) + shift


def make_pair(real: Tensor | None = None, fake: Tensor | None = None, **changes: Any) -> SetPair:
    settings: dict[str, Any] = {"grid": GRID, "num_draws": 200, "num_directions": 8, **changes}
    return SetPair(
        samples(60, 1) if real is None else real,
        samples(50, 2, shift=0.3) if fake is None else fake,
        generator=torch.Generator().manual_seed(0),
        **settings,
    )


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[float]]]:
    """The family and the sigmas of every pass over the sets."""
    made: list[tuple[str, list[float]]] = []
    divergences: Callable[..., Any] = noisy_divergences

    def recorded(*arguments: Any, sigmas: Sequence[float], noise: Noise, **settings: Any) -> Any:
        made.append((noise.name, list(sigmas)))
        return divergences(*arguments, sigmas=sigmas, noise=noise, **settings)

    monkeypatch.setattr(sets, "noisy_divergences", recorded)
    return made


def assert_equal(found: dict[str, Any], expected: dict[str, Any]) -> None:
    """Equal but for the rounding of sums, whose order is another when sigmas are measured together."""
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert found[name] == (pytest.approx(value, rel=1e-12) if isinstance(value, float) else value), name


# --- what it says ------------------------------------------------------------------------------------------------


def test_the_best_bounds_are_the_least_over_the_grid() -> None:
    pair = make_pair()
    for form, best in (("paper", "best"), ("sharp", "sharp_best"), ("weighted", "weighted_best")):
        assert pair.best[f"bound_{best}"] == min(pair.at(sigma)[f"bound_{form}"] for sigma in GRID)
    assert pair.best["bound_sliced_best"] == min(pair.at(sigma)["bound_sliced"] for sigma in GRID)
    assert pair.at(pair.best["bound_best_sigma"])["bound_paper"] == pair.best["bound_best"]
    assert pair.at(pair.best["bound_best_sigma"])["bound_paper_upper"] == pair.best["bound_best_upper"]
    assert pair.at(pair.best["bound_sliced_best_sigma"])["bound_sliced"] == pair.best["bound_sliced_best"]


@OF_A_FAMILY
def test_the_best_bounds_are_those_of_truncated_noise_whatever_was_asked_for_before(noise: Noise) -> None:
    pair = make_pair()
    before = pair.columns([0.2, 0.1], noise)
    assert_equal(pair.best, make_pair().best)
    for columns in before.values():
        assert {name: columns[name] for name in pair.best} == pair.best


@pytest.mark.parametrize(
    ("noise", "absent"),
    [
        (Gaussian(), {"bound_paper", "bound_sharp", "vacuous", "diameter"}),
        (Cauchy(), {"bound_paper", "bound_weighted", "noise_variance"}),
    ],
    ids=["gaussian", "cauchy"],
)
def test_bounds_that_do_not_hold_for_a_family_are_absent(noise: Noise, absent: set[str]) -> None:
    assert absent <= set(make_pair().at(0.2))
    assert absent.isdisjoint(make_pair().at(0.2, noise))
    assert absent <= set(make_pair().at(0.0, noise))  # without noise there is no family


def test_in_one_dimension_the_distances_are_those_of_scipy() -> None:
    real, fake = samples(60, 1, dimension=1), samples(50, 2, shift=0.3, dimension=1)
    pair = make_pair(real, fake)
    exact = wasserstein_distance(real[:, 0].numpy(), fake[:, 0].numpy())
    assert pair.w1 == pytest.approx(exact)
    assert pair.w1_sliced == pytest.approx(exact)
    assert pair.geometry.data_diameter == pytest.approx(pdist(torch.cat([real, fake]).numpy()).max())
    assert pair.columns([0.3])[0.3]["num_samples"] == 50


def test_the_exact_w1_of_sets_that_are_too_large_is_left_out() -> None:
    assert make_pair(max_for_w1=59).w1 is None
    assert make_pair(max_for_w1=60).w1 is not None


def test_a_diameter_that_is_given_is_used() -> None:
    pair = make_pair(data_diameter=50.0)
    assert pair.at(0.2)["diameter"] == pytest.approx(50 + 2 * 0.2 * (math.sqrt(2) + 5))
    assert pair.at(0.2)["bound_paper"] > make_pair().at(0.2)["bound_paper"]


# --- what it costs -----------------------------------------------------------------------------------------------


def test_one_pass_over_the_sets_serves_all_sigmas_and_the_grid(passes: list[tuple[str, list[float]]]) -> None:
    make_pair().columns([0.2, 0.1, 0.2, 0.0])
    assert passes == [("truncated", [0.2, 0.1, 0.0, 0.05, 0.3])]


def test_asking_again_costs_only_what_is_new(passes: list[tuple[str, list[float]]]) -> None:
    pair = make_pair()
    pair.columns([0.2], Gaussian())
    assert passes == [("gaussian", [0.2]), ("truncated", GRID)]
    pair.columns([0.1, 0.3])
    pair.columns([0.2], Gaussian())
    assert pair.best is pair.best
    assert len(passes) == 2
    pair.columns([0.1, 0.5, 0.2])
    pair.at(0.4, Gaussian())
    assert passes[2:] == [("truncated", [0.5, 0.2]), ("gaussian", [0.4])]


@OF_A_FAMILY
def test_what_is_measured_does_not_depend_on_what_was_asked_for_before(noise: Noise) -> None:
    pair = make_pair()
    pair.columns([0.7], Gaussian())
    pair.columns([0.4], noise)
    pair.columns([0.1, 0.6], TRUNCATED)
    again, alone = pair.columns([0.4, 0.2, 0.0], noise), make_pair().columns([0.4, 0.2, 0.0], noise)
    assert list(again) == list(alone)
    for sigma in alone:
        assert_equal(again[sigma], alone[sigma])


def test_geometry_and_distances_are_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = make_pair()
    pair.columns([0.2])
    for name in ("pooled_diameter", "project"):
        monkeypatch.delattr(sets, name)
    monkeypatch.delattr(transport, "w1")
    assert pair.columns([0.4])[0.4]["w1"] == pair.w1
