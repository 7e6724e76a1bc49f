"""Tuning a noise schedule: search, choose among the best on further seeds, confirm on fresh ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .driver import ExecutorName, run, session
from .errors import TuneError
from .finals import Finalist, confirmation_grids, confirmed, finalist_grids, ranked
from .jobfile import dump_job
from .search import Row, Trials
from .store import Store
from .study import OptunaStudy
from .tune_job import Parameters, TuneJob
from .warm_start import known_points


@dataclass(frozen=True)
class Tuned:
    """What a search found.

    Attributes:
      num_trials, num_pruned: Finished, over all calls.
      best: Parameters of the schedule that was chosen among the finalists.
      best_number: Its trial.
      best_value: Its objective over the seeds of the search and the further ones of the finalists.
      rank_correlation: Spearman's, between objective and exact distance over all trials.
      member_steps: Generator steps of all trials, as a share of what they would be if none had been given up.
      finalists: A row a finalist, best first.
      confirmed: A row a candidate and baseline, trained on fresh seeds, best first.
      front: With several objectives, a row a trial of the Pareto front.
      best_file: A job file with the best schedule, ready for ``harness run``.
      warnings: What the user should know before believing it.
    """

    num_trials: int
    num_pruned: int
    best: Parameters
    best_number: int
    best_value: float
    rank_correlation: float
    member_steps: float
    finalists: Sequence[Row]
    confirmed: Sequence[Row]
    front: Sequence[Row]
    best_file: str
    warnings: Sequence[str]


def tune(
    job: TuneJob,
    *,
    results: str | Path = "results",
    executor: ExecutorName = "ray",
    address: str | None = None,
    storage: str | None = None,
    warm_start: str | None = None,
    announce: Callable[[str], None] | None = None,
) -> Tuned:
    """Searches, chooses among the best on further seeds, and compares with the baselines on fresh ones.

    Calling it again after a crash goes on where it was.

    Args:
      job: From `jobfile.load_tune_job`.
      results: Root of the store.
      executor, address: As in `driver.run`.
      storage: An Optuna URL; by default an SQLite file in the job's folder of results.
      warm_start: Name of a job with results in the store, from which the search starts.
      announce: Told in words how far the search is.

    Raises:
      HarnessError: If the storage is not usable or belongs to another search.
      TuneError: If no trial has a seed that completed.
    """
    tell = announce or (lambda text: None)
    store = Store(results)
    study = OptunaStudy(job, store, storage, announce=tell)
    store.write_job(job.name, dump_job(job))
    if warm_start is not None:
        study.warm_start(known_points(job, store, warm_start), source=warm_start)
    shared: dict[str, Any] = {"results": results, "executor": executor, "address": address}
    if not study.is_complete:
        num_tasks = job.search.trials * job.search.seeds
        with session(job.name, job.problem, job.resources, announce=tell, num_tasks=num_tasks, **shared) as opened:
            opened.work_through(Trials(job, study, store, num_slots=opened.executor.num_slots))
            if finalists := study.best(job.search.finalists):
                tell(f"{len(finalists)} finalists, {job.search.finalist_seeds} further seeds")
                opened.run(job.training_job(job.name, finalist_grids(job, finalists)))
    finalists = study.best(job.search.finalists)
    if not finalists:
        raise TuneError(
            f"all {study.num_finished} trials diverged or failed; look at the learning rate, the loss and the "
            f"schedules' ranges:  harness query \"SELECT status, error FROM cells WHERE job = '{job.name}'\""
        )
    run(job.training_job(job.name, finalist_grids(job, finalists)), **shared)
    ranking = ranked(job, store, finalists)
    best = ranking[0]
    best_job = job.training_job(f"{job.name}-best", (job.grid(best.parameters, seeds=range(job.search.seeds)),))
    best_file = store.write_text(job.name, "best.yaml", dump_job(best_job))
    confirmation = f"{job.name}-confirmation"
    grids = confirmation_grids(job, ranking, study.best(1, family="constant"))
    tell(f"{len(grids)} candidates and baselines on {job.search.confirmation_seeds} fresh seeds")
    run(job.training_job(confirmation, tuple(grids.values())), **shared)
    return Tuned(
        num_trials=study.num_finished,
        num_pruned=study.num_pruned,
        best=best.parameters,
        best_number=best.number,
        best_value=best.value,
        rank_correlation=study.keep_rank_correlation(),
        member_steps=study.share_of_member_steps,
        finalists=[_finalist_row(job, finalist) for finalist in ranking],
        confirmed=confirmed(job, store, confirmation, grids),
        front=study.front(),
        best_file=best_file,
        warnings=study.warnings(),
    )


def _finalist_row(job: TuneJob, finalist: Finalist) -> Row:
    final = finalist.final or finalist.judgement
    return {
        "trial": finalist.number,
        "schedule": str(job.grid(finalist.parameters, seeds=(0,)).sigma[0]),
        f"search {job.bound}": finalist.judgement.value,
        job.bound: final.value,
        job.distance: final.distance,
        "spread over seeds": final.spread,
    }
