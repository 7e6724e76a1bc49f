"""Searching noise schedules: Optuna asks, the harness trains, exact bounds answer. The only ``import optuna``.

A trial is a schedule; its value is a Wasserstein bound of the trained generators, with the exact divergences, reduced
over seeds. Trials are trained as cells of protocol ``train`` under the search's name, so that the store is their state:
a search that was killed finds what was computed, and a trial its sampler already asked for is not asked for again.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna

from .driver import ExecutorName, Observer, Session, run, session
from .errors import HarnessError, TuneError
from .grid import expand
from .identity import stream_seed
from .job import Grid
from .jobfile import dump_job
from .store import Store, new_part
from .tune_job import Range, TuneJob, sigma_of

FIRST_CONFIRMATION_SEED = 1_000_000
"""Confirmation trains with seeds from here on, which no search sees."""

_REDUCE: dict[str, Callable[[Sequence[float]], float]] = {
    "median": statistics.median,
    "mean": statistics.fmean,
    "worst": max,
}
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Tuned:
    """What a search found.

    Attributes:
      num_trials: Finished, over all calls.
      best: Parameters of the best trial.
      rank_correlation: Spearman's, between objective and exact distance over all trials.
      confirmed: A row a candidate and baseline, trained on fresh seeds, best first.
      best_file: A job file with the best schedule, ready for ``harness run``.
      warnings: What the user should know before believing it.
    """

    num_trials: int
    best: Mapping[str, Any]
    best_value: float
    rank_correlation: float
    confirmed: Sequence[Row]
    best_file: str
    warnings: Sequence[str]


def tune(
    job: TuneJob,
    *,
    results: str | Path = "results",
    executor: ExecutorName = "ray",
    address: str | None = None,
    storage: str | None = None,
    observer: Observer | None = None,
    announce: Callable[[str], None] | None = None,
) -> Tuned:
    """Searches, then confirms the best schedules and the baselines on fresh seeds.

    Args:
      job: From `jobfile.load_tune_job`.
      results: Root of the store.
      executor, address: As in `driver.run`.
      storage: An Optuna URL; by default an SQLite file in the job's folder of results.
      observer: Called whenever something happened in the training.
      announce: Told in words how far the search is.

    Raises:
      HarnessError: If the storage is not usable, or every trial diverged or failed.
    """
    tell = announce or (lambda text: None)
    store = Store(results)
    store.write_job(job.name, dump_job(job))
    study = _study(job, store, storage)
    shared: dict[str, Any] = {"results": results, "executor": executor, "address": address}
    todo = job.search.trials - len(_finished(study))
    if todo > 0:
        tasks = job.search.batch * job.search.seeds
        with session(job.name, job.problem, job.resources, announce=tell, num_tasks=tasks, **shared) as opened:
            _search(job, study, opened, observer=observer, tell=tell)
    if not any(_is_sound(trial) for trial in _finished(study)):
        raise TuneError(
            f"all {len(_finished(study))} trials diverged or failed; look at the learning rate, the loss and the "
            f"schedules' ranges:  harness query \"SELECT status, error FROM cells WHERE job = '{job.name}'\""
        )
    correlation = _rank_correlation(_finished(study))
    study.set_user_attr("rank_correlation", correlation)
    best = study.best_trial
    best_file = store.write_text(job.name, "best.yaml", dump_job(_best_job(job, best)))
    confirmation = f"{job.name}-confirmation"
    grids = _confirmation_grids(job, study)
    run(job.training_job(confirmation, tuple(grids.values())), observer=observer, announce=tell, **shared)
    return Tuned(
        num_trials=len(_finished(study)),
        best=best.params,
        best_value=float(best.value or math.nan),
        rank_correlation=correlation,
        confirmed=_confirmed(job, store, confirmation, grids),
        best_file=best_file,
        warnings=_warnings(study),
    )


def _search(
    job: TuneJob, study: optuna.Study, opened: Session, *, observer: Observer | None, tell: Callable[[str], None]
) -> None:
    """Asks, trains and tells, a batch at a time, until all trials are finished."""
    while (num_finished := len(_finished(study))) < job.search.trials:
        # what a killed search had asked for comes first
        asked = {trial.number: _suggest(job, trial) for trial in _running(study)}
        while len(asked) < min(job.search.batch, job.search.trials - num_finished):
            trial = study.ask()
            asked[trial.number] = _suggest(job, trial)
        grids = {number: _grid(job, parameters, seeds=range(job.search.seeds)) for number, parameters in asked.items()}
        opened.run(job.training_job(job.name, tuple(dict.fromkeys(grids.values()))), observer=observer)
        for number, grid in grids.items():
            _finish(job, study, opened.store, number, asked[number], grid)
        finished = _finished(study)
        best = min((trial.value for trial in finished if trial.value is not None), default=math.nan)
        tell(f"{len(finished)}/{job.search.trials} trials, best {job.bound} {best:.4g}")


def _suggest(job: TuneJob, trial: optuna.Trial) -> dict[str, Any]:
    """Values for every parameter of the space; those of a schedule belong to its family."""
    family = trial.suggest_categorical("schedule", list(job.space.schedule))
    for name, space in job.space.schedule[family].items():
        _number(trial, f"{family}.{name}", space)
    trial.suggest_categorical("loss", list(job.space.loss))
    if job.space.learning_rate is not None:
        _number(trial, "learning_rate", job.space.learning_rate)
    return dict(trial.params)


def _number(trial: optuna.Trial, name: str, space: float | Range) -> float:
    if isinstance(space, Range):
        return trial.suggest_float(name, space.low, space.high, log=space.log)
    return trial.suggest_float(name, space, space)


def _grid(job: TuneJob, parameters: Mapping[str, Any], *, seeds: Sequence[int]) -> Grid:
    """The cells of a trial: its schedule, loss and learning rate at the last epoch, for each seed."""
    rate = parameters.get("learning_rate")
    return Grid(
        loss=(parameters["loss"],),
        sigma=(sigma_of(parameters),),
        epoch=(job.epochs,),
        seed=tuple(seeds),
        learning_rate=None if rate is None else (rate,),
    )


def _rows(job: TuneJob, store: Store, name: str, grid: Grid) -> list[Row]:
    """The rows of a grid's cells, one a seed."""
    wanted = {cell.cell_id for cell in expand(job.training_job(name, (grid,)))}
    columns = ["cell_id", "status", "data_diameter", "w1", "w1_sliced", job.bound, "seconds", "finished_at"]
    table = store.dataset("cells", job=name).to_table(columns=columns).sort_by("finished_at").to_pylist()
    return list({row["cell_id"]: row for row in table if row["cell_id"] in wanted}.values())


