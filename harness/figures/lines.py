"""Any metric over any axis: lines of means over seeds with their intervals, in panels."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import altair as alt

from ..errors import counted
from ..storage.query import Results
from .axes import log_axis, log_ticks, ticked
from .picture import COLOURS, Picture, Row, colours_of, named, shapes_of
from .selection import Band, Selected, View, left_out_sentence, seeds_sentence, selected
from .tables import AXIS_TITLES, NUMERIC_AXES, metric_title
from .words import LEGEND, datum, expression, name_of, path

_DECADES = 30.0  # a metric whose means span more than this factor gets a log axis
_TENS = 10.0  # likewise what is chosen by hand, such as sigma
_FEW_TICKS = 7
_BANDS = {
    "ci": "95 % t intervals of the mean",
    "range": "the range over seeds",
}


def lines(results: Results, job: str, view: View, *, band: Band = "ci") -> Picture:
    """A metric of a job over an axis: a line of means a value of `by`, a panel a value of `panels`.

    Raises:
      HarnessError: If a name is unknown, or there is nothing to show.
    """
    found = selected(results, job, view)
    in_a_row = 1 if found.by in (None, found.x) else len(found.values(found.by))
    rows = None if is_line(found) else len(found.values(found.x)) * (12 + 8 * in_a_row)
    return Picture(
        chart=chart(found, band=band),
        tables={"groups": found.rows},
        caption=_caption(found, job, band, left_out_sentence(results, job)),
        description=described(found, job),
        num_panels=len(found.values(found.panels)),
        legend=[] if found.by is None else [name_of(found.by, value) for value in found.values(found.by)],
        aspect=None if rows else 0.62 if found.panels is None else 0.85,
        height=rows,
        narrow=2 if rows is None else 1,
    )


def chart(found: Selected, *, band: Band = "ci") -> Any:
    """The chart of groups, whose rows are named ``groups``: pure, and the same for a page and a file."""
    layered = alt.layer(*layers(found, band), data=named("groups"))
    panels = found.values(found.panels)
    whole: Any = layered
    if found.panels is not None:
        header = alt.Header(title=None, labelExpr=expression(found.panels, panels))
        facet = alt.Facet(field=found.panels, type="nominal", sort=list(panels), header=header)
        whole = layered.facet(facet=facet, columns=min(4, len(panels)))
    if band != "none":
        whole = whole.transform_calculate(**ends(found, band))
    if _shows_seeds(found):
        # here and not in the layer of seeds: Vega-Lite would show it all cells in all panels
        values = path(f"{found.metric}_values")
        whole = whole.transform_flatten([values, "seeds", "cell_ids"], as_=["value", "seed", "cell_id"])
    return whole


# --- layers


def layers(found: Selected, band: Band, *, title: str | None = None) -> list[Any]:
    """Bands or bars, seeds, lines, means; categories are rows, whose names need the room."""
    base, colour = alt.Chart(), _colour(found)
    shape = {} if found.by is None else {"shape": _shape(found)}
    own: dict[str, Any] = {} if found.by is not None else {"color": COLOURS[0]}
    if found.x == "seed":
        cells = {**_places(found, "value", title=title), **colour}
        return [
            base.mark_line(strokeWidth=0.7, opacity=0.5, **own).encode(**cells),
            base.mark_point(filled=True, opacity=1, size=26, **own).encode(
                tooltip=_tooltip_of_cells(found), **cells, **shape
            ),
        ]
    shown: list[Any] = []
    if band != "none":
        mark = base.mark_area(opacity=0.18, **own) if is_line(found) else base.mark_rule(strokeWidth=1.3, **own)
        shown.append(mark.encode(**_places(found, "low", end="high", title=title), **colour))
    if _shows_seeds(found):
        cells_ = alt.Chart(name="seeds").mark_point(filled=True, shape="circle", size=5, opacity=0.5, **own)
        shown.append(cells_.encode(tooltip=_tooltip_of_cells(found), **_places(found, "value", title=title), **colour))
    means = {**_places(found, path(found.metric), title=title), **colour}
    if is_line(found):
        shown.append(base.mark_line(**own).encode(**means))
    points = alt.Chart(name="means").mark_point(filled=True, opacity=1, size=26, **own)
    return [*shown, points.encode(tooltip=_tooltip(found), **means, **shape)]


def is_line(found: Selected) -> bool:
    return found.x in NUMERIC_AXES and len(found.values(found.x)) > 1


def _shows_seeds(found: Selected) -> bool:
    """Whether cells are small points of their own: where all groups have few, and some more than one."""
    values = f"{found.metric}_values"
    if not all(values in row for row in found.rows):  # a group without them would take its mean away, too
        return False
    return any(row["n"] > 1 or found.x == "seed" for row in found.rows)


def ends(found: Selected, band: Band) -> dict[str, str]:
    """The ends of bands, which go no further than the axis."""
    names = ("low", "high") if band == "ci" else ("min", "max")
    low, high = (datum(f"{found.metric}_{name}") for name in names)
    _, floor = _scale(found.rows, found.metric)
    return {"low": low if floor is None else f"{low} === null ? null : max({low}, {floor!r})", "high": high}


# --- encodings


def _places(found: Selected, field: str, *, title: str | None, end: str | None = None) -> dict[str, Any]:
    """Where marks are: a field of the metric along one axis, the axis of the view along the other."""
    scale, _ = _scale(found.rows, found.metric)
    about: dict[str, Any] = {
        "field": field,
        "type": "quantitative",
        "scale": scale,
        "title": title or metric_title(found.metric),
    }
    is_log = scale.to_dict().get("type") == "log"
    shown = [row[f"{found.metric}_{end}"] for row in found.rows for end in ("min", "max")]
    axis: Callable[..., alt.Axis] = (
        functools.partial(log_axis, shown) if is_log else functools.partial(alt.Axis, tickCount=5)
    )
    if is_line(found):
        return {
            "x": _x(found),
            "y": alt.Y(**about, axis=axis()),
            **({} if end is None else {"y2": alt.Y2(field=end)}),
        }
    values = found.values(found.x)
    names = alt.Axis(labelExpr=expression(found.x, values, width=40), grid=False, ticks=False, domain=False, title=None)
    offset = None if found.by == found.x else found.by
    scale_of_offset = alt.Scale(paddingOuter=0.5)
    return {
        "x": alt.X(**about, axis=axis(grid=True)),
        **({} if end is None else {"x2": alt.X2(field=end)}),
        "y": alt.Y(field=found.x, type="nominal", sort=list(values), axis=names),
        **(
            {
                "yOffset": alt.YOffset(
                    field=offset, type="nominal", sort=list(found.values(offset)), scale=scale_of_offset
                )
            }
            if offset is not None
            else {}
        ),
    }


def _x(found: Selected) -> alt.X:
    axis, values = found.x, found.values(found.x)
    positive = [value for value in values if value > 0]
    scale: dict[str, Any] = {"nice": False, "zero": False, "padding": 6}
    ticks = list(values) if len(values) <= _FEW_TICKS else None
    if positive and axis not in ("epoch", "seed") and max(positive) >= _TENS * min(positive):
        scale["type"] = "log"
        ticks = ticks or log_ticks(min(positive), max(positive))
        if min(values) <= 0:  # room for 0 a decade below the least
            scale |= {"type": "symlog", "constant": min(positive) / 2}
            ticks = ticks if 0 in ticks else [0, *ticks]
    label = alt.Axis(grid=False, tickCount=5) if ticks is None else ticked(ticks, grid=False)
    return alt.X(field=axis, type="quantitative", scale=alt.Scale(**scale), title=AXIS_TITLES[axis], axis=label)


def _colour(found: Selected) -> dict[str, Any]:
    if found.by is None:
        return {}
    values = found.values(found.by)
    scale = alt.Scale(domain=list(values), range=colours_of(found.by, values))
    return {
        "color": alt.Color(field=found.by, type="nominal", scale=scale, sort=None, legend=_legend(found.by, values))
    }


def _shape(found: Selected) -> alt.Shape:
    assert found.by is not None
    values = found.values(found.by)
    scale = alt.Scale(domain=list(values), range=shapes_of(values))
    return alt.Shape(field=found.by, type="nominal", scale=scale, sort=None, legend=_legend(found.by, values))


def _legend(axis: str, values: Sequence[Any]) -> alt.Legend | None:
    if len(values) < 2:
        return None
    return alt.Legend(
        title=None,
        orient="top",
        direction="horizontal",
        labelExpr=expression(axis, values, width=LEGEND),
        symbolOpacity=1,
    )


def _scale(rows: Sequence[Row], metric: str) -> tuple[alt.Scale, float | None]:
    """A metric's scale, and the least value bands may reach: a log axis has no 0, a distance nothing below it."""
    means = [row[metric] for row in rows if row[metric] is not None]
    lowest = [row[f"{metric}_min"] for row in rows if row[f"{metric}_min"] is not None]
    low, high = min(lowest, default=0.0), max(means, default=1.0)
    if low > 0 and high > _DECADES * min(means):
        return alt.Scale(type="log", nice=False, padding=4), low
    return alt.Scale(zero=0 <= low < 0.5 * high, nice=True), 0.0 if low >= 0 else None


