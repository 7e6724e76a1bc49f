"""The figure of a search over noise schedules: what it found, how it went, what mattered, and whether to believe it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from ..errors import HarnessError
from ..job.parts.schedules import schedule_class
from ..job.space import Parameters, sigma_of
from ..storage.query import Results
from .axes import log_ticks, ticked
from .picture import COLOURS, Picture, named
from .tables import check_job

NUM_BEST = 5
"""How many schedules are drawn, each in a colour that its trial has in every panel."""

_WIDE = 5.0  # values that span more than this factor get a log axis
_FAR = 3.0  # an objective this many times the distances: the line of equality would press all trials into a strip
_GREY = "#8C8C8C"  # of a trial that is not among the best
_NUM_TIMES = 101
_KEY_ROW, _HEIGHT, _WIDTH = 10, 140.0, 215.0  # points
_MOST_PARAMETERS = 8
_HALF = 54  # characters that half of the width has room for
_DISTANCE = "exact distance, data units"
_OBJECTIVE = "objective (a bound), data units"

Row = Mapping[str, Any]


def search(results: Results, job: str) -> Picture:
    """What a search over schedules found: best schedules, course, parameters that matter, objective against truth.

    Raises:
      HarnessError: If the job has no trials.
    """
    trials = sorted(results.table("trials", job=job).to_pylist(), key=lambda row: int(row["trial"]))
    if not trials:
        check_job(results, job)
        raise HarnessError(f"job '{job}' has no trials; search first, with 'harness tune' and a job of protocol tune")
    best = best_of(trials)
    tables = {
        "trials": [_trial(row, best) for row in trials],
        "best": schedule_rows(best),
        "key": key_rows(best),
        "least": least_rows(trials),
        "importances": importance_rows(trials) if best else [],
    }
    return Picture(
        chart=chart(tables, best, trials),
        tables=tables,
        caption=_caption(job, trials, best),
        description=_description(job, trials, best),
        aspect=None,
    )


# --- rows


def best_of(trials: Sequence[Row]) -> list[Row]:
    """The complete trials of the least objectives, the least first."""
    complete = with_numbers(trials, "value", states=("complete",))
    return sorted(complete, key=lambda row: (row["value"], row["trial"]))[:NUM_BEST]


def with_numbers(trials: Sequence[Row], *columns: str, states: Sequence[str] = ("complete", "pruned")) -> list[Row]:
    """The trials in these states that have finite numbers in these columns."""
    return [
        row
        for row in trials
        if row["state"] in states and all(row[name] is not None and math.isfinite(row[name]) for name in columns)
    ]


def schedule_rows(best: Sequence[Row]) -> list[dict[str, Any]]:
    """sigma over t of the best; of a schedule that is no function of t a single row without sigma."""
    rows: list[dict[str, Any]] = []
    for rank, row in reversed(list(enumerate(best))):  # the better on top
        sigma = sigma_of(json.loads(row["parameters"])).schedule
        own = {"trial": row["trial"], "rank": rank, "value": row["value"]}
        if sigma.adapts:
            rows.append({**own, "t": None, "sigma": None})
        else:
            times = [index / (_NUM_TIMES - 1) for index in range(_NUM_TIMES)]
            rows += [{**own, "t": t, "sigma": float(sigma(t))} for t in times]
    return rows


def key_rows(best: Sequence[Row]) -> list[dict[str, Any]]:
    """The best with their place in the key above the panels, and what is said of them there."""
    labels = []
    for row in best:
        parameters = json.loads(row["parameters"])
        note = " (no function of t)" if sigma_of(parameters).schedule.adapts else ""
        labels.append(f"{row['trial']}: {row['value']:.4g}, {short(parameters)}{note}")
    num_rows = len(best) if max(map(len, labels), default=0) > _HALF else -(-len(best) // 2)
    return [
        {"trial": row["trial"], "label": label, "column": rank // num_rows, "row": rank % num_rows}
        for rank, (row, label) in enumerate(zip(best, labels, strict=True))
    ]


def least_rows(trials: Sequence[Row]) -> list[dict[str, Any]]:
    """The least objective so far after each complete trial, and at the end."""
    rows: list[dict[str, Any]] = []
    for row in with_numbers(trials, "value", states=("complete",)):
        least = min(row["value"], rows[-1]["value"]) if rows else row["value"]
        rows.append({"trial": row["trial"], "value": least})
    if rows and rows[-1]["trial"] != trials[-1]["trial"]:
        rows.append({"trial": trials[-1]["trial"], "value": rows[-1]["value"]})
    return rows


def importance_rows(trials: Sequence[Row]) -> list[dict[str, Any]]:
    """Shares of what trials have in common in what the objective varies by, the largest first; empty for too few."""
    from ..search.importance import importances

    shares = importances(trials)
    names = sorted(shares, key=lambda name: (-shares[name], name))[:_MOST_PARAMETERS]
    return [
        {"parameter": name, "name": name.replace("_", " "), "rank": rank, "share": shares[name]}
        for rank, name in enumerate(names)
    ]


def rank_correlation(trials: Sequence[Row]) -> float | None:
    """Spearman's, of objective and distance; None where there are no ranks."""
    from scipy.stats import spearmanr

    both = with_numbers(trials, "distance", "value")
    distances, values = ([row[name] for row in both] for name in ("distance", "value"))
    if len(both) < 3 or min(distances) == max(distances) or min(values) == max(values):
        return None
    return float(spearmanr(distances, values).statistic)


