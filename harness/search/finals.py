"""After a search: the best trials on further seeds, and the chosen schedule beside the baselines on fresh ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from ..job.job import Grid
from ..job.space import Parameters, schedule_text
from ..job.tune import TuneJob
from ..planning.grid import expand
from ..storage.store import Store
from .scoring import REDUCE, ROW_COLUMNS, Judgement, Row, judge_seeds, seed_values

FIRST_CONFIRMATION_SEED = 1_000_000
"""Confirmation trains with seeds from here on, which no search sees."""

NO_NOISE = "no noise"
_CONSTANTS = (0.005, 0.01, 0.025, 0.05, 0.1)  # of the scale of the data, see `data_scale`
_LINEAR = 0.25


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
    def overall(self) -> Judgement:
        """Over all the seeds it has had."""
        return self.final or self.judgement

    @property
    def value(self) -> float:
        """What finalists are ranked by."""
        return math.inf if self.overall.value is None else self.overall.value


def finalist_grids(job: TuneJob, finalists: Sequence[Finalist]) -> list[Grid]:
    """The cells that tell the finalists apart: all seeds of the search, and further ones."""
    seeds = range(job.search.seeds + job.search.finalist_seeds)
    return [job.grid(finalist.parameters, seeds=seeds) for finalist in finalists]


def ranked(job: TuneJob, store: Store, finalists: Sequence[Finalist]) -> list[Finalist]:
    """The finalists with what their generators are worth over all seeds, the best first."""
    grids = finalist_grids(job, finalists)
    rows = grid_rows(job, store, job.name, grids)
    judged = [
        Finalist(finalist.number, finalist.parameters, finalist.judgement, judge_seeds(own, job))
        for finalist, own in zip(finalists, rows, strict=True)
    ]
    return sorted(judged, key=lambda finalist: finalist.value)


def data_scale(job: TuneJob, store: Store) -> float:
    """The diameter of the data over sqrt(d), to two digits: the sigma whose noise is as long as the data are wide."""
    columns = ["data_diameter"]
    rows = store.new_rows("cells", job.name, columns=columns, seen=set())
    # of real and fake samples together: the least over all generators is nearest to that of the real ones
    diameter = min(row["data_diameter"] for row in rows if row["data_diameter"])
    return float(f"{diameter / math.sqrt(math.prod(job.problem.facts().shape)):.2g}")


def confirmation_grids(
    job: TuneJob, ranking: Sequence[Finalist], constants: Sequence[Finalist], *, scale: float
) -> dict[str, Grid]:
    """By name: the chosen schedule and the two behind it, and the baselines, which share its loss and its rates.

    Args:
      job: The search.
      ranking: Finalists, the best first.
      constants: The search's trials of constant sigma, the best first.
      scale: Of the data, see `data_scale`.
    """
    best = ranking[0].parameters
    candidates = {f"trial {finalist.number}": dict(finalist.parameters) for finalist in ranking[:3]}
    if constants:
        candidates.setdefault(f"trial {constants[0].number}", dict(constants[0].parameters))
    kept = ("loss", "penalty", "learning_rate", "discriminator_steps")
    like_best = {n: v for n, v in best.items() if n in kept or n.startswith(f"{best.get('penalty')}.")}

    def baseline(schedule: str, **values: float) -> dict[str, Any]:
        return {"schedule": schedule, **{f"{schedule}.{name}": value for name, value in values.items()}, **like_best}

    candidates[NO_NOISE] = baseline("constant", sigma=0.0)
    for share in _CONSTANTS:
        candidates[f"constant, {share:g} scales"] = baseline("constant", sigma=share * scale)
    candidates[f"linear, {_LINEAR:g} scales to 0"] = baseline("linear", start=_LINEAR * scale, end=0.0)
    seeds = range(FIRST_CONFIRMATION_SEED, FIRST_CONFIRMATION_SEED + job.search.confirmation_seeds)
    return {name: job.grid(parameters, seeds=seeds) for name, parameters in candidates.items()}


@dataclass(frozen=True)
class Confirmed:
    """A schedule on the fresh seeds.

    Attributes:
      candidate: A trial of the search, or the name of a baseline.
      bounds, distances: One a seed, the same seeds for all.
      not_completed: Seeds that diverged or failed.
    """

    candidate: str
    schedule: str
    bounds: Sequence[float]
    distances: Sequence[float]
    not_completed: int


def confirmed(job: TuneJob, store: Store, name: str, grids: Mapping[str, Grid]) -> list[Confirmed]:
    """What became of the candidates, in the order of the objective on the fresh seeds.

    Args:
      job: The search.
      store: Where its results are.
      name: Of the job that trained the candidates.
      grids: From `confirmation_grids`.
    """
    table = []
    for (candidate, grid), rows in zip(grids.items(), grid_rows(job, store, name, grids.values()), strict=True):
        known = any(row["data_diameter"] is not None for row in rows)
        bounds, distances = (
            seed_values(rows, column) if known else [math.inf] * len(rows)
            for column in (job.comparable_bound, job.distance)
        )
        not_completed = sum(row["status"] != "completed" for row in rows)
        table.append(Confirmed(candidate, schedule_text(grid.sigma[0]), bounds, distances, not_completed))
    return sorted(table, key=lambda row: REDUCE[job.objective.reduce](row.bounds))


@dataclass(frozen=True)
class Gain:
    """What one schedule is worth beside another, on the same seeds.

    Attributes:
      ours, theirs: Reduced over seeds, as the objective is.
      wins: Seeds on which ours is less.
      difference, error: Mean of ours less theirs over seeds, and its standard error; NaN where that is undefined.
    """

    ours: float
    theirs: float
    wins: int
    difference: float
    error: float


def gain(ours: Sequence[float], theirs: Sequence[float], reduce: Callable[[Sequence[float]], float]) -> Gain:
    """Compares two schedules by a bound or a distance, one value a seed, the same seeds in the same order."""
    differences = [our - their for our, their in zip(ours, theirs, strict=True)]
    is_defined = len(differences) > 1 and all(map(math.isfinite, differences))
    error = stdev(differences) / math.sqrt(len(differences)) if is_defined else math.nan
    return Gain(reduce(ours), reduce(theirs), sum(d < 0 for d in differences), fmean(differences), error)


def grid_rows(job: TuneJob, store: Store, name: str, grids: Iterable[Grid]) -> list[list[Row]]:
    """The rows of each grid's cells in the job of this name, one a seed."""
    columns = dict.fromkeys([*ROW_COLUMNS, job.bound, job.comparable_bound, job.distance])
    rows = {row["cell_id"]: row for row in store.new_rows("cells", name, columns=list(columns), seen=set())}
    wanted = [expand(job.training_job(name, (grid,))) for grid in grids]
    return [[rows[cell.cell_id] for cell in cells if cell.cell_id in rows] for cells in wanted]