def _axis_tooltips(found: Selected) -> list[alt.Tooltip]:
    shown = [axis for axis in (found.by, found.panels, found.x) if axis is not None and axis != "seed"]
    kinds: dict[str, Any] = {axis: "quantitative" if axis in NUMERIC_AXES else "nominal" for axis in shown}
    return [alt.Tooltip(field=axis, type=kinds[axis], title=axis.replace("_", " ")) for axis in shown]


def _tooltip_of_cells(found: Selected) -> list[alt.Tooltip]:
    value = alt.Tooltip("value:Q", title=found.metric.replace("_", " "), format=".5g")
    return [*_axis_tooltips(found), alt.Tooltip("seed:N"), value]


def _tooltip(found: Selected) -> list[alt.Tooltip]:
    numbers = {"mean": found.metric, "95 % from": f"{found.metric}_low", "to": f"{found.metric}_high"}
    return [
        *_axis_tooltips(found),
        *(
            alt.Tooltip(field=path(name), type="quantitative", title=title, format=".5g")
            for title, name in numbers.items()
        ),
        alt.Tooltip(field="n", type="quantitative", title="seeds"),
    ]


# --- texts


def _caption(found: Selected, job: str, band: Band, left_out: str) -> str:
    what = f"{metric_title(found.metric)}, over {AXIS_TITLES[found.x]}"
    if found.panels is not None:
        what += f", a panel for each {found.panels.replace('_', ' ')}"
    has_lines, seeds = is_line(found), seeds_sentence(found.rows)
    if found.x == "seed":
        how = "each point is a cell"
    elif max((row["n"] for row in found.rows), default=0) < 2:
        how = f"{seeds} each, so without intervals"
    else:
        how = f"{'lines' if has_lines else 'points'} are means over {seeds}"
        if band != "none":
            how += f", {'bands' if has_lines else 'bars'} {_BANDS[band]}"
        if _shows_seeds(found):
            how += ", small points the seeds"
    parts = [f"Job {job}: {what}; {how}", found.fixed_sentence, *found.capped, left_out]
    return ". ".join(part[0].upper() + part[1:] for part in parts if part) + "."


def described(found: Selected, job: str) -> str:
    """From where to where each line goes."""
    texts = []
    for panel in found.values(found.panels):
        for value in found.values(found.by):
            row = [
                one
                for one in found.rows
                if (found.panels is None or one[found.panels] == panel) and (found.by is None or one[found.by] == value)
            ]
            if row and found.x != "seed":
                rank = {one: place for place, one in enumerate(found.values(found.x))}
                row.sort(key=lambda one: rank.get(one[found.x], 0))
                named_ = [name_of(axis, one) for axis, one in ((found.by, value), (found.panels, panel)) if axis]
                ends = " to ".join(dict.fromkeys(f"{one[found.metric]:.3g}" for one in (row[0], row[-1])))
                texts.append(f"{', '.join(named_) or found.metric}: {ends}")
    shown = texts[:12] + [f"and {counted(len(texts) - 12, 'more line')}"] * (len(texts) > 12)
    return f"{metric_title(found.metric)} over {AXIS_TITLES[found.x]} of job {job}. " + "; ".join(shown) + "."
