"""Plans: what is shared, what is missing and why, and how packs are cut."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from harness.identity import stream_seed
from harness.job.job import Job
from harness.job.reading import load_job
from harness.planning.cells import Cell, Probe, Run
from harness.planning.grid import expand
from harness.planning.packs import ProbePack, TrainingPack
from harness.planning.plan import Plan, make_plan
from harness.storage.records import CellKey, StoredCell
from tests.conftest import PROBE, TRAIN, as_job, make_job


@dataclass
class Memory:
    """A store's state, as a plan sees it."""

    rows: dict[CellKey, StoredCell] = field(default_factory=dict)
    snapshots: set[tuple[str, int]] = field(default_factory=set)

    def add(self, cell: Cell, status: str = "completed") -> None:
        self.rows[cell.key] = StoredCell(cell.cell_id, status, cell.identity)

    def latest_cells(self, job: str) -> Mapping[CellKey, StoredCell]:
        return self.rows

    def told_by_training(self, job: str, cells: Mapping[str, tuple[str, int]]) -> Mapping[str, dict[str, Any]]:
        return {cell_id: {"d_loss": 0.5} for cell_id, key in cells.items() if key in self.snapshots}

    def snapshots_among(self, keys: Collection[tuple[str, int]]) -> frozenset[tuple[str, int]]:
        return frozenset(self.snapshots.intersection(keys))


def plan(job: Job, memory: Memory | None = None, **arguments: Any) -> Plan:
    return make_plan(job, memory or Memory(), **{"slots": 2, **arguments})


def covered(packs: tuple[Any, ...]) -> list[str]:
    return sorted(cell.cell_id for pack in packs for cell in pack.cells)


def test_the_quickstart_has_72_cells_from_2_runs_and_48_probes() -> None:
    made = plan(as_job(load_job("jobs/quickstart.yaml")))
    assert (len(made.cells), len(made.runs), len(made.probes)) == (72, 2, 48)
    assert made.epochs_shared == 50
    assert made.epochs_one_training_per_cell == 3 * 4 * 2 * (1 + 10 + 25)


def test_a_run_passes_through_all_epochs() -> None:
    made = plan(make_job(TRAIN))
    assert len(made.cells) == 16
    assert len(made.runs) == 8
    assert all(isinstance(pack, TrainingPack) and pack.epochs == (1, 3) for pack in made.packs)


@pytest.mark.parametrize("base", [TRAIN, PROBE])
@pytest.mark.parametrize("slots", [1, 2, 7])
def test_every_cell_is_in_exactly_one_pack(base: dict[str, Any], slots: int) -> None:
    made = plan(make_job(base, resources={"pack": "auto"}), slots=slots)
    assert covered(made.packs) == sorted(cell.cell_id for cell in made.cells)
    assert len(set(covered(made.packs))) == len(made.cells)


def test_losses_of_one_objective_share_a_probe_and_others_do_not() -> None:
    made = plan(make_job(PROBE))
    for pack in made.packs:
        if isinstance(pack, ProbePack):
            objectives = {probe.objective for probe in pack.probes}
            assert len(objectives) == 1
            per_probe = {"cross_entropy": 2, "wasserstein": 1}[objectives.pop()]
            assert len(pack.cells) == per_probe * len(pack.probes)


def test_runs_of_different_discriminator_steps_share_no_pack_and_cost_their_updates() -> None:
    """Up to steps at which a discriminator is all but optimal: each costs one update, and the generator's one more."""
    steps = [1, 5, 25, 100]
    grid = {"loss": ["minimax"], "sigma": [0], "epoch": [1], "seed": list(range(8)), "discriminator_steps": steps}
    made = plan(make_job(TRAIN, grid=grid, resources={"pack": 8}))
    of_packs = [{run.discriminator_steps for run in pack.runs} for pack in made.packs if isinstance(pack, TrainingPack)]
    assert of_packs == [{num} for num in steps]
    seconds = [pack.training_seconds for pack in made.packs if isinstance(pack, TrainingPack)]
    assert [value / seconds[0] for value in seconds] == pytest.approx([1, 6 / 2, 26 / 2, 101 / 2])


def test_packs_are_no_larger_than_asked_and_as_equal_as_possible() -> None:
    grid = {"loss": ["minimax"], "sigma": [0], "seed": list(range(10))}
    made = plan(make_job(TRAIN, grid=grid, resources={"pack": 4}))
    assert sorted(pack.num_members for pack in made.packs) == [3, 3, 4]


