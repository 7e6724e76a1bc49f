"""Several grids in a job, and batch normalisation as an axis."""

from __future__ import annotations

import json
from typing import Any

import pytest

import harness
from harness.job.job import Job
from harness.job.parts.networks import DCGAN, Network
from harness.job.reading import parse_job
from harness.planning.cells import Cell
from harness.planning.grid import expand
from harness.planning.packs import ProbePack, TrainingPack
from harness.planning.plan import make_plan
from harness.storage.query import Results
from harness.storage.store import Store
from tests.conftest import PROBE, TRAIN, as_job

MODES = ["joint", "separate", "none"]


def job_of(base: dict[str, Any], *grids: dict[str, Any], **changes: Any) -> Job:
    return as_job(parse_job(json.dumps({**base, "grid": list(grids), **changes})))


def grid(**axes: Any) -> dict[str, Any]:
    return {"loss": ["minimax"], "sigma": [0.2], "epoch": [1], "seed": [0], **axes}


def points(cells: list[Cell]) -> list[tuple[Any, ...]]:
    return [(cell.loss, cell.sigma_value, cell.epoch, cell.seed) for cell in cells]


def mode_of(networks: Network) -> str:
    assert isinstance(networks, DCGAN)
    return networks.batch_norm


def rows_of(store: Store) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = Results(store.root).table("cells").to_pylist()
    return rows


def test_the_cells_of_several_grids_are_united_in_their_order_without_duplicates() -> None:
    job = job_of(TRAIN, grid(sigma=[0.1, 0.2], seed=[0, 1]), grid(loss=["hinge", "minimax"], sigma=[0.2, 0.3]))
    expected = [
        ("minimax", 0.1, 1, 0),
        ("minimax", 0.1, 1, 1),
        ("minimax", 0.2, 1, 0),
        ("minimax", 0.2, 1, 1),
        ("hinge", 0.2, 1, 0),
        ("hinge", 0.3, 1, 0),
        ("minimax", 0.3, 1, 0),  # minimax at 0.2 is there already
    ]
    assert points(expand(job)) == expected


def test_one_grid_is_a_list_of_one_and_says_what_it_said_before() -> None:
    alone = parse_job(json.dumps({**TRAIN, "grid": grid()}))
    assert alone == job_of(TRAIN, grid())


def test_a_value_by_default_and_the_same_value_by_name_are_one_cell() -> None:
    """Wasserstein's own penalty and rate, written out in the second grid."""
    named = {"penalty": [{"name": "weight_clip", "limit": 0.01}], "learning_rate": [5e-5]}
    job = job_of(TRAIN, grid(loss=["wasserstein"]), grid(loss=["wasserstein"], **named))
    assert len(expand(job)) == 1


def test_a_cell_is_the_same_in_any_grid_and_beside_any_other() -> None:
    alone = {cell.cell_id for cell in expand(job_of(PROBE, grid(loss=["minimax", "hinge"])))}
    parts = [grid(loss=["minimax"]), grid(loss=["hinge"]), grid(loss=["wasserstein"], sigma=[0, 0.5], epoch=[1, 2])]
    assert alone < {cell.cell_id for cell in expand(job_of(PROBE, *parts))}


def test_only_a_strength_that_follows_a_schedule_makes_a_run_depend_on_how_long_the_job_is() -> None:
    fading = {"name": "r1", "gamma": {"schedule": "cosine", "start": 0.05, "end": 0.005}}
    for penalty, expected in (("r1", 1), (fading, 2), ({"sum": ["r2", fading]}, 2), ({"sum": ["r1", "r2"]}, 1)):
        jobs = [job_of(TRAIN, grid(penalty=[penalty], epoch=epochs)) for epochs in ([1], [1, 2])]
        assert len({expand(job)[0].run.run_id for job in jobs}) == expected


def test_the_order_of_a_sum_is_part_of_what_it_is_and_its_label_has_all_of_it() -> None:
    """Weights are constrained in that order."""
    job = job_of(TRAIN, grid(penalty=[{"sum": ["r1", "weight_clip"]}, {"sum": ["weight_clip", "r1"]}]))
    cells = expand(job)
    assert len({cell.cell_id for cell in cells}) == 2
    assert [cell.key.penalty for cell in cells] == [
        "r1(gamma=10) + weight_clip(limit=0.01)",
        "weight_clip(limit=0.01) + r1(gamma=10)",
    ]


def test_schedules_of_all_grids_end_at_the_last_epoch_of_any() -> None:
    schedule = {"schedule": "linear", "start": 1.0, "end": 0.0}
    job = job_of(TRAIN, grid(sigma=[schedule], epoch=[1, 2]), grid(sigma=[0.2], epoch=[4]))
    assert job.last_epoch == 4
    assert [cell.sigma_value for cell in expand(job)] == pytest.approx([0.75, 0.5, 0.2])


