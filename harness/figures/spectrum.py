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
"""Of coordinates that are what their name says, standardised over 16 batches as the store's are (theory/statistics.py)."""


def spectrum(results: Results, job: str, view: View, *, band: Band = "ci") -> Picture:
    """Hill's index and the likelihood of a Cauchy against a normal, over an axis; `view.y` and `view.panels` are not used.

    Raises:
      HarnessError: If the job has no tails, or a name is unknown.
    """
    if INDEX not in tables.metric_names(results, job):
        raise HarnessError(
            f"job '{job}' has no tails of gradients; they need probe.generator_batches of at least 16, the default, and "
            "protocol probe"
        )
    found = selected(results, job, replace(view, y=INDEX, panels="none"), also=(ADVANTAGE,))
    return Picture(
        chart=chart(found, band=band),
        tables={"groups": found.rows},
        caption=(
            f"Job {job}: tails of the generator's gradient under each row's own loss, at the end of the discriminator's "
            f"training, over {tables.AXIS_TITLES[found.x]}. Left: Hill's index of its coordinates over batches (smaller is "
            f"heavier); right: mean log-likelihood of a Cauchy less that of a normal (above 0 the Cauchy fits better). "
            f"Dashed: what Cauchy and normal coordinates would show. Means over {seeds_sentence(found.rows)}"
            f"{', bands 95 % t intervals' if band == 'ci' else ', bands the range' if band == 'range' else ''}. "
            + " ".join(
                f"{part[0].upper()}{part[1:]}."
                for part in (found.fixed_sentence, left_out_sentence(results, job))
                if part
            )
        ).strip(),
        description=lines.described(found, job),
        legend=[] if found.by is None else [name_of(found.by, value) for value in found.values(found.by)],
        aspect=0.75,
    )


def chart(found: Selected, *, band: Band = "ci") -> Any:
    """Two panels of groups, whose rows are named ``groups``."""
    panels = []
    for metric, title in ((INDEX, "Hill's tail index"), (ADVANTAGE, "Cauchy less normal, nats a value")):
        layers = lines.layers(replace(found, metric=metric), band, title=title)
        panel = alt.layer(*_references(metric), *layers)
        panels.append(
            panel.transform_calculate(**lines.ends(replace(found, metric=metric), band)) if band != "none" else panel
        )
    return alt.hconcat(*panels, data=named("groups"), spacing=14)


def _references(metric: str) -> list[Any]:
    """Dashed lines with names."""
    layers: list[Any] = []
    for name, value in REFERENCES[metric].items():
        at = alt.YDatum(value)
        layers.append(alt.Chart().mark_rule(style="reference").encode(y=at))
        if name != "even":
            baseline, dy = ("bottom", -1) if metric == INDEX else ("top", 2)
            note = alt.Chart().mark_text(style="mark-note", text=name, align="right", baseline=baseline, dx=-2, dy=dy)
            layers.append(note.encode(y=at, x=alt.value("width")))
    return layers
