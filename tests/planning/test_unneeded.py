"""What nobody needs is found and deleted, and nothing else: the store answers and plans as before."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import harness
from harness.job.job import Job
from harness.job.reading import dump_job
from harness.planning.grid import expand
from harness.planning.packs import TrainingPack
from harness.planning.unneeded import find_unneeded
from harness.storage.query import Results
from harness.storage.store import Store
from tests.in_process import harness as command
from tests.searches import HEAD, search_of

JobMaker = Callable[..., Job]
SPACE = """\
epochs: 2
space: {schedule: {constant: {sigma: {low: 0.01, high: 1}}}}
"""


@pytest.fixture
def jobs(probe_job: JobMaker, store: Store) -> dict[str, Job]:
    """Two jobs of other generators each."""
    made = {
        name: probe_job(name=name, grid={"epoch": [1, 2], "seed": [seed], "loss": ["minimax"]})
        for name, seed in {"kept": 0, "dropped": 1}.items()
    }
    for job in made.values():
        harness.run(job, results=store.root, executor="serial")
    return made


def files(store: Store) -> set[str]:
    root = Path(store.root)
    hidden = {".lock", ".lock-holder"}
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file() and path.name not in hidden}


def test_of_a_whole_store_nothing_is_unneeded(jobs: dict[str, Job], store: Store) -> None:
    before = files(store)
    assert find_unneeded(Results(store.root)) == []
    assert command("gc", "--results", store.root, "--yes").returncode == 0
    assert files(store) == before


def test_generators_of_a_job_that_was_deleted_go_and_others_stay(jobs: dict[str, Job], store: Store) -> None:
    shutil.rmtree(Path(store.root) / "dropped")
    before = files(store)
    asked = command("gc", "--results", store.root)
    assert asked.returncode == 2
    assert "nothing is deleted: --yes does without asking" in asked.stderr
    assert files(store) == before
    done = command("gc", "--results", store.root, "--yes")
    assert done.returncode == 0
    assert "2 files" in done.stdout
    assert "generators of runs that no job has" in done.stdout
    deleted = before - files(store)
    assert len(deleted) == 2
    assert all(name.startswith("snapshots/") for name in deleted)
    of_each = [len(trained_again(job, store)) for job in jobs.values()]
    assert of_each == [0, 1]  # runs


def trained_again(job: Job, store: Store) -> list[object]:
    """Packs that would train, were another loss asked for."""
    (grid,) = job.grid
    other = job.model_copy(update={"grid": (grid.model_copy(update={"loss": ("hinge",)}),)})
    return [pack for pack in harness.plan(other, results=store.root).packs if isinstance(pack, TrainingPack)]


def test_generators_that_a_job_is_yet_to_probe_stay(probe_job: JobMaker, store: Store) -> None:
    """Trained, and the run was killed before it probed them."""
    job = probe_job(grid={"loss": ["minimax"], "epoch": [1], "seed": [0]})
    harness.run(job, results=store.root, executor="serial")
    for path in (Path(store.root) / "probed" / "cells").iterdir():
        path.unlink()
    assert find_unneeded(Results(store.root)) == []


def test_states_stay_while_their_run_is_unfinished_and_go_after(train_job: JobMaker, store: Store) -> None:
    job = train_job(grid={"loss": ["minimax"], "sigma": [0], "epoch": [1], "seed": [0, 1]})
    harness.run(job, results=store.root, executor="serial")
    cells = expand(job)
    done, unfinished = ({cell.run.run_id for cell in cells if cell.run.seed == seed} for seed in (0, 1))
    states = store.checkpoints("tiny")
    for run_id in done | unfinished:
        states.write(run_id, 1, b"state")
    (grid,) = job.grid
    further = grid.model_copy(update={"epoch": (1, 2), "seed": (1,)})
    # now seed 1 is to be trained further
    store.write_job("tiny", dump_job(job.model_copy(update={"grid": (further,)})))
    (found,) = find_unneeded(Results(store.root))
    assert [name.split("-")[1] for name in found.names] == sorted(done)


def test_scraps_of_killed_processes_go(jobs: dict[str, Job], store: Store) -> None:
    root = Path(store.root)
    scraps = [
        root / ".markers" / "0f",
        root / "kept" / "cells" / ".part-a.parquet.0a.tmp",
        root / "kept" / ".checkpoints" / ".state-a-1-b.safetensors.0a.tmp",
    ]
    for path in scraps:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    before = files(store)
    assert command("gc", "--results", store.root, "--yes").returncode == 0
    assert files(store) == before  # a process may be at it this moment
    for path in scraps:
        os.utime(path, (time.time() - 90_000,) * 2)
    assert command("gc", "--results", store.root, "--yes").returncode == 0
    assert before - files(store) == {path.relative_to(root).as_posix() for path in scraps}


def test_a_job_whose_needs_are_not_known_keeps_everything(jobs: dict[str, Job], store: Store) -> None:
    shutil.rmtree(Path(store.root) / "dropped")
    (Path(store.root) / "kept" / "job.yaml").write_text("name: kept\nprotocol: unknown\n")
    before = files(store)
    done = command("gc", "--results", store.root, "--yes")
    assert done.returncode == 2
    assert "What kept needs is not known, so nothing is deleted" in done.stderr
    assert files(store) == before


def test_a_job_at_work_keeps_everything(jobs: dict[str, Job], store: Store) -> None:
    shutil.rmtree(Path(store.root) / "dropped")
    with store.locked("kept"):
        done = command("gc", "--results", store.root, "--yes")
    assert done.returncode == 2
    assert "another process works on it" in done.stderr


def test_of_two_files_with_a_generator_both_stay(jobs: dict[str, Job], store: Store) -> None:
    """Which of them the rows were made from is not known."""
    (name, keys), *_ = store.snapshots.contents().items()
    content = store.place.content(f"snapshots/{name}")
    assert content is not None
    other = content.replace(b'"snapshots"', b'"snapshots" ', 1)
    length = int.from_bytes(content[:8], "little") + 1
    store.snapshots.write(length.to_bytes(8, "little") + other[8:])
    assert sorted(store.snapshots.contents().values()).count(keys) == 2
    assert find_unneeded(Results(store.root)) == []


def test_states_of_searches_and_of_jobs_without_a_file_stay(store: Store, train_job: JobMaker) -> None:
    store.write_job("search", search_of(f"{HEAD}{SPACE}").model_dump_json())
    harness.run(train_job(grid={"epoch": [1], "sigma": [0]}), results=store.root, executor="serial")
    (Path(store.root) / "tiny" / "job.yaml").unlink()
    for job in ("search", "tiny"):
        store.checkpoints(job).write("r", 1, b"state")
    store.states.write("r", 1, b"state")
    assert find_unneeded(Results(store.root)) == []


def test_states_of_cells_that_may_be_tried_again_stay(train_job: JobMaker, store: Store) -> None:
    job = train_job(grid={"loss": ["tests.custom:exploding"], "sigma": [0], "epoch": [1], "seed": [0]})
    harness.run(job, results=store.root, executor="serial")
    (cell,) = expand(job)
    store.checkpoints("tiny").write(cell.run.run_id, 1, b"state")
    assert find_unneeded(Results(store.root)) == []


def test_what_begins_while_it_looks_is_not_unneeded(
    jobs: dict[str, Job], store: Store, probe_job: JobMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that starts after the store's files were listed."""
    shutil.rmtree(Path(store.root) / "dropped")
    list_jobs, late = Store.jobs, probe_job(name="late", grid={"epoch": [1], "seed": [7], "loss": ["minimax"]})

    def begun(self: Store) -> list[str]:
        found = list_jobs(self)
        monkeypatch.undo()
        harness.run(late, results=store.root, executor="serial")
        return found

    results = Results(store.root)
    monkeypatch.setattr(Store, "jobs", begun)
    (found,) = find_unneeded(results)
    assert len(found.names) == 2  # those of the job that was deleted
    assert not harness.plan(late, results=store.root).missing
