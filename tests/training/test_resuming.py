"""A run that is stopped at an epoch and goes on later, in other company, is the run that was never stopped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import torch

from harness.planning.cells import Run
from harness.planning.grid import expand
from harness.problems.sources import Source
from harness.training.members import MemberState
from harness.training.snapshots import decode_state, encode_state
from harness.training.train import Epoch, train
from tests.conftest import TRAIN, make_job

CPU = torch.device("cpu")
SIGMAS: list[Any] = [
    0,
    0.2,
    {"schedule": "linear", "start": 1, "end": 0},
    {"schedule": "adaptive", "start": 0.2, "target": 0.6, "rate": 4.0},
    {"sigma": 0.3, "noise": "mixed_levels"},
    {
        "schedule": "adaptive",
        "start": 0.3,
        "target": 0.6,
        "rate": 4.0,
        "noise": "diffusion",
        "noise_on": "discriminator",
    },
    {"schedule": "overconfidence", "rate": 3.0, "scale": 0.5, "noise": "diffusion"},
]
RING: dict[str, Any] = {"problem": {"name": "ring"}, "networks": {"name": "mlp", "width": 16, "depth": 2, "latent": 4}}
DIGITS: dict[str, Any] = {"problem": {"name": "digits"}, "networks": {"name": "dcgan", "width": 4, "latent": 4}}
# every optimiser, penalties with and without streams, a sum and a strength by a schedule, a data set that is reshuffled
KINDS: dict[str, dict[str, Any]] = {
    "adam": {**RING, "loss": "minimax", "penalty": "none", "optimizer": {"name": "adam"}},
    "rmsprop": {**RING, "loss": "least_squares", "penalty": "dragan", "optimizer": {"name": "rmsprop"}},
    "sgd": {**RING, "loss": "minimax", "penalty": "r1", "optimizer": {"name": "sgd"}},
    "fading": {
        **RING,
        "loss": "minimax",
        "penalty": {
            "sum": [{"name": "r1", "gamma": {"schedule": "cosine", "start": 5, "end": 0.1}}, "gradient_penalty"]
        },
        "optimizer": {"name": "adam"},
    },
    "images": {**DIGITS, "loss": "hinge", "penalty": "gradient_penalty", "optimizer": {"name": "adam"}},
}


def steps_of(kind: str) -> int:
    """Steps an epoch."""
    return 8 if kind == "images" else 30


def runs_of(kind: str) -> tuple[list[Run], Source]:
    settings = KINDS[kind]
    job = make_job(
        {**TRAIN, "problem": settings["problem"], "networks": settings["networks"]},
        # so few that streams are left in the middle of their blocks
        training={
            "batch": 32,
            "steps_per_epoch": steps_of(kind),
            "optimizer": settings["optimizer"],
            "discriminator_steps": 2,
        },
        grid={
            "loss": [settings["loss"]],
            "penalty": [settings["penalty"]],
            "sigma": SIGMAS,
            "epoch": [3],
            "seed": [0],
        },
    )
    return [cell.run for cell in expand(job)], job.problem.source(job.problem.load(), device=CPU)


def last_epoch(
    runs: Sequence[Run], source: Source, *, num_epochs: int, states: Mapping[int, MemberState] | None = None
) -> Epoch:
    *_, last = train(runs, source, num_epochs=num_epochs, states=states)
    assert isinstance(last, Epoch)
    return last


def stored(epoch: Epoch, member: int, run: Run) -> MemberState:
    return decode_state(encode_state(epoch.state(member), run=run, device="cpu"), device="cpu")


def players(epoch: Epoch) -> torch.Tensor:
    return torch.cat([epoch.members.generators, epoch.members.discriminators.detach()], dim=1)


@pytest.mark.parametrize("kind", KINDS)
def test_a_pack_that_is_stopped_twice_is_bit_for_bit_the_pack_that_is_not(kind: str) -> None:
    runs, source = runs_of(kind)
    whole = last_epoch(runs, source, num_epochs=3)
    states: dict[int, MemberState] = {}
    for _ in range(3):
        part = last_epoch(runs, source, num_epochs=1, states=states)
        states = {member: stored(part, member, run) for member, run in enumerate(runs)}
    assert part.epoch == whole.epoch == [3] * len(runs)
    assert part.step == whole.step
    assert part.sigma == whole.sigma
    assert torch.equal(players(part), players(whole))
    assert part.members.measure(step=part.step, sigma=part.sigma) == whole.members.measure(
        step=whole.step, sigma=whole.sigma
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_goes_on_among_runs_of_other_epochs(kind: str) -> None:
    runs, source = runs_of(kind)
    whole = players(last_epoch(runs, source, num_epochs=3))
    first = last_epoch(runs, source, num_epochs=1)
    second = last_epoch(runs, source, num_epochs=2)
    # two at epoch 1, one at epoch 2, and one that begins: each is trained one epoch more
    company = [runs[2], runs[3], runs[1], runs[0]]
    states = {0: stored(first, 2, runs[2]), 1: stored(first, 3, runs[3]), 2: stored(second, 1, runs[1])}
    mixed = last_epoch(company, source, num_epochs=1, states=states)
    assert mixed.epoch == [2, 2, 3, 1]
    assert mixed.step == [epoch * steps_of(kind) for epoch in (2, 2, 3, 1)]
    expected = torch.stack([players(second)[2], players(second)[3], whole[1], players(first)[0]])
    torch.testing.assert_close(players(mixed), expected, atol=2e-5, rtol=1e-3)
    alone = last_epoch(runs, source, num_epochs=2)
    assert mixed.sigma[:2] == pytest.approx(alone.sigma[2:4], rel=1e-5)


def test_the_step_of_a_divergence_counts_from_the_beginning_of_the_run() -> None:
    runs, source = runs_of("sgd")
    first = last_epoch(runs, source, num_epochs=1)
    state = dict(stored(first, 1, runs[1]))
    state["generator"] = torch.full_like(state["generator"], 1e30)  # its first update will not be finite
    last = last_epoch(runs[:2], source, num_epochs=1, states={1: state})
    assert last.diverged_at == [-1, 31]
