"""Every execution of a pack leaves a log, and a cell's is found by its id."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

import harness
from harness.errors import StoreError, StoreWarning
from harness.job.job import Job
from harness.storage.query import Results
from harness.storage.store import Store
from harness.storage.writer import StoreWriter
from tests.in_process import harness as command

JobMaker = Callable[..., Job]


def test_a_log_has_what_happened_in_order_where_and_with_what(probe_job: JobMaker, store: Store) -> None:
    job = probe_job(grid={"epoch": [1], "seed": [0], "loss": ["minimax"]}, resources={"pack": 1})
    harness.run(job, results=store.root, executor="serial")
    training, *probing = store.logs("probed")
    assert [line["event"] for line in training] == ["started", "snapshots written", "done"]
    assert [[line["event"] for line in lines] for lines in probing] == [["started", "cells written", "done"]] * 2
    first = probing[0][0]
    assert first["requires"] == training[0]["snapshots"] == training[1]["snapshots"]
    assert (first["pack"], first["attempt"], first["pid"], first["device"]) == ("probing", 1, os.getpid(), "cpu")
    assert first["versions"]["harness"] == harness.__version__
    columns = "sequence, peak_memory_bytes, git_commit"
    (row,) = Results(store.root).query(f"SELECT {columns} FROM cells WHERE cell_id = '{first['cells'][0]}'").to_pylist()
    assert first["sequence"] == row["sequence"]
    assert first["git_commit"] == row["git_commit"]
    assert probing[0][-1]["peak_memory_bytes"] >= row["peak_memory_bytes"]
    times = [datetime.fromisoformat(line["time"]) for lines in (training, *probing) for line in lines]
    assert times == sorted(times)


def test_a_failure_is_in_the_log_with_its_traceback(train_job: JobMaker, store: Store) -> None:
    grid = {"loss": ["tests.custom:exploding"], "sigma": [0], "epoch": [1], "seed": [0, 1]}
    harness.run(train_job(grid=grid), results=store.root, executor="serial")
    # two together, then each of them alone
    assert [(len(lines[0]["cells"]), lines[-1]["event"]) for lines in store.logs("tiny")] == [
        (2, "failed"),
        (1, "failed"),
        (1, "failed"),
    ]
    assert all("this loss always fails" in lines[-1]["error"] for lines in store.logs("tiny"))


@pytest.fixture
def cell(train_job: JobMaker, store: Store) -> str:
    """A cell of a job of two packs."""
    grid = {"loss": ["minimax"], "sigma": [0, 0.2], "epoch": [1], "seed": [0, 1]}
    harness.run(train_job(grid=grid, resources={"pack": 2}), results=store.root, executor="serial")
    (found,) = Results(store.root).query("SELECT cell_id FROM cells WHERE sigma = 0 AND seed = 1").to_pylist()
    return str(found["cell_id"])


def test_one_cells_log_is_found_by_the_beginning_of_its_id_and_says_nothing_of_others(cell: str, store: Store) -> None:
    shown = command("logs", "tiny", "--cell", cell[:8], "--results", store.root)
    assert shown.returncode == 0, shown.stderr
    started, _, written, done = shown.stdout.splitlines()
    assert "started; attempt 1, execution" in started
    assert f"training with 2 cells on {os.uname().nodename}, process {os.getpid()}, cpu" in started
    assert written.endswith("cells written; completed")
    assert "MB" in done
    lines = command("logs", "tiny", "--cell", cell, "--results", store.root, "--json").stdout.splitlines()
    assert [json.loads(line).get("statuses") for line in lines if "statuses" in line] == [{cell: "completed"}]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("tiny", "--cell", "zz"), "tiny has no log of a cell 'zz'"),
        (("tiny", "--cell", ""), "4 cells of tiny begin with ''"),
        (("tny", "--cell", "a"), "no job 'tny' in"),
    ],
)
@pytest.mark.usefixtures("cell")
def test_what_is_not_there_is_said(arguments: tuple[str, ...], sentence: str, store: Store) -> None:
    shown = command("logs", *arguments, "--results", store.root)
    assert shown.returncode == 2
    assert sentence in shown.stderr


def test_a_store_that_takes_no_log_loses_no_cell(
    train_job: JobMaker, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pack counts as interrupted, and is relieved of what it has written."""
    write, left = StoreWriter.write_log, [1]

    def write_later(self: StoreWriter, *arguments: Any, **options: Any) -> None:
        if left[0]:
            left[0] -= 1
            raise StoreError("the disk is full")
        write(self, *arguments, **options)

    monkeypatch.setattr(StoreWriter, "write_log", write_later)
    outcome = harness.run(train_job(resources={"pack": 8}), results=store.root, executor="serial")
    assert outcome.statuses == {"completed": 16}
    assert len(store.dataset("cells").to_table()) == 16
    (first, *_) = store.logs("tiny")
    assert (first[0]["event"], first[0]["error"]) == ("worker died", "the disk is full")


def test_a_damaged_log_is_named_and_passed_over(cell: str, store: Store) -> None:
    damaged, *_ = sorted((Path(store.root) / "tiny" / "logs").iterdir())
    damaged.write_bytes(damaged.read_bytes()[:300])
    with pytest.warns(StoreWarning, match=rf"{damaged.name}: is damaged, and passed over; delete it"):
        assert len(list(store.logs("tiny"))) == 1


def test_states_are_for_their_owner_alone_and_results_for_whom_the_mask_says(store: Store) -> None:
    before = os.umask(0o022)
    try:
        store.checkpoints("tiny").write("r", 1, b"state")
        store.place.put("tiny/cells/part-a-b.parquet", b"")
    finally:
        os.umask(before)
    root = Path(store.root) / "tiny"
    (state,) = (root / ".checkpoints").iterdir()
    assert state.stat().st_mode & 0o777 == 0o600
    assert (root / "cells" / "part-a-b.parquet").stat().st_mode & 0o777 == 0o644
