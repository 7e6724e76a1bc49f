"""Each check of the -log D alternative fails when the statement, or the code it rests on, is broken."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from torch import Tensor

from harness.job.parts.optimizers import SGD, Adam, RMSprop
from harness.theory.divergences import noisy_divergences
from harness.theory.mixtures import mode_coverage
from harness.verification.remarks import minus_log_d


@pytest.mark.parametrize("jsd_weight", [0.0, -1.0, 2.0])
def test_asymmetry_fails_with_another_weight_of_the_jsd(jsd_weight: float) -> None:
    assert not minus_log_d.asymmetry(jsd_weight=jsd_weight).passed


def test_asymmetry_fails_when_the_two_divergences_are_exchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    right = noisy_divergences
    monkeypatch.setattr(minus_log_d, "noisy_divergences", lambda p, q, **rest: right(q, p, **rest))
    assert not minus_log_d.asymmetry().passed


def test_asymmetry_fails_when_the_metric_takes_fakes_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        minus_log_d, "mode_coverage", lambda samples, centres, *, std: mode_coverage(samples, centres, std=4 * std)
    )
    assert not minus_log_d.asymmetry().passed


def test_asymmetry_fails_when_the_metric_forgets_absent_modes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        minus_log_d, "mode_coverage", lambda samples, centres, *, std: mode_coverage(samples, centres[:1], std=std)
    )
    assert not minus_log_d.asymmetry().passed


@pytest.mark.parametrize("broken", [{"slope": 0.3}, {"loss": "minimax"}], ids=str)
def test_bounded_updates_fail_where_d_has_a_slope_and_for_a_loss_without_a_heavy_tail(broken: dict[str, Any]) -> None:
    assert not minus_log_d.bounded_updates(**broken).passed


@pytest.mark.parametrize("rule", [Adam, RMSprop, SGD])
def test_bounded_updates_fail_for_an_optimizer_that_follows_no_sign(
    rule: type[Adam | RMSprop | SGD], monkeypatch: pytest.MonkeyPatch
) -> None:
    right: Callable[..., Tensor] = rule.step
    monkeypatch.setattr(
        rule, "step", lambda self, parameters, gradient, *rest: right(self, parameters, gradient.abs(), *rest)
    )
    assert not minus_log_d.bounded_updates().passed
