"""Each check of the Dirac-GAN's lemmas fails when the statement, or the code it rests on, is broken."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
from torch import Tensor

from harness.job.parts.penalties import R1, R2, ZeroCentred
from harness.theory.dirac import Descent, DiracGAN, LinearPenalty, simulate
from harness.theory.losses import LOSSES
from harness.verification import dirac_gans


@pytest.mark.parametrize("broken", [{"slope": 1.0}, {"loss": "least_squares"}], ids=str)
def test_lemma_2_fails_with_another_slope_and_for_another_loss(broken: dict[str, Any]) -> None:
    assert not dirac_gans.lemma_2(**broken).passed


def test_lemma_2_fails_for_a_field_of_the_wrong_sign(monkeypatch: pytest.MonkeyPatch) -> None:
    right = DiracGAN.losses

    def cooperative(self: DiracGAN, theta: Tensor | float, psi: Tensor | float) -> tuple[Tensor, Tensor]:
        generator, discriminator = right(self, theta, psi)
        return -generator, discriminator

    monkeypatch.setattr(DiracGAN, "losses", cooperative)
    assert not dirac_gans.lemma_2().passed


@pytest.mark.parametrize("broken", [{"sigma": 0.5}, {"gamma": 0.1}, {"loss": "least_squares"}], ids=str)
def test_lemma_2_3_fails_with_noise_with_a_penalty_and_for_another_loss(broken: dict[str, Any]) -> None:
    assert not dirac_gans.lemma_2_3(**broken).passed


@pytest.mark.parametrize(
    "broken", [{"curvature": 0.25}, {"curvature": -0.5}, {"slope": 1.0}, {"loss": "wasserstein"}], ids=str
)
def test_lemma_3_2_fails_with_other_derivatives_and_for_a_loss_noise_does_not_damp(broken: dict[str, Any]) -> None:
    assert not dirac_gans.lemma_3_2(**broken).passed


def test_lemma_3_2_fails_when_the_noise_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dirac_gans, "_game", lambda loss, *, sigma: DiracGAN(LOSSES[loss]))
    assert not dirac_gans.lemma_3_2().passed


def twice_the_penalty(gamma: float) -> ZeroCentred:
    return ZeroCentred(weight=gamma)  # gamma ||grad D||^2, not gamma/2


@pytest.mark.parametrize(
    "broken",
    [{"slope": 1.0}, {"penalties": (twice_the_penalty,)}, {"loss": "wasserstein"}],
    ids=["slope", "penalty", "loss"],
)
def test_lemma_3_3_fails_with_another_slope_for_twice_the_penalty_and_for_another_loss(
    broken: dict[str, Any],
) -> None:
    assert not dirac_gans.lemma_3_3(**broken).passed


@pytest.mark.parametrize("penalty", [R1, R2])
def test_lemma_3_3_fails_when_training_has_another_penalty_than_the_dirac_gan(
    penalty: type[R1] | type[R2], monkeypatch: pytest.MonkeyPatch
) -> None:
    right = penalty.__call__
    monkeypatch.setattr(penalty, "__call__", lambda self, *batches: 2 * right(self, *batches))
    assert not dirac_gans.lemma_3_3().passed


@pytest.mark.parametrize("penalty", [R1, R2])
def test_lemma_3_3_fails_when_the_dirac_gan_has_another_strength(
    penalty: type[R1] | type[R2], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(penalty, "on_linear", lambda self: LinearPenalty(weight=self.gamma))
    monkeypatch.setattr(dirac_gans, "_difference_in_training", lambda penalty: 0.0)
    assert not dirac_gans.lemma_3_3().passed


@pytest.mark.parametrize("instead", ["none for R1 and R2", "R1 for all"])
def test_lemma_3_3_fails_when_simulations_have_another_penalty(instead: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(game: DiracGAN, descent: Descent, **rest: Any) -> Any:
        weight = 0.0 if instead.startswith("none") and game.penalty.curvature else 0.5
        return simulate(dataclasses.replace(game, penalty=LinearPenalty(weight=weight)), descent, **rest)

    monkeypatch.setattr(dirac_gans, "simulate", wrong)
    assert not dirac_gans.lemma_3_3().passed


def test_lemma_3_3_fails_when_a_critical_strength_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dirac_gans, "critical_gamma", lambda loss: 0.5)
    assert not dirac_gans.lemma_3_3().passed


def test_lemma_3_2_fails_when_a_critical_noise_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dirac_gans, "critical_sigma", lambda loss: math.sqrt(3))
    assert not dirac_gans.lemma_3_2().passed
