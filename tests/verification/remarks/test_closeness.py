"""Each check of what noise makes of distances fails when the statement, or the code it rests on, is broken."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from harness.theory.bounds import paper_bound, sharp_bound
from harness.theory.divergences import noisy_divergences
from harness.theory.noise import Truncated
from harness.theory.sliced import Projections
from harness.theory.transport import w1
from harness.verification.remarks import closeness


def test_own_noise_fails_for_an_x_with_a_density() -> None:
    assert not closeness.own_noise(spread=0.5).passed


def test_own_noise_fails_without_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        Truncated, "unit", lambda self, num, dimension, *, generator: torch.zeros(num, dimension).double()
    )
    assert not closeness.own_noise().passed


def test_own_noise_fails_for_a_divergence_of_another_resolution(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Projections.jsds
    monkeypatch.setattr(Projections, "jsds", lambda self, sigmas: right(self, [2 * sigma for sigma in sigmas]))
    assert not closeness.own_noise().passed


def test_own_noise_fails_for_a_wrong_distance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(closeness, "w1", lambda real, fake: w1(real, fake) + 0.01)
    assert not closeness.own_noise().passed


@pytest.mark.parametrize("fastest", [0.0, 0.25, 0.75, 1.0, 2.0])
def test_approach_fails_when_another_exponent_is_said_to_be_fastest(fastest: float) -> None:
    assert not closeness.approach(fastest=fastest).passed


@pytest.mark.parametrize("order", [1.0, 4.0])
def test_approach_fails_for_a_divergence_of_another_order(order: float) -> None:
    assert not closeness.approach(order=order).passed


@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.0])
def test_approach_fails_when_the_bound_is_said_to_vanish_where_it_does_not(
    exponent: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = closeness._limit_of_bound
    monkeypatch.setattr(
        closeness, "_limit_of_bound", lambda each, sigma: 1e-3 if each == exponent else right(each, sigma)
    )
    assert not closeness.approach().passed


def test_approach_fails_for_a_divergence_at_another_sigma(monkeypatch: pytest.MonkeyPatch) -> None:
    right = noisy_divergences
    monkeypatch.setattr(
        closeness,
        "noisy_divergences",
        lambda *sets, sigmas, **rest: [
            dataclasses.replace(found, sigma=sigma)
            for found, sigma in zip(right(*sets, sigmas=[1.2 * each for each in sigmas], **rest), sigmas, strict=True)
        ],
    )
    assert not closeness.approach().passed


@pytest.mark.parametrize("term", ["noise_term", "divergence_term"])
def test_approach_fails_when_the_bound_loses_a_term(term: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        closeness, "paper_bound", lambda **named: dataclasses.replace(paper_bound(**named), **{term: 0.0})
    )
    assert not closeness.approach().passed


def test_comparability_fails_with_a_tenth_of_the_divergence() -> None:
    assert not closeness.comparability(divergence_weight=0.1).passed


def test_comparability_fails_for_divergences_that_ignore_sigma(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Projections.jsds
    monkeypatch.setattr(Projections, "jsds", lambda self, sigmas: right(self, [0.1] * len(sigmas)))
    assert not closeness.comparability().passed


def test_comparability_fails_for_a_bound_without_its_divergence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(closeness, "sharp_bound", lambda **named: sharp_bound(**{**named, "jsd": 0.0}))
    assert not closeness.comparability().passed
