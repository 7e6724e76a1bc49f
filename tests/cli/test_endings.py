"""How commands end: what was seen, whole axes, lines of the terminal, and commands that answer, of all shipped jobs."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from harness.cli.printing.prose import say_command, say_prose
from harness.cli.printing.summary import print_summary
from harness.cli.tune import print_tuned
from harness.execution.run import Outcome
from harness.job.job import Job
from harness.job.reading import AnyJob, dump_job, load_job
from harness.job.space import schedule_text, sigma_of
from harness.job.tune import TuneJob
from harness.planning.difference import AnyCell
from harness.planning.plan import Plan, make_plan
from harness.report.findings import findings
from harness.search.analysis import TrialRecord
from harness.search.finals import Confirmed, candidates
from harness.search.tune import Tuned
from harness.storage.query import Results
from harness.storage.records import CELLS
from harness.storage.store import Store
from harness.storage.writer import new_part
from tests import printed
from tests.in_process import harness

JOBS = sorted((Path(__file__).parents[2] / "jobs").glob("*.yaml"))
WIDTHS = [80, 100]
_MEASURED = [
    field.name
    for field in CELLS
    if str(field.type) == "double" and field.name not in {"learning_rate", "sigma", "seconds"}
]


@cache
def loaded(file: Path) -> AnyJob | TuneJob:
    return load_job(file)


GRIDS = [file for file in JOBS if not isinstance(loaded(file), TuneJob)]
SEARCHES = [file for file in JOBS if isinstance(loaded(file), TuneJob)]


def row(cell: AnyCell, draw: random.Random) -> dict[str, Any]:
    """As a worker would write it, with numbers as long as numbers get."""
    measured = {name: draw.uniform(1e-4, 2e4) for name in _MEASURED}
    of_game = {"verdict": draw.choice(["converges", "stalls"]), "steps_to_tolerance": draw.randrange(5000)}
    return {
        **cell.columns(),
        **measured,
        **(of_game if cell.run is None else {}),
        "sigma": cell.columns()["sigma"],
        "status": "completed",
        "bound_holds": True,
        "sequence": 1,
    }


def fill(job: AnyJob, store: Store) -> Plan:
    """A store in which every cell of a job has a row."""
    plan = make_plan(job, store, slots=1)
    draw = random.Random(0)
    store.write_job(job.name, dump_job(job))
    store.write_part(job.name, "cells", [row(cell, draw) for cell in plan.cells], part=new_part())
    return plan


@pytest.fixture(scope="module", params=GRIDS, ids=lambda file: file.stem)
def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Plan]:
    """A shipped job, the folder of its store, and its plan."""
    folder = tmp_path_factory.mktemp("filled")
    job = loaded(request.param)
    assert not isinstance(job, TuneJob)
    return request.param, folder, fill(job, Store(folder / "results"))


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command has its name, whatever has started the tests."""
    monkeypatch.setattr("sys.argv", ["harness"])


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    def of_width(columns: int) -> None:
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("COLUMNS", str(columns))

    return of_width


def without_colours(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)


