"""Figures 1 to 3 of Arjovsky & Bottou (2017), from the curves of a job of probes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import altair as alt

from ..errors import HarnessError, suggest
from ..storage.query import Results
from . import tables
from .axes import log_axis
from .picture import Picture, Row, colours_of, named
from .selection import seeds_sentence
from .tables import PLACE, literal, quoted
from .words import datum, expression, listed, name_of

Which = Literal[1, 2, 3]
METRICS = ("d_loss", "accuracy", "grad_norm_minimax", "grad_norm_non_saturating", "grad_variance")
AXES = ("epoch", "sigma", "batch_norm")


@dataclass(frozen=True)
class Selection:
    """Which probes a figure shows: lines by one axis, a single value of each other.

    Attributes:
      by: ``epoch``, ``sigma`` or ``batch_norm``.
      epoch, sigma, batch_norm: The value of the others; None for the job's first.
    """

    by: str = "epoch"
    epoch: int | None = None
    sigma: float | None = None
    batch_norm: str | None = None


@dataclass(frozen=True)
class _Panel:
    metric: str
    title: str
    is_log: bool = True


_PANELS: Mapping[Which, tuple[str, Sequence[_Panel], str]] = {
    1: (
        "minimax",
        (
            _Panel("d_loss", "discriminator's error\n(cross-entropy, nats)"),
            _Panel("accuracy", "discriminator's accuracy", is_log=False),
        ),
        "error and accuracy of discriminators trained from scratch against frozen generators",
    ),
    2: (
        "minimax",
        (_Panel("grad_norm_minimax", "norm of the generator's\ngradient under log(1 - D)"),),
        "norm of the generator's gradient under the original cost, log(1 - D)",
    ),
    3: (
        "non_saturating",
        (
            _Panel("grad_norm_non_saturating", "norm of the generator's\ngradient under -log D"),
            _Panel("grad_variance", "its variance over batches"),
        ),
        "norm of the generator's gradient under -log D, and its variance over batches",
    ),
}


def probes(results: Results, job: str, which: Which, selection: Selection | None = None) -> Picture:
    """One of the three figures.

    Raises:
      HarnessError: If the job has no such probes.
    """
    selection = selection or Selection()
    loss, panels, what = _PANELS[which]
    chosen = _chosen(results, job, selection, loss)
    rows = curves(results, job, where=chosen)
    if not rows:
        raise HarnessError(f"job '{job}' has no curves of its probes in {results.store.root}")
    values = list(dict.fromkeys(row[selection.by] for row in rows))
    others = [name_of(axis, value) for axis, value in chosen.items() if axis in AXES]
    return Picture(
        chart=chart(rows, which, selection.by, values),
        tables={"curves": rows},
        caption=(
            f"Job {job}: {what}, as in Figure {which} of Arjovsky & Bottou (2017), over the discriminator's "
            f"iterations. Lines are medians over {seeds_sentence(rows)}, bands their range; {listed(others)}."
        ),
        description=_description(rows, panels[0].metric, selection.by, values, job),
        legend=[name_of(selection.by, value) for value in values],
        aspect=0.75 if len(panels) > 1 else 0.62,
    )


def curves(results: Results, job: str, *, where: Mapping[str, Any] | None = None) -> list[Row]:
    """A row for each group and iteration: the axes, `n`, and of each metric the median over seeds, m_min and m_max.

    A seed that diverged has no values from there on.
    """
    place = ", ".join(f'c."{axis}"' for axis in PLACE)
    parts = ", ".join(
        f'median(u."{m}") AS "{m}", min(u."{m}") AS "{m}_min", max(u."{m}") AS "{m}_max"' for m in METRICS
    )
    conditions = "".join(f' AND c."{axis}" IS NOT DISTINCT FROM {literal(v)}' for axis, v in (where or {}).items())
    rows = results.query(
        f"""SELECT {place}, any_value(c.noise) AS noise, avg(c.sigma) AS sigma, iteration, count(*) AS n, {parts}
            FROM curves u JOIN cells c USING (job, cell_id)
            WHERE job = {quoted(job)} AND c.protocol = 'probe'{conditions} GROUP BY {place}, iteration
            ORDER BY {place}, iteration"""
    ).to_pylist()
    return list(rows)


def chart(rows: Sequence[Row], which: Which, by: str, values: Sequence[Any]) -> Any:
    """The chart of curves, whose rows are named ``curves``."""
    panels = [_panel(rows, panel, by, values) for panel in _PANELS[which][1]]
    if len(panels) == 1:
        return panels[0].properties(data=named("curves"))
    return alt.hconcat(*panels, data=named("curves"), spacing=14)


def _panel(rows: Sequence[Row], panel: _Panel, by: str, values: Sequence[Any]) -> Any:
    metric = panel.metric
    legend = alt.Legend(
        title=None,
        orient="top",
        direction="horizontal",
        labelExpr=expression(by, values, width=60),
        symbolOpacity=1,
        symbolType="stroke",
        symbolStrokeWidth=2,
        symbolSize=110,
    )
    scale = alt.Scale(domain=list(values), range=colours_of(by, values))
    colour = alt.Color(field=by, type="nominal", scale=scale, sort=None, legend=legend)
    x = alt.X(
        "iteration:Q",
        scale=alt.Scale(type="log", nice=False),
        title="discriminator's iterations",
        axis=log_axis([row["iteration"] for row in rows], grid=False),
    )
    lowest = [row[f"{metric}_min"] for row in rows if row[f"{metric}_min"] is not None and row[f"{metric}_min"] > 0]
    y_scale = alt.Scale(type="log", nice=False, padding=3) if panel.is_log else alt.Scale(zero=False, padding=3)
    highest = [row[f"{metric}_max"] for row in rows if row[f"{metric}_max"] is not None and row[f"{metric}_max"] > 0]
    y_axis = log_axis([*lowest, *highest]) if panel.is_log else alt.Axis(tickCount=5)
    about: dict[str, Any] = {"type": "quantitative", "scale": y_scale, "title": panel.title.split("\n"), "axis": y_axis}
    base = alt.Chart()
    if panel.is_log:  # which has no 0, to which float32 may round
        base = base.transform_filter(f"{datum(metric)} > 0")
    low = f"max({datum(metric + '_min')}, {min(lowest, default=1e-30)!r})" if panel.is_log else datum(f"{metric}_min")
    band = base.transform_calculate(low=low).mark_area(opacity=0.18)
    line = base.mark_line()
    tooltip = [
        alt.Tooltip(field=by, type="nominal", title=by.replace("_", " ")),
        alt.Tooltip("iteration:Q"),
        alt.Tooltip(field=metric, type="quantitative", title="median", format=".4g"),
        alt.Tooltip(field=f"{metric}_min", type="quantitative", title="least", format=".4g"),
        alt.Tooltip(field=f"{metric}_max", type="quantitative", title="most", format=".4g"),
        alt.Tooltip("n:Q", title="seeds"),
    ]
    return alt.layer(
        band.encode(x=x, y=alt.Y(field="low", **about), y2=alt.Y2(field=f"{metric}_max"), color=colour),
        line.encode(x=x, y=alt.Y(field=metric, **about), color=colour, tooltip=tooltip),
    )


def _chosen(results: Results, job: str, selection: Selection, loss: str) -> dict[str, Any]:
    """The one value of each axis that does not tell the lines apart."""
    tables.check_job(results, job)
    chosen: dict[str, Any] = {"loss": loss}
    for axis in (*AXES, "penalty", "learning_rate", "noise"):
        if axis == selection.by:
            continue
        there = results.query(
            f"""SELECT DISTINCT "{axis}" AS v FROM cells
                WHERE job = {quoted(job)} AND loss = {quoted(loss)} AND protocol = 'probe' ORDER BY v"""
        )["v"].to_pylist()
        if not there:
            raise HarnessError(f"job '{job}' has no probes with loss {loss}; the figures of the paper need them")
        wanted = getattr(selection, axis, None)
        if wanted is None:  # the paper's form where the job has it
            wanted = "separate" if axis == "batch_norm" and "separate" in there else there[0]
        if wanted not in there:
            raise HarnessError(f"job '{job}' has no {axis} {wanted}.{suggest(wanted, map(str, there))}")
        chosen[axis] = wanted
    return chosen


def _description(rows: Sequence[Row], metric: str, by: str, values: Sequence[Any], job: str) -> str:
    texts = []
    for value in values:
        own = [row[metric] for row in rows if row[by] == value and row[metric] is not None]
        if own:
            texts.append(f"{name_of(by, value)}: {own[0]:.3g} to {own[-1]:.3g}")
    return f"{metric.replace('_', ' ')} over the discriminator's iterations, job {job}. {'; '.join(texts)}."
