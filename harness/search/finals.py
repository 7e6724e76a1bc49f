"""After a search: the best trials on further seeds, and the chosen schedule beside the baselines on fresh ones."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..contrasts.contrast import Contrast, Seed, contrast, corrected, sentence
from ..errors import counted
from ..identity import digest
from ..job.space import Parameters, schedule_text, sigma_of
from ..job.tune import TuneJob
from ..storage.store import Store
from .analysis import TrialRecord
from .cells import trial_cells
from .scoring import REDUCE, ROW_COLUMNS, Row, TrialScore, score_seeds, seed_values

FIRST_CONFIRMATION_SEED = 1_000_000
"""Confirmation trains with seeds from here on, which no search sees."""
_NUM_FIRST_SEEDS = 900_000_000

NO_NOISE = "no noise"
_CONSTANTS = (0.005, 0.01, 0.025, 0.05, 0.1)  # of the scale of the data, see `data_scale`
_LINEAR = 0.25


@dataclass(frozen=True)
class Finalist:
    """A trial that ran to its end, with what it is worth over the search's seeds and the finalists' further ones."""

    trial: TrialRecord
    score: TrialScore

    @property
    def value(self) -> float:
        """What finalists are ranked by."""
        return math.inf if self.score.value is None else self.score.value


def finalist_seeds(job: TuneJob) -> range:
    """Those by which the best trial is chosen: further ones than the search's, which chose the finalists."""
    num, further = job.search.seeds, job.search.finalist_seeds
    return range(num, num + further) if further else range(num)


def fresh_seeds(job: TuneJob) -> range:
    """Seeds that neither the search nor the choice among finalists has seen, nor another search: by its identity."""
    identity = digest(job.model_dump(mode="json", exclude={"name", "search", "resources"}))
    first = FIRST_CONFIRMATION_SEED + int(identity[:12], 16) % _NUM_FIRST_SEEDS
    return range(first, first + job.search.confirmation_seeds)


def ranked(job: TuneJob, store: Store, trials: Sequence[TrialRecord]) -> list[Finalist]:
    """The trials with what their generators are worth over the seeds of finalists, the best first."""
    points = [trial.parameters for trial in trials]
    rows = rows_of_points(job, store, job.name, points, seeds=finalist_seeds(job))
    finalists = [Finalist(trial, score_seeds(own, job)) for trial, own in zip(trials, rows, strict=True)]
    return sorted(finalists, key=lambda finalist: finalist.value)


def data_scale(job: TuneJob, store: Store) -> float:
    """The diameter of the data over sqrt(d), to two digits: the sigma whose noise is as long as the data are wide."""
    rows = store.read_rows("cells", job.name, columns=["data_diameter"])
    # of real and fake samples together: the least over all generators is nearest to that of the real ones
    diameter = min(row["data_diameter"] for row in rows if row["data_diameter"])
    return float(f"{diameter / math.sqrt(math.prod(job.problem.info().shape)):.2g}")


def candidates(
    ranking: Sequence[TrialRecord], constants: Sequence[TrialRecord], *, scale: float
) -> dict[str, Parameters]:
    """By name: the chosen schedule and the two behind it, and the baselines, which share its loss and its rates.

    Args:
      ranking: Finalists, the best first.
      constants: The search's trials of constant sigma, the best first.
      scale: Of the data, see `data_scale`.
    """
    best = ranking[0].parameters
    points: dict[str, Parameters] = {f"trial {trial.number}": trial.parameters for trial in ranking[:3]}
    if constants:
        points.setdefault(f"trial {constants[0].number}", constants[0].parameters)
    kept = ("loss", "penalty", "learning_rate", "discriminator_steps")
    like_best = {n: v for n, v in best.items() if n in kept or n.startswith(f"{best.get('penalty')}.")}

    def baseline(schedule: str, **values: float) -> Parameters:
        return {"schedule": schedule, **{f"{schedule}.{name}": value for name, value in values.items()}, **like_best}

    points[NO_NOISE] = baseline("constant", sigma=0.0)
    for share in _CONSTANTS:
        points[f"constant, {share:g} scales"] = baseline("constant", sigma=share * scale)
    points[f"linear, {_LINEAR:g} scales to 0"] = baseline("linear", start=_LINEAR * scale, end=0.0)
    return points