def test_automatic_packs_keep_every_slot_busy() -> None:
    grid = {"loss": ["minimax"], "sigma": [0], "seed": list(range(18))}
    for slots, packs in ((1, 2), (2, 2), (4, 4), (18, 18)):
        job = make_job(TRAIN, grid=grid, evaluation={"samples": 2000}, resources={"pack": "auto"})
        assert len(plan(job, slots=slots).packs) == packs


def test_members_that_are_little_work_fill_packs_that_are_worth_one() -> None:
    grid = {"loss": ["minimax"], "sigma": [0], "seed": list(range(2000))}
    made = plan(make_job(TRAIN, grid=grid, evaluation={"samples": 50}, resources={"pack": "auto"}), slots=2)
    assert len(made.packs) <= 40  # not 125 of the 16 members that stacking gains by
    assert sum(pack.num_members for pack in made.packs) == 2000


def test_a_finished_job_has_nothing_left() -> None:
    job, memory = make_job(PROBE), Memory()
    for cell in expand(job):
        memory.add(cell)
    made = plan(job, memory)
    assert not made.missing
    assert not made.packs
    assert made.difference.done == {"completed": 24}


def test_what_is_left_is_worked_in_the_packs_of_the_whole_job() -> None:
    job, memory = make_job(PROBE), Memory()
    whole = [pack for pack in plan(job).packs if isinstance(pack, ProbePack)]
    for cell in whole[0].cells:
        memory.add(cell)
    rest = [pack for pack in plan(job, memory).packs if isinstance(pack, ProbePack)]
    assert rest == whole[1:]


def test_snapshots_that_exist_are_not_trained_again() -> None:
    job, memory = make_job(PROBE), Memory()
    memory.snapshots = {(run.run_id, epoch) for run in plan(job).runs for epoch in (1, 2)}
    assert not any(isinstance(pack, TrainingPack) for pack in plan(job, memory).packs)


def test_a_run_leaves_its_pack_only_when_its_cells_are_done() -> None:
    """A kill between two snapshots of a pack must not change the pack, hence the numbers, of the next attempt."""
    job, memory = make_job(PROBE), Memory()
    first, second = plan(job).runs
    memory.snapshots = {(run.run_id, epoch) for run in (first, second) for epoch in (1, 2)} - {(first.run_id, 1)}
    (training,) = [pack for pack in plan(job, memory).packs if isinstance(pack, TrainingPack)]
    assert training.runs == (first, second)
    assert training.epochs == (1,)
    for cell in expand(job):
        if cell.run == second:
            memory.add(cell)
    (training,) = [pack for pack in plan(job, memory).packs if isinstance(pack, TrainingPack)]
    assert training.runs == (first,)


def test_a_value_added_to_an_axis_leaves_the_other_cells_done() -> None:
    memory = Memory()
    for cell in expand(make_job(PROBE)):
        memory.add(cell)
    made = plan(make_job(PROBE, grid={"sigma": [0, 0.5, 1.0]}), memory)
    assert len(made.difference.new) == 12
    assert made.difference.done == {"completed": 24}
    later = plan(make_job(PROBE, grid={"epoch": [1, 2, 5]}), memory)
    assert len(later.difference.new) == 12


def test_changed_settings_make_cells_stale_and_say_why() -> None:
    memory = Memory()
    for cell in expand(make_job(PROBE)):
        memory.add(cell)
    made = plan(make_job(PROBE, probe={"iterations": 30}), memory)
    assert len(made.difference.stale) == 24
    assert made.difference.reasons == {"probe.settings.iterations: 12 -> 30": 24}


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ({}, {"metrics": ["energy_distance"]}, "evaluation.metrics: + energy_distance"),
        ({"metrics": ["energy_distance", "modes"]}, {"metrics": ["modes"]}, "evaluation.metrics: - energy_distance"),
        ({"metrics": ["kid", "modes"]}, {"metrics": ["modes", "kid"]}, "evaluation.metrics: other order, [modes, kid("),
        (
            {"metrics": ["modes", "recall"]},
            {"metrics": ["modes", {"name": "recall", "k": 5}]},
            "evaluation.metrics: + recall(features=pixels, k=5), - recall(features=pixels, k=3)",
        ),
        ({"sigmas": [0.1, 0.3]}, {"sigmas": [0.1, 0.3, 0.5]}, "evaluation.sigmas: + 0.5"),
        ({"sigmas": [0.1, 0.3]}, {"sigmas": [0.2]}, "evaluation.sigmas: [0.1, 0.3] -> [0.2]"),
    ],
)
def test_of_changed_lists_the_difference_is_said(before: Any, after: Any, reason: str) -> None:
    memory = Memory()
    for cell in expand(make_job(TRAIN, evaluation=before)):
        memory.add(cell)
    (found,) = plan(make_job(TRAIN, evaluation=after), memory).difference.reasons
    assert found.startswith(reason)


