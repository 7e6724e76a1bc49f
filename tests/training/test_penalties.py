"""Every penalty in packs: the pack's value against a plain loop over samples, any loss, alone and in company."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from scipy.special import expit
from torch import Tensor

from harness.errors import JobError
from harness.job.parts.penalties import PENALTIES, R1, Sum, ZeroCentred
from harness.planning.cells import Run
from harness.planning.grid import expand
from harness.problems.sources import Source
from harness.theory.losses import LOSSES
from harness.training.members import Members
from harness.training.penalties import StackedPenalty
from harness.training.streams import Streams
from harness.training.train import Epoch, train
from tests.conftest import PROBE, TRAIN, make_job

CPU = torch.device("cpu")
GRADIENT_PENALTIES = [name for name in PENALTIES if name not in ("none", "weight_clip", "sum")]
SUM = {"sum": [{"name": "r1", "gamma": 2}, "gradient_penalty", "dragan"]}
FADING = {"sum": [{"name": "r1", "gamma": {"schedule": "linear", "start": 8, "end": 0}}, "zero_centred"]}
ALL: dict[str, Any] = {name: name for name in PENALTIES} | {"sum": SUM, "scheduled": FADING}
STEPPED = pytest.mark.parametrize("penalty", [*GRADIENT_PENALTIES, "sum", "scheduled"])


def members_of(base: dict[str, Any], penalty: Any, **grid: object) -> tuple[list[Run], Source]:
    axes = {"loss": ["minimax"], "sigma": [0.1], "epoch": [1], "seed": [0, 1, 2], "penalty": [penalty], **grid}
    job = make_job(base, protocol="train", grid=axes, **({"probe": None} if base is PROBE else {}))
    runs = list({cell.run.run_id: cell.run for cell in expand(job)}.values())
    return runs, job.problem.source(job.problem.load(), device=CPU)


@pytest.mark.parametrize("penalty", GRADIENT_PENALTIES)
def test_the_value_is_that_of_a_plain_loop_over_samples(penalty: str) -> None:
    runs, source = members_of(TRAIN, penalty)
    members = Members(runs, source, num_epochs=1)
    penalty_of_pack = StackedPenalty(runs[0].penalty, members.players)
    real, fake = torch.randn(3, 32, 2), torch.randn(3, 32, 2) + 1
    found = penalty_of_pack(members.discriminators, real, fake)
    streams = Streams("train", [run.seed for run in runs], device=CPU)
    alpha = streams.uniform("penalty alpha", 32).next()
    unit = streams.uniform("penalty perturbation", 32, 2).next()
    stack = members.players.discriminator
    for k in range(3):
        plain = copy.deepcopy(stack.template.to_empty(device="cpu"))
        plain.load_state_dict(stack.unflatten(members.discriminators[k].detach()))
        terms = []
        for i in range(32):
            a, x, y = alpha[k, i], real[k, i], fake[k, i]
            between, beside = a * x + (1 - a) * y, x + a * 0.5 * real[k].std() * unit[k, i]
            taken_at: dict[str, list[tuple[Tensor, Callable[[float, float], float]]]] = {
                "gradient_penalty": [(between, lambda norm, _: 10 * (norm - 1) ** 2)],
                "zero_centred": [(between, lambda norm, _: 10 * norm**2)],
                "dragan": [(beside, lambda norm, _: 10 * (norm - 1) ** 2)],
                "r1": [(x, lambda norm, _: 5 * norm**2)],
                "r2": [(y, lambda norm, _: 5 * norm**2)],
                "r1_r2": [(x, lambda norm, _: 5 * norm**2), (y, lambda norm, _: 5 * norm**2)],
                "roth": [
                    (x, lambda norm, logit: 0.05 * (1 - expit(logit)) ** 2 * norm**2),
                    (y, lambda norm, logit: 0.05 * expit(logit) ** 2 * norm**2),
                ],
            }
            for place, term in taken_at[penalty]:
                point = place.clone().requires_grad_()
                logit = plain(point[None]).sum()
                (gradient,) = torch.autograd.grad(logit, point)
                terms.append(term(gradient.norm().item(), logit.item()))
        assert isinstance(found, Tensor)
        assert found[k].item() == pytest.approx(sum(terms) / 32, rel=1e-4)


@STEPPED
def test_a_member_is_the_same_alone_and_in_a_pack(penalty: str) -> None:
    runs, source = members_of(TRAIN, ALL[penalty])
    together, alone = Members(runs, source, num_epochs=1), Members([runs[1]], source, num_epochs=1)
    for step in range(10):
        packed = together.discriminator_step(together.sigma(step), step=step)
        of_one = alone.discriminator_step(alone.sigma(step), step=step)
        torch.testing.assert_close(packed[1], of_one[0], atol=1e-4, rtol=1e-4)
        together.generator_step(together.sigma(step))
        alone.generator_step(alone.sigma(step))


@pytest.mark.parametrize("penalty", ALL)
@pytest.mark.parametrize("loss", LOSSES)
def test_any_penalty_goes_with_any_loss_that_it_does_not_refuse(penalty: str, loss: str) -> None:
    if penalty == "roth" and loss not in ("minimax", "non_saturating"):
        with pytest.raises(JobError, match=f"loss {loss} has another objective"):
            members_of(TRAIN, penalty, loss=[loss], seed=[0])
        return
    runs, source = members_of(TRAIN, ALL[penalty], loss=[loss], seed=[0])
    *_, last = train(runs, source, num_epochs=1)
    assert isinstance(last, Epoch)
    assert last.diverged_at == [-1]


@STEPPED
def test_penalties_work_through_convolutions(penalty: str) -> None:
    content = {key: value for key, value in PROBE.items() if key != "probe"}
    runs, source = members_of({**content, "networks": {**PROBE["networks"], "batch_norm": "none"}}, ALL[penalty])
    *_, last = train(runs, source, num_epochs=1)
    assert isinstance(last, Epoch)
    assert last.diverged_at == [-1, -1, -1]


def test_r1_flattens_the_discriminator_on_real_samples() -> None:
    slopes = {}
    for penalty in ("none", "r1"):
        runs, source = members_of(TRAIN, penalty, seed=[0], epoch=[30], learning_rate=[1e-2])
        members = Members(runs, source, num_epochs=30)
        for step in range(200):
            members.discriminator_step(members.sigma(step))
        penalty_of_pack = StackedPenalty(members_of(TRAIN, "r1")[0][0].penalty, members.players)
        assert source.draw is not None
        real = source.draw(32, torch.Generator().manual_seed(0))[None]
        slopes[penalty] = torch.as_tensor(penalty_of_pack(members.discriminators.detach(), real, real)).item()
    assert slopes["r1"] < slopes["none"] / 5


def test_the_terms_of_a_sum_have_streams_of_their_own() -> None:
    runs, source = members_of(TRAIN, SUM)
    members = Members(runs, source, num_epochs=1)
    penalty = StackedPenalty(runs[0].penalty, members.players)
    assert set(penalty.streams) == {"penalty 1 alpha", "penalty 2 alpha", "penalty 2 perturbation"}
    streams = Streams("train", [run.seed for run in runs], device=CPU)
    real, fake = torch.randn(3, 32, 2), torch.randn(3, 32, 2) + 1
    expected = torch.zeros(3)
    for index, term in enumerate(runs[0].penalty.terms):
        shapes = term.draws(32, (2,))
        draws = {name: streams.uniform(f"penalty {index} {name}", *shape).next() for name, shape in shapes.items()}
        expected += term(lambda x: members.players.discriminator(members.discriminators, x), real, fake, draws)
    assert torch.equal(torch.as_tensor(penalty(members.discriminators, real, fake)), expected)


def test_a_scheduled_strength_is_that_of_every_step_in_turn() -> None:
    """Beside a pack whose penalty is exchanged at every step for one of the number that the schedule gives then."""
    runs, source = members_of(TRAIN, FADING, epoch=[3])  # 30 steps
    scheduled, exchanged = (Members(runs, source, num_epochs=3) for _ in range(2))
    plain = Sum(sum=(R1(gamma=8.0), ZeroCentred()))
    by_hand = StackedPenalty(plain, exchanged.players)
    exchanged._penalty = by_hand
    for step in range(30):
        by_hand._penalty = plain.model_copy(update={"sum": (R1(gamma=8.0 * (1 - step / 30)), ZeroCentred())})
        for members in (scheduled, exchanged):
            members.discriminator_step(members.sigma(step), step=step)
            members.generator_step(members.sigma(step))
    torch.testing.assert_close(scheduled.discriminators, exchanged.discriminators, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(scheduled.generators, exchanged.generators, rtol=1e-5, atol=1e-6)
    # and it is no penalty of one strength
    constant = Members([replace(run, penalty=plain) for run in runs], source, num_epochs=3)
    for step in range(30):
        constant.discriminator_step(constant.sigma(step))
        constant.generator_step(constant.sigma(step))
    assert (constant.discriminators - scheduled.discriminators).abs().max() > 1e-3


def test_a_scheduled_strength_asks_for_the_step() -> None:
    runs, source = members_of(TRAIN, FADING)
    members = Members(runs, source, num_epochs=1)
    with pytest.raises(ValueError, match="has another strength at every step; name the step"):
        members.discriminator_step(members.sigma(0))
