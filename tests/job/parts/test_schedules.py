"""Schedules: a contract for all of them, and the values of their formulas by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from harness.job.parts.schedules import SCHEDULES, Adaptive, Cosine, Exponential, Polynomial, Step

EXAMPLES: dict[str, tuple[dict[str, Any], float, float, float]] = {
    "constant": ({"sigma": 0.3}, 0.3, 0.3, 0.3),
    "linear": ({"start": 1.0, "end": 0.5}, 1.0, 0.75, 0.5),
    "exponential": ({"start": 1.0, "end": 0.25}, 1.0, 0.5, 0.25),
    "cosine": ({"start": 1.0, "end": 0.5}, 1.0, 0.75, 0.5),
    "step": ({"start": 1.0, "end": 0.5, "at": 0.6}, 1.0, 1.0, 0.5),
    "inverse_time": ({"start": 1.0, "decay": 2.0}, 1.0, 0.5, 1 / 3),
    "polynomial": ({"start": 1.0, "end": 0.5, "power": 2.0}, 1.0, 0.625, 0.5),
}


def test_every_schedule_has_an_example_here() -> None:
    assert {*EXAMPLES, "adaptive", "overconfidence"} == set(SCHEDULES)  # these two: tests/training/test_adaptive.py


@pytest.mark.parametrize("name", EXAMPLES)
def test_values_at_start_middle_and_end(name: str) -> None:
    parameters, *expected = EXAMPLES[name]
    sigma = SCHEDULES[name](**parameters)
    assert [sigma(0.0), sigma(0.5), sigma(1.0)] == pytest.approx(expected)
    assert {key for key, needed in SCHEDULES[name].parameters().items() if needed} == set(parameters)
    assert all(sigma(step / 100) >= 0 for step in range(101))


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("bad", [-0.1, math.nan, math.inf])
def test_unusable_values_are_refused(name: str, bad: float) -> None:
    parameters: dict[str, Any] = dict.fromkeys(SCHEDULES[name].parameters(), bad)
    with pytest.raises(ValueError, match=r"must be finite and >= 0|should be a finite number"):
        SCHEDULES[name](**parameters)


@pytest.mark.parametrize("name", ["linear", "exponential", "cosine", "polynomial"])
def test_a_fraction_of_training_ends_the_annealing_early(name: str) -> None:
    parameters, start, middle, end = EXAMPLES[name]
    sigma = SCHEDULES[name](**{**parameters, "fraction": 0.4})
    assert [sigma(t) for t in (0.0, 0.2, 0.4, 0.7, 1.0)] == pytest.approx([start, middle, end, end, end])
    for bad in (0.0, 1.1, math.nan):
        with pytest.raises(ValueError, match=r"fraction must be in \(0, 1\]|should be a finite number"):
            SCHEDULES[name](**{**parameters, "fraction": bad})


SMOOTH_SLOPES = {
    # d sigma / dt at t = 0.3 by hand, for the parameters above
    "constant": 0.0,
    "linear": -0.5,
    "exponential": 0.25**0.3 * math.log(0.25),
    "cosine": -0.25 * math.pi * math.sin(0.3 * math.pi),
    "step": 0.0,
    "inverse_time": -2 / 1.6**2,
    "polynomial": -0.7,
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_slopes_by_finite_differences_are_those_of_the_formula(name: str) -> None:
    sigma = SCHEDULES[name](**EXAMPLES[name][0])
    assert (sigma(0.3 + 1e-6) - sigma(0.3 - 1e-6)) / 2e-6 == pytest.approx(SMOOTH_SLOPES[name], abs=1e-8)


@pytest.mark.parametrize("accuracy", [0.5, 0.8, 1.0])
def test_an_adaptive_sigma_grows_exponentially_with_the_excess_accuracy(accuracy: float) -> None:
    rule = Adaptive(start=0.2, target=0.8, rate=5.0)
    sigma = torch.tensor([0.2, 0.4], dtype=torch.float64)
    for _ in range(1000):
        sigma = rule.next(sigma, torch.full((2,), accuracy, dtype=torch.float64), num_steps=1000)
    expected = math.exp(5.0 * (accuracy - 0.8))
    assert sigma.tolist() == pytest.approx([0.2 * expected, 0.4 * expected], rel=1e-9)
    assert sigma.dtype == torch.float64


def test_an_adaptive_sigma_stays_within_a_factor_of_a_thousand() -> None:
    rule = Adaptive(start=0.2, target=0.5, rate=1e6)
    grown, shrunk = (rule.next(torch.tensor(0.2), torch.tensor(a), num_steps=10).item() for a in (1.0, 0.0))
    assert (grown, shrunk) == pytest.approx((200.0, 0.0002))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"start": 0.0, "target": 0.8, "rate": 1.0}, "start > 0"),
        ({"start": 0.1, "target": 1.0, "rate": 1.0}, r"target must be in \(0, 1\)"),
    ],
)
def test_an_adaptive_schedule_checks_itself(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Adaptive(**parameters)


def test_cosine_is_flat_at_both_ends() -> None:
    sigma = Cosine(start=1.0, end=0.0)
    assert sigma(0.01) > 0.999
    assert sigma(0.99) < 0.001


def test_a_step_happens_inside_training_and_a_polynomial_bends() -> None:
    with pytest.raises(ValueError, match=r"at must be in \(0, 1\)"):
        Step(start=1.0, end=0.0, at=1.0)
    with pytest.raises(ValueError, match="power must be > 0"):
        Polynomial(start=1.0, end=0.0, power=0.0)


def test_an_exponential_cannot_reach_zero() -> None:
    with pytest.raises(ValueError, match="use linear"):
        Exponential(start=1.0, end=0.0)
