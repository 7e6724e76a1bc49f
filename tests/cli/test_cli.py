"""The command line as a user meets it: outputs, formats, exit codes."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from harness.job.job import Job
from harness.job.reading import dump_job

ROOT = Path(__file__).parents[2]


def harness(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "harness", *arguments], capture_output=True, text=True, check=False, cwd=cwd
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, subprocess.CompletedProcess[str]]:
    """A small job, its store, and what running it printed."""
    from tests.conftest import TRAIN, make_job

    folder = tmp_path_factory.mktemp("cli")
    job_file, root = folder / "tiny.yaml", folder / "results"
    job_file.write_text(dump_job(make_job(TRAIN)))
    answer = harness("run", str(job_file), "--results", str(root), "--executor", "serial")
    return job_file, root, answer


def test_a_run_ends_with_exit_code_0_a_table_and_the_next_commands(finished) -> None:  # type: ignore[no-untyped-def]
    _, _, answer = finished
    assert answer.returncode == 0, answer.stderr
    assert "tiny: 16 completed; 16 computed in" in answer.stdout
    assert "Means over seeds at epoch 3" in answer.stdout
    assert 'harness query "SELECT loss, sigma, epoch' in answer.stdout
    assert "cells done" in answer.stderr
    assert "cells done" not in answer.stdout


def test_running_again_says_that_there_is_nothing_to_do(finished) -> None:  # type: ignore[no-untyped-def]
    job_file, root, _ = finished
    answer = harness("run", str(job_file), "--results", str(root))
    assert answer.returncode == 0
    assert "nothing to compute, every cell has a row (16 completed)" in answer.stdout


def test_a_plan_counts_what_is_missing(finished) -> None:  # type: ignore[no-untyped-def]
    job_file, root, _ = finished
    facts = json.loads(harness("plan", str(job_file), "--results", str(root), "--json").stdout)
    assert (facts["cells"], facts["new"], facts["done"]) == (16, 0, {"completed": 16})
    text = harness("plan", str(job_file), "--results", str(root)).stdout
    assert "nothing: every cell has a row" in text


def test_the_plan_of_the_quickstart_says_what_sharing_saves() -> None:
    text = harness("plan", "jobs/quickstart.yaml", "--results", "nowhere").stdout
    for part in ("72 = 3 loss x 4 sigma x 3 epoch x 2 seed", "2 reference runs", "48 fresh", "would cost 864", "about"):
        assert part in text


def test_a_query_answers_as_table_json_csv_and_parquet(finished, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    _, root, _ = finished
    sql = "SELECT loss, count(*) AS n, avg(w1) AS w1 FROM cells GROUP BY loss ORDER BY loss"
    ask = lambda *more: harness("query", sql, "--results", str(root), *more)  # noqa: E731
    assert "minimax" in ask().stdout
    rows = json.loads(ask("--format", "json").stdout)
    assert [(row["loss"], row["n"]) for row in rows] == [("minimax", 8), ("non_saturating", 8)]
    table = list(csv.DictReader(io.StringIO(ask("--format", "csv").stdout)))
    assert [float(row["w1"]) for row in table] == pytest.approx([row["w1"] for row in rows])
    assert ask("--format", "parquet", "-o", str(tmp_path / "a.parquet")).returncode == 0
    assert pq.read_table(tmp_path / "a.parquet").column_names == ["loss", "n", "w1"]
    assert ask("--format", "parquet").returncode == 2


def test_the_issue_of_every_grid_answers(finished) -> None:  # type: ignore[no-untyped-def]
    _, root, _ = finished
    sql = (
        "SELECT loss, sigma, epoch, count(*) n, avg(accuracy) acc, avg(grad_norm) g, avg(bound_paper) b "
        "FROM cells GROUP BY ALL ORDER BY ALL"
    )
    rows = json.loads(harness("query", sql, "--results", str(root), "--format", "json").stdout)
    assert len(rows) == 8
    assert all(row["n"] == 2 and row["b"] > 0 for row in rows)


def test_a_wrong_query_is_a_clear_message_and_exit_code_2(finished) -> None:  # type: ignore[no-untyped-def]
    _, root, _ = finished
    answer = harness("query", "SELECT acuracy FROM cells", "--results", str(root))
    assert answer.returncode == 2
    assert "accuracy" in answer.stderr
    assert "Traceback" not in answer.stderr


@pytest.mark.parametrize(
    "kind", ["losses", "problems", "networks", "optimizers", "penalties", "schedules", "statuses", "columns"]
)
def test_every_list_has_a_meaning_for_every_name(kind: str) -> None:
    lines = harness("list", kind).stdout.strip().splitlines()
    assert len(lines) >= 2
    assert all(len(line.split(maxsplit=1)) == 2 for line in lines)


def test_info_names_versions_and_devices() -> None:
    facts = json.loads(harness("info", "--json").stdout)
    assert {"harness", "python", "torch", "ray", "cpus", "gpus"} <= set(facts)


def test_a_wrong_job_file_is_a_message_with_a_place_and_exit_code_2(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text("name: x\nprotocol: trian\n")
    for command in ("run", "plan", "submit"):
        answer = harness(command, str(tmp_path / "job.yaml"))
        assert answer.returncode == 2
        assert "job.yaml:2:11: protocol: got 'trian'. Did you mean 'train'?" in answer.stderr
        assert "Traceback" not in answer.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "jobs/ring.yaml", "--retry", "faild"], "unknown status 'faild'. Did you mean 'failed'?"),
        (["run", "jobs/ring.yaml", "--results", "pyproject.toml"], "is a file; name a folder"),
        (["run"], "Missing argument"),
        (["query", "SELECT 1", "--format", "xml"], "xml"),
        (["nosuch"], "nosuch"),
        (["status", "--address", "http://127.0.0.1:1"], "no Ray dashboard answers at http://127.0.0.1:1"),
    ],
)
def test_wrong_usage_ends_with_exit_code_2(arguments: list[str], message: str) -> None:
    answer = harness(*arguments)
    assert answer.returncode == 2
    assert message in answer.stderr
    assert "Traceback" not in answer.stderr


def test_failures_are_named_and_end_with_exit_code_1(tmp_path: Path, train_job: Callable[..., Job]) -> None:
    job = train_job(grid={"loss": ["minimax", "tests.custom:exploding"], "epoch": [1]})
    (tmp_path / "job.yaml").write_text(dump_job(job))
    root = str(tmp_path / "results")
    answer = harness("run", str(tmp_path / "job.yaml"), "--results", root, "--executor", "serial")
    assert answer.returncode == 1
    assert "4 completed, 4 failed" in answer.stdout
    assert "4 failed: RuntimeError: this loss always fails" in answer.stdout
    assert "--retry" in answer.stdout
    assert harness("run", str(tmp_path / "job.yaml"), "--results", root).returncode == 1
