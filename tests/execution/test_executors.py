"""One contract for every executor, on real Ray; and that both give the same rows."""

from __future__ import annotations

import dataclasses
import os
import re
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import psutil
import pytest

import harness
import harness.execution.ray.calls
from harness.errors import StoreError
from harness.execution.ray.executor import RayExecutor
from harness.job.job import Job
from harness.storage.query import Results
from harness.storage.store import Store
from harness.storage.writer import MARKERS
from harness.worker.messages import WorkerSettings

JobMaker = Callable[..., Job]
Name = Literal["serial", "ray"]
EXECUTORS = pytest.mark.parametrize("executor", ["serial", pytest.param("ray", marks=pytest.mark.ray)])

NOT_MEASURED = {
    "seconds", "peak_memory_bytes", "hostname", "started_at", "finished_at", "part", "device", "error", "sequence",
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    """One local cluster for the module, with logical GPUs, so that scheduling is that of a GPU machine."""
    import ray

    ray.init("local", num_cpus=4, num_gpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


def rows(store: Store, table: str = "cells") -> list[dict[str, Any]]:
    found = Results(store.root).table(table).to_pylist()
    kept = [{key: value for key, value in row.items() if key not in NOT_MEASURED} for row in found]
    return sorted(kept, key=lambda row: [str(row.get(key)) for key in ("cell_id", "run_id", "iteration", "step")])


def is_working(process: psutil.Process) -> bool:
    """Whether a process is one of our actors in the middle of a pack."""
    try:
        return "Actor.execute" in " ".join(process.cmdline())
    except psutil.Error:
        return False


@EXECUTORS
def test_every_cell_gets_one_row(executor: Name, probe_job: JobMaker, store: Store) -> None:
    outcome = harness.run(probe_job(), results=store.root, executor=executor)
    assert outcome.statuses == {"completed": 24}
    assert len(store.dataset("cells").to_table()) == 24
    assert harness.run(probe_job(), results=store.root, executor=executor).num_computed == 0


@EXECUTORS
def test_failures_stay_where_they_belong(executor: Name, train_job: JobMaker, store: Store) -> None:
    grid = {"loss": ["minimax", "tests.custom:exploding"], "learning_rate": [1e-3, 1e3], "epoch": [1]}
    outcome = harness.run(train_job(grid=grid), results=store.root, executor=executor)
    assert outcome.statuses == {"completed": 4, "diverged": 4, "failed": 8}


@EXECUTORS
def test_data_that_cannot_be_loaded_are_reported_before_any_work(
    executor: Name, train_job: JobMaker, store: Store, tmp_path: Path
) -> None:
    import numpy as np

    np.save(tmp_path / "a.npy", np.full((90, 2), np.nan))
    job = train_job(problem={"name": "arrays", "path": str(tmp_path / "a.npy")})
    with pytest.raises(harness.HarnessError, match=r"problem arrays: .*NaN or infinite"):
        harness.run(job, results=store.root, executor=executor)


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.parametrize("gpus", [0, 1])
def test_both_executors_give_identical_rows(
    gpus: int, probe_job: JobMaker, train_job: JobMaker, tmp_path: Path
) -> None:
    for make in (probe_job, train_job):
        job = make(resources={"pack": 3, "gpus_per_actor": gpus})
        stores = []
        for executor in ("serial", "ray"):
            store = Store(tmp_path / f"{executor}-{job.name}")
            harness.run(job, results=store.root, executor=executor)
            stores.append(store)
        for table in ("cells", "curves", "training"):
            assert rows(stores[0], table) == rows(stores[1], table)


@pytest.mark.ray
@pytest.mark.skipif(sys.platform != "linux", reason="no other system limits the memory of a process")
def test_a_cell_that_wants_more_memory_than_its_actor_may_take_fails_alone(train_job: JobMaker, store: Store) -> None:
    grid = {"loss": ["minimax", "tests.custom:gorging"], "epoch": [1], "sigma": [0]}
    job = train_job(grid=grid, resources={"memory_gb": 3, "retries": 0, "gpus_per_actor": 0})
    assert harness.run(job, results=store.root).statuses == {"completed": 2, "failed": 2}
    found = Results(store.root).query("SELECT DISTINCT loss, attempt, error FROM cells WHERE status = 'failed'")
    ((loss, attempt, error),) = (row.values() for row in found.to_pylist())
    assert (loss, attempt) == ("tests.custom:gorging", 1)
    assert "can't allocate memory" in error  # an exception in the cell, not the end of a process


@pytest.mark.ray
def test_gpu_actors_hold_one_gpu_each(train_job: JobMaker, store: Store) -> None:
    import ray

    seen: list[tuple[float, int]] = []

    def look(state: Any) -> None:
        seen.append((ray.available_resources().get("GPU", 0.0), state.num_running))

    job = train_job(training={"steps_per_epoch": 150}, resources={"pack": 2})
    outcome = harness.run(job, results=store.root, observer=look)
    assert outcome.executor == "2 Ray actors, 1 GPU and 1 CPU each"
    assert min(free for free, _ in seen) == 0
    assert max(running for _, running in seen) == 2


@pytest.mark.slow
@pytest.mark.ray
def test_the_pack_of_an_actor_killed_in_the_middle_is_done_again(
    train_job: JobMaker, store: Store, tmp_path: Path
) -> None:
    job = train_job(training={"steps_per_epoch": 300}, resources={"pack": 4})
    killed: list[int] = []

    def kill(state: Any) -> None:
        if state.work_done > 0 and not killed:
            worker = next(p for p in psutil.Process().children(recursive=True) if is_working(p))
            killed.append(worker.pid)
            os.kill(worker.pid, signal.SIGKILL)

    outcome = harness.run(job, results=store.root, observer=kill)
    assert killed
    assert outcome.is_complete
    undisturbed = Store(tmp_path / "undisturbed")
    harness.run(job, results=undisturbed.root)
    ignored = {"attempt"}
    assert [{k: v for k, v in row.items() if k not in ignored} for row in rows(store)] == [
        {k: v for k, v in row.items() if k not in ignored} for row in rows(undisturbed)
    ]
    assert max(row["attempt"] for row in rows(store)) == 2
    assert len(store.dataset("cells").to_table()) == 16


@pytest.mark.ray
def test_work_goes_on_with_the_actors_that_get_their_resources(train_job: JobMaker, store: Store) -> None:
    """Another job holds one of the two GPUs: the second actor never starts, and no pack waits for it."""
    import ray

    class Neighbour:
        def ready(self) -> bool:
            return True

    neighbour = ray.remote(num_gpus=1, num_cpus=0)(Neighbour).remote()
    assert ray.get(neighbour.ready.remote())
    outcome = harness.run(train_job(resources={"pack": 2}), results=store.root)
    ray.kill(neighbour)
    assert outcome.executor.startswith("2 Ray actors")
    assert outcome.is_complete


@pytest.mark.slow
@pytest.mark.ray
def test_a_pack_of_which_nothing_is_heard_is_named_and_in_the_end_given_up(
    train_job: JobMaker, store: Store, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The job has no limit of its own."""
    monkeypatch.setattr("harness.execution.state.SILENT_SECONDS", 4.0)
    monkeypatch.setattr(harness.execution.ray.calls, "_LOST", (10.0, 1.0))
    grid = {"loss": ["minimax", "tests.custom:hanging"], "sigma": [0], "epoch": [1], "seed": [0]}
    outcome = harness.run(train_job(grid=grid, resources={"pack": 1}), results=store.root, progress=True)
    assert outcome.statuses == {"completed": 1, "timeout": 1}
    said = capfd.readouterr().err
    told = r"nothing heard for \d+ s of process \d+ on \S+ \(training cell tests.custom:hanging\); it goes on"
    assert re.search(told, said)
    (row,) = (row for row in rows(store) if row["status"] == "timeout")
    error = Results(store.root).query("SELECT error FROM cells WHERE status = 'timeout'")["error"][0].as_py()
    assert row["loss"] == "tests.custom:hanging"
    assert "resources.timeout_seconds sets another limit" in error


@pytest.mark.ray
def test_actors_that_do_not_see_the_drivers_folder_end_the_run(
    train_job: JobMaker, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a node without the shared folder: its path leads to an empty one there."""
    elsewhere = tmp_path / "elsewhere"
    as_it_is = RayExecutor.open

    def astray(executor: RayExecutor, settings: WorkerSettings, problem: Any, *, num_tasks: int) -> None:
        as_it_is(executor, dataclasses.replace(settings, results=str(elsewhere)), problem, num_tasks=num_tasks)

    monkeypatch.setattr(RayExecutor, "open", astray)
    states: list[dict[str, int]] = []
    with pytest.raises(StoreError, match=rf"worker on {socket.gethostname()}: {elsewhere} is not the driver's store"):
        harness.run(train_job(), results=store.root, observer=lambda state: states.append(dict(state.statuses)))
    assert not any(state.get("completed") for state in states)
    for root in (store.root, elsewhere):
        assert len(Store(root).dataset("cells").to_table()) == 0
    assert not list((Path(store.root) / MARKERS).iterdir())