@dataclass(frozen=True)
class Confirmed:
    """A schedule on the fresh seeds.

    Attributes:
      candidate: A trial of the search, or the name of a baseline.
      bounds, distances: One per seed, the same seeds for all.
      not_completed: Seeds that diverged or failed.
    """

    candidate: str
    schedule: str
    bounds: Sequence[float]
    distances: Sequence[float]
    not_completed: int


def confirmed(job: TuneJob, store: Store, name: str, points: Mapping[str, Parameters]) -> list[Confirmed]:
    """What became of the candidates, in the order of the objective on the fresh seeds.

    Args:
      job: The search.
      store: Where its results are.
      name: Of the job that trained the candidates.
      points: From `candidates`.
    """
    table = []
    found = rows_of_points(job, store, name, points.values(), seeds=fresh_seeds(job))
    for (candidate, parameters), rows in zip(points.items(), found, strict=True):
        known = any(row["data_diameter"] is not None for row in rows)
        bounds, distances = (
            seed_values(rows, column) if known else [math.inf] * len(rows)
            for column in (job.comparable_bound, job.distance)
        )
        not_completed = sum(row["status"] != "completed" for row in rows)
        table.append(Confirmed(candidate, schedule_text(sigma_of(parameters)), bounds, distances, not_completed))
    return sorted(table, key=lambda row: REDUCE[job.objective.reduce](row.bounds))


def contrasts(confirmed: Sequence[Confirmed], chosen: int, job: TuneJob) -> list[Contrast]:
    """The chosen schedule against every baseline, by the objective's bound and the distance, corrected together.

    Args:
      confirmed: The candidates.
      chosen: The trial's number.
      job: The search.
    """
    by_name = {row.candidate: row for row in confirmed}
    own = by_name[f"trial {chosen}"]
    return corrected(
        [
            contrast(_seeds(ours), _seeds(theirs), metric=metric, names=(own.candidate, row.candidate))
            for row in sorted(confirmed, key=lambda row: row.candidate != NO_NOISE)
            if not row.candidate.startswith("trial")
            for metric, ours, theirs in (
                (job.comparable_bound, own.bounds, row.bounds),
                (job.distance, own.distances, row.distances),
            )
        ]
    )


def verdicts(confirmed: Sequence[Confirmed], chosen: int, job: TuneJob) -> Iterator[str]:
    """Says plainly what the chosen trial gains over each baseline on the fresh seeds, and what they do not decide."""
    found = contrasts(confirmed, chosen, job)
    yield from map(sentence, found)
    yield (
        f"Verdicts are by the paired t test on {counted(job.search.confirmation_seeds, 'fresh seed')}, corrected for "
        f"{counted(len(found), 'contrast')} (Holm, 5 %); so are the intervals"
    )


def _seeds(values: Sequence[float]) -> dict[int, Seed]:
    """Seeds that diverged have the diameter of the data at least, so that they count as what they are."""
    return {seed: Seed(value if math.isfinite(value) else None, "completed") for seed, value in enumerate(values)}


def rows_of_points(
    job: TuneJob, store: Store, name: str, points: Iterable[Parameters], *, seeds: Sequence[int]
) -> list[list[Row]]:
    """The rows of each point's cells in the job of this name, one per seed."""
    columns = dict.fromkeys([*ROW_COLUMNS, job.bound, job.comparable_bound, job.distance])
    rows = {row["cell_id"]: row for row in store.read_rows("cells", name, columns=list(columns))}
    cells = [trial_cells(job, parameters, seeds=seeds) for parameters in points]
    return [[rows[cell.cell_id] for cell in own if cell.cell_id in rows] for own in cells]
