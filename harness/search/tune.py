"""Tuning a noise schedule: search, choose among the best on further seeds, confirm on fresh ones."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import TuneError
from ..execution.run import ExecutorName, Session, session
from ..job.job import Grid
from ..job.reading import dump_job
from ..job.space import Parameters, schedule_text, sigma_of
from ..job.tune import TuneJob
from ..planning.plan import make_plan
from ..storage.store import Store
from .finals import Confirmed, Finalist, confirmation_grids, confirmed, data_scale, finalist_grids, ranked
from .scoring import Row
from .study import OptunaStudy
from .trials import Trials


@dataclass(frozen=True)
class Tuned:
    """What a search found.

    Attributes:
      num_trials, num_pruned: Finished, over all calls.
      best: Parameters of the schedule that was chosen among the finalists.
      best_number: Its trial.
      best_value: Its objective over the seeds of the search and the further ones of the finalists.
      rank_correlation: Spearman's, between objective and exact distance over all trials whose seeds all completed.
      report_correlations: By epoch of a report, Spearman's between its values and the last, over whole trials.
      member_steps: Generator steps of all trials, as a share of what they would be if none had been given up.
      finalists: A row a finalist, best first.
      confirmed: Candidates and baselines, trained on fresh seeds, in the order of the objective.
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
    report_correlations: Mapping[int, float]
    member_steps: float
    finalists: Sequence[Row]
    confirmed: Sequence[Confirmed]
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
    with store.locked(job.name), ExitStack() as stack:
        study = OptunaStudy(job, store, storage, warm_start=warm_start, announce=tell)
        store.write_job(job.name, dump_job(job))

        @functools.cache
        def workers() -> Session:  # started when there is something to compute
            shared: dict[str, Any] = {"store": store, "executor": executor, "address": address, "announce": tell}
            num_tasks = job.search.trials * job.search.seeds
            return stack.enter_context(session(job.problem, job.resources, num_tasks=num_tasks, **shared))

        def compute(name: str, grids: Sequence[Grid], what: str) -> None:
            plan = make_plan(job.training_job(name, grids), store, slots=1)
            if plan.missing:
                tell(what)
                workers().run(plan)

        if not study.is_complete:
            trials = Trials(job, study, store, num_slots=workers().executor.num_slots)
            workers().work_through(job.name, trials)
        finalists = study.best(job.search.finalists)
        if not finalists:
            raise TuneError(
                f"all {study.num_finished} trials diverged or failed; look at the learning rate, the loss and the "
                f"schedules' ranges:  harness query \"SELECT status, error FROM cells WHERE job = '{job.name}'\""
            )
        what = f"{len(finalists)} finalists, {job.search.finalist_seeds} further seeds"
        compute(job.name, finalist_grids(job, finalists), what)
        ranking = ranked(job, store, finalists)
        best = ranking[0]
        best_job = job.training_job(f"{job.name}-best", (job.grid(best.parameters, seeds=range(job.search.seeds)),))
        best_file = store.write_text(job.name, "best.yaml", dump_job(best_job))
        confirmation = f"{job.name}-confirmation"
        grids = confirmation_grids(job, ranking, study.best(1, family="constant"), scale=data_scale(job, store))
        what = f"{len(grids)} candidates and baselines on {job.search.confirmation_seeds} fresh seeds"
        compute(confirmation, tuple(grids.values()), what)
        store.write_job(confirmation, dump_job(job.training_job(confirmation, tuple(grids.values()))))
    return Tuned(
        num_trials=study.num_finished,
        num_pruned=study.num_pruned,
        best=best.parameters,
        best_number=best.number,
        best_value=best.value,
        rank_correlation=study.keep_rank_correlation(),
        report_correlations=study.report_correlations(),
        member_steps=study.share_of_member_steps,
        finalists=[_finalist_row(job, finalist) for finalist in ranking],
        confirmed=confirmed(job, store, confirmation, grids),
        front=study.front(),
        best_file=best_file,
        warnings=study.warnings(),
    )


def _finalist_row(job: TuneJob, finalist: Finalist) -> Row:
    return {
        "trial": finalist.number,
        "schedule": schedule_text(sigma_of(finalist.parameters)),
        f"search {job.bound}": finalist.judgement.value,
        job.bound: finalist.overall.value,
        job.distance: finalist.overall.distance,
        "spread over seeds": finalist.overall.spread,
    }
