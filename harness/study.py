"""The Optuna study of a search: what is tried next, and what is given up. The only ``import optuna``."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from .errors import HarnessError
from .finals import Finalist
from .identity import stream_seed
from .plan import changes
from .search import Judgement, Result, Row
from .store import Store
from .tune_job import Parameters, Range, TuneJob, sigma_of
from .warm_start import Known

Storage = str | optuna.storages.BaseStorage

_STATES = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "fail": TrialState.FAIL}
_JUDGED = ("value", "distance", "spread", "completed", "diameter")
_MOST_SUGGESTIONS = 5
_FEWEST_FOR_IMPORTANCES = 8


class OptunaStudy:
    """An Optuna study as `search.Study`; only the driver touches it, by ask and tell.

    Args:
      job: What is searched.
      store: Of the results; an SQLite file in the job's folder there holds the study, unless `storage` does.
      storage: An Optuna URL, or a storage object.
      announce: Told in words how far the search is.

    Raises:
      HarnessError: If the storage is not usable or belongs to another search.
    """

    def __init__(
        self, job: TuneJob, store: Store, storage: Storage | None, *, announce: Callable[[str], None] | None = None
    ) -> None:
        self._job, self._announce = job, announce or (lambda text: None)
        self._study = _open(job, store, storage)
        _check_identity(job, self._study, storage)
        points = list(job.space.points(job.search.points)) if job.search.sampler == "grid" else []
        for point in points:
            self._study.enqueue_trial(point, skip_if_exists=True)
        self._num_wanted = len(points) or job.search.trials
        # asked for and not told, because their driver died: what they have been given they keep
        self._begun = [trial for trial in self._trials() if trial.state == TrialState.RUNNING]

    # --- asking and telling

    def ask(self) -> tuple[int, Parameters] | None:
        """A trial of a killed search, or a new one; None if there are enough."""
        if self._begun:
            number = self._begun.pop(0).number
            return number, _suggest(self._job, self._trial(number))
        begun = [t for t in self._trials() if t.state != TrialState.WAITING and "source" not in t.user_attrs]
        if len(begun) >= self._num_wanted:
            return None
        trial = self._study.ask()
        return trial.number, _suggest(self._job, trial)

    def report(self, number: int, *, stage: int, value: float) -> bool:
        """The value after a stage, counted from 0; whether the pruner gives the trial up."""
        if len(self._job.objective.minimise) > 1:
            return False  # Optuna has no order to prune by
        trial = self._trial(number)
        trial.report(value, 2**stage)  # successive halving has its rungs at steps that double
        return trial.should_prune()

    def finish(self, number: int, result: Result) -> None:
        """Tells a trial's end."""
        trial = self._trial(number)
        judged = {name: getattr(result.judgement, name) for name in _JUDGED}
        for name, value in {**judged, "member_steps": result.member_steps, "seconds": result.seconds}.items():
            trial.set_user_attr(name, value)
        values = self._values(result.judgement, result.seconds) if result.state == "complete" else None
        self._study.tell(number, values, state=_STATES[result.state])
        best = min((trial.user_attrs["value"] for trial in self._sound()), default=None)
        given_up = f", {self.num_pruned} given up" if self.num_pruned else ""
        so_far = "" if best is None else f"; best {self._job.bound} {best:.4g}"
        self._announce(f"{self.num_finished}/{self._num_wanted} trials{given_up}{so_far}")

    def warm_start(self, known: Sequence[Known], *, source: str) -> None:
        """Tells the study what the store knows: exact values as trials, other results as suggestions.

        Raises:
          HarnessError: If nothing is known.
        """
        if not known:
            raise HarnessError(
                f"--warm-start {source}: no result of it is of the search's problem and networks and in its space; "
                f"see  harness query \"SELECT DISTINCT problem, network, schedule FROM cells WHERE job = '{source}'\""
            )
        seen = [trial.params or trial.system_attrs.get("fixed_params") for trial in self._trials()]
        num_told = num_suggested = 0
        for point in known:
            if point.parameters in seen:
                continue
            if point.judgement is not None and point.judgement.completed:
                self._study.add_trial(self._told(point, source))
                num_told += 1
            elif num_suggested < _MOST_SUGGESTIONS:
                self._study.enqueue_trial(dict(point.parameters))
                num_suggested += 1
        self._announce(f"warm start from {source}: {num_told} results, {num_suggested} suggestions")

    # --- what came of it

    @property
    def num_finished(self) -> int:
        return len(self._own())

    @property
    def num_pruned(self) -> int:
        return sum(trial.state == TrialState.PRUNED for trial in self._own())

    @property
    def is_complete(self) -> bool:
        """Whether all trials that were wanted have ended."""
        return self.num_finished >= self._num_wanted

    @property
    def share_of_member_steps(self) -> float:
        """Generator steps of all trials, over what they would be if none had been given up."""
        steps = [int(trial.user_attrs["member_steps"]) for trial in self._own()]
        return sum(steps) / (max(steps, default=1) * max(len(steps), 1))

    def best(self, num: int, *, family: str | None = None) -> list[Finalist]:
        """The completed trials of least bound, those of equal parameters once."""
        found: dict[str, Finalist] = {}
        for trial in sorted(self._sound(), key=lambda trial: float(trial.user_attrs["value"])):
            if family in (None, trial.params["schedule"]):
                judgement = Judgement(**{name: trial.user_attrs[name] for name in _JUDGED})
                found.setdefault(str(sorted(trial.params.items())), Finalist(trial.number, trial.params, judgement))
        return list(found.values())[:num]

    def front(self) -> list[Row]:
        """With several objectives, the trials that none is better than in all of them."""
        names = self._job.objective.minimise
        if len(names) == 1:
            return []
        best = sorted(self._study.best_trials, key=lambda trial: trial.values[0])
        return [{"trial": t.number, **dict(zip(names, t.values, strict=True)), **t.params} for t in best]

    def keep_rank_correlation(self) -> float:
        """Spearman's, between objective and exact distance over all trials, kept with the study; NaN if undefined."""
        from scipy.stats import spearmanr

        known = [trial.user_attrs for trial in self._own() if trial.user_attrs.get("distance") is not None]
        values, distances = ([attrs[name] for attrs in known] for name in ("value", "distance"))
        if len(known) < 3 or len(set(values)) == 1 or len(set(distances)) == 1:
            return math.nan
        correlation = float(spearmanr(values, distances).statistic)
        self._study.set_user_attr("rank_correlation", correlation)
        return correlation

    def warnings(self) -> list[str]:
        """What the user should know before believing the search."""
        found = []
        values = [float(trial.user_attrs["value"]) for trial in self._sound()]
        if len(values) > 2 and max(values) - min(values) < 1e-3 * max(values):
            found.append(
                "the objective is nearly constant over all trials: the bound is saturated (JSD near log 2 at every "
                "sigma of its grid) and cannot guide a search; set objective: {bound: sliced}"
            )
        space = self._job.space
        if self._job.search.sampler in ("gp", "cmaes") and max(len(space.schedule), len(space.penalty or ())) > 1:
            found.append(
                f"sampler {self._job.search.sampler} models no parameters that only one of several families has: it "
                "drew them at random; give one family, or use sampler: tpe"
            )
        return found

    # --- private

    def _trial(self, number: int) -> optuna.Trial:
        return optuna.Trial(self._study, self._study.trials[number]._trial_id)

    def _trials(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False)

    def _own(self) -> list[FrozenTrial]:
        """Trials of this search that have ended."""
        return [trial for trial in self._trials() if trial.state.is_finished() and "source" not in trial.user_attrs]

    def _sound(self) -> list[FrozenTrial]:
        """Trials that came to their ends, those of a warm start too."""
        return [trial for trial in self._trials() if trial.state == TrialState.COMPLETE]

    def _values(self, judgement: Judgement, seconds: float) -> list[float]:
        assert judgement.value is not None, "a seed has completed"
        return [judgement.value, seconds][: len(self._job.objective.minimise)]

    def _told(self, known: Known, source: str) -> FrozenTrial:
        """A finished trial with a value from the store."""
        assert known.judgement is not None, "the store has all its cells"
        space = self._job.space
        distributions: dict[str, optuna.distributions.BaseDistribution] = {
            name: optuna.distributions.CategoricalDistribution(values) for name, values in space.choices().items()
        }
        for name, values in space.numbers(known.parameters).items():
            low, high, log = _interval(values)
            distributions[name] = optuna.distributions.FloatDistribution(low, high, log=log)
        return optuna.trial.create_trial(
            params=dict(known.parameters),
            distributions=distributions,
            values=self._values(known.judgement, known.seconds),
            user_attrs={"source": source, **{name: getattr(known.judgement, name) for name in _JUDGED}},
        )


