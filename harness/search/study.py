"""The Optuna study of a search: what is tried next, and what is given up. The only ``import optuna``."""

from __future__ import annotations

import json
import math
import re
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from ..errors import HarnessError
from ..identity import stream_seed
from ..job.parts.losses import named_with_source
from ..job.space import Parameters, Range
from ..job.tune import TuneJob, example_grid
from ..planning.difference import changes
from ..planning.grid import expand
from ..storage.store import Store, new_part
from .finals import Finalist
from .scoring import Judgement, Result, Row, trial_row
from .warm_start import Known, known_points

Storage = str | optuna.storages.BaseStorage

_STATES = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "fail": TrialState.FAIL}
_JUDGED = ("value", "distance", "spread", "seeds", "completed", "diameter")
_MOST_SUGGESTIONS = 5


class OptunaStudy:
    """An Optuna study as `search.Study`; only the driver touches it, by ask and tell.

    Args:
      job: What is searched.
      store: Of the results; an SQLite file in the job's folder there holds the study, unless `storage` does.
      storage: An Optuna URL, or a storage object.
      warm_start: A job whose results in the store the search starts from.
      announce: Told in words how far the search is.

    Raises:
      HarnessError: If the storage is not usable or belongs to another search, or there is nothing to start from.
    """

    def __init__(
        self,
        job: TuneJob,
        store: Store,
        storage: Storage | None,
        *,
        warm_start: str | None = None,
        announce: Callable[[str], None] | None = None,
    ) -> None:
        self._job, self._store, self._announce = job, store, announce or (lambda text: None)
        self._study = _open(job, store, storage)
        _check_identity(job, self._study, storage)
        self._num_wanted = job.search.trials
        if warm_start is not None:
            self._start_warm(known_points(job, store, warm_start), source=warm_start)
        if job.search.sampler == "grid":
            for point in job.space.points(job.search.points):
                self._study.enqueue_trial(point, skip_if_exists=True)
            # with the points of a grid that this search had before
            self._num_wanted = sum("source" not in trial.user_attrs for trial in self._trials())
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
        step = 2**stage  # successive halving has its rungs at steps that double
        if step in self._trials()[number].intermediate_values:  # reported before a kill: as it was judged then
            return bool(trial.user_attrs.get("given_up") == stage)
        trial.report(value, step)
        if trial.should_prune():
            trial.set_user_attr("given_up", stage)
            return True
        return False

    def finish(self, number: int, result: Result) -> None:
        """Tells a trial's end."""
        trial = self._trial(number)
        judged = {name: getattr(result.judgement, name) for name in _JUDGED}
        spent = {"epoch": result.epoch, "member_steps": result.member_steps, "seconds": result.seconds}
        for name, value in {**judged, **spent}.items():
            trial.set_user_attr(name, value)
        values = self._values(result.judgement, result.seconds) if result.state == "complete" else None
        self._study.tell(number, values, state=_STATES[result.state])
        best = min((trial.user_attrs["value"] for trial in self._sound()), default=None)
        given_up = f", {self.num_pruned} given up" if self.num_pruned else ""
        so_far = "" if best is None else f"; best {self._job.bound} {best:.4g}"
        self._announce(f"{self.num_finished}/{self._num_wanted} trials{given_up}{so_far}")

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
        steps = [(trial.user_attrs["member_steps"], trial.user_attrs["epoch"]) for trial in self._own()]
        whole = sum(num * self._job.epochs / epoch for num, epoch in steps)
        return float(sum(num for num, _ in steps) / whole) if whole else 1.0

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
        """Spearman's, between objective and exact distance over all trials, kept with the study; NaN if undefined.

        Trials given up count as they were then. Those with a seed that did not complete do not: both of their values
        are the diameter at least, so that they would agree whatever the objective is worth.
        """
        sound = [t.user_attrs for t in self._own() if t.user_attrs["completed"] == t.user_attrs["seeds"]]
        correlation = _spearman([(attrs["value"], attrs["distance"]) for attrs in sound])
        if not math.isnan(correlation):
            self._study.set_user_attr("rank_correlation", correlation)
        return correlation

    def report_correlations(self) -> dict[int, float]:
        """By epoch of a report, Spearman's between its values and the last, over the trials that came to their ends."""
        whole = [trial for trial in self._own() if trial.state == TrialState.COMPLETE]
        pairs: dict[int, list[tuple[float, float]]] = {}
        for trial in whole:
            for step, value in trial.intermediate_values.items():
                epoch = self._job.stages[step.bit_length() - 1]
                pairs.setdefault(epoch, []).append((value, trial.user_attrs["value"]))
        return {epoch: _spearman(values) for epoch, values in sorted(pairs.items())}

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

    def _start_warm(self, known: Sequence[Known], *, source: str) -> None:
        """Tells the study what the store knows: exact values as trials, other results as suggestions."""
        trials = self._trials()
        seen = [trial.params or trial.system_attrs.get("fixed_params") for trial in trials]
        num_told = 0
        suggestions = []
        for point in known:
            if point.parameters in seen:
                continue
            if point.judgement is not None and point.judgement.completed:
                told = Result("complete", point.judgement, self._job.epochs, member_steps=0, seconds=0.0)
                row = trial_row(len(self._study.trials), point.parameters, told)
                self._store.write_part(self._job.name, "trials", [row], part=new_part())  # before the study knows it
                self._study.add_trial(self._told(point, source))
                num_told += 1
            else:
                suggestions.append(point.parameters)
        # a grid has points of its own; and a search that goes on has had its suggestions
        room = _MOST_SUGGESTIONS - sum("suggested_by" in trial.user_attrs for trial in trials)
        suggestions = [] if self._job.search.sampler == "grid" else suggestions[: max(0, room)]
        for parameters in suggestions:
            self._study.enqueue_trial(dict(parameters), user_attrs={"suggested_by": source})
        self._announce(f"warm start from {source}: {num_told} results, {len(suggestions)} suggestions")

    def _trial(self, number: int) -> optuna.Trial:
        return optuna.Trial(self._study, self._trials()[number]._trial_id)

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
        raise HarnessError(f"--storage {_without_password(storage)}: cannot be used: {error}") from error
    # another stream whenever a search goes on: a sampler seeded alike would repeat its first suggestions
    seed = stream_seed("sampler", job.search.seed, len(study.trials)) % 2**32
    study.sampler = make_sampler(job.search.sampler, seed=seed)
    return study


