"""The progress display of a running job, on standard error: a live bar on a terminal, lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

from ..errors import counted, printable
from .durations import duration
from .state import State

_LINE_INTERVAL_SECONDS = 10.0
_BAR = 24  # columns


class ProgressDisplay:
    """Shows a `State` whenever it is called with one, and says each of its notices once."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = _Bar(console)
        self._state: State | None = None
        self._num_said = 0
        self._last_line = -_LINE_INTERVAL_SECONDS
        self._has_ended = False

    def __enter__(self) -> ProgressDisplay:
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar.live.is_started:  # else it would print an empty line
            self._bar.stop()

    def say(self, text: str) -> None:
        """Prints a line, above the bar where there is one."""
        self._console.print(printable(text), markup=False, emoji=False, highlight=False, soft_wrap=True)

    def __call__(self, state: State) -> None:
        if state is not self._state:  # another phase, or another round
            self._state, self._num_said, self._has_ended = state, 0, False
        for notice in state.notices[self._num_said :]:
            self.say(f"{state.name}: {notice}" if state.name else notice)
        self._num_said = len(state.notices)
        if self._console.is_terminal:
            self._bar.show(state)
        elif not self._has_ended and (
            _is_complete(state) or time.monotonic() - self._last_line >= _LINE_INTERVAL_SECONDS
        ):
            self._last_line, self._has_ended = time.monotonic(), _is_complete(state)
            self.say("; ".join([describe(state), *extremes(state)]))


class _Bar(Progress):
    """A bar with what there is to say of a state beside it and, in whole lines, below it."""

    def __init__(self, console: Console) -> None:
        self._below: list[str] = []
        super().__init__(
            BarColumn(bar_width=_BAR), TextColumn("{task.fields[text]}", markup=False), console=console, transient=True
        )
        self._only: TaskID | None = None

    def show(self, state: State) -> None:
        """Replaces what is shown; numbers beside the bar, and below it what would not fit there."""
        if self._only is None:
            self._only = self.add_task("", total=1.0, text="")
        share = min(1.0, state.work_done / state.work_total) if state.work_total else 1.0
        self._below = [", ".join(_where(state)), *extremes(state)]
        self.update(self._only, completed=share, text=", ".join([*_counts(state), *_times(state)]))

    def get_renderables(self) -> Iterable[RenderableType]:
        """The bar, and a line for each text, cut where the terminal ends."""
        yield self.make_tasks_table(self.tasks)
        for text in self._below:
            yield Text(printable(text), no_wrap=True, overflow="ellipsis")


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
    """One line: ``24/72 cells done, 2 packs running, 1.2 cells/s, 41 s, about 1 min 20 s left``."""
    return ", ".join([*_counts(state), *_where(state), *_times(state)])


def extremes(state: State) -> list[str]:
    """The best and the worst so far, each with which it is: ``best W1 0.082: minimax, sigma 0.1, seed 2``."""
    if state.standing is not None:
        standing = state.standing
        if standing.best is None:
            return []
        return [f"best {standing.objective} {standing.best:.4g}: trial {standing.best_trial}, {standing.best_schedule}"]
    if state.headline is None:
        return []
    return [
        f"{word} {state.headline.name} {found.value:.4g}: {found.cell}"
        for word, found in ((state.headline.least, state.least), (state.headline.greatest, state.greatest))
        if found is not None
    ]


def _counts(state: State) -> list[str]:
    standing = state.standing
    if standing is None:
        parts = [f"{state.num_ended}/{state.num_cells} cells done"]
    else:
        parts = [f"{standing.num_done}/{standing.num_wanted} trials"]
        parts += [f"{standing.num_pruned} pruned"] if standing.num_pruned else []
    failed = {status: count for status, count in state.statuses.items() if status != "completed"}
    return [*parts, *(f"{count} {status}" for status, count in sorted(failed.items()))]


def _where(state: State) -> list[str]:
    parts = [state.phase] if state.phase else []
    if state.num_running:
        parts.append(f"{counted(state.num_running, 'pack')} running")
    elif not _is_complete(state):
        parts.append(f"waiting for {state.awaited}")
    rate = state.cells_per_second
    return [*parts, *([] if rate is None else [_rate(rate)])]


def _times(state: State) -> list[str]:
    left = [] if _is_complete(state) else [f"about {duration(state.seconds_left)} left"]
    return [duration(state.seconds), *left]


def _is_complete(state: State) -> bool:
    if state.standing is not None:
        return state.standing.num_done >= state.standing.num_wanted
    return state.num_ended == state.num_cells


def _rate(per_second: float) -> str:
    for unit, seconds in (("s", 1), ("min", 60)):
        if per_second * seconds >= 1:
            return f"{per_second * seconds:.3g} cells/{unit}"
    return f"{per_second * 3600:.3g} cells/h"