def _open(job: TuneJob, store: Store, storage: Storage | None) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if storage is None:
        if "://" in store.root:
            raise HarnessError(
                f"--results {store.root} is no folder: name a database for the search with --storage URL"
            )
        folder = Path(store.absolute_root) / job.name
        folder.mkdir(parents=True, exist_ok=True)
        storage = f"sqlite:///{folder}/study.db"
    try:
        study = optuna.create_study(
            storage=storage,
            study_name=job.name,
            load_if_exists=True,
            directions=[optuna.study.StudyDirection.MINIMIZE for _ in job.objective.minimise],
            pruner=_make_pruner(job),
        )
    except Exception as error:  # whatever a database's driver raises
        raise HarnessError(f"--storage {storage}: cannot be used: {error}") from error
    # another stream whenever a search goes on: a sampler seeded alike would repeat its first suggestions
    seed = stream_seed("sampler", job.search.seed, len(study.trials)) % 2**32
    study.sampler = make_sampler(job.search.sampler, seed=seed)
    return study


def _check_identity(job: TuneJob, study: optuna.Study, storage: Storage | None) -> None:
    """A study goes on only with what its values were made with; ranges, sampler and number of trials may change."""
    parts = {"problem", "networks", "training", "evaluation", "epochs", "objective"}
    identity = {
        **job.model_dump(mode="json", include=parts),
        "seeds": job.search.seeds,
        "stages": list(job.stages),
        "choices": job.space.choices(),
    }
    known = study.user_attrs.get("identity")
    if known is None:
        study.set_user_attr("identity", identity)
    elif reasons := changes(known, identity):
        raise HarnessError(
            f"{job.name}: the study in {storage or 'the store'} was made with other settings ({'; '.join(reasons)}); "
            "its values do not compare with new ones: give this job another name"
        )