def _finish(
    job: TuneJob, study: optuna.Study, store: Store, number: int, parameters: Mapping[str, Any], grid: Grid
) -> None:
    """Tells a trial's value, and writes its row."""
    rows = _rows(job, store, job.name, grid)
    bounds, distances = _values(rows, job.bound), _values(rows, _distance(job))
    trial = optuna.trial.Trial(study, study.trials[number]._trial_id)
    num_sound = sum(row["status"] == "completed" for row in rows)
    trial.set_user_attr("completed_seeds", num_sound)
    state, value = optuna.trial.TrialState.FAIL, None
    if bounds and distances and num_sound:
        value = _REDUCE[job.objective.reduce](bounds)
        trial.set_user_attr("distance", _REDUCE[job.objective.reduce](distances))
        trial.set_user_attr("diameter", max(row["data_diameter"] for row in rows if row["data_diameter"]))
        state = optuna.trial.TrialState.COMPLETE
    row = {
        "trial": number,
        "state": state.name.lower(),
        "family": str(parameters["schedule"]),
        "parameters": json.dumps(parameters, sort_keys=True),
        "value": value,
        "spread": max(bounds) - min(bounds) if bounds else None,
        "distance": trial.user_attrs.get("distance"),
        "seconds": sum(row["seconds"] or 0.0 for row in rows),
    }
    store.write_part(job.name, "trials", [row], part=new_part())  # before the study, which says that all is there
    study.tell(number, value, state=state)


def _values(rows: Sequence[Row], column: str) -> list[float]:
    """One value a seed; a seed that did not complete counts with what bounds every distance, the diameter, at least."""
    diameters = [row["data_diameter"] for row in rows if row["data_diameter"] is not None]
    if not diameters:
        return []
    trivial = max(diameters)
    return [
        row[column] if row["status"] == "completed" else max(row[column] if row[column] is not None else 0.0, trivial)
        for row in rows
    ]


def _distance(job: TuneJob) -> str:
    """The exact distance that the minimised bound is a bound of."""
    return {"bound_best": "w1", "bound_sliced_best": "w1_sliced"}[job.bound]


def _study(job: TuneJob, store: Store, storage: str | None) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if storage is None:
        if "://" in store.root:
            raise HarnessError(
                f"--results {store.root} is no folder: name a database for the search with --storage URL"
            )
        storage = f"sqlite:///{store.absolute_root}/{job.name}/study.db"
    try:
        study = optuna.create_study(storage=storage, study_name=job.name, load_if_exists=True)
    except Exception as error:  # whatever a database's driver raises
        raise HarnessError(f"--storage {storage}: cannot be used: {error}") from error
    # another stream whenever a search goes on: a sampler seeded alike would repeat its first suggestions
    study.sampler = _sampler(job.search.sampler, stream_seed("sampler", job.search.seed, len(study.trials)) % 2**32)
    return study


