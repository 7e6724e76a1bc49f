"""What a worker writes, and in which order; here with metrics that a user brings.

Rows of cells are looked at in tests/execution, since a driver asks for them.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Generator, Tensor

from harness.job.job import Job
from harness.job.parts.metrics import Metric
from harness.planning.cells import Cell
from harness.planning.packs import ProbePack, TrainingPack
from harness.planning.plan import make_plan
from harness.storage.query import Results
from harness.storage.store import Store
from harness.storage.writer import StoreWriter
from harness.worker.messages import (
    CellsWritten,
    Event,
    Extreme,
    PackDone,
    PackFailed,
    PackStarted,
    Task,
    WorkerSettings,
)
from harness.worker.provenance import Provenance
from harness.worker.worker import Worker

from ..conftest import PROBE, TRAIN, make_job

pytestmark = pytest.mark.usefixtures("one_thread")
JobMaker = Callable[..., Job]
calls: list[tuple[torch.Size, torch.Size, torch.dtype]] = []


class DistanceOfMeans(Metric):
    name: str = "distance_of_means"

    def __call__(self, real: Tensor, fake: Tensor, *, generator: Generator) -> float:
        calls.append((real.shape, fake.shape, fake.dtype))
        return float((real.mean(0) - fake.mean(0)).norm())


class Draw(Metric):
    name: str = "draw"

    def __call__(self, real: Tensor, fake: Tensor, *, generator: Generator) -> tuple[float, float]:
        return float(torch.rand(1, generator=generator)), 0.5


class Broken(Metric):
    name: str = "broken"

    def __call__(self, real: Tensor, fake: Tensor, *, generator: Generator) -> float:
        raise LookupError("this metric always fails")


@pytest.fixture
def worker(store: Store) -> Iterator[Worker]:
    with store.marked() as marker:
        settings = WorkerSettings(
            results=store.root,
            marker=marker,
            provenance=Provenance("{}", None),
            num_threads=1,
            allow_gpu=False,
            timeout_seconds=None,
            checkpoint_seconds=None,
        )
        yield Worker(settings, None)


def with_metrics(cells: tuple[Cell, ...], *metrics: Any) -> tuple[Cell, ...]:
    return tuple(replace(c, evaluation=c.evaluation.model_copy(update={"metrics": metrics})) for c in cells)


def train_pack(job: Job, store: Store, *metrics: Any) -> TrainingPack:
    pack = make_plan(job, store, slots=1).packs[0]
    assert isinstance(pack, TrainingPack)
    return replace(pack, cells=with_metrics(pack.cells, *metrics))


def executed(worker: Worker, pack: TrainingPack | ProbePack) -> list[Event]:
    return list(worker.execute(Task("job", pack, 1, 1)))


def tables(store: Store) -> tuple[list[dict[str, Any]], dict[tuple[str, str], dict[str, Any]]]:
    """The rows of cells, and those of metrics by cell and name."""
    metrics = Results(store.root).table("metrics").to_pylist()
    by_name = {(row["cell_id"], row["name"]): row for row in metrics}
    assert len(by_name) == len(metrics)
    return Results(store.root).table("cells").to_pylist(), by_name


def test_a_pack_says_where_it_is_and_which_of_its_cells_came_out_best_and_worst(
    train_job: JobMaker, store: Store, worker: Worker
) -> None:
    first, *events = executed(worker, train_pack(train_job(), store))
    assert first == PackStarted(socket.gethostname(), os.getpid(), "cpu")
    written = [event for event in events if isinstance(event, CellsWritten)]
    assert written
    rows = {row["cell_id"]: row["w1"] for row in tables(store)[0]}
    for event in written:
        by_distance = sorted((rows[cell_id], cell_id) for cell_id in event.statuses)
        assert event.least == Extreme(by_distance[0][1], by_distance[0][0])
        assert event.greatest == Extreme(by_distance[-1][1], by_distance[-1][0])
        assert event.errors == {}


def test_what_diverged_is_told_with_its_reason_and_is_neither_best_nor_worst(
    train_job: JobMaker, store: Store, worker: Worker
) -> None:
    job = train_job(grid={"learning_rate": [1e3], "loss": ["minimax"]})
    events = executed(worker, train_pack(job, store))
    written = [event for event in events if isinstance(event, CellsWritten)]
    assert {status for event in written for status in event.statuses.values()} == {"diverged"}
    for event in written:
        assert (event.least, event.greatest) == (None, None)
        assert event.errors.keys() == event.statuses.keys()
        assert all(error.startswith("not finite from update") for error in event.errors.values())


def test_every_cell_has_its_generators_metrics(train_job: JobMaker, store: Store, worker: Worker) -> None:
    pack = train_pack(train_job(), store, DistanceOfMeans(), Draw())
    assert isinstance(executed(worker, pack)[-1], PackDone)
    cells, metrics = tables(store)
    assert len(cells) == len(pack.cells) > 1
    assert len(metrics) == 2 * len(cells)
    for cell in cells:
        distance, draw = metrics[cell["cell_id"], "distance_of_means"], metrics[cell["cell_id"], "draw"]
        assert 0 < distance["value"] <= cell["w1"]  # by Jensen's inequality
        assert (distance["standard_error"], draw["standard_error"]) == (None, 0.5)
        assert distance["part"] == cell["part"]
    drawn = {(cell["seed"], metrics[cell["cell_id"], "draw"]["value"]) for cell in cells}
    assert len(drawn) == len({seed for seed, _ in drawn}) == 2  # a stream is a metric's and a seed's


def test_probes_of_one_generator_share_its_metrics(store: Store, worker: Worker) -> None:
    job = make_job({**PROBE, **{part: TRAIN[part] for part in ("problem", "networks")}})
    packs = make_plan(job, store, slots=1).packs
    for pack in packs:
        if isinstance(pack, TrainingPack):
            executed(worker, pack)
    calls.clear()
    probed = next(pack for pack in packs if isinstance(pack, ProbePack))
    probed = replace(probed, cells=with_metrics(probed.cells, DistanceOfMeans()))
    assert isinstance(executed(worker, probed)[-1], PackDone)
    generators = {cell.generator for cell in probed.cells}
    assert len(probed.cells) > len(probed.probes) > len(generators) > 1
    assert calls == [((60, 2), (60, 2), torch.float32)] * len(generators)
    _, metrics = tables(store)
    values = {(cell.generator, metrics[cell.cell_id, "distance_of_means"]["value"]) for cell in probed.cells}
    assert len(values) == len(generators)


def test_metrics_are_written_before_the_cells_which_say_that_all_is_there(
    train_job: JobMaker, store: Store, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = StoreWriter.write_part

    def write_all_but_cells(self: StoreWriter, job: str, table: str, rows: Any, **names: str) -> None:
        if table == "cells":
            raise OSError("disk full")
        write(self, job, table, rows, **names)

    monkeypatch.setattr(StoreWriter, "write_part", write_all_but_cells)
    pack = train_pack(train_job(), store, DistanceOfMeans())
    assert isinstance(executed(worker, pack)[-1], PackFailed)
    assert len(store.dataset("metrics").to_table()) > 0
    assert tables(store) == ([], {})  # without a row of cells, they do not count


def test_a_metric_that_raises_fails_the_cells_with_its_traceback(
    train_job: JobMaker, store: Store, worker: Worker
) -> None:
    *before, last = executed(worker, train_pack(train_job(), store, DistanceOfMeans(), Broken()))
    assert isinstance(last, PackFailed)
    assert last.status == "failed"
    assert last.worker_is_sound
    assert "Traceback" in last.error
    assert "LookupError: this metric always fails" in last.error
    assert not any(isinstance(event, CellsWritten) for event in before)
    assert tables(store) == ([], {})
    assert len(store.dataset("metrics").to_table()) == 0


def test_without_metrics_there_is_no_file_of_them(train_job: JobMaker, store: Store, worker: Worker) -> None:
    assert isinstance(executed(worker, train_pack(train_job(), store))[-1], PackDone)
    assert len(Results(store.root).table("cells")) > 0
    assert store.dataset("metrics").to_table().num_rows == 0


def test_the_metrics_of_a_cell_that_is_computed_again_are_the_latest_ones(
    train_job: JobMaker, store: Store, worker: Worker
) -> None:
    pack = train_pack(train_job(), store, Draw())
    for _ in range(2):
        executed(worker, pack)
    cells, metrics = tables(store)
    assert len(metrics) == len(cells) == len(pack.cells)
    assert {row["part"] for row in metrics.values()} == {row["part"] for row in cells}
