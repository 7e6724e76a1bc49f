"""What the trials of a search say: pure functions of records, which know nothing of Optuna or of files."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ..job.space import Parameters
from ..job.tune import TuneJob
from .scoring import Ending, Row, TrialScore


@dataclass(frozen=True)
class TrialRecord:
    """A trial as its study has it.

    Attributes:
      parameters: Of a trial that waits, those it will be given.
      score: Of a trial that ended; None of others.
      values: What is minimised, of a trial that ended and has a value.
      reports: By stage, counted from 0: the value that was reported after it.
      epoch, member_steps: How far it was trained, and with how many generator steps over its seeds; 0 until it ended.
      source: The job whose results told this trial; None of a trial of this search.
      suggested_by: The job whose results suggested its parameters.
      is_in_space: Whether it is a point of the space as it is now; one that is not counts for nothing.
    """

    number: int
    state: Ending | Literal["waiting", "running"]
    parameters: Parameters
    score: TrialScore | None = None
    values: tuple[float, ...] = ()
    reports: Mapping[int, float] = field(default_factory=dict)
    epoch: int = 0
    member_steps: int = 0
    source: str | None = None
    suggested_by: str | None = None
    is_in_space: bool = True


def finished(trials: Iterable[TrialRecord]) -> list[TrialRecord]:
    """The trials of this search that have ended; none that a warm start told, or outside of the space as it is now."""
    return [trial for trial in trials if trial.is_in_space and _has_ended(trial) and trial.source is None]


def left_out(trials: Iterable[TrialRecord]) -> str | None:
    """Says how many trials have ended outside of the space as it is now; None if none has."""
    num = sum(trial.score is not None and not trial.is_in_space for trial in trials)
    if not num:
        return None
    counted = "they count neither among search.trials nor as the best"
    return f"trials that lie outside of the space as it is now: {num}; {counted}"


def num_pruned(trials: Iterable[TrialRecord]) -> int:
    """How many trials of this search were pruned."""
    return sum(trial.state == "pruned" for trial in finished(trials))


def best(trials: Iterable[TrialRecord], num: int, *, family: str | None = None) -> list[TrialRecord]:
    """The completed trials of least value, also those of a warm start; those of equal parameters once.

    Args:
      trials: All of a study.
      num: How many at most.
      family: Only of schedules of this family, if given.
    """
    found: dict[str, TrialRecord] = {}
    for _, trial in sorted(_completed(trials), key=lambda pair: pair[0]):
        if family in (None, trial.parameters["schedule"]):
            found.setdefault(str(sorted(trial.parameters.items())), trial)
    return list(found.values())[:num]


def front(trials: Iterable[TrialRecord], names: Sequence[str]) -> list[Row]:
    """The completed trials that none is better than in all that is minimised, in the order of the first of these.

    Args:
      trials: All of a study.
      names: Of what is minimised; of a single one there is no front.
    """
    if len(names) == 1:
        return []
    complete = [trial for trial in trials if trial.state == "complete" and trial.is_in_space]
    undominated = [t for t in complete if not any(_dominates(other.values, t.values) for other in complete)]
    rows = sorted(undominated, key=lambda trial: trial.values[0])
    return [{"trial": t.number, **dict(zip(names, t.values, strict=True)), **t.parameters} for t in rows]


def rank_correlation(trials: Iterable[TrialRecord]) -> float:
    """Spearman's, between objective and exact distance over all trials of this search; NaN if undefined.

    Pruned trials count as they were then. Those with a seed that did not complete do not: both of their values
    are the diameter at least, so that they would agree whatever the objective is worth.
    """
    scores = [trial.score for trial in finished(trials) if trial.score is not None]
    pairs = [(score.value, score.distance) for score in scores if score.completed == score.seeds]
    return _spearman([(value, distance) for value, distance in pairs if value is not None and distance is not None])


def report_correlations(trials: Iterable[TrialRecord], stages: Sequence[int]) -> dict[int, float]:
    """By epoch of a report, Spearman's between its values and the last, over the trials that came to their ends.

    Args:
      trials: All of a study.
      stages: Epochs of the reports, and the last.
    """
    pairs: dict[int, list[tuple[float, float]]] = {}
    for value, trial in _completed(finished(trials)):
        for stage, reported in trial.reports.items():
            pairs.setdefault(stages[stage], []).append((reported, value))
    return {epoch: _spearman(values) for epoch, values in sorted(pairs.items())}


def share_of_member_steps(trials: Iterable[TrialRecord], epochs: int) -> float:
    """Generator steps of all trials of this search, over what they would be if none had been pruned.

    Args:
      trials: All of a study.
      epochs: Of a whole trial.
    """
    trained = [trial for trial in finished(trials) if trial.epoch]
    whole = sum(trial.member_steps * epochs / trial.epoch for trial in trained)
    return float(sum(trial.member_steps for trial in trained) / whole) if whole else 1.0


def doubts(trials: Iterable[TrialRecord], job: TuneJob) -> list[str]:
    """What the user should know before believing a search."""
    found = []
    values = [value for value, _ in _completed(trials)]
    if len(values) > 2 and max(values) - min(values) < 1e-3 * max(values):
        found.append(
            "the objective is nearly constant over all trials: the bound is saturated (JSD near log 2 at every "
            "sigma of its grid), or no less than the diameter of the samples, which it counts as then; it cannot guide "
            "a search; set objective: {bound: sliced}"
        )
    space = job.space
    if job.search.sampler in ("gp", "cmaes") and max(len(space.schedule), len(space.penalty or ())) > 1:
        found.append(
            f"sampler {job.search.sampler} models no parameters that only one of several families has: it "
            "drew them at random; give one family, or use sampler: tpe"
        )
    return found


def _has_ended(trial: TrialRecord) -> bool:
    return trial.state not in ("waiting", "running")


def _completed(trials: Iterable[TrialRecord]) -> list[tuple[float, TrialRecord]]:
    """Trials of the space that came to their ends, those of a warm start too, each after its value."""
    scored = [(trial.score, trial) for trial in trials if trial.state == "complete" and trial.is_in_space]
    return [(score.value, trial) for score, trial in scored if score is not None and score.value is not None]


def _dominates(values: Sequence[float], others: Sequence[float]) -> bool:
    pairs = list(zip(values, others, strict=True))
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)


def _spearman(pairs: Sequence[tuple[float, float]]) -> float:
    """Spearman's rank correlation; NaN for fewer than three pairs, or where one side is constant."""
    from scipy.stats import spearmanr

    first, second = ([pair[side] for pair in pairs] for side in (0, 1))
    if len(pairs) < 3 or len(set(first)) == 1 or len(set(second)) == 1:
        return math.nan
    statistic: Any = spearmanr(first, second).statistic
    return float(statistic)
