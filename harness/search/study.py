"""The Optuna study of a search: what is tried next, and what is pruned. The only ``import optuna``."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from ..errors import HarnessError
from ..execution.state import Standing
from ..identity import stream_seed
from ..job.extensions import resolve
from ..job.space import Parameters, Range, WholeRange, schedule_text, sigma_of
from ..job.strategies import WithOptions, name_and_options
from ..job.tune import TuneJob
from .analysis import TrialRecord, best, finished, num_pruned
from .scoring import Result, TrialScore

Storage = str | optuna.storages.BaseStorage

_STATES = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "fail": TrialState.FAIL}
_WORDS: Mapping[TrialState, Any] = {state: word for word, state in _STATES.items()} | {
    TrialState.WAITING: "waiting",
    TrialState.RUNNING: "running",
}
# names that attributes have in studies that are there
_SCORE = ("value", "distance", "spread", "seeds", "completed", "diameter")
_PRUNED_AT = "given_up"
_SOURCE = "source"
_SUGGESTED_BY = "suggested_by"
_DROPPED = "dropped"


class OptunaStudy:
    """An Optuna study as `trials.Study`; only the driver touches it, by ask and tell.

    Args:
      job: What is searched.
      storage: An Optuna URL, or a storage object.

    Raises:
      HarnessError: If the storage is not usable, or a sampler or pruner of the user's own is none.
    """

    def __init__(self, job: TuneJob, storage: Storage) -> None:
        self._job = job
        self._study, self._storage = _open(job, storage)
        self._running: dict[int, optuna.Trial] = {}
        # asked for and not told, because their driver died: what they have been given they keep
        self._begun = [trial.number for trial in self.trials() if trial.state == "running"]

    def ask(self) -> tuple[int, Parameters] | None:
        """A trial of a killed search, or a new one; None if there are enough."""
        while self._begun or self._num_asked < self.num_wanted:
            is_begun = bool(self._begun)
            trial = self._attached(self._begun.pop(0)) if is_begun else self._study.ask()
            known, holds = self.trials()[trial.number].parameters, self._job.space.holds
            parameters = _suggest(self._job, trial) if is_begun or not known or holds(known) else known
            if not known or holds(parameters):
                self._running[trial.number] = trial
                return trial.number, parameters
            trial.set_user_attr(_DROPPED, True)  # a point of the space as it was
            self._study.tell(trial, state=TrialState.FAIL)
        return None

    def report(self, number: int, *, stage: int, value: float) -> bool:
        """The value after a stage, counted from 0; whether the trial is pruned."""
        if len(self._job.objective.minimise) > 1:
            return False  # Optuna has no order to prune by
        trial = self._running[number]
        if stage in self.trials()[number].reports:  # reported before a kill: as it was decided then
            return bool(trial.user_attrs.get(_PRUNED_AT) == stage)
        trial.report(value, _step(stage))
        if trial.should_prune():
            trial.set_user_attr(_PRUNED_AT, stage)
            return True
        return False

    def finish(self, number: int, result: Result) -> None:
        """Tells a trial's end."""
        trial = self._running.pop(number)
        spent = {"epoch": result.epoch, "member_steps": result.member_steps, "seconds": result.seconds}
        for name, value in {**_attributes(result.score), **spent}.items():
            trial.set_user_attr(name, value)
        values = self._values(result.score, result.seconds) if result.state == "complete" else None
        self._study.tell(trial, values, state=_STATES[result.state])

    def standing(self) -> Standing:
        """How far the search is."""
        trials = self.trials()
        known = Standing(len(finished(trials)), self.num_wanted, num_pruned(trials), objective=self._job.bound)
        for first in best(trials, 1):
            assert first.score is not None, "it is among the best by its value"
            schedule = schedule_text(sigma_of(first.parameters))
            return replace(known, best=first.score.value, best_schedule=schedule, best_trial=first.number)
        return known

    def trials(self) -> list[TrialRecord]:
        """All that the study knows, by number."""
        return [_record(trial, self._job) for trial in self._study.get_trials(deepcopy=False)]

    @property
    def num_wanted(self) -> int:
        """How many trials make the search complete: all points of a grid, also those of a grid it had before."""
        if self._job.search.sampler != "grid":
            return self._job.search.trials
        return sum(trial.source is None and trial.is_in_space for trial in self.trials())

    @property
    def is_complete(self) -> bool:
        """Whether all trials that were wanted have ended."""
        return len(finished(self.trials())) >= self.num_wanted

    # --- what it begins with, and keeps

    def enqueue(self, points: Iterable[Parameters], *, suggested_by: str | None = None) -> None:
        """Points to be tried next, but for those that it has."""
        attributes = None if suggested_by is None else {_SUGGESTED_BY: suggested_by}
        has = [trial.parameters for trial in self.trials() if trial.is_in_space]
        for point in points:
            if point not in has:
                self._study.enqueue_trial(dict(point), user_attrs=attributes)
                has.append(point)

    def add(self, parameters: Parameters, score: TrialScore, *, seconds: float, source: str) -> None:
        """A complete trial that a job of the name `source` has computed."""
        chosen = {
            name: optuna.distributions.CategoricalDistribution(v) for name, v in self._job.space.choices().items()
        }
        numbers = {name: _distribution(values) for name, values in self._job.space.numbers(parameters).items()}
        trial = optuna.trial.create_trial(
            params=dict(parameters),
            distributions={**chosen, **numbers},
            values=self._values(score, seconds),
            user_attrs={_SOURCE: source, **_attributes(score)},
        )
        self._study.add_trial(trial)

    def keep(self, name: str, value: Any) -> None:
        """Stores a value of JSON with the study."""
        self._study.set_user_attr(name, value)

    def kept(self, name: str) -> Any:
        """What `keep` stored under a name; None if nothing."""
        return self._study.user_attrs.get(name)

    # --- private

    @property
    def _num_asked(self) -> int:
        return sum(trial.state != "waiting" and trial.source is None and trial.is_in_space for trial in self.trials())

    def _attached(self, number: int) -> optuna.Trial:
        """A trial that another process asked for."""
        study_id = self._storage.get_study_id_from_name(self._study.study_name)
        return optuna.Trial(self._study, self._storage.get_trial_id_from_study_id_trial_number(study_id, number))

    def _values(self, score: TrialScore, seconds: float) -> list[float]:
        assert score.value is not None, "a seed has completed"
        return [score.value, seconds][: len(self._job.objective.minimise)]


