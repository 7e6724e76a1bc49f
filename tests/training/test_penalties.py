"""Every penalty in packs: the pack's value against a plain loop over samples, any loss, alone and in company."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from harness.job.parts.penalties import PENALTIES
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
GRADIENT_PENALTIES = [name for name in PENALTIES if name not in ("none", "weight_clip")]


def members_of(base: dict[str, Any], penalty: str, **grid: object) -> tuple[list[Run], Source]:
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
            point = {
                "gradient_penalty": a * x + (1 - a) * y,
                "zero_centred": a * x + (1 - a) * y,
                "dragan": x + a * 0.5 * real[k].std() * unit[k, i],
                "r1": x,
                "r2": y,
            }[penalty].clone()
            point.requires_grad_()
            (gradient,) = torch.autograd.grad(plain(point[None]).sum(), point)
            norm = gradient.norm().item()
            targets_one = penalty in ("gradient_penalty", "dragan")
            weight = 5 if penalty in ("r1", "r2") else 10  # gamma / 2, or the weight
            terms.append(weight * (norm - 1) ** 2 if targets_one else weight * norm**2)
        assert isinstance(found, Tensor)
        assert found[k].item() == pytest.approx(sum(terms) / 32, rel=1e-4)


@pytest.mark.parametrize("penalty", GRADIENT_PENALTIES)
def test_a_member_is_the_same_alone_and_in_a_pack(penalty: str) -> None:
    runs, source = members_of(TRAIN, penalty)
    together, alone = Members(runs, source, num_epochs=1), Members([runs[1]], source, num_epochs=1)
    for step in range(10):
        packed = together.discriminator_step(together.sigma(step))
        torch.testing.assert_close(packed[1], alone.discriminator_step(alone.sigma(step))[0], atol=1e-4, rtol=1e-4)
        together.generator_step(together.sigma(step))
        alone.generator_step(alone.sigma(step))


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("loss", LOSSES)
def test_any_penalty_goes_with_any_loss(penalty: str, loss: str) -> None:
    runs, source = members_of(TRAIN, penalty, loss=[loss], seed=[0])
    *_, last = train(runs, source, num_epochs=1)
    assert isinstance(last, Epoch)
    assert last.diverged_at == [-1]


@pytest.mark.parametrize("penalty", GRADIENT_PENALTIES)
def test_penalties_work_through_convolutions(penalty: str) -> None:
    content = {key: value for key, value in PROBE.items() if key != "probe"}
    runs, source = members_of({**content, "networks": {**PROBE["networks"], "batch_norm": "none"}}, penalty)
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
