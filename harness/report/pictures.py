"""The pictures of a job's report: drawn by the functions of ``harness figure``, of rows the reader chooses from.

Each picture is a specification without rows for every metric; the rows are in the page once, under the names that
specifications use. Building it is linear in the groups of a job (cells but for their seeds) times its metrics.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..errors import HarnessError
from ..figures import heatmap, lines, tables
from ..figures.picture import Picture
from ..figures.selection import MAX_LINES, Selected, left_out_sentence
from ..figures.tables import AXIS_TITLES
from ..figures.words import name_of
from ..storage.query import Results
from .content import Control, Option, control_of
from .names import words

MAX_GROUPS = 2_000
"""Groups in a page; a larger job is shown at its last epoch, and if need be some of it."""
_MAX_VALUES = 25_000  # numbers in the page: groups times metrics
_BY = ("loss", "penalty", "batch_norm", "discriminator_steps", "learning_rate", "updates", "schedule")

_SINGLE = "Each point is one cell."
_INTERVALS = "95 % t intervals of the mean"

Row = dict[str, Any]


@dataclass(frozen=True)
class Shown:
    """A picture in a page.

    Attributes:
      name: Of the file a reader may save it as.
      title, caption, description: For the reader; the last for one who does not see it.
      specs: Vega-Lite by metric, without rows; under "" where the picture has no metric to choose.
      follows: Controls that choose its rows.
      aspect, height: Height of a panel, over its width or in points of a file; None where the chart has its own.
      num_columns: Panels side by side, where a picture has rows and columns of them.
      is_wide: Whether it takes the whole width.
    """

    name: str
    title: str
    caption: str
    description: str
    specs: Mapping[str, Any]
    follows: Sequence[str]
    aspect: float | None = None
    height: float | None = None
    num_columns: int = 1
    is_wide: bool = False


@dataclass(frozen=True)
class Drawn:
    """The pictures of a job, the rows that they name, what a reader can choose, and what is said beside them."""

    shown: Sequence[Shown]
    tables: Mapping[str, Sequence[Row]]
    controls: Sequence[Control]
    notes: Sequence[str]


def drawn(
    results: Results, job: str, *, axes: Mapping[str, Sequence[Any]], metrics: Sequence[str], others: Sequence[Other]
) -> Drawn:
    """All pictures of a job.

    Args:
      results: The store.
      job: Name.
      axes: Those that tell groups apart, with their values.
      metrics: Names, that of the first picture first.
      others: Further pictures, see `Other`.
    """
    notes: list[str] = []
    shown: list[Shown] = []
    rows: dict[str, Sequence[Row]] = {}
    view = _View.of(axes)
    if metrics:
        groups, note = _groups(results, job, view, metrics)
        notes += [note] * bool(note)
        metrics = [name for name in metrics if any(row[name] is not None for row in groups)]
        left = {axis: [v for v in values if any(row[axis] == v for row in groups)] for axis, values in axes.items()}
        view = _View.of(left)
    if metrics:
        rows["groups"] = groups
        shown += _of_metrics(groups, view, metrics, left_out_sentence(results, job))
    first: list[Shown] = []
    for other in others:
        try:
            picture = other.draw()
        except HarnessError as error:
            notes.append(f"{other.title}: {error}")
            continue
        (first if other.is_first else shown).append(_shown(other, picture, rows))
    return Drawn([*first, *shown], rows, _controls(view, metrics) if metrics else [], notes)


@dataclass(frozen=True)
class Other:
    """A picture that is no matter of a metric: how it is called and drawn, the controls it follows, and its place."""

    name: str
    title: str
    draw: Callable[[], Picture]
    follows: Sequence[str] = ()
    is_wide: bool = False
    is_first: bool = False


# --- what is shown by what


@dataclass(frozen=True)
class _View:
    """Which axes the pictures of metrics have: lines, panels, and those that a control has one value of at a time."""

    axes: Mapping[str, Sequence[Any]]
    by: str | None
    panels: str | None
    further: Sequence[str]

    @classmethod
    def of(cls, axes: Mapping[str, Sequence[Any]]) -> _View:
        several = [axis for axis in axes if axis != "epoch" and len(axes[axis]) > 1]
        by = next((axis for axis in _BY if axis in several and len(axes[axis]) <= MAX_LINES), None)
        panels = next((axis for axis in ("schedule", *_BY) if axis in several and axis != by), None)
        return cls(axes, by, panels, [axis for axis in several if axis not in (by, panels)])

    @property
    def epochs(self) -> Sequence[Any]:
        return self.axes.get("epoch", ())


def _controls(view: _View, metrics: Sequence[str]) -> list[Control]:
    named = [Option(name, words(name), name) for name in metrics]
    chosen = [Control("metric", "metric", named, metrics[0])]
    for axis in (view.by, view.panels, *view.further):
        if axis is not None:
            values = view.axes[axis]
            has_all = axis not in view.further
            control = control_of(axis, values, has_all=has_all)
            options = [o if o.value is None else replace(o, label=name_of(axis, o.value)) for o in control.options]
            chosen.append(replace(control, options=options))
    if len(view.epochs) > 1:
        chosen.append(control_of("epoch", view.epochs, chosen=view.epochs[-1], has_all=False))
    return chosen


def _groups(results: Results, job: str, view: _View, metrics: Sequence[str]) -> tuple[list[Row], str]:
    """The groups, and how they were made fewer; a job of many is shown at its last epoch, and then by a sample."""
    groups = tables.groups(results, job, metrics)
    if len(groups) <= MAX_GROUPS and len(groups) * len(metrics) <= _MAX_VALUES:
        return groups, ""
    total, at = len(groups), ""
    if len(view.epochs) > 1:
        last = max(row["epoch"] for row in groups if row["epoch"] is not None)
        groups, at = [row for row in groups if row["epoch"] == last], f" at epoch {last}"
    limit = max(1, min(MAX_GROUPS, _MAX_VALUES // max(1, len(metrics))))
    if len(groups) > limit:  # by chance: every so many would leave out whole values of an axis
        groups = [groups[place] for place in sorted(random.Random(0).sample(range(len(groups)), limit))]
    lean = [{name: value for name, value in row.items() if not name.endswith("_values")} for row in groups]
    shown = f"the pictures show {len(groups):,} of them{at}, means over seeds"
    return lean, f"The job has {total:,} combinations of its axes; {shown}."


def _of_metrics(groups: Sequence[Row], view: _View, metrics: Sequence[str], left_out: str) -> list[Shown]:
    """A metric over training, against the noise (or what else there is several of), and as a map."""
    shown = []
    is_single = all(row["n"] == 1 for row in groups)
    seeds = ", small points the seeds" if all("seeds" in row for row in groups) and not is_single else ""
    epochs = {row["epoch"] for row in groups} - {None}
    at = " at the chosen epoch" if len(view.epochs) > 1 else f" at epoch {max(epochs)}" if epochs else ""
    without = f" {left_out[0].upper()}{left_out[1:]}." if left_out else ""
    further = [axis for axis in (view.by, view.panels, *view.further) if axis is not None]
    if len(view.epochs) > 1:
        specs = {name: _lines(groups, view, name, x="epoch", by=view.by, panels=view.panels) for name in metrics}
        shown.append(
            Shown(
                "over-epochs",
                "Over training",
                (_SINGLE if is_single else f"Lines are means over seeds, bands {_INTERVALS}{seeds}.") + without,
                _what(view.by, view.panels, "epochs of training"),
                specs,
                further,
                aspect=0.62 if view.panels is None else 0.8,
                is_wide=view.panels is not None,
            )
        )
    x = "schedule" if "schedule" in (view.by, view.panels, *view.further) else view.by
    if x is not None:
        by = view.by if view.by != x else None
        panels = view.panels if view.panels not in (x, by) else None
        specs = {name: _lines(groups, view, name, x=x, by=by, panels=panels) for name in metrics}
        shown.append(
            Shown(
                f"by-{x}",
                f"By {words(x)}",
                (_SINGLE if is_single else f"Points are means over seeds{at}, bars {_INTERVALS}{seeds}.") + without,
                _what(by, panels, AXIS_TITLES[x]),
                specs,
                [*further, "epoch"],
                height=len(view.axes[x]) * (10 + 7 * (len(view.axes[by]) if by else 1)),
                is_wide=len(view.axes[x]) > 5,
            )
        )
        if by is not None and len(view.axes[x]) * len(view.axes[by]) > 3:
            specs = {
                name: heatmap.chart(_selected(groups, view, name, x=x, by=by, panels=panels)).to_dict(validate=False)
                for name in metrics
            }
            shown.append(
                Shown(
                    "map",
                    f"{words(by).capitalize()} and {words(x)}",
                    ("" if is_single else f"Means over seeds{at}.") + without,
                    _what(by, panels, AXIS_TITLES[x]),
                    specs,
                    [*further, "epoch"],
                    height=max(3, len(view.axes[by])) * 20,
                )
            )
    return shown


def _what(by: str | None, panels: str | None, x: str) -> str:
    parts = [
        f"The chosen metric against {x}",
        f"for each {words(by)}" if by else "",
        f"a panel for each {words(panels)}" if panels else "",
    ]
    return ", ".join(part for part in parts if part) + ". The numbers are in the table of cells."


def _lines(groups: Sequence[Row], view: _View, metric: str, *, x: str, by: str | None, panels: str | None) -> Any:
    return lines.chart(_selected(groups, view, metric, x=x, by=by, panels=panels)).to_dict(validate=False)


def _selected(
    groups: Sequence[Row], view: _View, metric: str, *, x: str, by: str | None, panels: str | None
) -> Selected:
    rows = [row for row in groups if row[metric] is not None]
    epochs = sorted({row["epoch"] for row in groups if row["epoch"] is not None})
    orders = {axis: [*view.axes.get(axis, epochs)] for axis in (x, by, panels) if axis is not None}
    return Selected(metric, x, by, panels, rows, orders, {}, frozenset())


def _shown(other: Other, picture: Picture, rows: dict[str, Sequence[Row]]) -> Shown:
    """A picture whose rows are kept under a name of its own."""
    renamed = {name: f"{other.name}-{name}" for name in picture.tables}
    rows.update({renamed[name]: _few_digits(table) for name, table in picture.tables.items()})
    spec = _renamed(picture.chart.to_dict(validate=False), renamed)
    caption = re.sub(r" \(choose others with --[^)]*\)", "", picture.caption)  # which is for the command
    return Shown(
        other.name,
        other.title,
        caption,
        picture.description,
        {"": spec},
        other.follows,
        aspect=picture.aspect,
        height=picture.height,
        num_columns=picture.num_panels,
        is_wide=other.is_wide,
    )


def _few_digits(rows: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Rows with numbers to as many digits as a picture has."""
    return [
        {name: float(f"{value:.6g}") if isinstance(value, float) else value for name, value in row.items()}
        for row in rows
    ]


def _renamed(node: Any, names: Mapping[str, str]) -> Any:
    if isinstance(node, list):
        return [_renamed(child, names) for child in node]
    if not isinstance(node, dict):
        return node
    return {
        key: {**value, "name": names[value["name"]]}
        if key == "data" and isinstance(value, dict) and value.get("name") in names
        else _renamed(value, names)
        for key, value in node.items()
    }
