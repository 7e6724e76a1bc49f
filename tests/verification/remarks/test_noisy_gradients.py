"""Each check of gradients under noise fails when the statement, or the code it rests on, is broken."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from harness.theory.losses import LOSSES
from harness.theory.noise import Gaussian
from harness.verification.findings import Assessment
from harness.verification.remarks import noisy_gradients

DOUBLED = 4.0  # of squared distances: the kernel of half the sigma


def test_cancellation_fails_with_half_of_b() -> None:
    assert not noisy_gradients.cancellation(weight=0.5).passed


def test_adversarial_fails_with_noise_in_both_steps() -> None:
    assert not noisy_gradients.adversarial(clean_sigma=0.5).passed


def test_adversarial_fails_when_the_harness_drops_the_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(noisy_gradients, "add_noise", lambda samples, sigma, unit_noise: samples)
    assert not noisy_gradients.adversarial().passed


@pytest.mark.parametrize("check", [noisy_gradients.cancellation, noisy_gradients.adversarial])
def test_a_check_of_gradients_fails_for_a_wrong_kernel(
    check: Callable[[], Assessment], monkeypatch: pytest.MonkeyPatch
) -> None:
    right = Gaussian.log_kernel
    monkeypatch.setattr(
        Gaussian, "log_kernel", lambda self, squared, *, dimension: right(self, squared * DOUBLED, dimension=dimension)
    )
    assert not check().passed


@pytest.mark.parametrize("check", [noisy_gradients.cancellation, noisy_gradients.adversarial])
def test_a_check_of_gradients_fails_for_another_loss(
    check: Callable[[], Assessment], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(LOSSES, "minimax", LOSSES["non_saturating"])
    assert not check().passed
