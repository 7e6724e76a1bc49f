"""Lemmas 1 to 3 and Theorems 2.1 to 2.3: each check fails when the statement, or the code it rests on, is broken."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Generator, Tensor

from harness.stacking.module import StackedModule
from harness.theory.divergences import Estimate, NoisyDivergence, discrete_divergence, noisy_divergences
from harness.theory.losses import LEAST_SQUARES
from harness.theory.noise import Gaussian
from harness.verification import curved, discrimination, manifolds, measures, perfect_discriminators
from harness.verification.curved import Spheres

# --- manifolds ---------------------------------------------------------------------------------------------------


def test_lemma_1_fails_for_noisy_samples() -> None:
    assert not manifolds.lemma_1(noise=0.1).passed


def test_lemma_1_fails_when_latents_are_as_large_as_samples() -> None:
    assert not manifolds.lemma_1(latents=(2, 9)).passed


def test_lemma_1_fails_for_images_with_noise_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    right = StackedModule.__call__

    def noisy(self: StackedModule, flat: Tensor, inputs: Tensor) -> Tensor:
        samples = right(self, flat, inputs)
        return samples + 1e-3 * torch.randn_like(samples) if samples.ndim == 5 else samples  # [k, b, 1, 8, 8]

    monkeypatch.setattr(StackedModule, "__call__", noisy)
    assert not manifolds.lemma_1().passed


def test_lemma_2_fails_without_shifts() -> None:
    assert not manifolds.lemma_2(shift=0.0).passed


def test_lemma_2_fails_where_curved_manifolds_stay_where_they_touch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Spheres, "moved", lambda self, shifts: self)
    assert not manifolds.lemma_2().passed


def test_lemma_2_fails_when_the_search_overlooks_common_points(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curved, "_ITERATIONS", 1)
    assert not manifolds.lemma_2().passed


def test_lemma_3_fails_for_manifolds_that_align() -> None:
    assert not manifolds.lemma_3(num_shared=2).passed


def test_lemma_3_fails_for_spheres_that_touch(monkeypatch: pytest.MonkeyPatch) -> None:
    right = manifolds._through_0
    monkeypatch.setattr(manifolds, "_through_0", lambda *triple, kind, **rest: right(*triple, kind="touching", **rest))
    assert not manifolds.lemma_3().passed


def test_lemma_3_fails_for_the_order_of_another_dimension(monkeypatch: pytest.MonkeyPatch) -> None:
    right = manifolds._order
    monkeypatch.setattr(manifolds, "_order", lambda *pair, **rest: right(*pair, **rest) - 1)
    assert not manifolds.lemma_3().passed


# --- discrimination ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("broken", [{"distance": 0.0}, {"num_steps": 20}, {"assumed_gap": 1.5}], ids=str)
def test_theorem_2_1_fails_on_one_segment_untrained_and_where_delta_is_overstated(broken: dict[str, Any]) -> None:
    assert not discrimination.theorem_2_1(**broken).passed


@pytest.mark.parametrize("broken", [{"angle": 0.0}, {"num_steps": 20}], ids=str)
def test_theorem_2_2_fails_on_aligned_segments_and_for_an_untrained_discriminator(broken: dict[str, Any]) -> None:
    assert not discrimination.theorem_2_2(**broken).passed


THEOREMS = [discrimination.theorem_2_1, discrimination.theorem_2_2]


@pytest.mark.parametrize("theorem", THEOREMS)
@pytest.mark.parametrize("attribute", ["CROSS_ENTROPY", "accuracy"])
def test_perfect_discrimination_fails_for_a_loss_that_is_not_0_there_and_a_wrong_accuracy(
    theorem: Callable[[], Any], attribute: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = {"CROSS_ENTROPY": LEAST_SQUARES, "accuracy": lambda objective, real, fake: (real > 0).double().mean() / 2}
    monkeypatch.setattr(discrimination, attribute, wrong[attribute])
    assert not theorem().passed


def test_theorem_2_1_fails_for_a_discriminator_with_kinks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perfect_discriminators, "smooth_step", lambda t: t.clamp(0, 1))
    assert not discrimination.theorem_2_1().passed


@pytest.mark.parametrize("theorem", THEOREMS)
def test_perfect_discrimination_fails_for_a_discriminator_that_is_constant_nowhere(
    theorem: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(perfect_discriminators, "smooth_step", lambda t: (8 * t - 4).sigmoid())
    assert not theorem().passed


def test_the_smooth_step_is_flat_at_both_ends_and_the_quotient_of_its_definition_between() -> None:
    t = torch.linspace(0.01, 0.99, 99, dtype=torch.float64)
    up, down = (-1 / t).exp(), (-1 / (1 - t)).exp()
    torch.testing.assert_close(perfect_discriminators.smooth_step(t), up / (up + down))
    ends = torch.tensor([-1.0, 0.0, 1.0, 2.0], dtype=torch.float64)
    assert perfect_discriminators.smooth_step(ends).tolist() == [0, 0, 1, 1]


def test_a_net_is_as_fine_as_it_says_and_linked_circles_are_1_apart() -> None:
    draws = Generator().manual_seed(0)
    first, second = perfect_discriminators.linked_circles()
    for support in (perfect_discriminators.segment(), perfect_discriminators.disc(0.7), first, second):
        assert torch.cdist(support.draw(500, draws), support.net(0.1)).min(1).values.max() <= 0.1
    distances = torch.cdist(first.net(1e-3), second.draw(100, draws)).min(0).values
    torch.testing.assert_close(distances, torch.ones_like(distances), atol=1e-5, rtol=0)


@pytest.mark.parametrize("dimension", [2, 3])
def test_spheres_cross_where_they_say(dimension: int) -> None:
    crossing = perfect_discriminators.spheres(dimension)
    at, along = torch.zeros(9, dtype=torch.float64), torch.linspace(0, 1, 9, dtype=torch.float64)
    torch.testing.assert_close(crossing.real(at, along), crossing.fake(at, along))
    assert crossing.to_real(crossing.real(along, along)).max() < 1e-30
    assert crossing.to_fake(crossing.fake(along, along)).max() < 1e-30


# --- divergences -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "broken", [{"sigma": 0.5}, {"distances": (1.0, 0.0)}, {"angles": (0.0,)}, {"jsd": 2 * math.log(2)}], ids=str
)
def test_theorem_2_3_fails_with_noise_without_distance_and_as_printed(broken: dict[str, Any]) -> None:
    assert not measures.theorem_2_3(**broken).passed


def test_theorem_2_3_fails_where_noise_does_not_vanish() -> None:
    assert not measures.theorem_2_3(sigmas=(0.4, 0.2, 0.1)).passed


@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_theorem_2_3_fails_for_a_wrong_divergence_of_noisy_sets(factor: float, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*sets: Tensor, sigmas: list[float], **rest: Any) -> list[NoisyDivergence]:
        return noisy_divergences(*sets, sigmas=[factor * sigma for sigma in sigmas], **rest)

    monkeypatch.setattr(measures, "noisy_divergences", wrong)
    assert not measures.theorem_2_3().passed


def test_theorem_2_3_fails_for_a_wrong_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Gaussian.log_kernel
    monkeypatch.setattr(
        Gaussian, "log_kernel", lambda self, squared, *, dimension: right(self, 1.2 * squared, dimension=dimension)
    )
    assert not measures.theorem_2_3().passed


@pytest.mark.parametrize("field", ["jsd", "kl_real_fake", "kl_fake_real"])
def test_theorem_2_3_fails_for_a_wrong_divergence_of_partitions(field: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*sets: Tensor) -> NoisyDivergence:
        changed: dict[str, Any] = {field: Estimate(math.log(2), 0.0)}
        return dataclasses.replace(discrete_divergence(*sets), **changed)

    monkeypatch.setattr(measures, "discrete_divergence", wrong)
    assert not measures.theorem_2_3().passed