def without_password(storage: Storage) -> str:
    """A storage as messages name it."""
    return re.sub(r"(://[^:/@]*):[^@]*@", r"\1:***@", str(storage))


def _open(job: TuneJob, storage: Storage) -> tuple[optuna.Study, optuna.storages.BaseStorage]:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pruner = make_pruner(job.pruner)
    try:
        kept_in = optuna.storages.RDBStorage(storage) if isinstance(storage, str) else storage
        study = optuna.create_study(
            storage=kept_in,
            study_name=job.name,
            load_if_exists=True,
            directions=[optuna.study.StudyDirection.MINIMIZE for _ in job.objective.minimise],
            pruner=pruner,
        )
    except Exception as error:  # whatever a database's driver raises
        raise HarnessError(f"--storage {without_password(storage)}: cannot be used: {error}") from error
    # another stream whenever a search goes on: a sampler seeded alike would repeat its first suggestions
    seed = stream_seed("sampler", job.search.seed, len(study.trials)) % 2**32
    study.sampler = make_sampler(job.search.sampler, seed=seed)
    return study, kept_in


# --- trials


def _record(trial: FrozenTrial, job: TuneJob) -> TrialRecord:
    attributes = trial.user_attrs
    has_ended = trial.state.is_finished() and all(name in attributes for name in _SCORE)
    parameters = trial.params or trial.system_attrs.get("fixed_params", {})  # as `enqueue_trial` keeps them
    return TrialRecord(
        number=trial.number,
        state=_WORDS[trial.state],
        parameters=parameters,
        score=TrialScore(**{name: attributes[name] for name in _SCORE}) if has_ended else None,
        values=tuple(trial.values or ()),
        reports={_stage(step): value for step, value in trial.intermediate_values.items()},
        epoch=attributes.get("epoch", 0),
        member_steps=attributes.get("member_steps", 0),
        source=attributes.get(_SOURCE),
        suggested_by=attributes.get(_SUGGESTED_BY),
        is_in_space=_DROPPED not in attributes and job.space.holds(parameters),
    )


def _attributes(score: TrialScore) -> dict[str, Any]:
    return {name: getattr(score, name) for name in _SCORE}


def _step(stage: int) -> int:
    """Optuna's step of a stage: successive halving has its rungs at steps that double."""
    return int(2**stage)


def _stage(step: int) -> int:
    return step.bit_length() - 1