def _sampler(name: str, seed: int) -> optuna.samplers.BaseSampler:
    match name:
        case "gp":
            return optuna.samplers.GPSampler(seed=seed)
        case "random":
            return optuna.samplers.RandomSampler(seed=seed)
    return optuna.samplers.TPESampler(seed=seed)


def _finished(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    return [trial for trial in study.get_trials(deepcopy=False) if trial.state.is_finished()]


def _running(study: optuna.Study) -> list[optuna.Trial]:
    """Trials asked for and not told, because their driver died; what they have been given they keep."""
    open_ = [trial for trial in study.get_trials(deepcopy=False) if not trial.state.is_finished()]
    return [optuna.Trial(study, trial._trial_id) for trial in open_]


def _is_sound(trial: optuna.trial.FrozenTrial) -> bool:
    return trial.state == optuna.trial.TrialState.COMPLETE


def _rank_correlation(trials: Sequence[optuna.trial.FrozenTrial]) -> float:
    """Spearman's, between objective and exact distance; NaN for fewer than three trials or a constant objective."""
    from scipy.stats import rankdata

    sound = [trial for trial in trials if _is_sound(trial)]
    values, distances = (
        rankdata(column) for column in zip(*((t.value, t.user_attrs["distance"]) for t in sound), strict=True)
    )
    if len(sound) < 3 or values.std() == 0 or distances.std() == 0:
        return math.nan
    return float(((values - values.mean()) * (distances - distances.mean())).mean() / (values.std() * distances.std()))


def _best_job(job: TuneJob, best: optuna.trial.FrozenTrial) -> Any:
    return job.training_job(f"{job.name}-best", (_grid(job, best.params, seeds=range(job.search.seeds)),))


def _confirmation_grids(job: TuneJob, study: optuna.Study) -> dict[str, Grid]:
    """By name: the three best schedules, and what a user would have done without a search."""
    sound = sorted(
        (trial for trial in _finished(study) if _is_sound(trial)), key=lambda trial: float(trial.value or 0.0)
    )
    diameter = statistics.median(trial.user_attrs["diameter"] for trial in sound)
    candidates = {f"trial {trial.number}": dict(trial.params) for trial in sound[:3]}
    like_best: dict[str, Any] = {
        name: sound[0].params[name] for name in ("loss", "learning_rate") if name in sound[0].params
    }

    def baseline(schedule: str, **values: float) -> dict[str, Any]:
        return {"schedule": schedule, **{f"{schedule}.{name}": value for name, value in values.items()}, **like_best}

    candidates["no noise"] = baseline("constant", sigma=0.0)
    for share in (0.025, 0.05, 0.1, 0.15, 0.25):
        candidates[f"constant {share:g} diameters"] = baseline("constant", sigma=share * diameter)
    candidates["linear 0.25 diameters to 0"] = baseline("linear", start=0.25 * diameter, end=0.0)
    seeds = range(FIRST_CONFIRMATION_SEED, FIRST_CONFIRMATION_SEED + job.search.confirmation_seeds)
    return {name: _grid(job, parameters, seeds=seeds) for name, parameters in candidates.items()}


def _confirmed(job: TuneJob, store: Store, name: str, grids: Mapping[str, Grid]) -> list[Row]:
    """A row a candidate, by its median bound on the fresh seeds."""
    table = []
    for candidate, grid in grids.items():
        rows = _rows(job, store, name, grid)
        bounds, distances = _values(rows, job.bound), _values(rows, _distance(job))
        table.append(
            {
                "candidate": candidate,
                "schedule": str(grid.sigma[0]),
                f"median {job.bound}": statistics.median(bounds) if bounds else None,
                f"worst {job.bound}": max(bounds) if bounds else None,
                f"median {_distance(job)}": statistics.median(distances) if distances else None,
                f"worst {_distance(job)}": max(distances) if distances else None,
                "diverged": sum(row["status"] != "completed" for row in rows),
            }
        )
    return sorted(
        table, key=lambda row: row[f"median {job.bound}"] if row[f"median {job.bound}"] is not None else math.inf
    )


def _warnings(study: optuna.Study) -> list[str]:
    values = [trial.value for trial in _finished(study) if _is_sound(trial) and trial.value is not None]
    if len(values) > 2 and max(values) - min(values) < 1e-3 * max(values):
        return [
            "the objective is nearly constant over all trials: the bound is saturated (JSD near log 2 at every sigma "
            "of its grid) and cannot guide a search; set objective: {bound: sliced}"
        ]
    return []
