"""Each check of equilibria fails when the statement, or the code it rests on, is broken."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from harness.job.parts.optimizers import SGD, Adam, RMSprop
from harness.job.parts.penalties import R1, R2, Penalty, WeightClip
from harness.training.streams import add_noise
from harness.verification.remarks import equilibria


@pytest.mark.parametrize("broken", [{"slope": 1.0}, {"loss": "wasserstein"}, {"loss": "least_squares"}], ids=str)
def test_plane_fails_with_another_slope_and_for_other_losses(broken: dict[str, Any]) -> None:
    assert not equilibria.plane(**broken).passed


@pytest.mark.parametrize("penalty", [R1, R2])
@pytest.mark.parametrize("factor", [0.0, 2.0])
def test_plane_fails_when_a_penalty_has_another_strength(
    penalty: type[Penalty], factor: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = penalty.__call__

    def other(self: Penalty, *arguments: Any) -> Tensor | float:
        return factor * right(self, *arguments)

    monkeypatch.setattr(penalty, "__call__", other)
    assert not equilibria.plane().passed


def test_plane_fails_when_the_harness_drops_the_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(equilibria, "add_noise", lambda samples, sigma, unit_noise: samples)
    assert not equilibria.plane().passed


@pytest.mark.parametrize("gamma", [0.1, 1.0, 5.0])
@pytest.mark.parametrize("penalty", [R1, R2])
def test_plane_fails_when_one_penalty_helps_at_the_equilibrium_alone(
    penalty: type[Penalty], gamma: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = penalty.__call__

    def local(self: R1 | R2, discriminator: Any, real: Tensor, fake: Tensor, draws: Any) -> Tensor | float:
        on = self.gamma != gamma or torch.equal(real, fake)
        return on * right(self, discriminator, real, fake, draws)

    monkeypatch.setattr(penalty, "__call__", local)
    assert not equilibria.plane().passed


def test_plane_fails_when_noise_helps_at_the_equilibrium_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def local(samples: Tensor, sigma: Tensor, unit_noise: Tensor) -> Tensor:
        on_line = not bool(samples[..., 1].any())
        return add_noise(samples, sigma * on_line, unit_noise)

    monkeypatch.setattr(equilibria, "add_noise", local)
    assert not equilibria.plane().passed


def test_plane_fails_when_descent_is_too_short_for_the_undamped_game_to_move_away() -> None:
    assert not equilibria.plane(num_steps=10).passed


def test_plane_fails_when_descent_goes_the_other_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SGD, "step", lambda self, parameters, gradient, state, rates: parameters + rates * gradient)
    assert not equilibria.plane().passed


@pytest.mark.parametrize("loss", ["minimax", "hinge"])
def test_momentum_fails_for_another_loss(loss: str) -> None:
    assert not equilibria.momentum(loss=loss).passed


def test_momentum_fails_when_adam_forgets_its_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Adam.step

    def forgetful(
        self: Adam, parameters: Tensor, gradient: Tensor, state: Mapping[str, Tensor], rates: Tensor
    ) -> Tensor:
        return right(self.model_copy(update={"betas": (0.0, self.betas[1])}), parameters, gradient, state, rates)

    monkeypatch.setattr(Adam, "step", forgetful)
    assert not equilibria.momentum().passed


def test_momentum_fails_when_rmsprop_does_not_adapt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RMSprop, "step", lambda self, parameters, gradient, state, rates: parameters - rates * gradient)
    assert not equilibria.momentum().passed


def test_momentum_fails_when_weights_are_clipped_too_close(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WeightClip, "constrain", lambda self, weights: weights.clamp(-0.1, 0.1))
    assert not equilibria.momentum().passed