@pytest.mark.parametrize("columns", WIDTHS)
def test_a_run_of_every_shipped_job_ends_in_the_lines_of_the_terminal_with_whole_axes_and_commands_that_answer(
    filled: tuple[Path, Path, Plan],
    columns: int,
    terminal: Callable[[int], None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file, folder, plan = filled
    monkeypatch.chdir(folder)
    terminal(columns)
    outcome = Outcome(plan, {"completed": len(plan.cells)}, len(plan.cells), 83.0, "2 Ray actors, one CPU each")
    report = Path("results") / plan.job.name / "report.html"
    print_summary(outcome, results="results", job_file=file, report=report)
    text = without_colours(capsys.readouterr().out)
    check_lines(text, columns)
    joined, num = " ".join(text.split()), len(plan.cells)
    assert joined.startswith(f"{plan.job.name}: {num} completed; {num} computed in 1 min 23 s by 2 Ray actors, one CPU")
    for sentence in findings(Results("results"), plan.job.name).sentences[:2]:
        assert sentence in joined
    assert f"Report: {report}" in joined
    check_axes(text, plan)
    commands = printed.commands(text)
    assert len(commands) == 3
    check_answers(commands, monkeypatch)


def check_lines(text: str, columns: int) -> None:
    longest = max(text.splitlines(), key=cell_len)
    assert cell_len(longest) <= columns, longest
    assert "…" not in text


def check_axes(text: str, plan: Plan) -> None:
    """Every value of every axis is there as a word of the table, or behind its number; none is cut or folded."""
    lines = text.splitlines()
    legend = {line.split(" ", 1)[0]: line.split(" ", 1)[1] for line in lines if re.match(r"\[\d+\] \S", line)}
    start = next(index for index, line in enumerate(lines) if set(line) == {"─"})
    table = list(
        itertools.takewhile(lambda line: line.strip() and not re.match(r"\[\d+\] \S", line), lines[start + 1 :])
    )
    shown = "\n".join(table)
    for key, label in legend.items():
        shown = shown.replace(key, label)
    last = max((cell.columns()["epoch"] or 0 for cell in plan.cells), default=0)
    at_end = [cell.key._asdict() for cell in plan.cells if (cell.columns()["epoch"] or 0) == last]
    job = plan.job
    axes = ("loss", "penalty", "schedule", "batch_norm", "discriminator_steps", "updates")
    for axis in axes:
        values = {key[axis] for key in at_end if key[axis] is not None}
        if len(values) == 1 or (axis == "penalty" and isinstance(job, Job) and not job.has_axis("penalty")):
            continue  # said once, or each loss's own
        for value in values:
            looks = f"{float(value):.4g}" if axis == "schedule" and not isinstance(job, Job) else str(value)
            assert re.search(rf"(^|\s){re.escape(looks)}(\s|$)", shown), (axis, value)


def check_answers(commands: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them has something to say, in a pipe."""
    monkeypatch.delenv("FORCE_COLOR")
    for words in commands:
        if words[0] == "figure":
            continue  # drawn from rows that this store has not: tests/cli/test_printed_commands.py draws them
        answer = harness(*words)
        assert answer.returncode == 0, (words, answer.stderr)
        assert len(answer.stdout.splitlines()) >= 3, words
        if words[0] == "query":
            assert " ORDER BY " in " ".join(words[1].split())
            assert Results("results").query(words[1]).num_rows > 0


# --- searches


def tuned_by(job: TuneJob, folder: Path) -> Tuned:
    """A search's end, as if it had been."""
    draw = random.Random(1)
    store = Store(folder / "results")
    store.write_job(job.name, dump_job(job))
    families = list(job.space.schedule)
    records = []
    for number in range(4):
        family = families[number % len(families)]
        numbers = job.space.numbers({"schedule": family})
        drawn = {name: value if isinstance(value, float) else draw.uniform(0.1, 0.2) for name, value in numbers.items()}
        records.append(TrialRecord(number, "complete", {"schedule": family, "loss": job.space.loss[0], **drawn}))
    rows = [
        {"trial": one.number, "state": "complete", "family": one.parameters["schedule"], "parameters": "{}",
         "value": draw.uniform(1, 3), "distance": draw.uniform(0, 1)}
        for one in records
    ]  # fmt: skip
    store.write_part(job.name, "trials", rows, part=new_part())
    points = candidates(records, [], scale=2.1)
    num = job.search.confirmation_seeds
    confirmed = [
        Confirmed(
            candidate=name,
            schedule=schedule_text(sigma_of(point)),
            bounds=[draw.uniform(1, 3) for _ in range(num)],
            distances=[draw.uniform(0, 1) for _ in range(num)],
            not_completed=0,
        )
        for name, point in points.items()
    ]
    finalists = [
        {"trial": one.number, "schedule": schedule_text(sigma_of(one.parameters)), f"search {job.bound}": 1.23456789,
         job.bound: 2.3456789, job.distance: 0.123456789, "spread over seeds": 0.0123456789}
        for one in records
    ]  # fmt: skip
    best = f"results/{job.name}/best.yaml"
    return Tuned(48, 3, records[0].parameters, 0, 1.2, 0.83, {}, 0.9, finalists, confirmed, [], best, [])


@pytest.mark.parametrize("columns", WIDTHS)
@pytest.mark.parametrize("file", SEARCHES, ids=lambda file: file.stem)
def test_a_search_ends_in_the_lines_of_the_terminal_too(
    file: Path,
    columns: int,
    terminal: Callable[[int], None],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job = loaded(file)
    assert isinstance(job, TuneJob)
    monkeypatch.chdir(tmp_path)
    tuned = tuned_by(job, tmp_path)
    terminal(columns)
    print_tuned(tuned, job, "results", report="results/x/report.html")
    text = without_colours(capsys.readouterr().out)
    check_lines(text, columns)
    for label in (*(row["schedule"] for row in tuned.finalists), *(row.candidate for row in tuned.confirmed)):
        assert str(label) in " ".join(text.split())
    assert "Report:  results/x/report.html" in text
    commands = printed.commands(text)
    assert [words[0] for words in commands] == ["run", "figure", "query"]
    check_answers([words for words in commands if words[0] == "query"], monkeypatch)


# --- comparisons


def test_a_comparison_keeps_to_the_terminal(
    filled: tuple[Path, Path, Plan], terminal: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, folder, plan = filled
    monkeypatch.chdir(folder)
    axes = findings(Results("results"), plan.job.name).axes
    if not axes:
        pytest.skip(f"{plan.job.name} has nothing to compare")
    terminal(80)
    answer = harness("compare", plan.job.name, "--by", axes[0])
    assert answer.returncode == 0, answer.stderr
    check_lines(without_colours(answer.stdout), 80)
    commands = printed.commands(answer.stdout)
    assert [words[0] for words in commands] == ["query", "query"]
    check_answers(commands, monkeypatch)


# --- prose and commands


def test_a_sentence_breaks_between_words_on_a_terminal_and_nowhere_in_a_pipe(
    terminal: Callable[[int], None], capsys: pytest.CaptureFixture[str]
) -> None:
    words = " ".join(f"word{number}" for number in range(40))
    say_prose(words)
    assert capsys.readouterr().out == f"{words}\n"
    terminal(30)
    say_prose(words)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 30
    assert all(line.startswith("  word") for line in lines[1:])
    assert " ".join(line.strip() for line in lines) == words


@pytest.mark.parametrize("columns", [20, 30, 44, 80, 200])
def test_a_command_that_is_broken_is_the_same_to_a_shell(
    columns: int, terminal: Callable[[int], None], capsys: pytest.CaptureFixture[str]
) -> None:
    sql = "SELECT a, b FROM cells WHERE job = 'a  name' AND status = 'completed' GROUP BY ALL ORDER BY ALL"
    words = ("harness", "query", f'"{sql}"', "--results", "'my  results'")
    terminal(columns)
    say_command(*words)
    text = capsys.readouterr().out
    (found,) = printed.commands(text)
    assert [" ".join(word.split()) if " FROM " in word else word for word in found] == [
        "query", " ".join(sql.split()), "--results", "my  results"
    ]  # fmt: skip
    assert "'a  name'" in text
    if columns >= 30:
        assert max(len(line) for line in text.splitlines()) <= columns
