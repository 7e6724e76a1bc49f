"""What is said of a search: the chosen schedule, what it gains over each baseline on fresh seeds, and what to doubt."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from statistics import fmean

from ..contrasts.contrast import Contrast
from ..errors import JobError, counted
from ..job.job import Job
from ..job.reading import parse_job
from ..job.space import schedule_text, sigma_of
from ..job.tune import TuneJob
from ..planning.naming import DISTANCE, SLICED_DISTANCE
from ..search.analysis import TrialRecord, best, doubts, finished, num_pruned, rank_correlation
from ..search.finals import (
    NO_NOISE,
    Confirmed,
    candidates,
    confirmed,
    contrasts,
    data_scale,
    finalist_seeds,
    fresh_seeds,
    ranked,
)
from ..search.scoring import TrialScore
from .sentences import Finding, Findings, difference, failures
from .subject import Row, Subject

_SCORE = ("value", "distance", "spread", "seeds", "completed_seeds", "diameter")
_NAMES = {one.column: one.name for one in (DISTANCE, SLICED_DISTANCE)}


def findings(subject: Subject) -> Findings:
    """The chosen schedule, the baselines, the objective against the truth, doubts, failures."""
    job = subject.job
    assert isinstance(job, TuneJob)
    records = _records(subject, job)
    ended = finished(records)
    if not ended:
        return Findings((Finding("search", "No trial has ended yet."), *failures(subject)))
    finalists = best(records, job.search.finalists)
    if not finalists:
        return Findings((Finding("search", f"None of {counted(len(ended), 'trial')} completed."), *failures(subject)))
    rows = _confirmed(subject, job, finalists, records)
    if rows is None:
        first = finalists[0]
        assert first.score is not None
        assert first.score.value is not None
        so_far = (
            f"Of {_trials(ended, job)} so far trial {first.number} is the best, {_schedule(first)}: "
            f"{job.objective.reduce} {job.bound} {first.score.value:.3g} over {counted(job.search.seeds, 'seed')}."
        )
        return Findings((Finding("search", so_far), *_doubts(records, job), *failures(subject)))
    chosen, table = rows
    tested = contrasts(table, chosen.number, job)
    own = next(row for row in table if row.candidate == f"trial {chosen.number}")
    found = (
        _chosen(job, chosen, own, ended),
        *(_against_baselines(tested, metric, job) for metric in dict.fromkeys((job.distance, job.comparable_bound))),
        *_one_by_one(tested),
        *_doubts(records, job),
        *failures(subject),
    )
    return Findings(found, tuple(tested))


def _records(subject: Subject, job: TuneJob) -> list[TrialRecord]:
    """The trials of the store; those of a warm start are in another job's."""
    rows = subject.results.query(f"SELECT * FROM trials WHERE {subject.of_job} ORDER BY trial").to_pylist()
    return [_record(row, job) for row in rows]


def _record(row: Row, job: TuneJob) -> TrialRecord:
    parameters = json.loads(row["parameters"])
    return TrialRecord(
        number=row["trial"],
        state=row["state"],
        parameters=parameters,
        score=TrialScore(*(row[name] for name in _SCORE)),
        values=() if row["value"] is None else (row["value"],),
        epoch=row["epoch"] or 0,
        member_steps=row["member_steps"] or 0,
        is_in_space=job.space.holds(parameters),
    )


def _confirmed(
    subject: Subject, job: TuneJob, finalists: Sequence[TrialRecord], records: Iterable[TrialRecord]
) -> tuple[TrialRecord, list[Confirmed]] | None:
    """The chosen trial and what became of the candidates; None before that is known, or where a warm start chose."""
    store, name = subject.results.store, f"{job.name}-confirmation"
    further = set(finalist_seeds(job))
    (there,) = subject.ask("SELECT count(DISTINCT seed) AS num", where=f"seed IN ({_listed(further)})")
    if there["num"] < len(further):
        return None
    ranking = [finalist.trial for finalist in ranked(job, store, finalists)]
    if not _is_chosen(subject, ranking[0]):
        return None
    constants = best(records, 1, family="constant")
    points = candidates(ranking, constants, scale=data_scale(job, store))
    where = f"job = '{name}' AND seed IN ({_listed(fresh_seeds(job))})"
    (rows,) = subject.results.query(f"SELECT count(*) AS num FROM cells WHERE {where}").to_pylist()
    if rows["num"] < len(points) * job.search.confirmation_seeds:
        return None
    return ranking[0], confirmed(job, store, name, points)


