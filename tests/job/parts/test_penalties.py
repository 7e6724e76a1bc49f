"""Penalties as parts of a job: what they do to weights, what they need, what they refuse."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from harness.job.parts.penalties import PENALTIES, R1, Dragan, NoPenalty, WeightClip


def test_clipping_clamps_and_all_others_leave_the_weights_alone() -> None:
    weights = torch.tensor([[-3.0, 0.005, 3.0]])
    assert WeightClip(limit=0.01).constrain(weights).tolist()[0] == pytest.approx([-0.01, 0.005, 0.01])
    for name, penalty in PENALTIES.items():
        if name != "weight_clip":
            assert penalty().constrain(weights) is weights


def test_only_what_a_penalty_needs_is_drawn() -> None:
    assert Dragan().draws(5, (1, 8, 8)) == {"alpha": (5,), "perturbation": (5, 1, 8, 8)}
    assert R1().draws(5, (2,)) == NoPenalty().draws(5, (2,)) == {}


def test_parameters_have_limits() -> None:
    with pytest.raises(ValidationError, match="greater than or equal to 0"):
        R1(gamma=-1.0)
    with pytest.raises(ValidationError, match="greater than 0"):
        WeightClip(limit=0.0)


def test_help_says_what_it_is_and_its_parameters() -> None:
    assert R1.help() == "gamma/2 mean ||grad D||^2 on real samples (gamma 10.0)"
