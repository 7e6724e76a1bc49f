"""The job's lock: one process works, another is told who does, and a killed one leaves nothing behind."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import harness
from harness.errors import StoreError
from harness.job.job import Job
from harness.storage.query import Results
from harness.storage.store import Store

HOLD = (
    "import sys; from harness.storage.store import Store\n"
    "with Store(sys.argv[1]).locked('j'):\n"
    "    print('held', flush=True); sys.stdin.read()"
)


def holding(store: Store) -> subprocess.Popen[str]:
    """Another process that holds the lock of job ``j`` until its input ends."""
    pipe: Any = subprocess.PIPE
    process = subprocess.Popen([sys.executable, "-c", HOLD, store.root], stdin=pipe, stdout=pipe, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_names_that_differ_in_case_alone_are_refused_on_any_disk(store: Store) -> None:
    with store.locked("ring"):
        pass
    with pytest.raises(StoreError, match=r"Ring: .* has the results of ring; names that differ in upper and lower"):
        store.locked("Ring").__enter__()
    with store.locked("ring"):
        pass


def test_a_second_process_is_told_which_one_works(store: Store) -> None:
    with (
        holding(store) as other,
        pytest.raises(StoreError, match=rf"j: another process .* \(process {other.pid} on {socket.gethostname()}\)"),
        store.locked("j"),
    ):
        pytest.fail("two at a time")


def test_the_lock_of_a_killed_process_is_free(store: Store) -> None:
    with holding(store) as other:
        other.kill()
    assert (Path(store.root) / "j" / ".lock-holder").is_file()  # it had no time to tidy up
    with store.locked("j"):
        pass


def test_the_lock_is_free_after_an_error_within(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), store.locked("j"):
        raise ZeroDivisionError
    with store.locked("j"):
        pass
    assert not (Path(store.root) / "j" / ".lock-holder").exists()


def test_a_holder_that_has_not_said_who_it_is_still_holds(store: Store) -> None:
    with store.locked("j"):
        (Path(store.root) / "j" / ".lock-holder").unlink()
        with pytest.raises(StoreError, match=r"j: another process works on it in .*; wait for it"), store.locked("j"):
            pytest.fail("two at a time")


def test_other_jobs_are_not_locked(store: Store) -> None:
    with holding(store), store.locked("k"):
        pass


def test_a_locked_job_without_results_has_no_rows(store: Store) -> None:
    with store.locked("j"), pytest.raises(StoreError, match="holds no results"):
        Results(store.root)


def test_a_second_run_of_a_job_says_who_works_and_does_nothing(train_job: Callable[..., Job], store: Store) -> None:
    with (
        store.locked("tiny"),
        pytest.raises(StoreError, match=rf"tiny: another process works on it .*process {os.getpid()} on "),
    ):
        harness.run(train_job(), results=store.root, executor="serial")
    assert sorted(path.name for path in (Path(store.root) / "tiny").iterdir()) == [".lock"]
    assert len(store.dataset("cells").to_table()) == 0


def test_run_holds_the_lock_while_it_works_and_frees_it(train_job: Callable[..., Job], store: Store) -> None:
    job, refusals = train_job(grid={"loss": ["minimax"], "sigma": [0], "epoch": [1], "seed": [0]}), []

    def again(state: Any) -> None:
        with pytest.raises(StoreError) as refused:
            harness.run(job, results=store.root, executor="serial")
        refusals.append(str(refused.value))

    assert harness.run(job, results=store.root, executor="serial", observer=again).num_computed == 1
    assert refusals
    assert harness.run(job, results=store.root, executor="serial").num_computed == 0


def test_a_place_that_cannot_be_locked_is_named(store: Store) -> None:
    (Path(store.root) / "j" / ".lock").mkdir(parents=True)
    with pytest.raises(StoreError, match=r"--results .*: cannot be written to: .*\.lock"), store.locked("j"):
        pytest.fail("locked a folder")


def test_no_place_at_all_is_refused() -> None:
    with pytest.raises(StoreError, match="'' is no place"):
        Store("")