def verdicts(confirmed: Sequence[Confirmed], chosen: int, job: TuneJob) -> Iterator[str]:
    """Says plainly what a trial gains on the fresh seeds, over no noise and over the best baseline.

    Args:
      confirmed: The candidates, the best first.
      chosen: The trial's number.
      job: The search.
    """
    from .scoring import REDUCE

    by_name = {row.candidate: row for row in confirmed}
    own = by_name[f"trial {chosen}"]
    best = next(row for row in confirmed if not row.candidate.startswith("trial"))
    for other in dict.fromkeys((NO_NOISE, best.candidate)):
        parts = []
        for name, ours, theirs in (
            (job.comparable_bound, own.bounds, by_name[other].bounds),
            (job.distance, own.distances, by_name[other].distances),
        ):
            found = gain(ours, theirs, REDUCE[job.objective.reduce])
            verdict = "better" if found.ours < found.theirs else "NOT better"
            difference = "" if math.isnan(found.error) else f", by {found.difference:+.2g} +- {found.error:.2g}"
            parts.append(
                f"{job.objective.reduce} {name} {found.ours:.4g} against {found.theirs:.4g}, {verdict} "
                f"(on {found.wins} of {len(ours)} seeds{difference})"
            )
        what = other if other == NO_NOISE else f"the best baseline, {other}"
        yield f"The chosen schedule, trial {chosen}, against {what}: {'; '.join(parts)}"
