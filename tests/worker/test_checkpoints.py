"""A run that is killed goes on from where it was kept, and its rows are those of an undisturbed one, bit for bit."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import harness
from harness.job.job import Job
from harness.storage.query import Results
from harness.storage.store import Store
from harness.training.snapshots import encode_state
from harness.training.train import train
from harness.worker import checkpoints
from harness.worker import worker as worker_module

JobMaker = Callable[..., Job]
CELLS = "SELECT * EXCLUDE (seconds, peak_memory_bytes, started_at, finished_at, part, sequence, attempt) FROM cells"
TRAINING = "SELECT * EXCLUDE (part) FROM training"


class KilledError(BaseException):
    """In place of SIGKILL, at a place in the training that a test can choose."""


def rows(root: Path | str) -> list[list[dict[str, Any]]]:
    results = Results(root)
    tables = (results.query(f"{sql} ORDER BY ALL").to_pylist() for sql in (CELLS, TRAINING))
    return [list(table) for table in tables]


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Epochs at whose end some pack stood, in the order in which they were trained."""
    seen: list[int] = []

    def watched(*arguments: Any, **options: Any) -> Iterator[Any]:
        for result in train(*arguments, **options):
            if hasattr(result, "epoch"):
                seen.append(result.epoch[0])
            yield result

    monkeypatch.setattr(worker_module, "train", watched)
    return seen


