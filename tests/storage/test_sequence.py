"""Which of two rows of a cell counts: the later execution by the driver's count, whatever the workers' clocks say."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import harness
from harness.job.job import Job
from harness.storage.query import Results
from harness.storage.store import Store
from harness.storage.writer import new_part
from harness.worker.provenance import Provenance
from harness.worker.rows import cell_row
from tests.storage.test_store import cell

JobMaker = Callable[..., Job]
FAR = datetime(2099, 1, 1, tzinfo=UTC)


def test_the_larger_sequence_counts_whatever_the_clocks_say(store: Store) -> None:
    store.write_part("j", "cells", [cell(sequence=2, w1=2.0)], part="later")
    store.write_part("j", "cells", [cell(sequence=1, w1=1.0, finished_at=FAR, status="failed")], part="earlier")
    (row,) = Results(store.root).table("cells").to_pylist()
    assert (row["status"], row["w1"]) == ("completed", 2.0)
    (stored,) = store.latest_cells("j").values()
    assert stored.status == "completed"
    assert store.last_sequence("j") == 2


def test_a_row_without_a_sequence_is_older_than_any_other(store: Store) -> None:
    store.write_part("j", "cells", [cell(sequence=1, w1=2.0)], part="new")
    store.write_part("j", "cells", [cell(w1=1.0, finished_at=FAR)], part="old")
    (row,) = Results(store.root).table("cells").to_pylist()
    assert row["w1"] == 2.0
    (stored,) = store.latest_cells("j").values()
    assert stored.status == "completed"
    assert Store(store.root).last_sequence("nosuch") == 0


def test_a_failure_dated_ahead_is_retried_once(train_job: JobMaker, store: Store) -> None:
    """As of a worker whose clock is 73 years fast."""
    job = train_job(grid={"loss": ["minimax"], "sigma": [0], "epoch": [1], "seed": [0]})
    (one,) = harness.plan(job, results=store.root).cells
    failed = cell_row(one, Provenance("{}", None), status="failed", error="no memory", attempt=1, sequence=7)
    store.write_part("tiny", "cells", [{**failed, "finished_at": FAR}], part=new_part())
    first = harness.run(job, results=store.root, executor="serial", retry=["failed"])
    assert (first.num_computed, dict(first.statuses)) == (1, {"completed": 1})
    assert harness.run(job, results=store.root, executor="serial", retry=["failed"]).num_computed == 0
    rows = Results(store.root).query("SELECT status, sequence FROM cells").to_pylist()
    assert rows == [{"status": "completed", "sequence": 8}]
