"""Tuning a noise schedule: search, choose among the best on further seeds, confirm on fresh ones."""

from __future__ import annotations

import functools
import math
import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from ..errors import TuneError, counted
from ..execution.driver import Observer
from ..execution.executors import check_executor
from ..execution.run import Session, session
from ..job.job import Job
from ..job.reading import Source, dump_job, load_search
from ..job.space import Parameters, schedule_text, sigma_of
from ..job.tune import TuneJob
from ..planning.plan import make_plan
from ..storage.store import Store
from .analysis import (
    TrialRecord,
    best,
    doubts,
    finished,
    front,
    num_pruned,
    rank_correlation,
    report_correlations,
    share_of_member_steps,
)
from .finals import (
    Confirmed,
    Finalist,
    candidates,
    confirmed,
    data_scale,
    finalist_seeds,
    fresh_seeds,
    ranked,
)
from .opening import open_study
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
      member_steps: Generator steps of all trials, as a share of what they would be if none had been pruned.
      finalists: A row per finalist, best first.
      confirmed: Candidates and baselines, trained on fresh seeds, in the order of the objective.
      front: With several objectives, a row per trial of the Pareto front.
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
    job: Source,
    *,
    results: str | Path = "results",
    executor: str = "ray",
    address: str | None = None,
    storage: str | None = None,
    warm_start: str | None = None,
    announce: Callable[[str], None] | None = None,
    observer: Observer | None = None,
) -> Tuned:
    """Searches, chooses among the best on further seeds, and compares with the baselines on fresh ones.

    Calling it again after a crash goes on where it was.

    Args:
      job: From `load_job`, or what that takes: a file or a dictionary.
      results: Root of the store.
      executor, address: As in `execution.run.run`.
      storage: An Optuna URL; by default an SQLite file in the job's folder of results.
      warm_start: Name of a job with results in the store, from which the search starts.
      announce: Told in words what happens.
      observer: Called whenever something happened; see `execution.state.State`.

    Raises:
      HarnessError: If the storage is not usable or belongs to another search.
      TuneError: If no trial has a seed that completed.
    """
    job = load_search(job)
    check_executor(executor)
    tell = announce or (lambda text: None)
    store = Store(results)
    with store.locked(job.name), ExitStack() as stack:
        study = open_study(job, store, storage, warm_start=warm_start, announce=tell)
        store.write_job(job.name, dump_job(job))
        context = _Context(job, store, executor, address, tell, observer, stack)
        trials = _search(context, study)
        finalists = _train_finalists(context, trials)
        best_file = _choose(context, finalists[0])
        comparison = _confirm(context, finalists, trials)
    correlation = rank_correlation(trials)
    if not math.isnan(correlation):
        study.keep("rank_correlation", correlation)
    return Tuned(
        num_trials=len(finished(trials)),
        num_pruned=num_pruned(trials),
        best=finalists[0].trial.parameters,
        best_number=finalists[0].trial.number,
        best_value=finalists[0].value,
        rank_correlation=correlation,
        report_correlations=report_correlations(trials, job.stages),
        member_steps=share_of_member_steps(trials, job.epochs),
        finalists=[_finalist_row(job, finalist) for finalist in finalists],
        confirmed=comparison,
        front=front(trials, job.objective.minimise),
        best_file=best_file,
        warnings=doubts(trials, job),
    )


_TRIALS = "searching"


@dataclass(frozen=True)
class _Context:
    """What all phases of a search share; its workers start when there is something to compute, and end with `stack`."""

    job: TuneJob
    store: Store
    executor: str
    address: str | None
    tell: Callable[[str], None]
    observer: Observer | None
    stack: ExitStack

    @functools.cached_property
    def workers(self) -> Session:
        opened = session(
            self.job,
            store=self.store,
            executor=self.executor,
            address=self.address,
            announce=self.tell,
            num_tasks=self.job.search.trials * self.job.search.seeds,
        )
        return self.stack.enter_context(opened)

    def compute(self, training: Job, what: str) -> None:
        """Trains what the store lacks of a job, and says so in words."""
        plan = make_plan(training, self.store, slots=1)
        if plan.missing:
            self.tell(what)
            self.workers.run(plan, phase=what, observer=self.observer)


def _search(context: _Context, study: OptunaStudy) -> list[TrialRecord]:
    """First phase: the trials that the study still wants; all that it then has."""
    job, store = context.job, context.store
    if not study.is_complete:
        trials = Trials(job, study, store, num_slots=context.workers.executor.num_slots)
        context.workers.work_through(job.name, trials, phase=_TRIALS, observer=context.observer)
    return study.trials()


def _train_finalists(context: _Context, trials: Sequence[TrialRecord]) -> list[Finalist]:
    """Second phase: the best trials on further seeds, ranked by these."""
    job = context.job
    chosen = best(trials, job.search.finalists)
    if not chosen:
        raise TuneError(
            f"all {len(finished(trials))} trials diverged or failed; look at the learning rate, the loss and the "
            f"schedules' ranges:  harness query \"SELECT status, error FROM cells WHERE job = '{job.name}' "
            f'ORDER BY ALL" --results {shlex.quote(context.store.root)}'
        )
    grids = [job.grid(trial.parameters, seeds=finalist_seeds(job)) for trial in chosen]
    what = f"{counted(len(chosen), 'finalist')}, {counted(job.search.finalist_seeds, 'further seed')}"
    context.compute(job.training_job(job.name, grids), what)
    return ranked(job, context.store, chosen)


def _choose(context: _Context, finalist: Finalist) -> str:
    """Third phase: the best finalist as a job file; its path."""
    job = context.job
    grid = job.grid(finalist.trial.parameters, seeds=range(job.search.seeds))
    return context.store.write_text(job.name, "best.yaml", dump_job(job.training_job(f"{job.name}-best", (grid,))))


def _confirm(context: _Context, finalists: Sequence[Finalist], trials: Sequence[TrialRecord]) -> list[Confirmed]:
    """Last phase: the chosen schedule beside the next best and the baselines, on fresh seeds."""
    job, store = context.job, context.store
    ranking = [finalist.trial for finalist in finalists]
    points = candidates(ranking, best(trials, 1, family="constant"), scale=data_scale(job, store))
    grids = [job.grid(parameters, seeds=fresh_seeds(job)) for parameters in points.values()]
    training = job.training_job(f"{job.name}-confirmation", grids)
    what = f"{len(points)} candidates and baselines on {counted(job.search.confirmation_seeds, 'fresh seed')}"
    store.write_job(training.name, dump_job(training))  # before, so that everybody knows what its states are for
    context.compute(training, what)
    return confirmed(job, store, training.name, points)


def _finalist_row(job: TuneJob, finalist: Finalist) -> Row:
    trial, score = finalist.trial, finalist.score
    return {
        "trial": trial.number,
        "schedule": schedule_text(sigma_of(trial.parameters)),
        f"search {job.bound}": trial.score and trial.score.value,
        job.bound: score.value,
        job.distance: score.distance,
        "spread over seeds": score.spread,
    }
