"""Which groups a figure shows: the axes it shows, and one value of each other that varies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ..errors import HarnessError, counted, suggest
from ..storage.query import Results
from . import tables
from .tables import AXES, PLACE, Row
from .words import listed, name_of

Band = Literal["ci", "range", "none"]
MAX_LINES = 14
MAX_PANELS = 24
_BESIDE = ("sigma", "noise")  # which a schedule determines


@dataclass(frozen=True)
class View:
    """What a user asks of `lines` and `heatmap`.

    Attributes:
      y: A metric.
      x, by, panels: Axes; None for what varies most naturally there. ``by`` and ``panels`` may be ``none``.
      where: Axes and the value, as text, that is shown of each.
    """

    y: str = "w1"
    x: str | None = None
    by: str | None = None
    panels: str | None = None
    where: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Selected:
    """The groups of a figure, and what is to be said of them.

    Attributes:
      x, by, panels: Axes; `by` and `panels` may be None.
      rows: As `tables.groups`.
      orders: Values of the shown axes that occur, in order.
      fixed: The value of each axis that varies in the job and is not shown.
      unasked: Those of `fixed` that nobody asked for.
      capped: Sentences about what is left out.
    """

    metric: str
    x: str
    by: str | None
    panels: str | None
    rows: Sequence[Row]
    orders: Mapping[str, Sequence[Any]]
    fixed: Mapping[str, Any]
    unasked: frozenset[str]
    capped: Sequence[str] = ()

    def values(self, axis: str | None) -> Sequence[Any]:
        """Of an axis that is shown; one that there is not has the value None."""
        return (None,) if axis is None else self.orders[axis]

    @property
    def fixed_sentence(self) -> str:
        """Which values are shown of the axes that are not."""
        asked = [_described(axis, value) for axis, value in self.fixed.items() if axis not in self.unasked]
        first = [_described(axis, value) for axis, value in self.fixed.items() if axis in self.unasked]
        texts = [f"shown at {listed(asked)}"] * bool(asked)
        texts += [f"of several, the first: {listed(first)} (choose others with --where)"] * bool(first)
        return "; ".join(texts)


def selected(results: Results, job: str, view: View, *, also: Sequence[str] = ()) -> Selected:
    """The groups that a view of a job shows, with other metrics too, whose means may be None.

    Raises:
      HarnessError: If a name is unknown, or rows would share a place.
    """
    tables.check_job(results, job)
    tables.check_metric(results, job, view.y)
    orders = tables.orders(results, job)
    where = {axis: value_of(axis, text, orders) for axis, text in view.where.items()}
    varying = [axis for axis in (*AXES[:-1], "seed") if len(orders[axis]) > 1 and axis not in where]
    x = _x(view, varying)
    by = _other(view.by, varying, (x,), ("loss", "schedule", "penalty", "epoch"), "--by")
    panels = _other(view.panels, varying, (x, by), ("schedule", "penalty", "batch_norm", "loss", "epoch"), "--panels")
    shown = [axis for axis in (x, by, panels) if axis is not None]
    rows = tables.groups(
        results,
        job,
        list(dict.fromkeys([view.y, *also])),
        where={name: value for name, value in where.items() if name != "seed"},
    )
    rows = [row for row in rows if row[view.y] is not None]
    if not rows:
        chosen = listed([_described(axis, value) for axis, value in where.items()])
        raise HarnessError(f"job '{job}' has no {view.y}" + (f" at {chosen}" if chosen else ""))
    rows, first = _fixed(rows, shown, orders)
    rows, capped = _capped(rows, by, panels, orders)
    _check_places(rows, shown, job)
    there = {axis: [value for value in orders[axis] if any(row.get(axis) == value for row in rows)] for axis in shown}
    if x == "seed":
        there["seed"] = orders["seed"]
    for axis in _BESIDE:  # means over seeds, of an adaptive schedule
        if axis in shown:
            there[axis] = sorted({row[axis] for row in rows}, key=lambda value: (value is None, value))
    return Selected(view.y, x, by, panels, rows, there, {**where, **first}, frozenset(first), capped)


def value_of(axis: str, text: str, orders: Mapping[str, Sequence[Any]]) -> Any:
    """The value of an axis that a text names.

    Raises:
      HarnessError: If the axis is none, or has no such value.
    """
    _axis(axis, "--where")
    for value in orders[axis]:
        if str(value) == text or (value is None and text == "none") or _same_number(value, text):
            return value
    raise HarnessError(f"--where {axis}={text}: no such {axis}.{suggest(text, map(str, orders[axis]))}")


def seeds_sentence(rows: Sequence[Mapping[str, Any]]) -> str:
    """``3 seeds``, ``2 to 3 seeds``."""
    numbers = {row["n"] for row in rows}
    low, high = min(numbers, default=0), max(numbers, default=0)
    return counted(high, "seed") if low == high else f"{low} to {high} seeds"


def left_out_sentence(results: Results, job: str) -> str:
    """What came of the cells that are not shown; empty where all are complete."""
    found = tables.not_completed(results, job)
    return f"{listed([f'{number} {status}' for status, number in found.items()])} left out" if found else ""


# --- which axes


def _x(view: View, varying: Sequence[str]) -> str:
    if view.x is not None:
        return _axis(view.x, "--x")
    taken = {view.by, view.panels}
    natural = [
        "epoch",
        "sigma",
        "schedule",
        "learning_rate",
        "discriminator_steps",
        "penalty",
        "loss",
        "updates",
        "seed",
    ]
    if "epoch" not in varying:  # then the last sigma of a schedule says little of it
        natural.remove("sigma")
    return next((axis for axis in natural if axis in varying and axis not in taken), "epoch")


def _other(
    wanted: str | None, varying: Sequence[str], taken: Sequence[str | None], natural: Sequence[str], option: str
) -> str | None:
    if wanted == "none":
        return None
    if wanted is not None:
        axis = _axis(wanted, option)
        if axis in taken:
            raise HarnessError(f"{option} {axis}: is shown already; name another axis, or none")
        return axis
    has_noise = bool({"schedule", *_BESIDE} & set(taken))
    return next(
        (axis for axis in natural if axis in varying and axis not in taken and not (has_noise and axis == "schedule")),
        None,
    )


def _axis(name: str, option: str) -> str:
    if name not in AXES:
        raise HarnessError(f"{option} {name}: no such axis.{suggest(name, AXES)}")
    return name


def _same_number(value: Any, text: str) -> bool:
    try:
        return float(value) == float(text)
    except (TypeError, ValueError):
        return False


# --- which rows


def _fixed(
    rows: list[Row], shown: Sequence[str], orders: Mapping[str, Sequence[Any]]
) -> tuple[list[Row], dict[str, Any]]:
    """The rows at the first value of every axis that is not shown and has several."""
    fixed = {}
    for axis in _axes_to_fix(shown):
        if not _has_several(rows, axis, shown):  # as a penalty that goes with a loss
            continue
        there = {row[axis] for row in rows}
        fixed[axis] = next((value for value in orders[axis] if value in there), None)
        rows = [row for row in rows if row[axis] == fixed[axis]]
    return rows, fixed


def _has_several(rows: Sequence[Row], axis: str, shown: Sequence[str]) -> bool:
    """Whether any place of the figure would have rows of several values of an axis."""
    found: dict[tuple[Any, ...], Any] = {}
    return any(found.setdefault(_place(row, shown), row[axis]) != row[axis] for row in rows)


def _place(row: Row, shown: Sequence[str]) -> tuple[Any, ...]:
    return tuple(row.get(axis) for axis in shown)


def _axes_to_fix(shown: Sequence[str]) -> list[str]:
    """Of schedule, sigma and noise, what the one that is shown leaves open."""
    noise = {"schedule", *_BESIDE} & set(shown)
    own = [] if "schedule" in noise else [axis for axis in _BESIDE if axis not in noise] if noise else ["schedule"]
    return [axis for axis in (*own, *(axis for axis in PLACE if axis != "schedule")) if axis not in shown]


def _capped(
    rows: list[Row], by: str | None, panels: str | None, orders: Mapping[str, Sequence[Any]]
) -> tuple[list[Row], list[str]]:
    """At most so many lines and panels, the first; more cannot be told apart."""
    said = []
    for axis, most, what in ((by, MAX_LINES, "lines"), (panels, MAX_PANELS, "panels")):
        if axis is None or axis == "seed":
            continue
        known = {value: rank for rank, value in enumerate(orders[axis])}
        there = sorted({row[axis] for row in rows}, key=lambda value: known.get(value, len(known)))
        if len(there) > most:
            kept = set(there[:most])
            rows = [row for row in rows if row[axis] in kept]
            said.append(f"the first {most} of {len(there)} {what} by {axis} are shown (choose others with --where)")
    if len(rows) > tables.MAX_GROUPS:
        said.append(f"the first {tables.MAX_GROUPS} of {len(rows)} points are shown")
        rows = rows[: tables.MAX_GROUPS]
    return rows, said


def _check_places(rows: Sequence[Row], shown: Sequence[str], job: str) -> None:
    """Refuses two groups at one place, between which a line would jump."""
    seen: dict[tuple[Any, ...], Row] = {}
    for row in rows:
        other = seen.setdefault(_place(row, shown), row)
        if other is not row:
            axis = next(axis for axis in (*PLACE, *_BESIDE) if row[axis] != other[axis])
            raise HarnessError(
                f"job '{job}': {axis} {other[axis]} and {row[axis]} are at one place of {', '.join(shown)}; show "
                f"{axis} (--x, --by or --panels), or choose one with --where {axis}=..."
            )


def _described(axis: str, value: Any) -> str:
    return f"{axis.replace('_', ' ')} {'none' if value is None else value}" if axis != "loss" else name_of(axis, value)
