"""How submitted jobs stand, in a table, at length, and line by line while it changes."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from harness.cli import submissions
from harness.cli.cluster import submit
from harness.execution.ray.parcel import STORAGE_VARIABLE
from harness.execution.ray.submission import JobState

from ..in_process import harness

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ONE = JobState("raysubmit_XjV9S2SKynBBjEJa", "quickstart", "RUNNING", NOON, None, None, "Running.", "python -m harness")
DONE = replace(ONE, status="SUCCEEDED", ended=NOON + timedelta(seconds=200), exit_code=0)
LOST = replace(
    DONE, submission_id="raysubmit_2", job=None, status="FAILED", exit_code=2, message="line 1\nline 2\x1b[2J"
)


@pytest.fixture(autouse=True)
def at_once_and_in_greenwich(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(submissions, "_POLL_SECONDS", 0.0)
    with monkeypatch.context() as there:
        there.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


def answers(*states: Sequence[JobState]) -> Iterator[Sequence[JobState]]:
    yield from states


def test_all_fit_in_80_columns_with_their_ids_whole(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    submissions.print_all([DONE, LOST, replace(DONE, job="a job with a name of very many words")])
    lines = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[1].split() == ["submission", "job", "status", "started", "time", "code"]
    assert " ".join(lines[3].split()) == f"{ONE.submission_id} quickstart SUCCEEDED 03-01 12:00 0:03:20 0"
    assert lines[4].split()[:3] == ["raysubmit_2", "-", "FAILED"]
    assert lines[5].startswith(f"{ONE.submission_id}  a job with")
    assert not any("python" in line or "line 1" in line for line in lines)


def test_one_has_its_command_and_what_ray_says(capsys: pytest.CaptureFixture[str]) -> None:
    submissions.print_one(LOST)
    text = capsys.readouterr().out
    assert re.search(r"^exit code +2$", text, re.M)
    assert re.search(r"^entrypoint +python -m harness$", text, re.M)
    assert text.endswith("message     line 1\nline 2\\x1b[2J\n")


def test_without_jobs_that_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    submissions.print_all([])
    assert submissions.watch(list) == []
    assert capsys.readouterr().out == "no submitted jobs\n" * 2


def test_a_watch_in_a_pipe_is_a_line_for_each_change(capsys: pytest.CaptureFixture[str]) -> None:
    pending = replace(ONE, status="PENDING")
    told = answers([pending], [pending], [ONE], [ONE, LOST], [DONE, LOST], [])
    assert submissions.watch(lambda: next(told)) == [DONE, LOST]
    lines = [line.split("  ", 1) for line in capsys.readouterr().out.splitlines()]
    assert all(re.fullmatch(r"\d\d:\d\d:\d\d", clock) for clock, _ in lines)
    assert [text for _, text in lines] == [
        f"{ONE.submission_id}  quickstart  PENDING",
        f"{ONE.submission_id}  quickstart  RUNNING",
        "raysubmit_2  -  FAILED after 3 min 20 s, exit code 2",
        f"{ONE.submission_id}  quickstart  SUCCEEDED after 3 min 20 s, exit code 0",
    ]


def test_a_watch_on_a_terminal_ends_with_the_table_as_it_ended(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    told = answers([ONE], [ONE], [DONE])
    assert submissions.watch(lambda: next(told)) == [DONE]
    assert "SUCCEEDED" in capsys.readouterr().out.rpartition("RUNNING")[2]


def test_an_interrupt_of_submit_says_that_the_job_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Interrupted(BaseException):
        pass

    class Cluster:
        address = "http://head:8265"

        def submit(self, *job: object, **options: object) -> str:
            return "one"

        def follow(self, submission_id: str, output: object) -> int:
            raise Interrupted

    monkeypatch.setattr("harness.cli.cluster._cluster", lambda *options: Cluster())
    with pytest.raises(Interrupted):
        submit(Path("jobs/ring.yaml"))
    assert "one goes on: harness logs -f one --address http://head:8265\n" in capsys.readouterr().err


def test_a_search_takes_its_database_from_the_variable_that_submit_sets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(STORAGE_VARIABLE, "nonsense://me:hidden@host/studies")
    answer = harness("tune", "jobs/tune_ring.yaml", "--results", str(tmp_path), "--executor", "serial")
    assert answer.returncode == 2
    assert "--storage nonsense://me:***@host/studies: cannot be used" in answer.stderr


@pytest.mark.parametrize(("states", "code"), [([DONE], 0), ([DONE, LOST], 1), ([replace(DONE, status="STOPPED")], 1)])
def test_the_exit_code_of_a_watch_says_whether_all_succeeded(
    states: list[JobState], code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Cluster:
        def states(self) -> list[JobState]:
            return states

    monkeypatch.setattr("harness.cli.cluster._cluster", lambda *options: Cluster())
    answer = harness("status", "--watch")
    assert answer.returncode == code
    assert "\x1b" not in answer.stdout
    assert harness("status").returncode == 0
