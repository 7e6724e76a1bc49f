"""The command line as a user meets it: outputs, formats, exit codes."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from harness.job.job import Job
from harness.job.reading import dump_job
from harness.storage.query import Results
from harness.storage.store import Store
from harness.storage.writer import new_part

from ..in_process import harness as run_here
from ..printed import commands

ROOT = Path(__file__).parents[2]


def harness(*arguments: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "harness", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env={**os.environ, **environment},
    )


Finished = tuple[Path, Path, subprocess.CompletedProcess[str]]
"""A job file, its store, and what running it printed."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A small job, its store, and what running it printed."""
    from tests.conftest import TRAIN, make_job

    folder = tmp_path_factory.mktemp("cli")
    job_file, root = folder / "tiny.yaml", folder / "results"
    job_file.write_text(dump_job(make_job(TRAIN)))
    answer = harness("run", str(job_file), "--results", str(root), "--executor", "serial")
    return job_file, root, answer


def test_a_run_ends_with_exit_code_0_a_table_and_the_next_commands(finished: Finished) -> None:
    _, _, answer = finished
    assert answer.returncode == 0, answer.stderr
    assert "tiny: 16 completed; 16 computed in" in answer.stdout
    assert "Means ± standard deviations over seeds at epoch 3" in answer.stdout
    assert 'harness query "SELECT epoch, loss, schedule' in answer.stdout
    assert "cells done" in answer.stderr
    assert "cells done" not in answer.stdout


