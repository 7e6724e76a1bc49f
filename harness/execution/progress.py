"""The progress display of a running job, on standard error: a live bar on a terminal, lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn

from .durations import duration
from .state import State

_LINE_INTERVAL_SECONDS = 10.0


class ProgressDisplay:
    """Shows a `State` whenever it is called with one."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[text]}"),
            console=console,
            transient=True,
        )
        self._task: TaskID | None = None
        self._last_line = -_LINE_INTERVAL_SECONDS
        self._last_text = ""

    def __enter__(self) -> ProgressDisplay:
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def say(self, text: str) -> None:
        """Prints a line, above the bar where there is one."""
        self._console.print(text, markup=False, emoji=False, highlight=False, soft_wrap=True)

    def __call__(self, state: State) -> None:
        text = describe(state)
        if self._console.is_terminal:
            if self._task is None:
                self._task = self._bar.add_task("cells", total=1.0, text=text)
            share = min(1.0, state.work_done / state.work_total) if state.work_total else 1.0
            self._bar.update(self._task, completed=share, text=text)
        elif (state.num_ended == state.num_cells and text != self._last_text) or (
            time.monotonic() - self._last_line >= _LINE_INTERVAL_SECONDS
        ):
            self._last_line, self._last_text = time.monotonic(), text
            self.say(text)


@contextmanager
def work_display(console: Console, name: str, *, enabled: bool) -> Iterator[Callable[[float], None]]:
    """A bar for one piece of work; gives the function to be told which part of it, in [0, 1], is done."""
    bar = Progress(
        TextColumn("[bold]{task.description}"),
        BarColumn(bar_width=30),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
    task = bar.add_task(name, total=1.0)
    last = time.monotonic()

    def report(done: float) -> None:
        nonlocal last
        bar.update(task, completed=done)
        if enabled and not console.is_terminal and time.monotonic() - last >= _LINE_INTERVAL_SECONDS:
            last = time.monotonic()
            console.print(f"{name}: {done:.0%}", soft_wrap=True)

    if enabled and console.is_terminal:
        bar.start()
    try:
        yield report
    finally:
        if bar.live.is_started:
            bar.stop()


def describe(state: State) -> str:
    """One line: ``24/72 cells done, 2 packs running, 41 s, about 1 min 20 s left``."""
    parts = [f"{state.num_ended}/{state.num_cells} cells done"]
    failed = {status: count for status, count in state.statuses.items() if status != "completed"}
    parts += [f"{count} {status}" for status, count in sorted(failed.items())]
    if not state.num_running and state.num_ended < state.num_cells:
        parts.append(f"waiting for {state.awaited}")
    if state.num_running:
        parts.append(f"{state.num_running} pack{'s' if state.num_running > 1 else ''} running")
    parts.append(duration(state.seconds))
    if state.num_ended < state.num_cells and state.seconds_left is not None:
        parts.append(f"about {duration(state.seconds_left)} left")
    return ", ".join(parts)
