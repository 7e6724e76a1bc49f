"""Contrasts of a job, or of two: differences with their intervals, by `contrasts`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import altair as alt

from ..contrasts.compare import compared
from ..contrasts.contrast import Contrast, row, sentence
from ..errors import counted
from ..storage.query import Results
from .picture import Picture, named
from .tables import metric_title
from .words import in_lines, name_of, named_values

MAX_CONTRASTS = 60
_ROW, _LINE = 17, 9  # points of a contrast, and of each further line of its name
# verdicts by shape and fill, and by colour for those who see it
_VERDICTS = {
    "better": ("triangle-up", "#009E73"),
    "worse": ("triangle-down", "#D55E00"),
    "less": ("triangle-left", "#0072B2"),
    "more": ("triangle-right", "#CC79A7"),
    "undecided": ("circle", "#8C8C8C"),
}
_KIND = "contrasts"


def contrasts(
    results: Results,
    job: str,
    other: str | None = None,
    *,
    by: str | None = None,
    metrics: Sequence[str] = ("w1", "bound_best"),
    against: str | None = None,
    epoch: int | None = None,
) -> Picture:
    """Differences of means over seeds, of every value of an axis against one, or of two jobs; a panel a metric.

    Raises:
      HarnessError: As `contrasts.compare.compared`.
    """
    answer = compared(results, job, other, by=by, metrics=metrics, against=against, epoch=epoch)
    sides = " and ".join(part for part in (job, other) if part is not None)
    left_out = sum(map(len, answer.left_out.values()))
    return picture_of(answer.contrasts, sides, num_left_out=left_out, is_one_question=True)


def picture_of(
    found: Sequence[Contrast], sides: str, *, num_left_out: int = 0, is_one_question: bool = False
) -> Picture:
    """The picture of contrasts that are there already.

    Args:
      found: At least one; of several questions where they are against several values.
      sides: What they are of, for a person.
      num_left_out: Combinations that had no counterpart.
      is_one_question: Whether all of them were corrected together.
    """
    shown = found[:MAX_CONTRASTS]
    rows = rows_of(shown)
    corrected = counted(len(found), "contrast") if is_one_question else "all those of a question"
    names = list(dict.fromkeys(one["contrast"] for one in rows))
    there = list(dict.fromkeys(one["metric"] for one in rows))
    against = f" against {shown[0].theirs}" if len({one.theirs for one in shown}) == 1 else ""
    pairs = sorted({one.num_pairs for one in shown})
    paired = f"{pairs[0]} to {pairs[-1]} pairs" if pairs[0] != pairs[-1] else counted(pairs[0], "pair")
    unpaired = "" if all(one.is_paired for one in shown) else ", or where seeds are not the same of all"
    caption = (
        f"Job {sides}: difference of the means{against}, of {paired} of seeds{unpaired}. Bars are t "
        f"intervals corrected for {corrected} (Holm, 5 %), which exclude 0 at a verdict: a "
        "triangle; discs are undecided."
    )
    if len(found) > len(shown):
        caption += f" The first {len(shown)} of {len(found)} are shown; choose others with --metric, --by, --epoch."
    if num_left_out:
        caption += f" {counted(num_left_out, 'combination')} without a counterpart left out."
    return Picture(
        chart=chart(names, there, rows),
        tables={_KIND: rows},
        caption=caption,
        description=" ".join(f"{sentence(one)}." for one in shown[:8]),
        num_panels=len(there),
        legend=list(dict.fromkeys(one["verdict"] for one in rows)),
        aspect=None,
        height=max(2, len(names)) * (_ROW + _LINE * max((name.count("\n") for name in names), default=0)),
        most=3,
        narrow=1,
    )


def rows_of(found: Sequence[Contrast]) -> list[dict[str, Any]]:
    """Rows of contrasts as `contrasts.contrast.row`, with a name of each; ends that are not known are None."""
    rows = []
    several = len({one.theirs for one in found}) > 1
    for one in found:
        name = in_lines(name_of("schedule", one.ours), 40)
        if several:
            name += "\n" + in_lines(f"against {name_of('schedule', one.theirs)}", 40)
        within = f"{name} ({one.within.replace('_', ' ')})" if one.within else name
        known = {key: _finite(value) for key, value in row(one).items()}
        rows.append({**known, "contrast": within, "sentence": sentence(one)})
    return rows


def chart(names: Sequence[str], metrics: Sequence[str], rows: Sequence[dict[str, Any]]) -> Any:
    """The chart of contrasts, whose rows are named ``contrasts``."""
    verdicts = [name for name in _VERDICTS if any(one["verdict"] == name for one in rows)]
    legend = alt.Legend(title=None, orient="top", direction="horizontal", symbolSize=40)
    domain: dict[str, Any] = {"domain": verdicts}
    shape = alt.Shape(
        "verdict:N",
        sort=None,
        legend=legend,
        scale=alt.Scale(**domain, range=[_VERDICTS[name][0] for name in verdicts]),
    )
    colour = alt.Color(
        "verdict:N",
        sort=None,
        legend=legend,
        scale=alt.Scale(**domain, range=[_VERDICTS[name][1] for name in verdicts]),
    )
    y = alt.Y("contrast:N", sort=list(names), title=None, axis=alt.Axis(grid=False, ticks=False, domain=False))
    about: dict[str, Any] = {
        "scale": alt.Scale(zero=True),
        "axis": alt.Axis(tickCount=4),
        "title": "difference of the means",
    }
    tooltip = [
        "sentence:N",
        alt.Tooltip("difference:Q", format="+.4g"),
        alt.Tooltip("low:Q", format="+.4g"),
        alt.Tooltip("high:Q", format="+.4g"),
        alt.Tooltip("holm_p:Q", title="p", format=".3g"),
        alt.Tooltip("pairs:Q"),
    ]
    zero = alt.Chart().mark_rule(style="reference").encode(x=alt.XDatum(0))
    bars = alt.Chart().mark_rule(strokeWidth=1.3).encode(y=y, x=alt.X("low:Q", **about), x2="high:Q", color=colour)
    points = alt.Chart(name="means").mark_point(filled=True, opacity=1, size=45)
    places: dict[str, Any] = {"y": y, "x": alt.X("difference:Q", **about), "tooltip": tooltip}
    layered = alt.layer(
        zero,
        bars,
        points.encode(color=colour, shape=shape, **places),
        data=named(_KIND),
    )
    header = alt.Header(title=None, labelExpr=named_values(metrics, [metric_title(metric) for metric in metrics]))
    facet = alt.Facet("metric:N", sort=list(metrics), header=header)
    return layered.facet(facet=facet, columns=min(3, len(metrics))).resolve_scale(x="independent")


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