def make_sampler(name: str, *, seed: int) -> optuna.samplers.BaseSampler:
    """A sampler of Optuna by its name in a job file."""
    match name:
        case "gp":
            return optuna.samplers.GPSampler(seed=seed, warn_independent_sampling=False)
        case "cmaes":
            return optuna.samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False)
        case "random" | "grid":  # a grid's points are enqueued
            return optuna.samplers.RandomSampler(seed=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        # families have parameters of their own: those that occur together are modelled together
        return optuna.samplers.TPESampler(seed=seed, multivariate=True, group=True)


def _make_pruner(job: TuneJob) -> optuna.pruners.BasePruner:
    match job.pruner:
        case "median":
            return optuna.pruners.MedianPruner(n_startup_trials=5, n_min_trials=3)
        case "halving":
            return optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=2)
    return optuna.pruners.NopPruner()


def _suggest(job: TuneJob, trial: optuna.Trial) -> dict[str, Any]:
    """Values for every parameter of the space; those of a family only with it."""
    chosen = {name: trial.suggest_categorical(name, values) for name, values in job.space.choices().items()}
    for name, values in job.space.numbers(chosen).items():
        low, high, log = _interval(values)
        trial.suggest_float(name, low, high, log=log)
    return dict(trial.params)


def _interval(values: float | Range) -> tuple[float, float, bool]:
    """Low, high, and whether on a log scale."""
    return (values.low, values.high, values.log) if isinstance(values, Range) else (values, values, False)


def importances(trials: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """How much of the objective's variance each property of the trials explains (fANOVA, Hutter et al. 2014).

    Families have parameters of their own, so schedules are compared by their family and their sigma at the start, half
    way and at the end; `adaptive` ones, which have no such numbers, are left out.

    Args:
      trials: Rows of the ``trials`` view.

    Returns:
      Shares that sum to 1, the largest first; empty for fewer than 8 complete trials, or where nothing varies.
    """
    complete = [row for row in trials if row["state"] == "complete" and row["value"] is not None]
    points = [(_properties(json.loads(row["parameters"])), row["value"]) for row in complete]
    points = [(properties, value) for properties, value in points if properties]
    if len(points) < _FEWEST_FOR_IMPORTANCES:
        return {}
    columns = {name: [properties.get(name) for properties, _ in points] for name in points[0][0]}
    varied = {name: column for name, column in columns.items() if len(set(column)) > 1 and None not in column}
    if not varied:
        return {}
    distributions = {name: _spanning(column) for name, column in varied.items()}
    study = optuna.create_study()
    for index, (_, value) in enumerate(points):
        own = {name: column[index] for name, column in varied.items()}
        study.add_trial(optuna.trial.create_trial(params=own, distributions=distributions, value=value))
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    return optuna.importance.get_param_importances(study, evaluator=evaluator)


def _properties(parameters: Parameters) -> dict[str, Any]:
    """What trials of all families have in common; nothing for an adaptive schedule."""
    sigma = sigma_of(parameters)
    times = {"sigma at the start": 0.0, "sigma half way": 0.5, "sigma at the end": 1.0}
    sigmas = {name: sigma.at(t) for name, t in times.items()}
    if None in sigmas.values():
        return {}
    return {**sigmas, **{name: value for name, value in parameters.items() if "." not in name}}


def _spanning(column: Sequence[Any]) -> optuna.distributions.BaseDistribution:
    if all(isinstance(value, float) for value in column):
        return optuna.distributions.FloatDistribution(min(column), max(column))
    return optuna.distributions.CategoricalDistribution(list(dict.fromkeys(column)))
