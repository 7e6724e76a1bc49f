"""Several stores in one: what came of it is what one run of everything would have left."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import harness
from harness.errors import StoreError, StoreWarning
from harness.job.job import Job
from harness.planning.packs import TrainingPack
from harness.storage.merging import merge
from harness.storage.place import Place
from harness.storage.query import Results
from harness.storage.store import Store
from tests.in_process import harness as command
from tests.storage.test_store import cell

JobMaker = Callable[..., Job]
BUT = "EXCLUDE (seconds, peak_memory_bytes, started_at, finished_at, part, sequence)"
TABLES = {
    "cells": f"SELECT * {BUT} FROM cells ORDER BY ALL",
    "curves": "SELECT * EXCLUDE (part) FROM curves ORDER BY ALL",
    "training": "SELECT * EXCLUDE (part) FROM training ORDER BY ALL",
}


def rows(root: Path | str) -> dict[str, list[dict[str, Any]]]:
    results = Results(root)
    return {table: results.query(sql).to_pylist() for table, sql in TABLES.items()}


@pytest.fixture
def halves(probe_job: JobMaker, tmp_path: Path) -> Job:
    """Two stores, of which each has two of three seeds, and `whole`, with all three."""
    jobs = {"one": [0, 1], "two": [1, 2], "whole": [0, 1, 2]}
    for name, seeds in jobs.items():
        # packs of one: numbers of members of one pack are equal to rounding alone
        job = probe_job(grid={"loss": ["minimax"], "epoch": [1], "seed": seeds}, resources={"pack": 1})
        harness.run(job, results=tmp_path / name, executor="serial")
    return job


def test_two_that_overlap_make_what_one_run_of_both_leaves(halves: Job, tmp_path: Path) -> None:
    (first, second) = merge([Results(tmp_path / "one"), Results(tmp_path / "two")], Store(tmp_path / "both"))
    assert (first.num_taken, first.num_there) == (4, 0)
    assert (second.num_taken, second.num_there, second.num_other) == (2, 2, 0)
    assert rows(tmp_path / "both") == rows(tmp_path / "whole")
    assert len(Store(tmp_path / "both").dataset("cells").to_table()) == 6  # nothing is there twice
    plan = harness.plan(halves, results=tmp_path / "both")
    assert not plan.missing
    (grid,) = halves.grid
    other = halves.model_copy(update={"grid": (grid.model_copy(update={"loss": ("hinge",)}),)})
    packs = harness.plan(other, results=tmp_path / "both").packs
    assert not [pack for pack in packs if isinstance(pack, TrainingPack)]  # the generators are there, too


def test_what_was_interrupted_is_ended_by_the_next(
    halves: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, files = Place.put, 0
    while True:
        into = tmp_path / f"interrupted-{files}"
        left = [files]

        def put_some(self: Place, name: str, content: bytes, left: list[int] = left) -> None:
            if not left[0]:
                raise StoreError("killed here")
            left[0] -= 1
            put(self, name, content)

        monkeypatch.setattr(Place, "put", put_some)
        try:
            list(merge([Results(tmp_path / "one"), Results(tmp_path / "two")], Store(into)))
        except StoreError:
            monkeypatch.undo()
            list(merge([Results(tmp_path / "one"), Results(tmp_path / "two")], Store(into)))
            assert rows(into) == rows(tmp_path / "whole")
            assert len(Store(into).dataset("cells").to_table()) == 6
            files += 1
        else:
            break
    assert files > 5


def write(root: Path, **columns: Any) -> None:
    Store(root).write_part("j", "cells", [cell(**columns)], part=columns["cell_id"])


@pytest.mark.parametrize(
    ("one", "two", "expected"),
    [
        ("completed", "completed", "one"),
        ("completed", "failed", "one"),
        ("failed", "completed", "two"),
        ("failed", "failed", "one"),
        ("diverged", "completed", "two"),
        ("lost", "failed", "one"),
    ],
)
@pytest.mark.parametrize("clock", [0, 73])
def test_completed_beats_failed_and_then_the_order_counts(
    tmp_path: Path, one: str, two: str, expected: str, clock: int
) -> None:
    """Whatever clocks and counts of executions say."""
    write(tmp_path / "one", cell_id="a", status=one, hostname="one", sequence=1 + clock)
    write(tmp_path / "two", cell_id="a", status=two, hostname="two", sequence=40)
    list(merge([Results(tmp_path / name) for name in ("one", "two")], Store(tmp_path / "into")))
    assert [row["hostname"] for row in Results(tmp_path / "into").cells().to_pylist()] == [expected]
    # and where one of them is the store itself
    list(merge([Results(tmp_path / "two")], Store(tmp_path / "one")))
    assert [row["hostname"] for row in Results(tmp_path / "one").cells().to_pylist()] == [expected]


def test_cells_with_other_settings_are_left_out_and_counted(tmp_path: Path) -> None:
    write(tmp_path / "one", cell_id="a", hostname="one")
    write(tmp_path / "two", cell_id="b", hostname="two")
    done = command("merge", str(tmp_path / "one"), str(tmp_path / "two"), "--into", str(tmp_path / "into"))
    assert "j: 0 cells from" in done.stdout
    assert "1 left out: there with other settings" in done.stdout
    assert [row["hostname"] for row in Results(tmp_path / "into").cells().to_pylist()] == ["one"]


def test_a_run_after_a_merge_supersedes_what_was_merged(tmp_path: Path) -> None:
    write(tmp_path / "one", cell_id="a", status="failed", sequence=40)
    into = Store(tmp_path / "into")
    list(merge([Results(tmp_path / "one")], into))
    into.write_part("j", "cells", [cell(cell_id="a", sequence=into.last_sequence("j") + 1)], part="later")
    assert [row["status"] for row in Results(into.root).cells().to_pylist()] == ["completed"]


def test_into_one_of_the_stores_itself_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "one", cell_id="a")
    done = command("merge", str(tmp_path / "one"), "--into", str(tmp_path / "one"))
    assert done.returncode == 2
    assert "is one of the stores to be merged; leave it out of these" in done.stderr


def test_a_damaged_generator_is_not_copied(halves: Job, tmp_path: Path) -> None:
    path = min((tmp_path / "one" / "snapshots").iterdir())
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.warns(StoreWarning, match="is damaged, and not copied"):
        list(merge([Results(tmp_path / "one")], Store(tmp_path / "into")))
    assert path.name not in [other.name for other in (tmp_path / "into" / "snapshots").iterdir()]


def test_what_is_written_meanwhile_is_counted_as_what_it_is(tmp_path: Path) -> None:
    """The source has one cell when it is opened, and another when its rows are copied."""
    write(tmp_path / "one", cell_id="a", seed=0)
    write(tmp_path / "two", cell_id="b", seed=1, hostname="two")
    sources = [Results(tmp_path / "one"), Results(tmp_path / "two")]
    write(tmp_path / "one", cell_id="b", seed=1, hostname="one")
    first, second = merge(sources, Store(tmp_path / "into"))
    assert (first.num_taken, second.num_taken) == (1, 1)
    assert sorted(row["cell_id"] for row in Results(tmp_path / "into").cells().to_pylist()) == ["a", "b"]


def settings(**changes: Any) -> str:
    return json.dumps({"run": {"batch": 32, "seed": 0, **changes}, "metric_version": 3})


@pytest.mark.parametrize("status", ["completed", "failed"])
def test_other_settings_are_another_experiment(tmp_path: Path, status: str) -> None:
    """Neither a completed row of theirs counts before one that failed, nor do they fill places."""
    write(tmp_path / "one", cell_id="a", seed=0, status=status, identity=settings())
    write(tmp_path / "two", cell_id="b", seed=0, identity=settings(batch=64))
    write(tmp_path / "two", cell_id="c", seed=1, identity=settings(batch=64, seed=1))
    write(tmp_path / "two", cell_id="d", seed=2, identity=settings(seed=2))
    _, merged = merge([Results(tmp_path / "one"), Results(tmp_path / "two")], Store(tmp_path / "into"))
    assert (merged.num_taken, merged.num_there, merged.num_other) == (1, 0, 2)
    assert sorted(row["cell_id"] for row in Results(tmp_path / "into").cells().to_pylist()) == ["a", "d"]


def test_generators_that_are_there_are_not_copied_again(halves: Job, tmp_path: Path) -> None:
    """Both stores trained seed 1; its generator is in one file of the first."""
    list(merge([Results(tmp_path / "one"), Results(tmp_path / "two")], Store(tmp_path / "into")))
    keys = [key for found in Store(tmp_path / "into").snapshots.contents().values() for key in found]
    assert len(keys) == len(set(keys)) == 3


def test_logs_and_every_job_file_are_kept(halves: Job, tmp_path: Path) -> None:
    into = Store(tmp_path / "into")
    for _ in range(2):
        list(merge([Results(tmp_path / "one"), Results(tmp_path / "two")], into))
    texts = [into.place.content(f"probed/{name}") for name in ("job.yaml", "job-2.yaml")]
    assert texts == [Store(tmp_path / name).place.content("probed/job.yaml") for name in ("one", "two")]
    assert sorted(into.place.names("probed/logs")) == sorted(
        name for store in ("one", "two") for name in Store(tmp_path / store).place.names("probed/logs")
    )
    cell_id = Results(into.root).cells()["cell_id"][0].as_py()
    assert command("logs", "probed", "--cell", cell_id, "--results", into.root).returncode == 0
    assert command("publish", "probed", "--results", into.root, "-o", str(tmp_path / "p")).returncode == 0
    assert (tmp_path / "p" / "job-2.yaml").is_file()


def test_folders_that_are_no_jobs_are_left_alone(tmp_path: Path) -> None:
    write(tmp_path / "one", cell_id="a")
    (tmp_path / "one" / ".ipynb_checkpoints").mkdir()
    (tmp_path / "one" / "reference" / "figures").mkdir(parents=True)
    assert [merged.job for merged in merge([Results(tmp_path / "one")], Store(tmp_path / "into"))] == ["j"]
    assert sorted(path.name for path in (tmp_path / "into").iterdir()) == ["j"]
