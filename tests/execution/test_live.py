"""What a run tells of itself in the store while it works, is interrupted, or is killed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import harness
from harness.errors import HarnessError
from harness.execution.state import State
from harness.job.job import Job
from harness.job.reading import dump_job
from harness.planning.unneeded import find_unneeded
from harness.storage.live import FILE, LiveReader, Seen
from harness.storage.merging import merge
from harness.storage.publication import publish
from harness.storage.query import Results
from harness.storage.store import Store
from tests.execution.test_cluster import ENVIRONMENT, command, wait_for

JobMaker = Callable[..., Job]


def started(job: Job, root: str, folder: Path) -> subprocess.Popen[bytes]:
    """A run of the job in a process of its own."""
    (folder / "job.yaml").write_text(dump_job(job))
    words = command("run", "job.yaml", "--results", root, "--executor", "serial")
    return subprocess.Popen(words, env=ENVIRONMENT, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def test_a_run_is_seen_at_work_and_then_that_it_was_killed(train_job: JobMaker, store: Store, tmp_path: Path) -> None:
    job = train_job(training={"steps_per_epoch": 2000}, grid={"epoch": [1, 3]})
    reader = LiveReader(store, job.name)
    run = started(job, store.root, tmp_path)
    try:
        wait_for(lambda: any(pack["pid"] for pack in packs(reader.look())), seconds=60, process=run)
        seen = reader.look()
        assert seen is not None
        assert (seen.standing, seen.live.pid) == ("running", run.pid)
        assert seen.live.state["cells"] == 16  # 2 losses, 2 sigmas, 2 epochs, 2 seeds
        (pack,) = packs(seen)
        assert (pack["pid"], pack["host"]) == (run.pid, os.uname().nodename)  # the serial executor is the run itself
    finally:
        run.kill()
    run.wait(30)
    seen = reader.look()
    assert seen is not None
    assert (seen.standing, seen.live.ended) == ("killed", None)
    assert packs(seen)  # what it was at


def packs(seen: Seen | None) -> list[dict[str, object]]:
    return [] if seen is None else list(seen.live.state.get("packs", ()))


def test_a_complete_run_says_so_and_no_command_minds_the_file(
    train_job: JobMaker, store: Store, tmp_path: Path
) -> None:
    harness.run(train_job(), results=store.root, executor="serial")
    seen = LiveReader(store, "tiny").look()
    assert seen is not None
    assert (seen.standing, seen.live.ended, seen.live.error) == ("ended", "complete", "")
    assert (seen.live.state["ended"], seen.live.state["statuses"], seen.live.state["packs"]) == (
        16,
        {"completed": 16},
        [],
    )
    before = store.place.content(f"tiny/{FILE}")
    assert harness.run(train_job(), results=store.root, executor="serial").num_computed == 0
    assert store.place.content(f"tiny/{FILE}") == before  # nothing was done, so there is nothing new to tell
    store.compact("tiny")
    assert find_unneeded(Results(store.root)) == []
    publish(Results(store.root), "tiny", tmp_path / "published")
    list(merge([Results(store.root)], Store(tmp_path / "merged")))
    assert not (tmp_path / "published" / FILE).exists()
    assert not (tmp_path / "merged" / "tiny" / FILE).exists()
    assert len(Results(tmp_path / "merged").cells("tiny")) == 16


@pytest.mark.parametrize(
    ("error", "ended", "text"),
    [(HarnessError("the disk is full"), "failed", "the disk is full"), (KeyboardInterrupt(), "interrupted", "")],
)
def test_it_is_told_why_a_run_ended_too_soon(
    train_job: JobMaker, store: Store, error: BaseException, ended: str, text: str
) -> None:
    def fail(state: State) -> None:
        raise error

    with pytest.raises(type(error)):
        harness.run(train_job(), results=store.root, executor="serial", observer=fail)
    seen = LiveReader(store, "tiny").look()
    assert seen is not None
    assert (seen.live.ended, seen.live.error, seen.live.state["cells"]) == (ended, text, 16)
