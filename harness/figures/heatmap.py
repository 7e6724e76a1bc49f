"""Any metric over two axes: a colour and a number where they cross."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt

from ..storage.query import Results
from .picture import Picture, Row, named
from .selection import Selected, View, left_out_sentence, seeds_sentence, selected
from .tables import AXIS_TITLES, NUMERIC_AXES, metric_title
from .words import datum, expression, in_lines, name_of, path

_DECADES = 30.0
_ROW, _LINE = 17, 9  # points of a row, and of each further line of its name
_ROW_NAME, _SHORT = 36, 20  # characters
_MAX_NUMBERS = 80  # of a panel; more have no room for theirs


def heatmap(results: Results, job: str, view: View) -> Picture:
    """Means over seeds of a metric: columns by `x`, rows by `by`, a panel a value of `panels`.

    Raises:
      HarnessError: If a name is unknown, or there is nothing to show.
    """
    found = selected(results, job, view)
    names = [in_lines(name_of(found.by or "", value), _ROW_NAME) for value in found.values(found.by)]
    return Picture(
        chart=chart(found),
        tables={"groups": found.rows},
        caption=_caption(found, job, left_out_sentence(results, job)),
        description=_description(found, job),
        num_panels=len(found.values(found.panels)),
        aspect=None,
        height=(_ROW + _LINE * max(name.count("\n") for name in names)) * len(names),
        narrow=2 if max(map(len, names)) < _SHORT else 1,
    )


def chart(found: Selected) -> Any:
    """The chart of groups, whose rows are named ``groups``: pure, and the same for a page and a file."""
    columns, rows = found.values(found.x), found.values(found.by)
    metric = found.metric
    scale, middle = _scale(found.rows, metric)
    is_short = len(columns) <= 8 and max(len(name_of(found.x, value)) for value in columns) <= 12
    x = alt.X(
        field=found.x,
        type="ordinal",
        sort=list(columns),
        title=AXIS_TITLES[found.x],
        axis=_axis(
            found.x, columns, width=15 if is_short else 40, labelAngle=0 if is_short else -35, labelOverlap=False
        ),
    )
    places: dict[str, Any] = {"x": x}
    if found.by is not None:
        axis = _axis(found.by, rows, width=_ROW_NAME)
        places["y"] = alt.Y(field=found.by, type="ordinal", sort=list(rows), title=None, axis=axis)
    colour = alt.Color(
        field=path(metric),
        type="quantitative",
        scale=scale,
        title=metric_title(metric),
        legend=alt.Legend(orient="top", gradientLength=90, gradientThickness=7, titleOrient="left", tickCount=4),
    )
    tooltip = [
        *(
            alt.Tooltip(field=axis, type="nominal", title=axis.replace("_", " "))
            for axis in (found.x, found.by)
            if axis
        ),
        alt.Tooltip(field=path(metric), type="quantitative", title="mean", format=".5g"),
        alt.Tooltip(field=path(f"{metric}_low"), type="quantitative", title="95 % from", format=".5g"),
        alt.Tooltip(field=path(f"{metric}_high"), type="quantitative", title="to", format=".5g"),
        alt.Tooltip(field="n", type="quantitative", title="seeds"),
    ]
    layers: list[Any] = [alt.Chart(name="means").mark_rect().encode(**places, color=colour, tooltip=tooltip)]
    if len(columns) * len(rows) <= _MAX_NUMBERS:
        bright = alt.condition(f"{datum(metric)} > {middle!r}", alt.value("#1f2328"), alt.value("#ffffff"))
        number = alt.Text(field=path(metric), type="quantitative", format=".3~g", title=metric_title(metric))
        layers.append(alt.Chart().mark_text(baseline="middle").encode(**places, text=number, color=bright))
    layered = alt.layer(*layers, data=named("groups"))
    if found.panels is None:
        return layered
    panels = found.values(found.panels)
    header = alt.Header(title=None, labelExpr=expression(found.panels, panels))
    facet = alt.Facet(field=found.panels, type="nominal", sort=list(panels), header=header)
    return layered.facet(facet=facet, columns=min(4, len(panels)))


def _axis(axis: str, values: Sequence[Any], *, width: int, **more: Any) -> alt.Axis:
    shown: dict[str, Any] = (
        {"format": "~g"}
        if axis in NUMERIC_AXES and width < 20
        else {"labelExpr": expression(axis, values, width=width)}
    )
    return alt.Axis(domain=False, ticks=False, **shown, **more)


def _scale(rows: Sequence[Row], metric: str) -> tuple[alt.Scale, float]:
    """Viridis, which is read without colours too; and the value from which it is bright."""
    means = [row[metric] for row in rows]
    low, high = min(means), max(means)
    if low > 0 and high > _DECADES * low:
        return alt.Scale(scheme="viridis", type="log"), float(low * (high / low) ** 0.5)
    return alt.Scale(scheme="viridis", domain=[low, high] if high > low else [low, low + 1]), low + 0.5 * (high - low)


def _caption(found: Selected, job: str, left_out: str) -> str:
    over = [AXIS_TITLES[axis] for axis in (found.x, found.by, found.panels) if axis is not None]
    what = f"Job {job}: {metric_title(found.metric)}, by {' and '.join(over)}; means over {seeds_sentence(found.rows)}"
    parts = [what, found.fixed_sentence, *found.capped, left_out]
    return ". ".join(part[0].upper() + part[1:] for part in parts if part) + "."


def _description(found: Selected, job: str) -> str:
    least, most = (pick(found.rows, key=lambda row: row[found.metric]) for pick in (min, max))
    shown = [axis for axis in (found.x, found.by, found.panels) if axis is not None]
    places = [", ".join(f"{axis} {row[axis]}" for axis in shown) for row in (least, most)]
    return (
        f"{metric_title(found.metric)} of job {job} as colours: from {least[found.metric]:.3g} at {places[0]} to "
        f"{most[found.metric]:.3g} at {places[1]}."
    )
