"""Each check of relativistic and IPM losses fails when the statement, or the code it rests on, is broken."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from torch import Tensor

from harness.theory import losses
from harness.theory.losses import HINGE, LOSSES
from harness.theory.transport import w1
from harness.verification.findings import Assessment
from harness.verification.remarks import relativism


def detached(real: Tensor, fake: Tensor, *, comparison: str) -> tuple[Tensor, Tensor]:
    return real - fake.mean(-1, keepdim=True).detach(), fake - real.mean(-1, keepdim=True).detach()


@pytest.mark.parametrize(
    "broken", [{"standard": "relativistic"}, {"standard": "wasserstein"}, {"balanced": ("minimax",)}], ids=str
)
def test_shares_fail_for_losses_of_the_other_kind(broken: dict[str, Any]) -> None:
    assert not relativism.shares(**broken).passed


def test_ipm_fails_for_a_function_that_is_not_linear() -> None:
    assert not relativism.integral_probability(base=HINGE).passed


@pytest.mark.parametrize("check", [relativism.shares, relativism.integral_probability])
def test_a_check_of_relativistic_losses_fails_when_the_means_are_detached(
    check: Callable[[], Assessment], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(losses, "compare", detached)
    assert not check().passed


def test_ipm_fails_for_a_wrong_distance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relativism, "w1", lambda real, fake: 1.001 * w1(real, fake))
    assert not relativism.integral_probability().passed


def test_ipm_fails_for_a_wasserstein_loss_of_half_the_size(monkeypatch: pytest.MonkeyPatch) -> None:
    right = LOSSES["wasserstein"]
    halved = dataclasses.replace(right, objective=dataclasses.replace(right.objective, scale=0.5))
    monkeypatch.setitem(LOSSES, "wasserstein", halved)
    assert not relativism.integral_probability().passed
