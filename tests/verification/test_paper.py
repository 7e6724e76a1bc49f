"""Each check of Arjovsky & Bottou's statements fails when the statement, or the code it rests on, is broken."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from harness.theory import losses
from harness.theory.bounds import Bound, noisy_diameter
from harness.theory.divergences import noisy_divergences
from harness.theory.losses import HINGE, LOSSES
from harness.theory.noise import Cauchy, FullCovariance, Gaussian, Noise, Truncated
from harness.theory.sliced import Projections
from harness.training import gradients
from harness.training.updates import gradient_of
from harness.verification import distances, games, generator_gradients, smoothing, unstable_gradients
from harness.verification.findings import Assessment

DOUBLED = 4.0  # of squared distances: the kernel of half the sigma


# --- the optimal discriminator and the relativistic losses -------------------------------------------------------


@pytest.mark.parametrize("broken", [{"offset": -math.log(2)}, {"tilt": 0.1}], ids=str)
def test_optimal_fails_with_another_constant_or_another_discriminator(broken: dict[str, Any]) -> None:
    assert not games.optimal_discriminator(**broken).passed


def test_optimal_fails_for_another_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(games, "CROSS_ENTROPY", HINGE)
    assert not games.optimal_discriminator().passed


def test_optimal_fails_for_a_wrong_monte_carlo_divergence(monkeypatch: pytest.MonkeyPatch) -> None:
    right = noisy_divergences
    monkeypatch.setattr(games, "noisy_divergences", lambda *sets, sigmas, **rest: right(*sets, sigmas=[2.0], **rest))
    assert not games.optimal_discriminator().passed


RELATIVISTIC = [name for name in LOSSES if name.startswith("relativistic")]


@pytest.mark.parametrize(
    ("name", "other"), [*zip(RELATIVISTIC, ["minimax", "relativistic", "least_squares", "hinge"], strict=True)]
)
def test_relativistic_fails_for_another_loss(name: str, other: str) -> None:
    assert not games.relativistic(instead={name: other}).passed


@pytest.mark.parametrize("name", RELATIVISTIC)
@pytest.mark.parametrize("player", ["discriminator", "generator"])
def test_relativistic_fails_when_the_generator_plays_the_discriminator_or_a_scale_is_doubled(
    name: str, player: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = LOSSES[name]
    if player == "generator":
        wrong = dataclasses.replace(right, generator_fake=right.objective.fake, generator_real=right.objective.real)
    else:
        wrong = dataclasses.replace(right, objective=dataclasses.replace(right.objective, scale=1.0))
    monkeypatch.setitem(LOSSES, name, wrong)
    assert not games.relativistic().passed


def test_relativistic_fails_when_the_means_are_exchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    def exchanged(real: Tensor, fake: Tensor, *, comparison: str) -> tuple[Tensor, Tensor]:
        if comparison == "paired":
            return real - fake, fake - real
        return real - real.mean(-1, keepdim=True), fake - fake.mean(-1, keepdim=True)

    monkeypatch.setattr(losses, "compare", exchanged)
    assert not games.relativistic().passed


@pytest.mark.parametrize("name", ["minimax", "least_squares", "hinge"])
def test_relativistic_fails_when_a_standard_loss_compares_with_the_fakes(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    objective = dataclasses.replace(LOSSES[name].objective, comparison="average")
    monkeypatch.setitem(LOSSES, name, dataclasses.replace(LOSSES[name], objective=objective))
    assert not games.relativistic().passed


def test_relativistic_fails_when_the_means_are_detached(monkeypatch: pytest.MonkeyPatch) -> None:
    def detached(real: Tensor, fake: Tensor, *, comparison: str) -> tuple[Tensor, Tensor]:
        if comparison == "paired":
            return real - fake, fake - real
        return real - fake.mean(-1, keepdim=True).detach(), fake - real.mean(-1, keepdim=True).detach()

    monkeypatch.setattr(losses, "compare", detached)
    assert not games.relativistic().passed


def test_relativistic_fails_when_real_samples_are_judged_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(games, "compare", lambda real, fake, *, comparison: (real, fake))
    assert not games.relativistic().passed


# --- gradients ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("broken", [{"constant": 0.5}, {"loss": "non_saturating"}, {"loss": "wasserstein"}], ids=str)
def test_theorem_2_4_fails_with_half_the_bound_and_for_losses_that_do_not_saturate(broken: dict[str, Any]) -> None:
    assert not generator_gradients.theorem_2_4(**broken).passed


@pytest.mark.parametrize("broken", [{"jsd_weight": 2.0}, {"kl_weight": 0.0}, {"loss": "minimax"}], ids=str)
def test_theorem_2_5_fails_with_other_weights_and_for_another_loss(broken: dict[str, Any]) -> None:
    assert not generator_gradients.theorem_2_5(**broken).passed


def test_the_original_loss_follows_twice_the_jsd_as_the_proof_of_theorem_2_5_uses() -> None:
    assert generator_gradients.theorem_2_5(loss="minimax", kl_weight=0.0, jsd_weight=2.0).passed


@pytest.mark.parametrize("broken", [{"value": 0.3}, {"slope": 2.0}], ids=str)
def test_theorem_2_6_fails_where_the_discriminator_is_not_perfect(broken: dict[str, Any]) -> None:
    assert not unstable_gradients.theorem_2_6(**broken).passed


@pytest.mark.parametrize(("name", "other"), [("non_saturating", "minimax"), ("minimax", "non_saturating")])
def test_theorem_2_6_fails_for_another_loss(name: str, other: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LOSSES, name, LOSSES[other])
    assert not unstable_gradients.theorem_2_6().passed


@pytest.mark.parametrize("statistic", ["hill_tail_index", "cauchy_advantage"])
def test_theorem_2_6_fails_for_a_wrong_statistic(statistic: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right = getattr(gradients, statistic)
    monkeypatch.setattr(gradients, statistic, lambda values: right(values.abs().sqrt() * values.sign()))
    assert not unstable_gradients.theorem_2_6().passed


def test_theorem_2_6_fails_when_discriminators_share_one_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    def mean_of_pack(loss: Tensor, weights: Tensor) -> Tensor:
        return gradient_of(loss, weights).mean(0, keepdim=True).expand_as(weights)

    monkeypatch.setattr(unstable_gradients, "gradient_of", mean_of_pack)
    assert not unstable_gradients.theorem_2_6().passed


@pytest.mark.parametrize(("centre", "power"), [(0.0, 1), (1.0, 5)], ids=["centred", "heavy-tailed"])
def test_theorem_2_6_fails_when_trained_discriminators_are_centred_or_have_heavy_tails(
    centre: float, power: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = unstable_gradients._Frozen.gradients

    def bent(self: Any, discriminators: Any, loss: str) -> Tensor:
        gradients = right(self, discriminators, loss)
        if isinstance(discriminators, unstable_gradients._White):
            return gradients
        mean = gradients.mean(0)
        powers = torch.pow(gradients - mean, power)
        powers = powers - powers.mean(0)
        return centre * mean + powers * gradients.std(0) / powers.std(0).clamp_min(1e-300)

    monkeypatch.setattr(unstable_gradients._Frozen, "gradients", bent)
    assert not unstable_gradients.theorem_2_6().passed


# --- smoothing ---------------------------------------------------------------------------------------------------


def test_theorem_3_1_fails_without_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        Truncated, "unit", lambda self, num, dimension, *, generator: torch.zeros(num, dimension).double()
    )
    assert not smoothing.theorem_3_1().passed


@pytest.mark.parametrize(
    ("noise", "check"),
    [
        (Truncated, smoothing.theorem_3_1),
        (Gaussian, smoothing.corollary_3_1),
        (FullCovariance, smoothing.corollary_3_1),
        (Cauchy, smoothing.corollary_3_1),
        (Gaussian, smoothing.theorem_3_2),
        (Gaussian, smoothing.corollary_3_2),
    ],
)
def test_a_check_of_densities_fails_for_a_wrong_kernel(
    noise: type[Noise], check: Callable[[], Assessment], monkeypatch: pytest.MonkeyPatch
) -> None:
    right = noise.log_kernel
    monkeypatch.setattr(
        noise, "log_kernel", lambda self, squared, *, dimension: right(self, squared * DOUBLED, dimension=dimension)
    )
    assert not check().passed


def test_corollary_3_1_fails_when_the_tail_has_the_exponent_of_another_dimension(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    right = Cauchy.log_kernel
    monkeypatch.setattr(
        Cauchy, "log_kernel", lambda self, squared, *, dimension: right(self, squared, dimension=dimension + 1)
    )
    assert not smoothing.corollary_3_1().passed


def test_corollary_3_1_fails_when_the_covariance_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FullCovariance, "whiten", lambda self, points: points)
    assert not smoothing.corollary_3_1().passed


def test_theorem_3_2_fails_with_a_and_b_exchanged() -> None:
    assert not smoothing.theorem_3_2(exponent=-1.0).passed


@pytest.mark.parametrize("check", [smoothing.theorem_3_2, smoothing.corollary_3_2])
def test_the_gradient_under_noise_fails_for_another_loss(
    check: Callable[[], Assessment], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(LOSSES, "minimax", LOSSES["non_saturating"])
    assert not check().passed


def test_corollary_3_2_fails_when_the_generator_step_has_no_noise() -> None:
    assert not smoothing.corollary_3_2(generator_sigma=0.0).passed


def test_corollary_3_2_fails_when_the_harness_drops_the_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smoothing, "add_noise", lambda samples, sigma, unit_noise: samples)
    assert not smoothing.corollary_3_2().passed


# --- distances ---------------------------------------------------------------------------------------------------


def test_lemma_4_fails_for_more_noise_than_v_counts() -> None:
    assert not distances.lemma_4(noise_scale=1.5).passed


@pytest.mark.parametrize("noise", [Truncated, Gaussian])
def test_lemma_4_fails_when_v_forgets_the_dimension(noise: type[Noise], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(noise, "variance", lambda self, *, sigma, dimension: sigma**2)
    assert not distances.lemma_4().passed


@pytest.mark.parametrize("broken", [{"noise_weight": 0.0}, {"divergence_weight": 0.5}], ids=str)
def test_theorem_3_3_fails_without_one_of_the_terms(broken: dict[str, Any]) -> None:
    assert not distances.theorem_3_3(**broken).passed


@pytest.mark.parametrize("term", ["noise_term", "divergence_term"])
@pytest.mark.parametrize("name", ["paper", "sharp", "weighted", "sliced"])
def test_theorem_3_3_fails_when_any_one_bound_loses_a_term(
    name: str, term: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, attribute = (Projections, "bound") if name == "sliced" else (distances, f"{name}_bound")
    right: Callable[..., Bound] = getattr(owner, attribute)

    def crippled(*positional: object, **named: object) -> Bound:
        return dataclasses.replace(right(*positional, **named), **{term: 0.0})

    monkeypatch.setattr(owner, attribute, crippled)
    assert not distances.theorem_3_3().passed


def test_theorem_3_3_fails_with_the_radius_for_the_diameter(monkeypatch: pytest.MonkeyPatch) -> None:
    right = noisy_diameter
    monkeypatch.setattr(distances, "noisy_diameter", lambda *args, **rest: right(*args, **rest) / 2)
    assert not distances.theorem_3_3().passed
