"""Penalties as parts of a job: what they do to weights, what they need, what they refuse."""

from __future__ import annotations

import json

import pytest
import torch
from noiselab.parts import LogitNorm, Sawtooth
from pydantic import ValidationError

from harness.job.extensions import source_digest
from harness.job.parts.penalties import (
    PENALTIES,
    R1,
    R2,
    Dragan,
    GradientPenalty,
    NoPenalty,
    Penalty,
    Roth,
    Sum,
    WeightClip,
    ZeroCentred,
)
from harness.job.parts.schedules import Adaptive, Constant, Cosine, Linear
from harness.theory.losses import LOSSES


def test_clipping_clamps_and_all_others_leave_the_weights_alone() -> None:
    weights = torch.tensor([[-3.0, 0.005, 3.0]])
    assert WeightClip(limit=0.01).constrain(weights).tolist()[0] == pytest.approx([-0.01, 0.005, 0.01])
    for name, penalty in PENALTIES.items():
        if name not in ("weight_clip", "sum"):
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


# Sums


def constant_norm(samples: torch.Tensor) -> torch.Tensor:
    """``D(x) = 3 x``, one coordinate: the gradient's norm is 3 everywhere."""
    return 3 * samples[..., 0]


def test_a_sum_has_the_values_of_its_terms_added() -> None:
    """By hand: 10/2 9 + 4 (3 - 1)^2 + 2 9, wherever the segments' points lie."""
    total = Sum(sum=(R1(), GradientPenalty(weight=4.0), ZeroCentred(weight=2.0)))
    real, fake = torch.randn(2, 5, 1), torch.randn(2, 5, 1)
    draws = {name: torch.rand(2, *shape) for name, shape in total.draws(5, (1,)).items()}
    value = total(constant_norm, real, fake, draws)
    assert torch.as_tensor(value).tolist() == pytest.approx([45.0 + 16.0 + 18.0] * 2, rel=1e-6)


def test_every_term_of_a_sum_draws_by_names_of_its_own() -> None:
    both = Sum(sum=(GradientPenalty(), Dragan(), R1()))
    assert both.draws(5, (2,)) == {"0 alpha": (5,), "1 alpha": (5,), "1 perturbation": (5, 2)}
    real, fake = torch.randn(3, 5, 2), torch.randn(3, 5, 2)
    draws = {name: torch.rand(3, *shape) for name, shape in both.draws(5, (2,)).items()}

    def cubic(samples: torch.Tensor) -> torch.Tensor:
        return samples.pow(3).sum(-1)

    alone = [
        GradientPenalty()(cubic, real, fake, {"alpha": draws["0 alpha"]}),
        Dragan()(cubic, real, fake, {"alpha": draws["1 alpha"], "perturbation": draws["1 perturbation"]}),
        R1()(cubic, real, fake, {}),
    ]
    torch.testing.assert_close(torch.as_tensor(both(cubic, real, fake, draws)), torch.as_tensor(sum(alone)))