def _trial(row: Row, best: Sequence[Row]) -> dict[str, Any]:
    numbers = {
        name: row[name] if row[name] is not None and math.isfinite(row[name]) else None
        for name in ("value", "distance")
    }
    is_best = any(row["trial"] == one["trial"] for one in best)
    parameters = json.loads(row["parameters"])
    return {
        "trial": row["trial"],
        "state": row["state"],
        "kind": "best" if is_best else row["state"],
        **numbers,
        "schedule": short(parameters),
        "epoch": row["epoch"],
    }


def short(parameters: Parameters) -> str:
    """A schedule in few words, numbers with two digits: ``linear 0.5 to 0.02, fraction 0.8``."""
    family = str(parameters["schedule"])
    found = {name: parameters.get(f"{family}.{name}") for name in schedule_class(family).parameters()}
    own = {name: f"{value:.2g}" for name, value in found.items() if value is not None}
    ends = [own.pop(name) for name in ("sigma", "start", "end") if name in own]
    return ", ".join([f"{family} {'→'.join(ends)}", *(f"{name} {value}" for name, value in own.items())])


# --- panels


def chart(tables: Mapping[str, Sequence[Row]], best: Sequence[Row], trials: Sequence[Row]) -> Any:
    """Four panels; their rows are named ``best``, ``trials``, ``least`` and ``importances``."""
    upper = alt.hconcat(_best_schedules(tables["best"], best), _course(tables, best), spacing=16)
    lower = alt.hconcat(_importances(tables["importances"]), _against_truth(trials, best), spacing=16)
    rows = [upper, lower] if not best else [_key(best), upper, lower]
    whole = alt.vconcat(*rows, spacing=10).resolve_scale(color="independent", shape="independent")
    return whole.resolve_legend(color="independent")


def _key(best: Sequence[Row]) -> Any:
    """Which colour is which trial, across the whole width."""
    num_rows = 1 + max(row["row"] for row in key_rows(best))
    x = alt.X("column:Q", scale=alt.Scale(domain=[0, 2], nice=False), axis=None)
    y = alt.Y("row:Q", scale=alt.Scale(domain=[num_rows - 0.5, -0.5], nice=False), axis=None)
    strokes = alt.Chart().mark_point(shape="stroke", size=160, strokeWidth=2, xOffset=8, opacity=1)
    names = alt.Chart().mark_text(align="left", dx=20)
    layered = alt.layer(
        strokes.encode(x=x, y=y, color=_colour(best)), names.encode(x=x, y=y, text="label:N"), data=named("key")
    )
    title = "best trials: objective, noise"
    return layered.properties(title=title, height=num_rows * _KEY_ROW, width=2 * _WIDTH)


def _colour(best: Sequence[Row]) -> alt.Color:
    numbers = [row["trial"] for row in best]
    scale = alt.Scale(domain=numbers, range=list(COLOURS[: len(numbers)]))
    return alt.Color("trial:N", sort=None, scale=scale, legend=None)


def _best_schedules(rows: Sequence[Row], best: Sequence[Row]) -> Any:
    """sigma(t), the best drawn strongest and on top."""
    y = alt.Y("sigma:Q", title="\u03c3, data units", scale=alt.Scale(zero=True))
    x = alt.X(
        "t:Q",
        title="t, fraction of training done",
        scale=alt.Scale(domain=[0, 1]),
        axis=alt.Axis(grid=False, tickCount=5),
    )
    lines = [
        alt.Chart().transform_filter(chosen).mark_line(strokeWidth=width).encode(x=x, y=y, color=_colour(best))
        for chosen, width in (("datum.rank > 0", 1.2), ("datum.rank == 0", 2.6))
    ]
    panel = alt.layer(*lines, *([] if best else [_say("no trial completed")]), data=named("best"))
    return panel.properties(
        title=_title("a   the best schedules", "coloured as in b and d"), height=_HEIGHT, width=_WIDTH
    )


