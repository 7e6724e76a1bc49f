"""How submitted jobs stand, for a person: a table of all, one at length, and either while it changes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import pyarrow as pa
from rich.console import Console
from rich.live import Live
from rich.table import Table

from ..execution.durations import duration
from .options import results_console, say
from .printing.rendering import print_table, to_rich

if TYPE_CHECKING:
    from ..execution.ray.submission import JobState

_POLL_SECONDS = 2.0
_NONE = "no submitted jobs"


def print_all(states: Sequence[JobState]) -> None:
    """A row per job."""
    if states:
        print_table(_table(states), stack_headers=True, whole=_WHOLE)
    else:
        say(_NONE)


def print_one(state: JobState) -> None:
    """A line per field; what Ray says, which may be the end of a log, is last."""
    fields = {
        "submission": state.submission_id,
        "job": state.job or "-",
        "status": state.status,
        "started": _clock(state.started, "%Y-%m-%d %H:%M:%S"),
        "ended": _clock(state.ended, "%Y-%m-%d %H:%M:%S"),
        "time": _time(state),
        "exit code": "-" if state.exit_code is None else state.exit_code,
        "entrypoint": state.entrypoint,
        "message": state.message or "-",
    }
    width = max(map(len, fields))
    for name, value in fields.items():
        say(f"{name:<{width}}  {value}")


def watch(ask: Callable[[], Sequence[JobState]]) -> Sequence[JobState]:
    """Shows how jobs stand until all have ended: on a terminal a table that changes, else a line for each change.

    Args:
      ask: Gives the jobs, which may become more.

    Returns:
      Them, as they ended.
    """
    console = results_console()
    if not (states := ask()):
        say(_NONE)
        return states
    if console.is_terminal and not console.is_dumb_terminal:
        return _watch_live(ask, states, console)
    said: dict[str, str] = {}
    while True:
        for state in states:
            if said.get(state.submission_id) != state.status:
                said[state.submission_id] = state.status
                say(_line(state), to=console)
                console.file.flush()
        if all(state.has_ended for state in states):
            return states
        time.sleep(_POLL_SECONDS)
        states = ask()


def _watch_live(
    ask: Callable[[], Sequence[JobState]], states: Sequence[JobState], console: Console
) -> Sequence[JobState]:
    def table(states: Sequence[JobState]) -> Table:
        return to_rich(_table(states), stack_headers=True, whole=_WHOLE)

    room = max(1, console.height - 5)  # for rows, below the header; those that have room are the newest
    with Live(table(states[-room:]), console=console, auto_refresh=False) as live:
        while not all(state.has_ended for state in states):
            time.sleep(_POLL_SECONDS)
            states = ask()
            live.update(table(states[-room:]), refresh=True)
        live.update(table(states))
    return states


_WHOLE = ("submission", "status", "started", "time")
"""Columns that are not folded."""


def _table(states: Sequence[JobState]) -> pa.Table:
    return pa.Table.from_pylist(
        [
            {
                "submission": state.submission_id,
                "job": state.job or "-",
                "status": state.status,
                "started": _clock(state.started, "%m-%d %H:%M"),
                "time": "-" if state.seconds is None else _narrow(state.seconds),
                "exit code": state.exit_code,
            }
            for state in states
        ]
    )


def _line(state: JobState) -> str:
    code = "" if state.exit_code is None else f", exit code {state.exit_code}"
    took = f" after {_time(state)}" if state.has_ended else ""
    return f"{datetime.now():%H:%M:%S}  {state.submission_id}  {state.job or '-'}  {state.status}{took}{code}"


def _clock(moment: datetime | None, form: str) -> str:
    """By the clock of this place."""
    return "-" if moment is None else moment.astimezone().strftime(form)


def _narrow(seconds: float) -> str:
    """Hours, minutes and seconds: ``0:03:20``, so that ids are whole in 80 columns."""
    minutes, left = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{left:02}"


def _time(state: JobState) -> str:
    return "-" if state.seconds is None else duration(state.seconds)
