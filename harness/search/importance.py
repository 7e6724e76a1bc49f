"""Which properties of schedules explain the objective."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ..job.space import Parameters, sigma_of

MIN_FOR_IMPORTANCES = 8


def importances(trials: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """How much of the objective's variance each property of the trials explains, see `study.fanova`.

    Families have parameters of their own, so schedules are compared by their family and their sigma at the start, half
    way and at the end; `adaptive` ones, which have no such numbers, are left out.

    Args:
      trials: Rows of the ``trials`` view.

    Returns:
      Shares that sum to 1, the largest first; empty for fewer than 8 complete trials, or where nothing varies.
    """
    from .study import fanova

    complete = [row for row in trials if row["state"] == "complete" and row["value"] is not None]
    points = [(_properties(json.loads(row["parameters"])), row["value"]) for row in complete]
    points = [(properties, value) for properties, value in points if properties]
    values = [value for _, value in points]
    if len(points) < MIN_FOR_IMPORTANCES or len(set(values)) == 1:
        return {}
    columns = {name: [properties.get(name) for properties, _ in points] for name in points[0][0]}
    varied = {name: column for name, column in columns.items() if len(set(column)) > 1 and None not in column}
    return fanova(varied, values) if varied else {}


def _properties(parameters: Parameters) -> dict[str, Any]:
    """What trials of all families have in common; nothing for an adaptive schedule."""
    sigma = sigma_of(parameters)
    times = {"sigma at the start": 0.0, "sigma half way": 0.5, "sigma at the end": 1.0}
    sigmas = {name: sigma.at(t) for name, t in times.items()}
    if None in sigmas.values():
        return {}
    return {**sigmas, **{name: value for name, value in parameters.items() if "." not in name}}
