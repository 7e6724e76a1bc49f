"""Schedules: a contract for all of them, and the values of their formulas by hand."""

from __future__ import annotations

import math

import pytest

from harness.theory import schedules
from harness.theory.schedules import SCHEDULES

EXAMPLES = {
    "constant": ({"sigma": 0.3}, 0.3, 0.3, 0.3),
    "linear": ({"start": 1.0, "end": 0.5}, 1.0, 0.75, 0.5),
    "exponential": ({"start": 1.0, "end": 0.25}, 1.0, 0.5, 0.25),
    "cosine": ({"start": 1.0, "end": 0.5}, 1.0, 0.75, 0.5),
    "step": ({"start": 1.0, "end": 0.5, "at": 0.6}, 1.0, 1.0, 0.5),
    "inverse_time": ({"start": 1.0, "decay": 2.0}, 1.0, 0.5, 1 / 3),
    "polynomial": ({"start": 1.0, "end": 0.5, "power": 2.0}, 1.0, 0.625, 0.5),
}


def test_every_schedule_has_an_example_here() -> None:
    assert set(EXAMPLES) == set(SCHEDULES)


@pytest.mark.parametrize("name", SCHEDULES)
def test_values_at_start_middle_and_end(name: str) -> None:
    parameters, *expected = EXAMPLES[name]
    sigma = SCHEDULES[name](**parameters)
    assert [sigma(0.0), sigma(0.5), sigma(1.0)] == pytest.approx(expected)
    assert set(schedules.parameters(name)) == set(parameters)
    assert all(sigma(step / 100) >= 0 for step in range(101))


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("bad", [-0.1, math.nan, math.inf])
def test_unusable_values_are_refused(name: str, bad: float) -> None:
    parameters = dict.fromkeys(schedules.parameters(name), bad)
    with pytest.raises(ValueError, match="must be finite and >= 0"):
        SCHEDULES[name](**parameters)


def test_cosine_is_flat_at_both_ends() -> None:
    sigma = schedules.cosine(start=1.0, end=0.0)
    assert sigma(0.01) > 0.999
    assert sigma(0.99) < 0.001


def test_a_step_happens_inside_training_and_a_polynomial_bends() -> None:
    with pytest.raises(ValueError, match=r"at must be in \(0, 1\)"):
        schedules.step(start=1.0, end=0.0, at=1.0)
    with pytest.raises(ValueError, match="power must be > 0"):
        schedules.polynomial(start=1.0, end=0.0, power=0.0)


def test_an_exponential_cannot_reach_zero() -> None:
    with pytest.raises(ValueError, match="use linear"):
        schedules.exponential(start=1.0, end=0.0)
