"""A member is the same alone and in a pack: its streams bit for bit, its numbers within float tolerance."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from math import inf, nan
from typing import Any

import pytest
import torch

from harness.planning.cells import Run
from harness.planning.grid import expand
from harness.problems.sources import Source
from harness.stacking.module import StackedModule
from harness.theory.noise import TRUNCATED
from harness.training.members import Members
from harness.training.streams import Stream, Streams
from harness.training.train import Epoch, train
from harness.training.updates import keep_finite
from tests.conftest import PROBE, TRAIN, make_job

CPU = torch.device("cpu")


def runs_of(job_base: dict[str, Any], **changes: object) -> tuple[list[Run], Source]:
    job = make_job(job_base, **changes)
    runs = list({cell.run.run_id: cell.run for cell in expand(job)}.values())
    return runs, job.problem.source(job.problem.load(), device=CPU)


def eight_members() -> tuple[list[Run], Source]:
    grid = {"loss": ["minimax", "non_saturating"], "sigma": [0, 0.3], "epoch": [1], "seed": [0, 1]}
    return runs_of(TRAIN, grid=grid, training={"batch": 32, "steps_per_epoch": 100})


@pytest.mark.parametrize("member", [0, 3, 6])
def test_a_run_has_the_same_curve_alone_and_in_a_pack_of_eight(member: int) -> None:
    runs, source = eight_members()
    assert len(runs) == 8
    together, alone = Members(runs, source, num_epochs=1), Members([runs[member]], source, num_epochs=1)
    for step in range(100):
        packed = [together.discriminator_step(together.sigma(step)), together.generator_step(together.sigma(step))]
        single = [alone.discriminator_step(alone.sigma(step)), alone.generator_step(alone.sigma(step))]
        for of_pack, of_one in zip(packed, single, strict=True):
            torch.testing.assert_close(of_pack[member], of_one[0], atol=2e-4, rtol=2e-4)


def test_a_convolutional_run_has_the_same_curve_alone_and_in_a_pack() -> None:
    runs, source = runs_of(PROBE, grid={"seed": list(range(8))}, training={"steps_per_epoch": 20})
    together, alone = Members(runs, source, num_epochs=1), Members([runs[5]], source, num_epochs=1)
    for step in range(20):
        packed = together.discriminator_step(together.sigma(step))
        torch.testing.assert_close(packed[5], alone.discriminator_step(alone.sigma(step))[0], atol=1e-3, rtol=1e-3)
        together.generator_step(together.sigma(step))
        alone.generator_step(alone.sigma(step))


def test_a_members_stream_is_identical_in_any_company() -> None:
    _, source = eight_members()
    pack, single = Streams("train", [5, 6, 7], device=CPU), Streams("train", [6], device=CPU)
    pairs = [
        (
            streams.normal("latents", 32, 4),
            streams.unit_noise("noise", 32, (2,), [TRUNCATED] * num),
            streams.real("data", source, 32),
        )
        for streams, num in ((pack, 3), (single, 1))
    ]
    for of_pack, of_one in zip(*pairs, strict=True):
        for _ in range(300):  # past the end of a block
            assert torch.equal(of_pack.next()[1], of_one.next()[0])


def test_streams_of_different_purposes_roles_and_seeds_differ() -> None:
    draws = [
        Streams(role, [seed], device=CPU).normal(purpose, 4).next()
        for role, purpose, seed in [("train", "a", 0), ("train", "b", 0), ("probe", "a", 0), ("train", "a", 1)]
    ]
    for index, one in enumerate(draws):
        assert all(not torch.equal(one, other) for other in draws[index + 1 :])


def test_initial_weights_depend_on_the_seed_alone() -> None:
    runs, source = eight_members()
    together = Members(runs, source, num_epochs=1)
    for member, run in enumerate(runs):
        alone = Members([run], source, num_epochs=1)
        assert torch.equal(together.generators[member], alone.generators[0])
        assert torch.equal(together.discriminators[member], alone.discriminators[0])


def test_an_epoch_of_a_data_set_shows_every_sample_once() -> None:
    samples = torch.arange(12.0).view(12, 1)
    source = Source((1,), CPU, training=samples, held_out=samples)
    stream = Streams("train", [3], device=CPU).real("data", source, 4)
    epochs = [torch.cat([stream.next()[0, :, 0] for _ in range(3)]) for _ in range(2)]
    for epoch in epochs:
        assert torch.equal(epoch.sort().values, samples[:, 0])
    assert not torch.equal(epochs[0], epochs[1])


def test_a_stream_reads_its_blocks_in_order() -> None:
    blocks = iter([torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0])])
    stream = Stream([lambda: next(blocks)])
    assert [stream.next().item() for _ in range(4)] == [1, 2, 3, 4]
    assert stream.positions == [4]


def test_streams_that_go_on_from_different_positions_give_each_member_its_own_steps() -> None:
    def counting(start: int) -> Iterator[torch.Tensor]:
        return (torch.arange(first, first + 3) for first in range(start, 10_000, 3))

    members = [counting(0), counting(1000), counting(2000)]
    stream = Stream([members[0].__next__, members[1].__next__, members[2].__next__])
    stream.skip([0, 4, 6])
    for step in range(20):
        assert stream.next().tolist() == [step, 1004 + step, 2006 + step]
    assert stream.positions == [20, 24, 26]


@pytest.mark.parametrize("player", ["generator", "discriminator"])
def test_a_stacked_module_is_the_module_itself_for_every_member(player: str) -> None:
    networks = make_job(PROBE).networks
    stack = getattr(StackedModule, player)(networks, (1, 8, 8))
    weights = torch.stack([stack.initial(torch.Generator().manual_seed(seed)) for seed in range(3)])
    inputs = torch.randn(3, 16, 8) if player == "generator" else torch.randn(3, 16, 1, 8, 8)
    outputs = stack(weights, inputs)
    for member in range(3):
        plain = getattr(networks, player)((1, 8, 8)).to_empty(device="cpu")
        plain.load_state_dict({name: value[member] for name, value in stack.unflatten(weights).items()})
        torch.testing.assert_close(outputs[member], plain(inputs[member]), atol=1e-5, rtol=1e-4)


def test_flatten_inverts_unflatten() -> None:
    stack = StackedModule.generator(make_job(PROBE).networks, (1, 8, 8))
    flat = torch.randn(sum(stack.sizes))
    assert torch.equal(stack.flatten(stack.unflatten(flat)), flat)


def test_a_member_that_ceases_to_be_finite_keeps_its_last_weights_and_spares_the_others() -> None:
    weights, active = torch.zeros(4, 2), torch.tensor([True, True, True, False])
    keep_finite(weights, torch.tensor([[1.0, 1.0], [nan, 1.0], [1.0, -inf], [1.0, 1.0]]), active)
    assert active.tolist() == [True, False, False, False]
    assert torch.equal(weights, torch.tensor([[1.0, 1.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]]))


def test_a_diverging_member_leaves_its_pack_mates_alone() -> None:
    runs, source = eight_members()
    wild = dataclasses.replace(runs[0], optimizer=runs[0].optimizer.model_copy(update={"learning_rate": 1e3}))
    mixed = [result for result in train([wild, *runs[1:4]], source, num_epochs=1) if isinstance(result, Epoch)][-1]
    calm = [result for result in train(runs[1:4], source, num_epochs=1) if isinstance(result, Epoch)][-1]
    assert mixed.diverged_at[0] > 0
    assert mixed.diverged_at[1:] == [-1, -1, -1]
    assert torch.isfinite(mixed.members.generators).all()
    assert mixed.d_loss[1:] == pytest.approx(calm.d_loss, abs=2e-3)