def _is_chosen(subject: Subject, trial: TrialRecord) -> bool:
    """Whether this is the trial whose schedule the search has written down as the best."""
    text = subject.results.store.place.content(f"{subject.name}/best.yaml")
    try:
        job = None if text is None else parse_job(text.decode())
    except JobError:
        return False
    wanted = sigma_of(trial.parameters).description
    return isinstance(job, Job) and any(sigma.description == wanted for grid in job.grid for sigma in grid.sigma)


def _chosen(job: TuneJob, chosen: TrialRecord, own: Confirmed, ended: Sequence[TrialRecord]) -> Finding:
    failed = f", {own.not_completed} of which did not complete" if own.not_completed else ""
    return Finding(
        "search",
        f"Of {_trials(ended, job)} trial {chosen.number} was chosen, {_schedule(chosen)}: on "
        f"{counted(len(own.bounds), 'fresh seed')}{failed} mean {_name(job.distance)} {fmean(own.distances):.3g}, "
        f"{job.comparable_bound} {fmean(own.bounds):.3g}.",
    )


def _against_baselines(tested: Sequence[Contrast], metric: str, job: TuneJob) -> Finding:
    """How the chosen schedule stands against the baselines in one metric, and against no noise with the interval."""
    own = [one for one in tested if one.metric == metric]
    counts = {verdict: sum(one.verdict == verdict for one in own) for verdict in ("better", "worse", "undecided")}
    parts = [f"better than {counts['better']} of {counted(len(own), 'baseline')}"]
    parts += [f"worse than {counts['worse']}"] if counts["worse"] else []
    parts += [f"undecided against {counts['undecided']}"] if counts["undecided"] else []
    silent = next((one for one in own if one.theirs == NO_NOISE), None)
    known = silent is not None and not math.isnan(silent.t_p)
    without = f"; against {NO_NOISE}: {difference(silent)}" if silent is not None and known else ""
    return Finding(
        "search", f"In {_name(metric)} it is {', '.join(parts)}{without} (paired t tests, Holm over {len(tested)})."
    )


def _one_by_one(tested: Sequence[Contrast]) -> list[Finding]:
    decided, undecided = [], []
    for one in tested:
        metric = _name(one.metric)
        if one.verdict != "undecided":
            decided.append(Finding("differs", f"Against {one.theirs}: {metric} {one.verdict}, by {difference(one)}."))
        elif math.isnan(one.t_p):
            undecided.append(Finding("undecided", f"Against {one.theirs}: {metric} cannot be decided on one seed."))
        else:
            undecided.append(Finding("undecided", f"Against {one.theirs}: {metric} undecided, {difference(one)}."))
    return [*decided, *undecided]


def _doubts(records: Sequence[TrialRecord], job: TuneJob) -> list[Finding]:
    correlation = rank_correlation(records)
    found = []
    if not math.isnan(correlation):
        found.append(
            Finding(
                "search",
                f"Over the trials {job.bound} and {_name(job.distance)} have a rank correlation of {correlation:.2f}.",
            )
        )
    return [*found, *(Finding("search", f"{doubt[0].upper()}{doubt[1:]}.") for doubt in doubts(records, job))]


def _trials(ended: Sequence[TrialRecord], job: TuneJob) -> str:
    pruned = num_pruned(ended)
    return f"{counted(len(ended), 'trial')}{f' ({pruned} pruned)' if pruned else ''}"


def _schedule(trial: TrialRecord) -> str:
    return schedule_text(sigma_of(trial.parameters))


def _name(column: str) -> str:
    return _NAMES.get(column, column)


def _listed(seeds: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(seeds)))
