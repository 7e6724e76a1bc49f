"""Tails of the generator's gradient: is it Cauchy, as Theorem 2.6 says of -log D near the optimum, or normal?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import altair as alt

from ..errors import HarnessError
from ..storage.query import Results
from . import lines, tables
from .picture import Picture, named
from .selection import Band, Selected, View, left_out_sentence, seeds_sentence, selected
from .words import name_of

INDEX, ADVANTAGE = "grad_tail_index", "grad_cauchy_advantage"
REFERENCES: Mapping[str, Mapping[str, float]] = {
    INDEX: {"Cauchy": 1.0, "normal": 3.98},
    ADVANTAGE: {"even": 0.0, "normal": -0.10},
}
"""Of coordinates that are what their name says, standardised over 16 batches as the store's (theory/statistics.py)."""


def spectrum(results: Results, job: str, view: View, *, band: Band = "ci") -> Picture:
    """Hill's index and the likelihood of a Cauchy against a normal over an axis; the view's y and panels do not count.

    Raises:
      HarnessError: If the job has no tails, or a name is unknown.
    """
    if INDEX not in tables.metric_names(results, job):
        raise HarnessError(
            f"job '{job}' has no tails of gradients; they need protocol probe, and probe.generator_batches of at least "
            "16, the default"
        )
    found = selected(results, job, replace(view, y=INDEX, panels="none"), also=(ADVANTAGE,))
    return Picture(
        chart=chart(found, band=band),
        tables={"groups": found.rows},
        caption=_caption(found, job, band, left_out_sentence(results, job)),
        description=lines.described(found, job),
        legend=[] if found.by is None else [name_of(found.by, value) for value in found.values(found.by)],
        aspect=0.75,
    )


def chart(found: Selected, *, band: Band = "ci") -> Any:
    """Two panels of groups, whose rows are named ``groups``."""
    panels = []
    for metric, title in ((INDEX, "Hill's tail index"), (ADVANTAGE, "Cauchy less normal, nats a value")):
        layers = lines.layers(replace(found, metric=metric), band, title=title)
        panel = alt.layer(*_references(metric, is_upright=lines.is_line(found)), *layers)
        panels.append(
            panel.transform_calculate(**lines.ends(replace(found, metric=metric), band)) if band != "none" else panel
        )
    return alt.hconcat(*panels, data=named("groups"), spacing=14)


def _references(metric: str, *, is_upright: bool) -> list[Any]:
    """Dashed lines with names: across, or where values of the metric are to the right, down."""
    layers: list[Any] = []
    for name, value in REFERENCES[metric].items():
        at = {"y": alt.YDatum(value)} if is_upright else {"x": alt.XDatum(value)}
        once = alt.InlineData(values=[{}], name="references")  # and not for each of the rows
        layers.append(alt.Chart(once).mark_rule(style="reference").encode(**at))
        if name != "even":
            below: dict[str, Any] = (
                {"baseline": "bottom", "dy": -1} if metric == INDEX else {"baseline": "top", "dy": 2}
            )
            side: dict[str, Any] = {"align": "right", "dx": -2} if is_upright else {"align": "left", "dx": 2}
            note = alt.Chart(once).mark_text(style="mark-note", text=name, **side, **below)
            place = {"x": alt.value("width")} if is_upright else {"y": alt.value(8)}
            layers.append(note.encode(**at, **place))
    return layers


def _caption(found: Selected, job: str, band: Band, left_out: str) -> str:
    bands = {"ci": ", bands 95 % t intervals", "range": ", bands their range", "none": ""}[band]
    parts = [
        f"Job {job}: tails of the generator's gradient under each row's own loss, over {tables.AXIS_TITLES[found.x]}",
        "Left: Hill's index of its coordinates over batches, smaller for heavier tails; right: mean log-likelihood of "
        "a Cauchy less that of a normal, above 0 where the Cauchy fits better",
        "Dashed: what Cauchy and normal coordinates would show",
        f"Means over {seeds_sentence(found.rows)}{bands}",
        found.fixed_sentence,
        left_out,
    ]
    return ". ".join(part[0].upper() + part[1:] for part in parts if part) + "."