def killed_after(epoch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ends the process, as it were, in the middle of the epoch after this one."""

    def ended(*arguments: Any, **options: Any) -> Iterator[Any]:
        for result in train(*arguments, **options):
            yield result
            if hasattr(result, "epoch") and result.epoch[0] == epoch:
                raise KilledError

    monkeypatch.setattr(worker_module, "train", ended)


# a penalty and an adaptive schedule with streams and states of their own, a sum of penalties of which one fades away,
# and a learning rate at which members die
KINDS: dict[str, dict[str, Any]] = {
    "sound": {
        "sigma": [0.1, {"schedule": "adaptive", "start": 0.2, "target": 0.6, "rate": 4.0}],
        "penalty": ["dragan"],
    },
    "fading": {
        "sigma": [0.1],
        "penalty": [{"sum": [{"name": "r1", "gamma": {"schedule": "linear", "start": 5, "end": 0}}, "dragan"]}],
        "learning_rate": [2e-4, 1e-3],
    },
    "diverging": {"sigma": [0, 0.2], "learning_rate": [1e3]},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("minutes", [0, 1000])
def test_a_killed_run_goes_on_and_its_rows_are_those_of_an_undisturbed_one(
    kind: str, minutes: float, train_job: JobMaker, store: Store, tmp_path: Path, trained: list[int]
) -> None:
    grid = {"loss": ["minimax"], "epoch": [1, 30], "seed": [0, 1], **KINDS[kind]}
    job = train_job(grid=grid, resources={"pack": 4, "checkpoint_minutes": minutes})
    with pytest.MonkeyPatch.context() as patch:
        killed_after(28, patch)
        with pytest.raises(KilledError):
            harness.run(job, results=store.root, executor="serial")
    assert {key.epoch for key in store.latest_cells("tiny")} == {1}
    trained.clear()
    assert harness.run(job, results=store.root, executor="serial").num_computed == 4
    assert trained[0] == (29 if minutes == 0 else 1)  # from the last state, or from the beginning where there is none
    undisturbed = tmp_path / "undisturbed"
    harness.run(train_job(grid=grid, resources={"pack": 4}), results=undisturbed, executor="serial")
    assert rows(store.root) == rows(undisturbed)
    assert not store.checkpoints("tiny").kept()


def test_a_worker_whose_machine_is_taken_away_keeps_where_it_stands(
    train_job: JobMaker, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The notice comes in epoch 4; nothing is kept before, since the first checkpoint is due after hours."""
    job = train_job(grid={"epoch": [9]}, resources={"pack": 8, "checkpoint_minutes": 1000})
    workers: list[worker_module.Worker] = []
    make = worker_module.Worker.__init__

    def made(self: worker_module.Worker, *arguments: Any) -> None:
        make(self, *arguments)
        workers.append(self)

    stood: list[int] = []
    owed: list[int] = []

    def watched(*arguments: Any, **options: Any) -> Iterator[Any]:
        owed.append(options["num_epochs"])
        for result in train(*arguments, **options):
            if hasattr(result, "epoch"):
                stood.append(result.epoch[0])
                workers[-1]._is_leaving = False  # as in the process that takes over
                if stood == [1, 2, 3, 4]:
                    workers[-1].leave()
            yield result

    monkeypatch.setattr(worker_module.Worker, "__init__", made)
    monkeypatch.setattr(worker_module, "train", watched)
    job = job.model_copy(update={"resources": job.resources.model_copy(update={"retries": 0})})
    assert harness.run(job, results=store.root, executor="serial").is_complete  # no attempt is used up
    assert stood == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert owed == [9, 5]
    assert set(Results(store.root).table("cells")["attempt"].to_pylist()) == {1}
    monkeypatch.undo()
    harness.run(job, results=tmp_path, executor="serial")
    assert rows(store.root) == rows(tmp_path)


def test_a_damaged_state_costs_time_and_nothing_else(
    train_job: JobMaker, store: Store, tmp_path: Path, trained: list[int]
) -> None:
    job = train_job(grid={"epoch": [9]}, resources={"pack": 8, "checkpoint_minutes": 0})
    with pytest.MonkeyPatch.context() as patch:
        killed_after(7, patch)
        with pytest.raises(KilledError):
            harness.run(job, results=store.root, executor="serial")
    path = max((Path(store.root) / "tiny" / ".checkpoints").iterdir())
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    trained.clear()
    assert harness.run(job, results=store.root, executor="serial").is_complete
    assert trained[0] == 1
    harness.run(job, results=tmp_path, executor="serial")
    assert rows(store.root) == rows(tmp_path)


def test_a_state_of_another_kind_of_device_is_not_gone_on_from(
    train_job: JobMaker, store: Store, tmp_path: Path, trained: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A GPU draws other random numbers: half of each would be a run that nobody can repeat."""
    job = train_job(grid={"epoch": [9]}, resources={"pack": 8, "checkpoint_minutes": 0})
    with pytest.MonkeyPatch.context() as patch:
        killed_after(7, patch)
        patch.setattr(checkpoints, "encode_state", functools.partial(encode_on_gpu, encode_state))
        with pytest.raises(KilledError):
            harness.run(job, results=store.root, executor="serial")
    assert store.checkpoints("tiny").kept()
    trained.clear()
    assert harness.run(job, results=store.root, executor="serial").is_complete
    assert trained[0] == 1
    harness.run(job, results=tmp_path, executor="serial")
    assert rows(store.root) == rows(tmp_path)


def encode_on_gpu(encode: Callable[..., bytes], *arguments: Any, **options: Any) -> bytes:
    return encode(*arguments, **{**options, "device": "cuda"})


def test_snapshots_of_a_reference_run_are_those_of_an_undisturbed_one(
    probe_job: JobMaker, store: Store, tmp_path: Path, trained: list[int]
) -> None:
    job = probe_job(grid={"epoch": [1, 6]}, resources={"pack": 4, "checkpoint_minutes": 0})
    with pytest.MonkeyPatch.context() as patch:
        killed_after(4, patch)
        with pytest.raises(KilledError):
            harness.run(job, results=store.root, executor="serial")
    trained.clear()
    harness.run(job, results=store.root, executor="serial")
    assert trained == [5, 6]
    harness.run(job, results=tmp_path, executor="serial")
    assert rows(store.root) == rows(tmp_path)


def test_cells_that_are_owed_are_not_passed_over(train_job: JobMaker, store: Store, trained: list[int]) -> None:
    """An epoch is asked for that lies before the state."""
    grid = {"loss": ["minimax"], "sigma": [0.1], "seed": [0]}
    resources = {"checkpoint_minutes": 0}
    with pytest.MonkeyPatch.context() as patch:
        killed_after(7, patch)
        with pytest.raises(KilledError):
            harness.run(
                train_job(grid={**grid, "epoch": [9]}, resources=resources), results=store.root, executor="serial"
            )
    trained.clear()
    harness.run(train_job(grid={**grid, "epoch": [3, 9]}, resources=resources), results=store.root, executor="serial")
    assert trained[0] == 1
    assert {key.epoch for key in store.latest_cells("tiny")} == {3, 9}