@pytest.mark.parametrize(
    "change",
    [{"resources": {"pack": 1, "retries": 9, "timeout_seconds": 5.0}}, {"name": "other"}],
)
def test_resources_and_names_are_not_in_the_identity(change: dict[str, Any]) -> None:
    assert [c.cell_id for c in expand(make_job(PROBE))] == [c.cell_id for c in expand(make_job(PROBE, **change))]


@pytest.mark.parametrize(
    "change",
    [
        {"problem": {"held_out": 0.5}},
        {"networks": {"width": 8}},
        {"networks": {"batch_norm": "none"}},
        {"training": {"batch": 32}},
        {"reference": {"loss": "minimax"}},
        {"probe": {"iterations": 13}},
        {"probe": {"optimizer": {"name": "sgd"}}},
        {"evaluation": {"samples": 61}},
        {"grid": {"penalty": [{"name": "weight_clip", "limit": 0.1}]}},
    ],
)
def test_whatever_determines_the_numbers_is_in_the_identity(change: dict[str, Any]) -> None:
    before = {cell.cell_id for cell in expand(make_job(PROBE))}
    assert before.isdisjoint(cell.cell_id for cell in expand(make_job(PROBE, **change)))


def test_failed_cells_are_left_alone_unless_asked_for() -> None:
    job, memory = make_job(PROBE), Memory()
    cells = expand(job)
    for cell in cells:
        memory.add(cell)
    memory.add(cells[0], "failed")
    assert not plan(job, memory).missing
    assert plan(job, memory, retry=["failed"]).missing == (cells[0],)
    assert covered(plan(job, memory, retry=["failed"]).packs) == [cells[0].cell_id]


def test_a_split_pack_has_the_same_members_and_cells() -> None:
    for pack in plan(make_job(PROBE)).packs + plan(make_job(TRAIN)).packs:
        if pack.num_members > 1:
            halves = pack.split()
            assert sum(half.num_members for half in halves) == pack.num_members
            assert covered(tuple(halves)) == covered((pack,))


def test_a_constant_sigma_does_not_depend_on_the_last_epoch_but_a_schedule_does() -> None:
    def run_ids(sigma: Any, epochs: list[int]) -> set[str]:
        return {cell.run.run_id for cell in expand(make_job(TRAIN, grid={"sigma": [sigma], "epoch": epochs}))}

    schedule = {"schedule": "linear", "start": 1, "end": 0}
    assert run_ids(0.1, [1, 3]) == run_ids(0.1, [1, 9])
    assert run_ids(schedule, [1, 3]).isdisjoint(run_ids(schedule, [1, 9]))


def test_seeds_are_the_sha_256_of_their_names() -> None:
    # printf '["train","latents",0]' | sha256sum  begins with 97028ec89519a86c
    assert stream_seed("train", "latents", 0) == 0x97028EC89519A86C >> 1


def test_a_users_objective_is_not_taken_for_a_built_in_one_of_the_same_name() -> None:
    losses = ["hinge", "tests.custom:wide_hinge", "minimax", "tests.custom:exploding"]
    made = plan(make_job(PROBE, grid={"loss": losses, "sigma": [0], "epoch": [1], "seed": [0]}))
    hinge, wide, minimax, exploding = (cell.probe for cell in made.cells if isinstance(cell, Cell))
    assert hinge != wide
    assert minimax == exploding  # a built-in objective itself is shared
    assert len(made.probes) == 3


@pytest.mark.parametrize("base", [TRAIN, PROBE], ids=["train", "probe"])
def test_a_plan_for_other_slots_is_the_plan_made_for_them(base: dict[str, Any]) -> None:
    job = make_job(base, resources={"pack": "auto"})
    assert plan(job, slots=1).for_slots(3).packs == plan(job, slots=3).packs


def test_planning_compares_no_run_probe_or_cell_with_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is looked up in a list is compared with every item: 10,000 cells took 93 s for that."""
    compared = []

    def is_same(self: object, other: object) -> bool:
        compared.append(self)
        return self is other

    for kind in (Run, Probe, Cell):
        monkeypatch.setattr(kind, "__eq__", is_same)
    for base in (TRAIN, PROBE):
        assert plan(make_job(base, grid={"seed": list(range(6))})).packs
    assert compared == []