def _without_password(storage: Storage) -> str:
    return re.sub(r"(://[^:/@]*):[^@]*@", r"\1:***@", str(storage))


def _check_identity(job: TuneJob, study: optuna.Study, storage: Storage | None) -> None:
    """A study goes on only with what its values were made with; ranges, sampler and number of trials may change."""
    identity = json.loads(json.dumps(_identity(job)))  # as the storage gives it back
    known = study.user_attrs.get("identity") if study.get_trials(deepcopy=False) else None
    if known is not None:
        # a parameter may come or go, but Optuna keeps no parameter that changes its scale
        common = sorted(known["scales"].keys() & identity["scales"].keys())
        before, now = (
            {**which, "scales": {name: which["scales"][name] for name in common}} for which in (known, identity)
        )
        if reasons := changes(before, now):
            where = "the store" if storage is None else _without_password(storage)
            raise HarnessError(
                f"{job.name}: the study in {where} was made with other settings ({'; '.join(reasons)}); "
                "its values do not compare with new ones: give this job another name"
            )
        identity["scales"] = {**known["scales"], **identity["scales"]}
    if identity != known:
        study.set_user_attr("identity", identity)


def _identity(job: TuneJob) -> dict[str, Any]:
    """What a search's values depend on: what the cells of all trials have in common, and how they are judged."""
    cell = json.loads(expand(job.training_job(job.name, (example_grid(job),)))[0].identity)
    return {
        **{name: value for name, value in cell["run"].items() if name not in ("sigma", "seed", "loss", "horizon")},
        "problem": json.loads(cell["run"]["problem"]),
        "metric_version": cell["metric_version"],
        "evaluation": cell["evaluation"],
        "epochs": job.epochs,
        "objective": {**job.objective.model_dump(mode="json"), "bound": job.kind_of_bound},
        "losses": [named_with_source(loss) for loss in job.space.loss],
        "seeds": job.search.seeds,
        "stages": list(job.stages),
        "choices": job.space.choices(),
        "scales": job.space.scales(),
    }


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


def _spearman(pairs: Sequence[tuple[float, float]]) -> float:
    """Spearman's rank correlation; NaN for fewer than three pairs, or where one side is constant."""
    from scipy.stats import spearmanr

    first, second = ([pair[side] for pair in pairs] for side in (0, 1))
    if len(pairs) < 3 or len(set(first)) == 1 or len(set(second)) == 1:
        return math.nan
    return float(spearmanr(first, second).statistic)


def _interval(values: float | Range) -> tuple[float, float, bool]:
    """Low, high, and whether on a log scale."""
    return (values.low, values.high, values.log) if isinstance(values, Range) else (values, values, False)
