"""What a trial's rows are worth, and how it ended."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from ..job.space import Parameters
from ..job.tune import TuneJob

Row = Mapping[str, Any]
Ending = Literal["complete", "pruned", "fail"]

REDUCE: dict[str, Callable[[Sequence[float]], float]] = {
    "median": statistics.median,
    "mean": statistics.fmean,
    "worst": max,
}


@dataclass(frozen=True)
class TrialScore:
    """What a trial's generators are worth at an epoch.

    Attributes:
      value, distance: Bound and exact distance, reduced over seeds; None if there is nothing to bound them by.
      spread: Largest less smallest bound.
      seeds: How many there are.
      completed: Those that came so far without diverging or failing.
      diameter: Of the data, which bounds every distance.
    """

    value: float | None
    distance: float | None
    spread: float | None
    seeds: int
    completed: int
    diameter: float | None


@dataclass(frozen=True)
class Result:
    """How a trial ended.

    Attributes:
      epoch: The last one it was trained to.
      member_steps: Generator steps over its seeds.
      seconds: Computing time over its seeds.
    """

    state: Ending
    score: TrialScore
    epoch: int
    member_steps: int
    seconds: float


ROW_COLUMNS = ("cell_id", "run_id", "epoch", "status", "data_diameter", "seconds")
"""What scoring needs of a row, besides the columns of bound and distance."""


def score_seeds(rows: Sequence[Row], job: TuneJob) -> TrialScore:
    """What generators are worth, from a row per seed.

    No bound counts for more than the diameter of its seed's samples, real and fake together, which bounds their
    distance too; a seed that diverged counts with the largest diameter of all. So a schedule under which seeds diverge
    is never better than one under which they collapse.
    """
    diameters = [row["data_diameter"] for row in rows if row["data_diameter"] is not None]
    completed = sum(row["status"] == "completed" for row in rows)
    if not diameters:
        return TrialScore(None, None, None, len(rows), completed, None)
    bounds, distances = (seed_values(rows, column) for column in (job.bound, job.distance))
    reduce = REDUCE[job.objective.reduce]
    return TrialScore(
        value=reduce(bounds),
        distance=reduce(distances),
        spread=max(bounds) - min(bounds),
        seeds=len(rows),
        completed=completed,
        diameter=max(diameters),
    )


def seed_values(rows: Sequence[Row], column: str) -> list[float]:
    """One value per seed, see `score_seeds`; a bound that does not exist (without noise) is the diameter."""
    largest = max(row["data_diameter"] for row in rows if row["data_diameter"] is not None)
    return [
        min(row[column], row["data_diameter"]) if row["status"] == "completed" and row[column] is not None else largest
        for row in rows
    ]


def trial_row(number: int, parameters: Parameters, result: Result) -> dict[str, Any]:
    """A row of ``trials``."""
    score = result.score
    return {
        "trial": number,
        "state": result.state,
        "family": str(parameters["schedule"]),
        "parameters": json.dumps(parameters, sort_keys=True),
        "value": score.value,
        "distance": score.distance,
        "spread": score.spread,
        "seeds": score.seeds,
        "completed_seeds": score.completed,
        "diameter": score.diameter,
        "epoch": result.epoch,
        "member_steps": result.member_steps,
        "seconds": result.seconds,
        "finished_at": datetime.now(UTC),
    }


TRIAL_COLUMNS = (
    *("trial", "cells", "state", "value", "distance", "spread", "seeds", "completed_seeds", "diameter"),
    *("epoch", "member_steps", "seconds"),
)
"""What a `Result` needs of a row of ``trials``."""


def result_of(row: Row) -> Result:
    """The result that a row of ``trials`` tells of."""
    score = (row[name] for name in ("value", "distance", "spread", "seeds", "completed_seeds", "diameter"))
    return Result(row["state"], TrialScore(*score), row["epoch"], row["member_steps"], row["seconds"])