def _course(tables: Mapping[str, Sequence[Row]], best: Sequence[Row]) -> Any:
    """The objective over trials and the least so far; trials that failed are at the top edge."""
    trials = tables["trials"]
    valued = with_numbers(trials, "value")
    numbers = [row["trial"] for row in trials]
    margin = 0.5 + 0.02 * (max(numbers) - min(numbers))
    domain = [min(numbers) - margin, max(numbers) + margin]
    axis = alt.Axis(grid=False, tickMinStep=1, format="d", tickCount=6)
    x = alt.X("trial:Q", title="trial", scale=alt.Scale(domain=domain, nice=False), axis=axis)
    y = alt.Y("value:Q", title=_OBJECTIVE, **_scaled([row["value"] for row in valued]))
    least = alt.Chart(named("least")).mark_line(interpolate="step-after", style="ink", strokeWidth=1)
    failed = (
        alt.Chart().transform_filter("datum.state == 'fail'").mark_text(text="\u00d7", fontSize=11, baseline="middle")
    )
    layers = [
        least.encode(x=x, y=y),
        *_points(x, y, best),
        failed.encode(x=x, y=alt.value(0)),
        *([] if valued else [_say("no trial has a value")]),
    ]
    counts = {"complete": "\u25cf", "pruned": "\u25cb", "fail": "\u00d7"}
    told = [
        f"{mark}\u00a0{number} {'failed' if state == 'fail' else state}"
        for state, mark in counts.items()
        if (number := sum(row["state"] == state for row in trials))
    ]
    title = alt.TitleParams(
        "b   course of the search", subtitle="\u00a0\u00a0 ".join(told), subtitleFontSize=7, subtitlePadding=1
    )
    return alt.layer(*layers, data=named("trials")).properties(title=title, height=_HEIGHT, width=_WIDTH)


def _importances(rows: Sequence[Row]) -> Any:
    """Bars, the largest on top; few are no thicker than four."""
    title, size = _title("c   what matters", "shares of all parameters sum to 1"), {"height": _HEIGHT, "width": _WIDTH}
    if not rows:
        return alt.layer(_say("too few trials"), data=named("importances")).properties(title=title, **size)
    bar = min(8.0, 0.35 * _HEIGHT / max(4, len(rows)))
    domain: dict[str, Any] = {"domain": [len(rows) - 0.5 if len(rows) > 4 else 3.5, -0.5], "nice": False}
    rank = alt.Y("rank:Q", scale=alt.Scale(**domain), axis=None)
    scale = alt.Scale(domain=[0, 1.2 * rows[0]["share"] or 1.0], nice=False)
    x = alt.X("share:Q", scale=scale, title="importance for the objective", axis=alt.Axis(tickCount=5))
    bars = alt.Chart().mark_rule(color=COLOURS[0], strokeWidth=bar, yOffset=5).encode(x=x, x2=alt.X2Datum(0), y=rank)
    numbers = (
        alt.Chart().mark_text(align="left", dx=3, dy=5).encode(x=x, y=rank, text=alt.Text("share:Q", format=".2f"))
    )
    label = alt.Chart().mark_text(align="left", dx=1, dy=-bar / 2 - 2).encode(x=alt.XDatum(0), y=rank, text="name:N")
    return alt.layer(bars, numbers, label, data=named("importances")).properties(title=title, **size)