def test_a_plan_packs_the_cells_of_all_grids_once(store: Store) -> None:
    job = job_of(PROBE, grid(sigma=[0, 0.5]), grid(loss=["hinge", "minimax"], sigma=[0.5, 1], seed=[0, 1]))
    made = make_plan(job, store, slots=2)
    packed = [cell.cell_id for pack in made.packs for cell in pack.cells]
    assert len(packed) == len(set(packed)) == len(made.cells) == 2 + 8 - 1
    assert len(made.runs) == 2  # a reference run a seed, whatever probes it


def test_a_grid_appended_to_a_finished_job_computes_only_what_is_new(store: Store) -> None:
    first, second = grid(sigma=[0, 0.2]), grid(loss=["minimax", "hinge"], sigma=[0.2])
    assert harness.run(job_of(TRAIN, first), results=store.root, executor="serial").num_computed == 2
    outcome = harness.run(job_of(TRAIN, first, second), results=store.root, executor="serial")
    assert outcome.num_computed == 1
    assert len(rows_of(store)) == 3


# Batch normalisation


def test_cells_of_different_normalisations_share_the_reference_run_and_differ(store: Store) -> None:
    job = job_of(PROBE, grid(loss=["minimax", "non_saturating"], batch_norm=MODES))
    made = make_plan(job, store, slots=2)
    assert len(made.runs) == 1
    assert len(made.probes) == 3  # both losses share a probe
    assert sum(isinstance(pack, TrainingPack) for pack in made.packs) == 1
    for pack in made.packs:
        if isinstance(pack, ProbePack):
            assert len({mode_of(probe.networks) for probe in pack.probes}) == 1
    assert harness.run(job, results=store.root, executor="serial").statuses == {"completed": 6}
    rows = rows_of(store)
    assert sorted(row["batch_norm"] for row in rows) == sorted(MODES * 2)
    assert len({row["run_id"] for row in rows}) == 1
    assert len({row["w1"] for row in rows}) == 1  # one generator
    assert len({row["d_loss"] for row in rows}) == 3  # three discriminators
    training = Results(store.root).query("SELECT count(*) AS n FROM all_training").to_pylist()
    assert training == [{"n": 1}]  # one run of one epoch, trained once


def test_the_axis_gives_the_cells_of_networks_set_that_way() -> None:
    """One mode by the axis and by ``networks``, in protocol train: the same cell."""
    for mode in MODES:
        by_axis = expand(job_of(PROBE | {"protocol": "train", "probe": None}, grid(batch_norm=[mode])))
        networks = {**PROBE["networks"], "batch_norm": mode}
        by_networks = expand(job_of(PROBE | {"protocol": "train", "probe": None, "networks": networks}, grid()))
        assert [cell.cell_id for cell in by_axis] == [cell.cell_id for cell in by_networks]


def test_in_protocol_train_each_normalisation_is_a_run_of_its_own(store: Store) -> None:
    job = job_of(PROBE | {"protocol": "train", "probe": None}, grid(batch_norm=MODES))
    assert len(make_plan(job, store, slots=2).runs) == 3
    assert harness.run(job, results=store.root, executor="serial").statuses == {"completed": 3}
    rows = rows_of(store)
    assert {row["batch_norm"] for row in rows} == set(MODES)
    assert len({row["run_id"] for row in rows}) == len({row["w1"] for row in rows}) == 3


def test_without_the_axis_the_column_has_the_mode_of_the_networks() -> None:
    (cell,) = expand(job_of(PROBE, grid()))
    assert cell.columns()["batch_norm"] == "joint"
    (cell,) = expand(job_of(TRAIN, grid()))
    assert cell.columns()["batch_norm"] == "none"  # an mlp has no normalisation


def test_the_reference_run_keeps_the_normalisation_of_the_networks() -> None:
    networks = {**PROBE["networks"], "batch_norm": "separate"}
    cells = expand(job_of(PROBE, grid(batch_norm=MODES), networks=networks))
    assert {mode_of(cell.run.networks) for cell in cells} == {"separate"}
    assert [mode_of(cell.networks) for cell in cells] == MODES


def test_the_axis_may_be_in_one_grid_and_absent_from_another() -> None:
    """Absent means that of the networks, here joint: one of the three modes of the other grid."""
    job = job_of(PROBE, grid(), grid(batch_norm=MODES))
    assert len(expand(job)) == 3
    assert job.has_axis("batch_norm")
    assert not job.has_axis("penalty")