def test_a_run_ends_by_writing_a_report_and_naming_it_unless_asked_not_to(
    finished: Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_file, root, _ = finished
    page = root / "tiny" / "report.html"
    answer = harness("run", str(job_file), "--results", str(root), "--no-report")
    assert "Report:" not in answer.stdout
    assert not page.exists()
    monkeypatch.delenv("HARNESS_NO_REPORT")
    answer = harness("run", str(job_file), "--results", str(root))
    assert f"Report:  {page}" in answer.stdout
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    page.unlink()


def test_running_again_says_that_there_is_nothing_to_do(finished: Finished) -> None:
    job_file, root, _ = finished
    answer = harness("run", str(job_file), "--results", str(root))
    assert answer.returncode == 0
    assert "nothing to compute, every cell has a row (16 completed)" in answer.stdout


def test_a_plan_counts_what_is_missing(finished: Finished) -> None:
    job_file, root, _ = finished
    facts = json.loads(harness("plan", str(job_file), "--results", str(root), "--json").stdout)
    assert (facts["cells"], facts["new"], facts["done"]) == (16, 0, {"completed": 16})
    text = harness("plan", str(job_file), "--results", str(root)).stdout
    assert "nothing: every cell has a row" in text


def test_the_plan_of_the_quickstart_says_what_sharing_saves() -> None:
    text = harness("plan", "jobs/quickstart.yaml", "--results", "nowhere").stdout
    for part in ("72 = 3 loss x 4 sigma x 3 epoch x 2 seed", "2 reference runs", "48 fresh", "would cost 864", "about"):
        assert part in text


def test_a_plan_counts_one_as_one_and_pads_no_line(tmp_path: Path) -> None:
    from tests.conftest import PROBE, make_job

    grid = {"loss": ["minimax"], "sigma": [0.1], "epoch": [1], "seed": [0]}
    (tmp_path / "one.yaml").write_text(dump_job(make_job(PROBE, grid=grid)))
    lines = run_here("plan", str(tmp_path / "one.yaml"), "--results", str(tmp_path)).stdout.splitlines()
    assert lines == [line.rstrip() for line in lines]
    text = "\n".join(lines)
    for part in ("1 reference run, trained once", "1 fresh discriminator\n", "1 epoch of", "1 cell to compute (1 new)"):
        assert part in text


def test_a_query_answers_as_table_json_csv_and_parquet(finished: Finished, tmp_path: Path) -> None:
    _, root, _ = finished
    sql = "SELECT loss, count(*) AS n, avg(w1) AS w1 FROM cells GROUP BY loss ORDER BY loss"

    def ask(*more: str) -> subprocess.CompletedProcess[str]:
        return harness("query", sql, "--results", str(root), *more)

    assert "minimax" in ask().stdout
    rows = json.loads(ask("--format", "json").stdout)
    assert [(row["loss"], row["n"]) for row in rows] == [("minimax", 8), ("non_saturating", 8)]
    table = list(csv.DictReader(io.StringIO(ask("--format", "csv").stdout)))
    assert [float(row["w1"]) for row in table] == pytest.approx([row["w1"] for row in rows])
    assert ask("--format", "parquet", "-o", str(tmp_path / "a.parquet")).returncode == 0
    assert pq.read_table(tmp_path / "a.parquet").column_names == ["loss", "n", "w1"]
    assert ask("--format", "parquet").returncode == 2


def test_a_query_writes_a_file_of_every_format(finished: Finished, tmp_path: Path) -> None:
    _, root, _ = finished
    sql = "SELECT loss, count(*) AS n FROM cells GROUP BY loss ORDER BY loss"
    expected = [("minimax", "8"), ("non_saturating", "8")]
    readers: dict[str, Callable[[Path], list[dict[str, object]]]] = {
        "a.json": lambda path: json.loads(path.read_text()),
        "a.parquet": lambda path: pq.read_table(path).to_pylist(),
        "a.csv": lambda path: list(csv.DictReader(path.open())),
        "a": lambda path: list(csv.DictReader(path.open())),
    }
    for name, read in readers.items():
        answer = run_here("query", sql, "--results", str(root), "-o", str(tmp_path / name))
        assert (answer.returncode, answer.stdout) == (0, ""), answer.stderr
        assert [(row["loss"], str(row["n"])) for row in read(tmp_path / name)] == expected
    asked = ["--format", "json", "-o", str(tmp_path / "b.csv")]  # what is asked for goes before the name
    run_here("query", sql, "--results", str(root), *asked)
    assert json.loads((tmp_path / "b.csv").read_text())[0]["loss"] == "minimax"
    run_here("query", sql, "--results", str(root), "--format", "table", "-o", str(tmp_path / "b.txt"))
    assert (tmp_path / "b.txt").read_text().split()[:2] == ["loss", "n"]


@pytest.mark.parametrize("name", ["a.csv", "a.json", "a.parquet"])
def test_a_query_into_a_missing_folder_is_a_clear_message(finished: Finished, tmp_path: Path, name: str) -> None:
    _, root, _ = finished
    path = tmp_path / "nowhere" / name
    answer = run_here("query", "SELECT 1", "--results", str(root), "-o", str(path))
    assert answer.returncode == 2
    assert f"--output {path}: there is no folder {path.parent}" in answer.stderr


def test_a_query_cannot_write_or_read_files(finished: Finished, tmp_path: Path) -> None:
    _, root, _ = finished
    for sql in (f"COPY cells TO '{tmp_path}/a.csv'", "SELECT * FROM read_csv('/etc/passwd')"):
        answer = run_here("query", sql, "--results", str(root))
        assert (answer.returncode, answer.stdout) == (2, "")
        assert "harness query -o FILE writes one" in answer.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_issue_of_every_grid_answers(finished: Finished) -> None:
    _, root, _ = finished
    sql = (
        "SELECT loss, sigma, epoch, count(*) n, avg(accuracy) acc, avg(grad_norm) g, avg(bound_paper) b "
        "FROM cells GROUP BY ALL ORDER BY ALL"
    )
    rows = json.loads(harness("query", sql, "--results", str(root), "--format", "json").stdout)
    assert len(rows) == 8
    assert all(row["n"] == 2 and row["b"] > 0 for row in rows)


def test_a_wrong_query_is_a_clear_message_and_exit_code_2(finished: Finished) -> None:
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
        (["submit", "jobs/tune_ring.yaml", "--results", "s3://b/p"], "name a database for the search with --storage"),
        (["submit", "jobs/tune_ring.yaml", "--retry", "failed"], "--retry: is for grids; tune_ring is a search"),
        (["submit", "jobs/ring.yaml", "--storage", "sqlite:////x"], "--storage: is for searches; ring is of protocol"),
        (["submit", "jobs/ring.yaml", "--metadata-json", '{"a": 1}'], "--metadata-json: must be names with texts"),
        (["submit", "jobs/ring.yaml", "--runtime-env", "a", "--runtime-env-json", "{}"], "give one of them"),
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
    assert "4 cells failed: RuntimeError: this loss always fails" in answer.stdout
    assert "--retry" in answer.stdout
    assert harness("run", str(tmp_path / "job.yaml"), "--results", root).returncode == 1


# --- the table at the end of a run


@cache
def run_on_terminal(columns: int, job_file: Path, root: Path) -> str:
    """What the command prints on a terminal of a width, without colours."""
    arguments = (str(job_file), "--results", str(root), "--executor", "serial")
    answer = harness("run", *arguments, FORCE_COLOR="1", COLUMNS=str(columns))
    assert answer.returncode == 0, answer.stderr
    return re.sub(r"\x1b\[[0-9;]*m", "", answer.stdout)


@pytest.mark.parametrize("columns", [50, 160])
def test_the_table_of_a_run_keeps_its_loss_and_sigma_on_any_terminal(finished: Finished, columns: int) -> None:
    job_file, root, _ = finished
    text = run_on_terminal(columns, job_file, root)
    table = text[text.index("\n", text.index("─")) :].splitlines()[1:5]
    assert [line.split()[:2] for line in table] == [
        [loss, sigma] for loss in ("minimax", "non_saturating") for sigma in ("0", "0.2")
    ]
    means = run_here(
        "query",
        "SELECT avg(w1) AS w1 FROM cells WHERE epoch = 3 GROUP BY loss, sigma ORDER BY loss, sigma",
        *("--results", str(root), "--format", "json"),
    )
    for line, row in zip(table, json.loads(means.stdout), strict=True):
        assert len(line) <= columns
        assert f"{row['w1']:.4g}" in line.split()
    assert "…" not in text
    assert "In every row: cells 2" in text
    assert ("more column" in text) == (columns == 50)


@pytest.mark.parametrize("columns", [50, 160])
def test_the_commands_proposed_at_the_end_of_a_run_return_rows(
    finished: Finished, columns: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_file, root, _ = finished
    monkeypatch.chdir(tmp_path)
    text = run_on_terminal(columns, job_file, root)
    proposed = commands(text)
    assert [words[0] for words in proposed] == ["query", "compare", "figure"]
    for words in proposed:
        answer = run_here(*words)
        assert answer.returncode == 0, answer.stderr
        if words[0] == "figure":
            assert (tmp_path / "tiny.png").stat().st_size > 1000
        else:
            assert len(answer.stdout.splitlines()) > 3, words
    of_training = "SELECT epoch, loss, schedule, avg(w1)" if columns == 160 else "avg(grad_norm)"
    assert of_training in " ".join(proposed[0][1].split())


# --- stores that are not there


@pytest.mark.parametrize(
    "command", [["query", "SELECT 1"], ["figure", "lines", "--job", "tiny", "-o", "a.png"]], ids=lambda words: words[0]
)
def test_a_missing_store_is_said_to_be_missing(finished: Finished, tmp_path: Path, command: list[str]) -> None:
    _, root, _ = finished
    answer = run_here(*command, "--results", str(root.parent / "reslts"))
    assert (answer.returncode, answer.stdout) == (2, "")
    assert f"reslts: there is no such folder. Did you mean '{root}'?" in answer.stderr
    answer = run_here(*command, "--results", str(tmp_path))
    assert answer.returncode == 2
    assert "holds no results" in answer.stderr


# --- the rest


def test_the_version_is_that_of_the_package() -> None:
    from importlib.metadata import version

    answer = run_here("--version")
    assert (answer.returncode, answer.stdout) == (0, f"harness {version('gan-noise-harness')}\n")


@pytest.mark.parametrize(
    ("words", "completions"),
    [
        ("harness pl", ["plan"]),
        ("harness figure pa", ["paths"]),
        ("harness run job.yaml --executor s", ["serial"]),
        ("harness run jo", []),  # then the shell completes names of files
    ],
)
def test_words_are_completed_in_a_shell_without_loading_torch(words: str, completions: list[str]) -> None:
    program = (
        "import sys, atexit; sys.argv = ['harness']\n"
        "atexit.register(lambda: print('LOADED', sorted({'torch', 'ray', 'optuna'} & set(sys.modules))))\n"
        "from harness.cli.app import main; main()"
    )
    asked = {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1), "_HARNESS_COMPLETE": "complete_bash"}
    answer = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **asked},
        cwd=ROOT,
    )
    assert answer.stdout.split("LOADED")[0].split() == completions
    assert answer.stdout.endswith("LOADED []\n")