def _suggest(job: TuneJob, trial: optuna.Trial) -> dict[str, Any]:
    """Values for every parameter of the space; those of a family only with it."""
    chosen = {name: trial.suggest_categorical(name, values) for name, values in job.space.choices().items()}
    for name, values in job.space.numbers(chosen).items():
        interval = _distribution(values)
        if isinstance(interval, optuna.distributions.IntDistribution):
            trial.suggest_int(name, interval.low, interval.high, log=interval.log)
        else:
            trial.suggest_float(name, interval.low, interval.high, log=interval.log)
    return dict(trial.params)


def _distribution(
    values: float | Range,
) -> optuna.distributions.FloatDistribution | optuna.distributions.IntDistribution:
    if isinstance(values, WholeRange):
        return optuna.distributions.IntDistribution(int(values.low), int(values.high), log=values.log)
    low, high, log = (values.low, values.high, values.log) if isinstance(values, Range) else (values, values, False)
    return optuna.distributions.FloatDistribution(low, high, log=log)


# --- samplers and pruners


def _tpe(*, seed: int) -> optuna.samplers.BaseSampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        # families have parameters of their own: those that occur together are modelled together
        return optuna.samplers.TPESampler(seed=seed, multivariate=True, group=True)


_SAMPLERS: Mapping[str, Callable[..., Any]] = {
    "tpe": _tpe,
    "gp": lambda seed: optuna.samplers.GPSampler(seed=seed, warn_independent_sampling=False),
    "cmaes": lambda seed: optuna.samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False),
    "random": optuna.samplers.RandomSampler,
    "grid": optuna.samplers.RandomSampler,  # of a grid all points are enqueued
}
_PRUNERS: Mapping[str, Callable[..., Any]] = {
    "median": lambda: optuna.pruners.MedianPruner(n_startup_trials=5, n_min_trials=3),
    "halving": lambda: optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=2),
    "none": optuna.pruners.NopPruner,
}


def make_sampler(strategy: str | WithOptions, *, seed: int) -> optuna.samplers.BaseSampler:
    """The sampler that a job file names.

    Raises:
      HarnessError: If one of the user's own cannot be made, or is none.
    """
    sampler: optuna.samplers.BaseSampler = _made("sampler", strategy, _SAMPLERS, optuna.samplers.BaseSampler, seed=seed)
    return sampler


def make_pruner(strategy: str | WithOptions) -> optuna.pruners.BasePruner:
    """The pruner that a job file names.

    Raises:
      HarnessError: If one of the user's own cannot be made, or is none.
    """
    pruner: optuna.pruners.BasePruner = _made("pruner", strategy, _PRUNERS, optuna.pruners.BasePruner)
    return pruner


def _made(
    kind: str, strategy: str | WithOptions, builtin: Mapping[str, Callable[..., Any]], base: type, **given: Any
) -> Any:
    name, options = name_and_options(strategy)
    arguments = {**given, **options}
    call = f"{name}({', '.join(f'{key}={value!r}' for key, value in arguments.items())})"
    try:
        made = resolve(name, builtin, kind=kind)(**arguments)
    except Exception as error:  # whatever a user's own raises
        raise HarnessError(
            f"search.{kind}: {call} raised {type(error).__name__}: {error}; it must take these arguments and make a "
            f"{base.__name__} of Optuna"
        ) from error
    if not isinstance(made, base):
        raise HarnessError(
            f"search.{kind}: {call} made a {type(made).__name__}; it must make a {base.__name__} of Optuna"
        )
    return made


# --- importances


def fanova(columns: Mapping[str, Sequence[Any]], values: Sequence[float]) -> dict[str, float]:
    """How much of the variance of values each column explains (fANOVA, Hutter et al. 2014).

    Args:
      columns: By name, an entry per value; floats are on a scale, all else is a choice.
      values: What is to be explained.

    Returns:
      Shares that sum to 1, the largest first.
    """
    distributions = {name: _spanning(column) for name, column in columns.items()}
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study()
    for index, value in enumerate(values):
        point = {name: column[index] for name, column in columns.items()}
        study.add_trial(optuna.trial.create_trial(params=point, distributions=distributions, value=value))
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    return optuna.importance.get_param_importances(study, evaluator=evaluator)


def _spanning(column: Sequence[Any]) -> optuna.distributions.BaseDistribution:
    if all(isinstance(value, float) for value in column):
        return optuna.distributions.FloatDistribution(min(column), max(column))
    return optuna.distributions.CategoricalDistribution(list(dict.fromkeys(column)))
