"""What is published stands alone: read by other programs, checked by another one's sums."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
from ruamel.yaml import YAML

import harness
from harness.job.job import Job
from harness.storage.query import Results
from tests.in_process import harness as command

JobMaker = Callable[..., Job]


@pytest.fixture
def published(probe_job: JobMaker, tmp_path: Path) -> Path:
    """Two jobs in a store, one of which is published from a run that was repeated with other settings."""
    for iterations in (4, 6):
        job = probe_job(grid={"epoch": [1], "seed": [0]}, probe={"iterations": iterations})
        harness.run(job, results=tmp_path / "results", executor="serial")
    harness.run(probe_job(name="other", grid={"epoch": [1]}), results=tmp_path / "results", executor="serial")
    folder = tmp_path / "published"
    done = command("publish", "probed", "--results", str(tmp_path / "results"), "--output", str(folder))
    assert done.returncode == 0, done.stderr
    assert "6 rows of cells" in done.stdout
    return folder


def test_the_tables_have_the_rows_that_count_of_this_job(published: Path, tmp_path: Path) -> None:
    results = Results(tmp_path / "results")
    for table in ("cells", "curves", "training"):
        mine = duckdb.sql(f"SELECT * FROM '{published / table}.parquet' ORDER BY ALL").fetchall()
        assert mine == [tuple(row.values()) for row in results.query(
            f"SELECT * FROM {table} WHERE job = 'probed' ORDER BY ALL").to_pylist()]  # fmt: skip
    assert {row[0] for row in duckdb.sql(f"SELECT iterations FROM '{published}/cells.parquet'").fetchall()} == {6}


def test_the_job_file_is_the_one_that_was_computed(published: Path, tmp_path: Path) -> None:
    assert not harness.plan(published / "job.yaml", results=tmp_path / "results").missing


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="no sha256sum here")
def test_the_checksums_are_those_of_another_program(published: Path) -> None:
    check = ["sha256sum", "--check", "--strict", "SHA256SUMS"]
    done = subprocess.run(check, cwd=published, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    named = {line.split(":")[0] for line in done.stdout.splitlines()}
    assert named == {path.name for path in published.iterdir()} - {"SHA256SUMS"}
    (published / "cells.parquet").write_bytes(b"forged")
    assert subprocess.run(check, cwd=published, capture_output=True, check=False).returncode == 1


def test_the_citation_and_the_description_name_what_made_the_numbers(published: Path) -> None:
    citation = YAML(typ="safe").load((published / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    assert citation["type"] == "dataset"
    assert citation["references"][0]["version"] == harness.__version__
    text = (published / "README.md").read_text()
    assert "| bound_best | data units |" in text
    assert f"harness {harness.__version__}" in text


def test_what_is_there_already_is_not_touched(published: Path, tmp_path: Path) -> None:
    (published / "note.txt").write_text("mine")
    done = command("publish", "probed", "--results", str(tmp_path / "results"), "--output", str(published))
    assert done.returncode == 2
    assert "is there already; name a new folder" in done.stderr
    assert (published / "note.txt").read_text() == "mine"
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
