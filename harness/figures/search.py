"""The figure of a search over noise schedules: what it found, how it went, what mattered, and whether to believe it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..errors import HarnessError
from ..job.parts.schedules import schedule_class
from ..job.space import Parameters, sigma_of
from ..storage.query import Results
from .style import COLOURS, canvas, check_job

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend
    from matplotlib.lines import Line2D

NUM_BEST = 5
"""How many schedules are drawn, each in a colour that its trial has in every panel."""

_WIDE = 5.0  # values that span more than this factor get a log axis
_FAR = 3.0  # an objective this many times the distances: the line of equality would press all trials into a strip
_GREY = "#8C8C8C"  # of a trial that is not among the best
_SMALL = 7
_DISTANCE = "exact distance, data units"
_OBJECTIVE = "objective (a bound), data units"

Row = Mapping[str, Any]
_Colours = Mapping[int, str]  # by number of the trial, the best first


def search(results: Results, job: str) -> Figure:
    """What a search over schedules found: best schedules, course, parameters that matter, objective against truth.

    Raises:
      HarnessError: If the job has no trials.
    """
    rows = sorted(results.table("trials", job=job).to_pylist(), key=lambda row: int(row["trial"]))
    if not rows:
        check_job(results, job)
        raise HarnessError(f"job '{job}' has no trials; search first, with 'harness tune' and a job of protocol tune")
    best = sorted(_with_numbers(rows, "value", states=("complete",)), key=lambda row: (row["value"], row["trial"]))
    best = best[:NUM_BEST]
    colours = {row["trial"]: colour for row, colour in zip(best, COLOURS, strict=False)}
    figure, (found, course, mattered, truth) = canvas(2, 2, width=9.0, height=7.0, shares=[1.15, 1])
    _best_schedules(found, best, colours)
    _course(course, rows, colours)
    _importances(mattered, rows, best, COLOURS[0])
    _against_truth(truth, rows, colours)
    handles = [*_states(rows), *course.lines, *truth.lines]
    figure.legend(handles=handles, loc="outside upper center", ncols=max(1, len(handles)), fontsize=_SMALL)
    _make_room(figure, found)
    return figure


# --- panels


def _best_schedules(axes: Axes, best: Sequence[Row], colours: _Colours) -> None:
    """sigma(t), the best drawn strongest and on top; a schedule that is no function of t has a note in the legend."""
    from matplotlib.lines import Line2D

    _name(axes, "a   the best schedules, coloured as in b and d", "t, fraction of training done", "sigma, data units")
    times = np.linspace(0, 1, 401)
    handles = []
    for rank, row in enumerate(best):
        parameters = json.loads(row["parameters"])
        sigma = sigma_of(parameters).schedule
        colour, label = colours[row["trial"]], f"{row['trial']}: {row['value']:.4g}, {_short(parameters)}"
        if sigma.adapts:
            note = f"{label} (no function of t)"
            handles.append(Line2D([], [], linestyle="none", marker="o", markersize=5, color=colour, label=note))
            continue
        values = [sigma(float(t)) for t in times]
        style: dict[str, Any] = {"linewidth": 1.3 if rank else 3.0, "zorder": 3 - rank / 10}
        handles += axes.plot(times, values, color=colour, label=label, **style)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.05 * max((float(np.max(line.get_ydata())) for line in axes.lines), default=0.0) or 1.0)
    if handles:
        shape: dict[str, Any] = {"fontsize": _SMALL, "title_fontsize": _SMALL, "handlelength": 1.5, "alignment": "left"}
        axes.legend(handles=handles, loc="upper right", title="trial: objective, sigma", **shape)
    else:
        _say(axes, "no trial completed")


def _course(axes: Axes, rows: Sequence[Row], colours: _Colours) -> None:
    """The objective over trials and the least so far; trials that failed are at the top edge."""
    from matplotlib.ticker import MaxNLocator

    _name(axes, "b   course of the search", "trial", _OBJECTIVE)
    valued = _with_numbers(rows, "value")
    _points(axes, valued, "trial", "value", colours)
    _scale(axes, "y", [row["value"] for row in valued])
    first, last = rows[0]["trial"], rows[-1]["trial"]
    margin = 0.5 + 0.02 * (last - first)
    axes.set_xlim(first - margin, last + margin)
    axes.xaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
    complete = [row for row in valued if row["state"] == "complete"]
    if complete:
        least = np.minimum.accumulate([row["value"] for row in complete])
        times = [*(row["trial"] for row in complete), last]
        axes.step(times, [*least, least[-1]], where="post", color="black", linewidth=1.0, label="least so far (b)")
    failed = [row["trial"] for row in rows if row["state"] == "fail"]
    if failed:
        edge = axes.get_xaxis_transform()
        label = f"{len(failed)} failed (b)"
        axes.plot(failed, [1.0] * len(failed), "kx", markersize=5, transform=edge, clip_on=False, label=label)
    if not valued:
        _say(axes, "no trial has a value")


def _importances(axes: Axes, rows: Sequence[Row], best: Sequence[Row], colour: str) -> None:
    """Shares of what trials have in common in what the objective varies by; the largest on top."""
    from ..search.importance import importances

    _name(axes, "c   what matters", "importance for the objective (all sum to 1)", "")
    shares = importances(rows) if best else {}
    if not shares:
        _say(axes, "too few trials")
        return
    names = sorted(shares, key=lambda name: (shares[name], name))
    bars = axes.barh(names, [shares[name] for name in names], height=0.6, color=colour)
    axes.bar_label(bars, fmt="{:.2f}", padding=3, fontsize=_SMALL)
    axes.set_xlim(0, 1.15 * max(shares.values()) or 1.0)
    axes.set_ylim(len(names) - 0.5 - max(4, len(names)), len(names) - 0.5)  # few bars are no thicker than four
    axes.grid(False, axis="y")
    axes.tick_params(axis="y", length=0)


def _against_truth(axes: Axes, rows: Sequence[Row], colours: _Colours) -> None:
    """The objective over the distance it bounds: its ranks should be those of the distance, and none be below it."""
    from scipy.stats import spearmanr

    both = _with_numbers(rows, "distance", "value")
    distances, values = ([row[name] for row in both] for name in ("distance", "value"))
    has_ranks = len(both) >= 3 and min(distances) < max(distances) and min(values) < max(values)
    shown = f"Spearman's rho {spearmanr(distances, values).statistic:.2f}" if has_ranks else "no correlation"
    _name(axes, f"d   objective against truth, {shown}", _DISTANCE, _OBJECTIVE)
    if not both:
        _say(axes, "no trial has an objective and a distance")
        axes.set_xticks([])
        return
    _points(axes, both, "distance", "value", colours)
    if min(values) > _FAR * max(distances):
        _scale(axes, "x", distances)
        _scale(axes, "y", values)
        return
    ends = [0.9 * min(distances), 1.1 * max(distances)]
    axes.plot(ends, ends, "--", color="black", linewidth=1.0, label="objective = distance, the least possible (d)")
    for axis in ("x", "y"):  # both alike: y = x is to be straight
        _scale(axes, axis, [*distances, *values])


# --- what panels share


def _with_numbers(rows: Sequence[Row], *columns: str, states: Sequence[str] = ("complete", "pruned")) -> list[Row]:
    """The trials in these states that have finite numbers in these columns."""
    return [
        row
        for row in rows
        if row["state"] in states and all(row[name] is not None and math.isfinite(row[name]) for name in columns)
    ]


def _points(axes: Axes, rows: Sequence[Row], x: str, y: str, colours: _Colours) -> None:
    """Pruned trials as circles, complete ones as discs; the best larger, in colour and on top."""
    pruned = [row for row in rows if row["state"] == "pruned"]
    others = [row for row in rows if row["state"] == "complete" and row["trial"] not in colours]
    by_number = {row["trial"]: row for row in rows}
    best = [by_number[number] for number in reversed(colours) if number in by_number]
    for kind, size, faces, edges in (
        (pruned, 22, "none", _GREY),
        (others, 22, _GREY, _GREY),
        (best, 44, [colours[row["trial"]] for row in best], "white"),
    ):
        if kind:
            places = [row[x] for row in kind], [row[y] for row in kind]
            axes.scatter(*places, s=size, facecolors=faces, edgecolors=edges, linewidths=1.0, zorder=3)


def _states(rows: Sequence[Row]) -> list[Line2D]:
    """Entries of a legend for the points."""
    from matplotlib.lines import Line2D

    entries = []
    for state, fill in (("complete", "full"), ("pruned", "none")):
        number = sum(row["state"] == state for row in rows)
        if number:
            style: dict[str, Any] = {"linestyle": "none", "color": _GREY, "markersize": 5, "fillstyle": fill}
            entries.append(Line2D([], [], marker="o", label=f"{number} {state}", **style))
    return entries


def _short(parameters: Parameters) -> str:
    """A schedule in few words, numbers with two digits: ``linear 0.5 to 0.02, fraction 0.8``."""
    family = str(parameters["schedule"])
    named = {name: parameters.get(f"{family}.{name}") for name in schedule_class(family).parameters()}
    own = {name: f"{value:.2g}" for name, value in named.items() if value is not None}
    ends = [own.pop(name) for name in ("sigma", "start", "end") if name in own]
    return ", ".join([f"{family} {' to '.join(ends)}", *(f"{name} {value}" for name, value in own.items())])


def _scale(axes: Axes, axis: Literal["x", "y"], values: Sequence[float]) -> None:
    """A log axis with plain numbers at its ticks, if the values are positive and their span is wide."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    if not values or min(values) <= 0 or max(values) <= _WIDE * min(values):
        axes.locator_params(axis=axis, nbins=6)
        return
    axes.set(**{f"{axis}scale": "log"})
    low, high = axes.get_xlim() if axis == "x" else axes.get_ylim()
    ticks = axes.xaxis if axis == "x" else axes.yaxis
    # what is shown may be less than a decade, or many
    subs = (1.0, 2.0, 5.0) if high < 30 * low else (1.0, 3.0) if high < 1000 * low else (1.0,)
    ticks.set_major_locator(LogLocator(subs=subs) if high > 10 * low else MaxNLocator(5, steps=[1, 2, 5, 10]))
    ticks.set_major_formatter(FuncFormatter(lambda value, position: f"{value:g}"))
    ticks.set_minor_formatter(NullFormatter())


def _make_room(figure: Figure, axes: Axes) -> None:
    """Raises the upper limit until the legend at the top is above all lines; its text shrinks where it is too wide."""
    legend: Legend | None = axes.get_legend()
    if legend is None:
        return
    legend.set_in_layout(False)  # it is inside
    figure.draw_without_rendering()  # lays out
    share = (legend.get_window_extent().height + 12) / axes.bbox.height
    low, high = axes.get_ylim()
    axes.set_ylim(low, low + (high - low) / max(1 - share, 0.1))
    figure.draw_without_rendering()  # other limits have other ticks
    for size in np.arange(_SMALL, 4.5, -0.5):
        for text in legend.get_texts():
            text.set_fontsize(float(size))
        if legend.get_window_extent().width < 0.95 * axes.bbox.width:
            break


def _name(axes: Axes, title: str, x: str, y: str) -> None:
    axes.set_title(title, loc="left", fontsize=8.5)
    axes.set_xlabel(x)
    axes.set_ylabel(y)


def _say(axes: Axes, text: str) -> None:
    """In the place of data."""
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center")
    axes.set_yticks([])
    axes.grid(False)
