"""The progress display: plain lines in a pipe, a bar with lines below it on a terminal."""

from __future__ import annotations

import io
import re
import time

import pytest
from rich.console import Console

from harness.execution.progress import ProgressDisplay, describe, extremes
from harness.execution.state import Found, Standing, State
from harness.planning.naming import DISTANCE


def state(**fields: object) -> State:
    made = State(num_cells=54, statuses={"completed": 20}, work_total=200.0, name="ring", headline=DISTANCE)
    for name, value in fields.items():
        setattr(made, name, value)
    return made


EXTREMES = {"least": Found(0.0821, "a", "minimax, sigma 0.1, seed 2"), "greatest": Found(1.25, "b", "hinge, seed 0")}


def test_a_line_has_cells_rate_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    running = state(started=1000.0, first_start=1000.0, statuses={"completed": 20, "failed": 1})
    now[0] += 42.0
    assert describe(running).startswith("21/54 cells done, 1 failed, waiting for a worker, 30 cells/min, ")
    assert re.search(r", 42 s, about \d+ (s|min).* left$", describe(running))


def test_the_best_and_the_worst_are_named_with_their_cells() -> None:
    assert extremes(state(**EXTREMES)) == [
        "best W1 0.0821: minimax, sigma 0.1, seed 2",
        "worst W1 1.25: hinge, seed 0",
    ]


def test_a_search_has_its_trials_its_phase_and_its_best_schedule() -> None:
    standing = Standing(12, 48, 3, "bound_best", 0.4142, "linear(start=0.3, end=0)", 7)
    found = state(standing=standing, phase="trials")
    assert describe(found).startswith("12/48 trials, 3 pruned, trials, waiting for a worker")
    assert extremes(found) == ["best bound_best 0.4142: trial 7, linear(start=0.3, end=0)"]


def test_a_pipe_gets_plain_lines_few_of_them_and_every_notice_once(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    text = io.StringIO()
    running = state(started=1000.0)
    with ProgressDisplay(Console(file=text, width=80)) as display:
        for step in range(300):  # an event a second for five minutes
            now[0] += 1.0
            running.work_done = step / 2
            if step == 7:
                running.notices.append("failed: minimax, seed 0: RuntimeError: x\x1b[2J")
            display(running)
        running.statuses = {"completed": 54}
        display(running)
        display(running)
    lines = text.getvalue().splitlines()
    assert [line for line in lines if "RuntimeError" in line] == [
        r"ring: failed: minimax, seed 0: RuntimeError: x\x1b[2J"
    ]
    assert len(lines) == 30 + 1 + 1  # one in ten seconds, the notice, the end
    assert lines[-1].startswith("54/54 cells done")
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", text.getvalue())


def test_another_state_has_notices_of_its_own() -> None:
    text = io.StringIO()
    with ProgressDisplay(Console(file=text, width=80)) as display:
        for name in ("a", "b"):
            display(state(name=name, notices=[f"told by {name}"]))
    assert "a: told by a" in text.getvalue()
    assert "b: told by b" in text.getvalue()


def test_a_terminal_gets_a_bar_whose_lines_are_none_longer_than_it_is() -> None:
    text = io.StringIO()
    long = Found(0.5, "a", "minimax, penalty roth(gamma=0.01) + gradient_penalty(weight=1), sigma 0.1, seed 2")
    console = Console(file=text, width=60, force_terminal=True, legacy_windows=False)
    with ProgressDisplay(console) as display:
        display(state(least=long, greatest=long))
        shown = list(console.render_lines(display._bar.get_renderable(), pad=False))
    lines = ["".join(segment.text for segment in line).rstrip() for line in shown]
    assert any("20/54 cells done" in line for line in lines)
    assert [line for line in lines if line.startswith(("best W1 0.5: ", "worst W1 0.5: "))] == [lines[-2], lines[-1]]
    assert lines[-1].endswith("…")
    assert max(map(len, lines)) <= 60