def test_a_sum_constrains_by_one_term_after_another() -> None:
    class Doubled(Penalty):
        """Twice the weights"""

        def constrain(self, weights: torch.Tensor) -> torch.Tensor:
            return 2 * weights

    weights = torch.tensor([[0.3, -0.1]])
    clip, double = WeightClip(limit=0.4), Doubled()
    assert Sum(sum=(double, clip)).constrain(weights).tolist()[0] == pytest.approx([0.4, -0.2])
    assert Sum(sum=(clip, double)).constrain(weights).tolist()[0] == pytest.approx([0.6, -0.2])


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ((R1(),), "a sum has at least two penalties, got 1; name a single one by itself"),
        ((R1(), NoPenalty()), "none cannot be part of a sum"),
        ((R1(), Sum(sum=(R1(), R2()))), "sum cannot be part of a sum; list the penalties that act, each once"),
        ((R1(), R2(), R1()), "r1 occurs twice in a sum; list it once, with the strength of both"),
        ((R1(), R1(gamma=1.0)), "r1 occurs twice in a sum; list it once, with the strength of both"),
    ],
)
def test_what_is_no_sum_is_refused(terms: tuple[Penalty, ...], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Sum(sum=terms)


def test_a_term_that_breaks_its_contract_is_named_though_its_shape_would_broadcast() -> None:
    class Scalar(Penalty):
        """One value for all members"""

        def __call__(self, discriminator, real, fake, draws):  # type: ignore[no-untyped-def]
            return real.mean()

    class Greedy(Penalty):
        """Asks for nothing"""

        def __call__(self, discriminator, real, fake, draws):  # type: ignore[no-untyped-def]
            return draws["u"].mean(-1)

    samples = torch.randn(2, 5, 1)
    with pytest.raises(ValueError, match=r"Scalar gives values of shape \[\] for 2 members"):
        Sum(sum=(R1(), Scalar()))(constant_norm, samples, samples, {})
    with pytest.raises(ValueError, match=r"takes draws\['u'\] without asking for it"):
        Sum(sum=(R1(), Greedy()))(constant_norm, samples, samples, {})


# Strengths


def test_a_strength_is_a_number_or_a_schedule_and_a_constant_is_its_number() -> None:
    fading = R1(gamma=Cosine(start=0.05, end=0.005))
    assert fading.schedules == (Cosine(start=0.05, end=0.005),)
    assert fading.model_dump(mode="json") == {
        "name": "r1",
        "gamma": {"schedule": "cosine", "start": 0.05, "end": 0.005},
    }
    assert fading.description == "r1(gamma=cosine(end=0.005, start=0.05))"
    assert R1(gamma=Constant(sigma=2.0)) == R1(gamma=2.0)
    assert R1(gamma=2.0).schedules == ()
    with pytest.raises(ValidationError, match="a strength is a function of t"):
        R1(gamma=Adaptive(start=1.0, target=0.6, rate=1.0))


def test_at_a_step_a_scheduled_penalty_is_that_of_the_number() -> None:
    halves = Sum(sum=(R1(gamma=Linear(start=8.0, end=0.0)), R2(gamma=3.0)))
    assert halves.at(lambda schedule: schedule(0.75)) == Sum(sum=(R1(gamma=2.0), R2(gamma=3.0)))
    samples = torch.randn(2, 5, 1)
    of_members = halves.at(lambda _: torch.tensor([2.0, 4.0]))
    value = of_members(constant_norm, samples, samples, {})
    assert torch.as_tensor(value).tolist() == pytest.approx([9.0 + 13.5, 18.0 + 13.5])  # gamma/2 9


def test_a_scheduled_penalty_computes_nothing_before_it_is_asked_at_a_step() -> None:
    samples = torch.randn(2, 5, 1)
    with pytest.raises(
        ValueError, match=r"follows a schedule, linear\(end=0, start=8\); Penalty.at gives it at a step"
    ):
        R1(gamma=Linear(start=8.0, end=0.0))(constant_norm, samples, samples, {})


def test_sources_of_a_users_own_parts_are_in_the_identity_wherever_they_stand() -> None:
    own = source_digest("noiselab.parts:Sawtooth")
    assert len(own) == 20
    toothed = R1(gamma=Sawtooth(start=1.0))
    assert json.loads(toothed.canonical)["gamma"]["source"] == own
    assert "source" not in R1(gamma=Cosine(start=1.0, end=0.5)).canonical
    first, second = json.loads(Sum(sum=(LogitNorm(weight=0.3), toothed)).canonical)["sum"]
    assert first["source"] == source_digest("noiselab.parts:LogitNorm")
    assert second["gamma"]["source"] == own


def test_the_identity_of_a_plain_penalty_is_its_values() -> None:
    """As before strengths could be schedules: results in stores keep their names."""
    assert R1(gamma=3.0).canonical == '{"gamma":3.0,"name":"r1"}'
    assert R1.model_validate({"name": "r1", "gamma": 3}).canonical == '{"gamma":3.0,"name":"r1"}'
    assert Dragan().canonical == '{"name":"dragan","spread":0.5,"weight":10.0}'


# Roth


def test_roth_goes_with_cross_entropy_alone() -> None:
    for loss in LOSSES.values():
        reason = Roth().why_not(loss)
        assert (reason is None) == (loss.name in ("minimax", "non_saturating"))
        assert Sum(sum=(R1(), Roth())).why_not(loss) == reason
        assert R1().why_not(loss) is None
