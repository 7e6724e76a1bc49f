"""After a search: the best trials on further seeds, and the chosen schedule beside the baselines on fresh ones."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .grid import expand
from .job import Grid
from .search import ROW_COLUMNS, Judgement, Row, judge, seed_values
from .store import Store
from .tune_job import Parameters, TuneJob

FIRST_CONFIRMATION_SEED = 1_000_000
"""Confirmation trains with seeds from here on, which no search sees."""

_CONSTANTS = (0.025, 0.05, 0.1, 0.15, 0.25)  # of the diameter of the data


@dataclass(frozen=True)
class Finalist:
    """A trial that ran to its end.

    Attributes:
      judgement: Over the search's seeds.
      final: Over these and the finalists' further seeds; None where there are none.
    """

    number: int
    parameters: Parameters
    judgement: Judgement
    final: Judgement | None = None

    @property
    def value(self) -> float:
        """What finalists are ranked by."""
        value = (self.final or self.judgement).value
        return math.inf if value is None else value


def finalist_grids(job: TuneJob, finalists: Sequence[Finalist]) -> list[Grid]:
    """The cells that tell the finalists apart: all seeds of the search, and further ones."""
    seeds = range(job.search.seeds + job.search.finalist_seeds)
    return [job.grid(finalist.parameters, seeds=seeds) for finalist in finalists]


def ranked(job: TuneJob, store: Store, finalists: Sequence[Finalist]) -> list[Finalist]:
    """The finalists with what their generators are worth over all seeds, the best first."""
    grids = finalist_grids(job, finalists)
    rows = grid_rows(job, store, job.name, grids)
    judged = [
        Finalist(finalist.number, finalist.parameters, finalist.judgement, judge(own, job))
        for finalist, own in zip(finalists, rows, strict=True)
    ]
    return sorted(judged, key=lambda finalist: finalist.value)


def confirmation_grids(job: TuneJob, ranking: Sequence[Finalist], constants: Sequence[Finalist]) -> dict[str, Grid]:
    """By name: the chosen schedule and the two behind it, and what a user would have done without a search.

    Args:
      job: The search.
      ranking: Finalists, the best first.
      constants: The search's trials of constant sigma, the best first.
    """
    best = ranking[0]
    candidates = {f"trial {finalist.number}": dict(finalist.parameters) for finalist in ranking[:3]}
    if constants:
        candidates.setdefault(f"trial {constants[0].number}", dict(constants[0].parameters))
    diameter = best.judgement.diameter
    assert diameter is not None, "a finalist has completed"
    kept = ("loss", "penalty", "learning_rate", "discriminator_steps")
    penalty = f"{best.parameters.get('penalty')}."
    like_best = {name: value for name, value in best.parameters.items() if name in kept or name.startswith(penalty)}

    def baseline(schedule: str, **values: float) -> dict[str, Any]:
        return {"schedule": schedule, **{f"{schedule}.{name}": value for name, value in values.items()}, **like_best}

    candidates["no noise"] = baseline("constant", sigma=0.0)
    for share in _CONSTANTS:
        candidates[f"constant, {share:g} diameters"] = baseline("constant", sigma=share * diameter)
    candidates["linear, 0.25 diameters to 0"] = baseline("linear", start=0.25 * diameter, end=0.0)
    seeds = range(FIRST_CONFIRMATION_SEED, FIRST_CONFIRMATION_SEED + job.search.confirmation_seeds)
    return {name: job.grid(parameters, seeds=seeds) for name, parameters in candidates.items()}


def confirmed(job: TuneJob, store: Store, name: str, grids: Mapping[str, Grid]) -> list[Row]:
    """A row a candidate, by its median bound on the fresh seeds.

    Args:
      job: The search.
      store: Where its results are.
      name: Of the job that trained the candidates.
      grids: From `confirmation_grids`.
    """
    table = []
    for (candidate, grid), rows in zip(grids.items(), grid_rows(job, store, name, grids.values()), strict=True):
        row: dict[str, Any] = {"candidate": candidate, "schedule": str(grid.sigma[0])}
        for column in (job.bound, job.distance):
            known = any(row["data_diameter"] is not None for row in rows)
            values = seed_values(rows, column) if known else [math.inf]
            row |= {f"median {column}": statistics.median(values), f"worst {column}": max(values)}
        table.append({**row, "diverged": sum(row["status"] != "completed" for row in rows)})
    return sorted(table, key=lambda row: row[f"median {job.bound}"])


def grid_rows(job: TuneJob, store: Store, name: str, grids: Any) -> list[list[Row]]:
    """The rows of each grid's cells in the job of this name, one a seed."""
    columns = [*ROW_COLUMNS, job.bound, job.distance]
    rows = {row["cell_id"]: row for row in store.new_rows("cells", name, columns=columns, seen=set())}
    wanted = [expand(job.training_job(name, (grid,))) for grid in grids]
    return [[rows[cell.cell_id] for cell in cells if cell.cell_id in rows] for cells in wanted]