def test_completion_can_be_installed() -> None:
    assert "--install-completion" in run_here("--help").stdout


def test_text_of_users_is_neither_markup_nor_an_order_to_the_terminal(store: Store) -> None:
    evil, harmless = "\x1b]0;title\x07[bold]x[/bold]", r"\x1b]0;title\x07[bold]x[/bold]"
    store.write_part("job", "cells", [{"cell_id": "c", "status": "failed", "error": evil}], part=new_part())
    answer = run_here("query", "SELECT error FROM cells", "--results", store.root)
    assert answer.stdout.splitlines()[-1] == harmless
    answer = run_here("query", f'SELECT "{evil}" FROM cells', "--results", store.root)
    assert answer.returncode == 2
    assert harmless in answer.stderr
    assert "\x1b" not in answer.stderr
    answer = run_here("plan", f"{evil}.yaml")
    assert answer.returncode == 2
    assert harmless in answer.stderr
    assert "\x1b" not in answer.stderr


def test_an_error_of_a_cell_is_printed_as_it_is(tmp_path: Path, train_job: Callable[..., Job]) -> None:
    job = train_job(grid={"loss": ["minimax"], "sigma": [0], "epoch": [1], "seed": [0]})
    (tmp_path / "job.yaml").write_text(dump_job(job))
    arguments = (
        "run",
        str(tmp_path / "job.yaml"),
        "--results",
        str(tmp_path / "results"),
        "--executor",
        "serial",
        "-q",
    )
    assert run_here(*arguments).returncode == 0
    store = Store(tmp_path / "results")
    (row,) = Results(store.root).query("SELECT * EXCLUDE (job, part) FROM cells").to_pylist()
    row |= {"status": "failed", "error": "Traceback\nError: \x1b[2J[red]x[/red]", "finished_at": datetime.now(UTC)}
    store.write_part("tiny", "cells", [row], part=new_part())
    answer = run_here(*arguments)
    assert answer.returncode == 1
    assert r"1 cell failed: Error: \x1b[2J[red]x[/red]" in answer.stdout
    assert "\x1b" not in answer.stdout