def _against_truth(trials: Sequence[Row], best: Sequence[Row]) -> Any:
    """The objective over the distance it bounds: its ranks should be those of the distance, and none be below it."""
    both = with_numbers(trials, "distance", "value")
    distances, values = ([row[name] for row in both] for name in ("distance", "value"))
    rho = rank_correlation(trials)
    shown = "no correlation" if rho is None else f"Spearman's rho {rho:.2f}"
    size: dict[str, Any] = {"height": _HEIGHT, "width": _WIDTH}
    if not both:
        panel = alt.layer(_say("no trial has an objective and a distance"), data=named("trials"))
        return panel.properties(title="d   objective against truth, no correlation", **size)
    is_far = min(values) > _FAR * max(distances)
    of_x = _scaled(distances if is_far else [*distances, *values], own=distances)
    of_y = _scaled(values if is_far else [*distances, *values], own=None if is_far else [*distances, *values])
    x, y = alt.X("distance:Q", title=_DISTANCE, **of_x), alt.Y("value:Q", title=_OBJECTIVE, **of_y)
    layers = _points(x, y, best, needs="distance")
    subtitle = "every point is to be above the distance it bounds"
    if not is_far:  # the line of what no bound can go below
        equal = alt.InlineData(
            values=[{"distance": end, "value": end} for end in (0.9 * min(distances), 1.1 * max(distances))],
            name="equal",
        )
        line = alt.Chart(equal).mark_line(style="reference", clip=True)
        layers = [line.encode(x=x, y=y), *layers]
        subtitle = "dashed: objective = distance, the least possible"
    title = _title(f"d   objective against truth, {shown}", subtitle)
    return alt.layer(*layers, data=named("trials")).properties(title=title, **size)


# --- what panels share


def _points(x: Any, y: Any, best: Sequence[Row], *, needs: str = "value") -> list[Any]:
    """Pruned trials as rings, complete ones as discs; the best larger, in colour and on top."""
    tooltip = [
        alt.Tooltip("trial:Q"),
        alt.Tooltip("state:N"),
        alt.Tooltip("schedule:N"),
        alt.Tooltip("value:Q", title="objective", format=".4g"),
        alt.Tooltip("distance:Q", format=".4g"),
    ]
    has = f"isValid(datum.value) && isValid(datum.{needs})"
    kinds: dict[str, dict[str, Any]] = {
        "pruned": {"filled": False, "size": 20, "color": _GREY},
        "complete": {"filled": True, "size": 20, "color": _GREY},
        "best": {"filled": True, "size": 48},
    }
    layers = []
    for kind, style in kinds.items():
        chosen = alt.Chart().transform_filter(f"datum.kind == '{kind}' && {has}")
        coloured = {"color": _colour(best)} if kind == "best" else {}
        layers.append(chosen.mark_point(opacity=1, **style).encode(x=x, y=y, tooltip=tooltip, **coloured))
    return layers


def _scaled(values: Sequence[float], *, own: Sequence[float] | None = None) -> dict[str, Any]:
    """Scale and axis: logarithmic if the values are positive and their span is wide."""
    shown = own or values
    if not values or min(values) <= 0 or max(values) <= _WIDE * min(values):
        return {"scale": alt.Scale(zero=False, nice=True, padding=4), "axis": alt.Axis(tickCount=5, grid=True)}
    low, high = 0.85 * min(shown), 1.18 * max(shown)
    axis = ticked(log_ticks(low, high)) if len(log_ticks(low, high)) > 1 else alt.Axis(tickCount=4, format="~g")
    return {"scale": alt.Scale(type="log", nice=False, domain=[low, high]), "axis": axis}


def _title(text: str, subtitle: str) -> alt.TitleParams:
    return alt.TitleParams(text, subtitle=subtitle)


def _say(text: str) -> Any:
    """In the place of data."""
    empty = alt.InlineData(values=[{}], name="nothing")
    where = {"x": alt.value(alt.expr("width / 2")), "y": alt.value(alt.expr("height / 2"))}
    return alt.Chart(empty).mark_text(text=text, align="center").encode(**where)


def _caption(job: str, trials: Sequence[Row], best: Sequence[Row]) -> str:
    least = f"the least {best[0]['value']:.4g}, of trial {best[0]['trial']}" if best else "none complete"
    return (
        f"Job {job}: a search of {len(trials)} trials, {least}. (a) Noise over training of the best {len(best)}. (b) "
        "The objective, a bound on the distance, in the order of the trials; the line is the least so far; crosses at "
        "the top edge failed. (c) Shares of the objective's variation that parameters explain, at most the largest "
        f"{_MOST_PARAMETERS}. (d) The objective against the exact distance. Coloured discs are the best, grey ones "
        "other complete trials, rings pruned ones."
    )


def _description(job: str, trials: Sequence[Row], best: Sequence[Row]) -> str:
    rho = rank_correlation(trials)
    found = (
        "; ".join(f"{row['value']:.3g} by {short(json.loads(row['parameters']))}" for row in best) or "none complete"
    )
    related = "no rank correlation" if rho is None else f"rank correlation {rho:.2f}"
    return f"Search of job {job}: best objectives {found}. Objective and exact distance: {related}."
