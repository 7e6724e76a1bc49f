"""Noise over training: as schedules say, and as it was."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import altair as alt

from ..errors import HarnessError, counted
from ..storage.query import Results
from .picture import Picture, Row, colours_of, named
from .tables import check_job, orders, quoted
from .words import LEGEND, expression, name_of

_NUM_TIMES = 201


def noise_over_training(results: Results, job: str) -> Picture:
    """sigma over the steps of a job's runs, as it was; adaptive schedules differ between them.

    Raises:
      HarnessError: If the job has no runs with a noise of their own.
    """
    rows = results.query(
        f"""SELECT schedule, step, avg(sigma) AS sigma, min(sigma) AS sigma_min, max(sigma) AS sigma_max,
                   count(*) AS runs
            FROM training WHERE job = {quoted(job)} AND protocol = 'train' AND sigma IS NOT NULL
            GROUP BY schedule, step ORDER BY schedule, step"""
    ).to_pylist()
    if not rows:
        check_job(results, job)
        raise HarnessError(f"job '{job}' has no runs with a noise of their own; run a job of protocol train first")
    there = {row["schedule"] for row in rows}
    names = [name for name in orders(results, job)["schedule"] if name in there]
    names += sorted(there - set(names))
    most = max(row["runs"] for row in rows)
    varies = any(row["sigma_max"] > row["sigma_min"] for row in rows)
    band = ", bands their range" if varies else "; they do not differ between runs"
    return Picture(
        chart=chart(names, x="step", title="generator's steps"),
        tables={"noise": rows},
        caption=(
            f"Job {job}: noise \u03c3 over training as it was; lines are means over up to {counted(most, 'run')}{band}."
        ),
        description=_description(rows, names, "step"),
        legend=[name_of("schedule", name) for name in names],
    )


def schedules(functions: Mapping[str, Callable[[float], float]]) -> Picture:
    """sigma(t) of schedules, by name."""
    times = [index / (_NUM_TIMES - 1) for index in range(_NUM_TIMES)]
    rows: list[Row] = [
        {"schedule": name, "t": t, "sigma": sigma(t), "sigma_min": sigma(t), "sigma_max": sigma(t)}
        for name, sigma in functions.items()
        for t in times
    ]
    names = list(functions)
    return Picture(
        chart=chart(names, x="t", title="t, fraction of training done"),
        tables={"schedules": rows},
        caption="Noise schedules by their formulas: \u03c3 over the fraction of training that is done.",
        description=_description(rows, names, "t"),
        legend=[name_of("schedule", name) for name in names],
    )


def chart(names: Sequence[str], *, x: str, title: str) -> Any:
    """The chart of sigma, a line a schedule; rows are named ``noise`` (of steps) or ``schedules`` (of t)."""
    label = expression("schedule", names, width=LEGEND)
    legend = alt.Legend(
        title=None,
        orient="top",
        direction="horizontal",
        labelExpr=label,
        symbolType="stroke",
        symbolStrokeWidth=1.6,
        symbolSize=160,
        symbolOpacity=1,
    )
    scale = alt.Scale(domain=list(names), range=colours_of("schedule", names))
    colour = alt.Color("schedule:N", scale=scale, sort=None, legend=legend if len(names) > 1 else None)
    dash = alt.StrokeDash(
        "schedule:N",
        sort=None,
        legend=legend if len(names) > 1 else None,
        scale=alt.Scale(domain=list(names), range=_dashes(len(names))),
    )
    along = alt.X(
        field=x, type="quantitative", title=title, scale=alt.Scale(nice=False), axis=alt.Axis(grid=False, tickCount=6)
    )
    y: dict[str, Any] = {"type": "quantitative", "title": "noise \u03c3, data units", "scale": alt.Scale(zero=True)}
    tooltip = ["schedule:N", alt.Tooltip(field=x, type="quantitative"), alt.Tooltip("sigma:Q", format=".4g")]
    band = alt.Chart().mark_area(opacity=0.18)
    line = alt.Chart().mark_line()
    return alt.layer(
        band.encode(x=along, y=alt.Y(field="sigma_min", **y), y2=alt.Y2(field="sigma_max"), color=colour),
        line.encode(x=along, y=alt.Y(field="sigma", **y), color=colour, strokeDash=dash, tooltip=tooltip),
        data=named("noise" if x == "step" else "schedules"),
    )


_DASHES = ([1, 0], [6, 2], [2, 1.5], [8, 2, 2, 2], [4, 1], [1, 2], [6, 2, 1, 2, 1, 2])


def _dashes(number: int) -> list[list[float]]:
    return [[float(part) for part in _DASHES[index % len(_DASHES)]] for index in range(number)]


def _description(rows: Sequence[Row], names: Sequence[str], x: str) -> str:
    texts = []
    for name in names:
        own = [row for row in rows if row["schedule"] == name]
        texts.append(f"{name_of('schedule', name)}: from {own[0]['sigma']:.3g} to {own[-1]['sigma']:.3g}")
    return f"Noise sigma over {'steps' if x == 'step' else 'the fraction of training'}. " + "; ".join(texts) + "."
