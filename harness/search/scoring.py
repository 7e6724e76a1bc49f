"""What a trial's rows are worth, and how it ended."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

from ..job.space import Parameters
from ..job.tune import TuneJob

Row = Mapping[str, Any]
State = Literal["complete", "pruned", "fail"]

REDUCE: dict[str, Callable[[Sequence[float]], float]] = {
    "median": statistics.median,
    "mean": statistics.fmean,
    "worst": max,
}


@dataclass(frozen=True)
class Judgement:
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

    state: State
    judgement: Judgement
    epoch: int
    member_steps: int
    seconds: float


class Study(Protocol):
    """Who invents trials, and judges what they report."""

    def ask(self) -> tuple[int, Parameters] | None:
        """A new trial, or one that was asked for before a search was killed; None if there are enough."""
        ...

    def report(self, number: int, *, stage: int, value: float) -> bool:
        """The value after a stage, counted from 0; whether the trial is to be given up."""
        ...

    def finish(self, number: int, result: Result) -> None:
        """The end of a trial."""
        ...


ROW_COLUMNS = ("cell_id", "run_id", "epoch", "status", "data_diameter", "seconds")
"""What judging needs of a row, besides the columns of bound and distance."""


def judge_seeds(rows: Sequence[Row], job: TuneJob) -> Judgement:
    """What generators are worth, from a row a seed.

    A seed that diverged counts with its last finite bound, and with no less than the diameter of the data,
    which bounds every distance: a schedule under which seeds diverge is worse than one under which they do not.
    """
    diameters = [row["data_diameter"] for row in rows if row["data_diameter"] is not None]
    completed = sum(row["status"] == "completed" for row in rows)
    if not diameters:
        return Judgement(None, None, None, len(rows), completed, None)
    bounds, distances = (seed_values(rows, column) for column in (job.bound, job.distance))
    reduce = REDUCE[job.objective.reduce]
    return Judgement(reduce(bounds), reduce(distances), max(bounds) - min(bounds), len(rows), completed, max(diameters))


def seed_values(rows: Sequence[Row], column: str) -> list[float]:
    """One value a seed, see `judge_seeds`; a bound that does not exist (without noise) is the diameter."""
    trivial = max(row["data_diameter"] for row in rows if row["data_diameter"] is not None)
    values = [(row[column] if row[column] is not None else trivial, row["status"] == "completed") for row in rows]
    return [value if completed else max(value, trivial) for value, completed in values]


def trial_row(number: int, parameters: Parameters, result: Result) -> dict[str, Any]:
    """A row of ``trials``."""
    judgement = result.judgement
    return {
        "trial": number,
        "state": result.state,
        "family": str(parameters["schedule"]),
        "parameters": json.dumps(parameters, sort_keys=True),
        "value": judgement.value,
        "distance": judgement.distance,
        "spread": judgement.spread,
        "seeds": judgement.seeds,
        "completed_seeds": judgement.completed,
        "diameter": judgement.diameter,
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
    judged = (row[name] for name in ("value", "distance", "spread", "seeds", "completed_seeds", "diameter"))
    return Result(row["state"], Judgement(*judged), row["epoch"], row["member_steps"], row["seconds"])
