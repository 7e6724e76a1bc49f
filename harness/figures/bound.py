"""The bound of Theorem 3.3 against sigma: its terms, the exact distance it bounds, the floor, where it says nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from ..errors import HarnessError
from ..storage.query import Results
from . import samples, tables
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
_MOST_AGAIN = 4
_FAR = 30.0  # times the diameter: bounds beyond say nothing that those below do not


def bound(results: Results, job: str, *, panels: str | None = None, where: Mapping[str, str] | None = None) -> Picture:
    """Means over seeds of the bound at the sigmas of a job's cells, of one generator a panel.

    Of protocol probe: there the cells of one generator are at several sigmas, which change nothing in it.

    Raises:
      HarnessError: If there are no cells at several sigmas, or names are unknown.
    """
    if not has_probes(results, job):
        raise HarnessError(
            f"job '{job}' has no generator with cells at several sigmas: each is trained and measured at its own; "
            "'harness figure bound' measures them again"
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
        caption=_caption(job, rows, found.fixed_sentence, left_out_sentence(results, job)),
        description=_description(rows, job),
        num_panels=len(found.values(found.panels)),
        legend=[name for name, *_ in _LINES.values()],
        aspect=0.62 if found.panels is None else 0.95,
    )


def has_probes(results: Results, job: str) -> bool:
    """Whether a job's generators were probed at several sigmas."""
    tables.check_job(results, job)
    where = f"job = {tables.quoted(job)} AND status = 'completed' AND protocol = 'probe'"
    return bool(results.query(f"SELECT 1 FROM cells WHERE {where} LIMIT 1").num_rows)


def bound_again(results: Results, job: str, *, where: Mapping[str, str] | None = None) -> Picture:
    """The bound of a job's last generators over the sigmas of its evaluation: a panel a choice of loss and noise.

    Of protocol train, whose rows have the bound at one sigma each: measured again from the snapshots, in seconds a
    panel, of one seed.

    Raises:
      HarnessError: If the generators are not in the store, or names are unknown.
    """
    from ..evaluation.samples import bounds_over_sigma

    tables.check_job(results, job)
    spec = samples.job_file(results, job)
    cells, by, capped = samples.cells_of(results, job, spec.protocol, where or {}, num_rows=_MOST_AGAIN, num_columns=1)
    rows: list[Row] = [
        {"choice": samples.choice_name(cell, by), "cell_id": cell["cell_id"], "sigma": sigma, "n": 1}
        | {name: columns.get(name, cell.get(name)) for name in METRICS}  # the floor is the row's
        for cell, found in zip(cells, bounds_over_sigma(results.store, spec, cells), strict=True)
        for sigma, columns in found.items()
    ]
    rows = [row for row in rows if row["bound_paper"] is not None]
    if not rows:
        raise HarnessError(f"job '{job}' has generators of no finite samples; there is no bound")
    values = [one for row in rows for name in METRICS if (one := row.get(name)) is not None and one > 0]
    choices = list(dict.fromkeys(row["choice"] for row in rows))
    panels = "choice" if len(choices) > 1 else None
    sigmas = sorted({row["sigma"] for row in rows})
    limits = (min(values), min(max(values), _FAR * max(row["data_diameter"] for row in rows)))
    one = f"One generator each, of seed {cells[0]['seed']} at epoch {cells[0]['epoch']}"
    capped = [text.replace("rows", "panels") for text in capped if "rows" in text]
    return Picture(
        chart=chart(rows, sigmas, panels, choices, limits, name="bounds"),
        tables={"bounds": rows},
        caption=_caption(job, [], one, *capped),
        description=_description(rows, job),
        num_panels=len(choices),
        legend=[name for name, *_ in _LINES.values()],
        aspect=0.62 if panels is None else 0.95,
    )


def chart(
    rows: Sequence[Row],
    sigmas: Sequence[float],
    panels: str | None,
    values: Sequence[Any],
    limits: tuple[float, float],
    *,
    name: str = "groups",
) -> Any:
    """The chart of groups, whose rows are named ``groups``, or of generators that were measured again."""
    there = [name for name in _LINES if any(row.get(name) is not None for row in rows)]
    positive = [sigma for sigma in sigmas if sigma > 0]
    ticks = list(sigmas) if len(sigmas) <= 7 else log_ticks(min(positive), max(positive))
    scale = alt.Scale(type="log", nice=False, padding=3)
    if min(sigmas) <= 0:
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
        alt.Chart().mark_line(clip=True).encode(x=x, y=alt.Y(field="value", **y), tooltip=tooltip, **encodings),
        alt.Chart()
        .mark_point(filled=True, size=14, opacity=1, clip=True)
        .encode(x=x, y=alt.Y(field="value", **y), tooltip=tooltip, color=encodings["color"]),
        data=named(name),
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


def _caption(job: str, rows: Sequence[Row], *more: str) -> str:
    parts = [
        f"Job {job}: the bound 2 sqrt(V) + 2 C sqrt(JSD) on W1 (Theorem 3.3) at each sigma, and its two terms, beside "
        "the exact W1 of the same samples, which it must exceed, and that of other real samples, the floor of any "
        + ("generator" if not rows else f"generator; means over {seeds_sentence(rows)}"),
        "In the grey region the bound exceeds the diameter of the data, which bounds W1 anyway",
        *more,
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
