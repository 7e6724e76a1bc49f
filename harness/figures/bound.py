"""The bound of Theorem 3.3 against sigma: its terms, the exact distance it bounds, the floor, where it says nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from ..errors import HarnessError
from ..storage.query import Results
from . import tables
from .axes import log_ticks, ticked
from .picture import Picture, Row, named
from .selection import View, left_out_sentence, seeds_sentence, selected
from .words import expression, named_values

# name in the legend, colour, dash, width
_LINES: Mapping[str, tuple[str, str, Sequence[float], float]] = {
    "bound_paper": ("bound", "#0072B2", (1, 0), 2.0),
    "bound_paper_noise_term": ("noise term", "#56B4E9", (5, 2), 1.2),
    "bound_paper_divergence_term": ("divergence term", "#CC79A7", (2, 1.5), 1.2),
    "w1": ("exact W1", "#D55E00", (1, 0), 1.6),
    "real_w1": ("floor", "#8C8C8C", (1, 2), 1.4),
}
METRICS = (*_LINES, "data_diameter")


def bound(results: Results, job: str, *, panels: str | None = None, where: Mapping[str, str] | None = None) -> Picture:
    """Means over seeds of the bound at the sigmas of a job's cells, of one generator a panel.

    Of protocol probe: there the cells of one generator are at several sigmas, which change nothing in it.

    Raises:
      HarnessError: If there are no cells at several sigmas, or names are unknown.
    """
    protocols = results.query(
        f"SELECT DISTINCT protocol FROM cells WHERE job = {tables.quoted(job)} AND status = 'completed'"
    )["protocol"].to_pylist()
    tables.check_job(results, job)
    if "probe" not in protocols:
        raise HarnessError(
            f"job '{job}' has no generator with cells at several sigmas: each is trained and measured at its own. "
            "Draw 'harness figure lines --y bound_best' of it, or the bound of a job of protocol probe"
        )
    view = View("bound_paper", x="sigma", by="none", panels=panels or _panels(results, job), where=where or {})
    found = selected(results, job, view, also=METRICS)
    rows = found.rows
    if len(found.values("sigma")) < 2:
        raise HarnessError(f"job '{job}' has one sigma only; the figure is over several")
    values = [one for row in rows for name in METRICS if (one := row.get(name)) is not None and one > 0]
    return Picture(
        chart=chart(rows, found.values("sigma"), found.panels, found.values(found.panels), (min(values), max(values))),
        tables={"groups": rows},
        caption=_caption(job, found.fixed_sentence, rows, left_out_sentence(results, job)),
        description=_description(rows, job),
        num_panels=len(found.values(found.panels)),
        legend=[name for name, *_ in _LINES.values()],
        aspect=0.62 if found.panels is None else 0.95,
    )


def chart(
    rows: Sequence[Row], sigmas: Sequence[float], panels: str | None, values: Sequence[Any], limits: tuple[float, float]
) -> Any:
    """The chart of groups, whose rows are named ``groups``."""
    there = [name for name in _LINES if any(row.get(name) is not None for row in rows)]
    positive = [sigma for sigma in sigmas if sigma > 0]
    ticks = list(sigmas) if len(sigmas) <= 7 else log_ticks(min(positive), max(positive))
    scale = alt.Scale(type="symlog", constant=min(positive) / 2, nice=False, padding=3)
    x = alt.X("sigma:Q", scale=scale, title=tables.AXIS_TITLES["sigma"], axis=ticked(ticks, grid=False))
    low, high = limits
    y: dict[str, Any] = {
        "type": "quantitative",
        "scale": alt.Scale(type="log", nice=False, domain=[0.8 * low, 1.25 * high]),
        "title": "distance, data units",
        "axis": ticked(log_ticks(0.8 * low, 1.25 * high)),
    }
    legend = alt.Legend(
        title=None,
        orient="top",
        direction="horizontal",
        symbolType="stroke",
        symbolSize=160,
        labelExpr=named_values(there, [_LINES[name][0] for name in there]),
    )

    def each(index: int) -> dict[str, Any]:
        return {"domain": there, "range": [_LINES[name][index] for name in there]}

    encodings: dict[str, Any] = {
        "color": alt.Color("line:N", sort=None, legend=legend, scale=alt.Scale(**each(1))),
        "strokeDash": alt.StrokeDash("line:N", sort=None, legend=legend, scale=alt.Scale(**each(2))),
        "strokeWidth": alt.StrokeWidth("line:N", sort=None, legend=legend, scale=alt.Scale(**each(3))),
    }
    tooltip = [
        alt.Tooltip("sigma:Q"),
        alt.Tooltip("line:N"),
        alt.Tooltip("value:Q", format=".4g"),
        alt.Tooltip("n:Q", title="seeds"),
    ]
    diameter = alt.Y(aggregate="mean", field="data_diameter", **y)
    vacuous = alt.Chart().mark_rect(opacity=0.13, color="#8C8C8C")
    edge = alt.Chart().mark_rule(style="reference")
    note = alt.Chart().mark_text(style="mark-note", align="left", baseline="bottom", dx=3, dy=-2, text="vacuous")
    layered = alt.layer(
        vacuous.encode(y=diameter, y2=alt.value(0)),
        edge.encode(y=diameter),
        note.encode(y=diameter, x=alt.value(0)),
        alt.Chart().mark_line().encode(x=x, y=alt.Y(field="value", **y), tooltip=tooltip, **encodings),
        alt.Chart()
        .mark_point(filled=True, size=14, opacity=1)
        .encode(x=x, y=alt.Y(field="value", **y), tooltip=tooltip, color=encodings["color"]),
        data=named("groups"),
    )
    whole: Any = layered
    if panels is not None:
        header = alt.Header(title=None, labelExpr=expression(panels, values))
        whole = layered.facet(
            facet=alt.Facet(field=panels, type="nominal", sort=list(values), header=header), columns=min(4, len(values))
        )
    return whole.transform_fold(there, as_=["line", "value"]).transform_filter("datum.value > 0")


def _panels(results: Results, job: str) -> str:
    return "epoch" if len(tables.orders(results, job)["epoch"]) > 1 else "none"


def _caption(job: str, fixed: str, rows: Sequence[Row], left_out: str) -> str:
    parts = [
        f"Job {job}: the bound 2 sqrt(V) + 2 C sqrt(JSD) on W1 (Theorem 3.3) at each sigma, and its two terms, beside "
        "the exact W1 of the same samples, which it must exceed, and that of other real samples, the floor of any "
        f"generator; means over {seeds_sentence(rows)}",
        "In the grey region the bound exceeds the diameter of the data, which bounds W1 anyway",
        fixed,
        left_out,
    ]
    return ". ".join(part[0].upper() + part[1:] for part in parts if part) + "."


def _description(rows: Sequence[Row], job: str) -> str:
    least = min(rows, key=lambda row: row["bound_paper"])
    is_vacuous = least["bound_paper"] > (least["data_diameter"] or 0)
    return (
        f"Bound against sigma, job {job}: least {least['bound_paper']:.3g} at sigma {least['sigma']:g}, where W1 is "
        f"{least['w1'] if least['w1'] is None else format(least['w1'], '.3g')}; "
        f"{'even that is vacuous' if is_vacuous else 'it is below the diameter'}."
    )
