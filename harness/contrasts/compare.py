"""The contrasts of a job, or of two: which rows are compared with which."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..errors import HarnessError, suggest
from ..job.dirac import DiracJob
from ..job.job import Job
from ..job.parts.settings import Collapsed
from ..job.reading import parse_job
from ..job.spec import sentence
from ..planning.grid import expand
from ..storage.query import Results, open_results
from ..storage.records import CELLS
from .contrast import Contrast, Seed, contrast, corrected

AXES = ("loss", "penalty", "schedule", "learning_rate", "batch_norm", "discriminator_steps")
JOB = "job"
_Row = Mapping[str, Any]
_Place = tuple[Any, ...]


def compare(
    job: str,
    other: str | None = None,
    *,
    results: str | Path = "results",
    by: str | None = None,
    metrics: Sequence[str] = ("w1", "bound_best"),
    against: str | None = None,
    epoch: int | None = None,
    collapsed: Mapping[str, float] | None = None,
) -> list[Contrast]:
    """Contrasts of the values of an axis, or of two jobs, on the seeds of both: what ``harness compare`` prints.

        for contrast in harness.compare("annealing", against="0"):
            print(contrast)             # in words; contrast.verdict, .difference, .interval, .p, .shares

    Args:
      job: Name of a job with results.
      other: A second one, with which the first is compared at every place of the grid that both have.
      results: Root of the store.
      by: The axis; may be left out where one alone has several values.
      metrics: Columns of `cells`, or names in the table `metrics`.
      against: The value that others are compared with; by default the first of the job file.
      epoch: By default the last that all have.
      collapsed: What counts as a collapsed seed: ``{"w1": 0.3}``; by default what the job file says.

    Returns:
      One per metric, value and combination of the other axes that has both, corrected over all of them (Holm).

    Raises:
      HarnessError: If there is nothing to compare, or a name is unknown.
    """
    limit = None if collapsed is None else collapsed_limit(collapsed)
    opened = open_results(results)
    found = compared(opened, job, other, by=by, metrics=metrics, against=against, epoch=epoch, collapsed=limit)
    return list(found.contrasts)


@dataclass(frozen=True)
class Compared:
    """What `compared` found.

    Attributes:
      contrasts: Corrected together.
      left_out: Cells that have nothing to be compared with: why, and for a person which.
    """

    contrasts: Sequence[Contrast]
    left_out: Mapping[str, Sequence[str]]


def compared(
    results: Results,
    job: str,
    other: str | None = None,
    *,
    by: str | None = None,
    metrics: Sequence[str] = ("w1", "bound_best"),
    against: str | None = None,
    epoch: int | None = None,
    collapsed: Collapsed | None = None,
) -> Compared:
    """What `compare` says of results that are open, and what it leaves out."""
    names = [job] if other is None else [job, other]
    metrics = list(dict.fromkeys(metrics))  # a contrast that is named twice is one
    _check_metrics(metrics, results, names)
    spec = [_job_file(results, name) for name in names]
    if collapsed is not None:
        _check_limit(collapsed, spec, results, names)
    limit = collapsed or next((found for found in map(_collapsed_of, spec) if found is not None), None)
    rows = _rows(results, names, metrics, limit, epoch)
    values = _values(rows, spec[0])
    order = {axis: {value: rank for rank, value in enumerate(found)} for axis, found in values.items()}
    if other is not None:
        by, values, against = JOB, {**values, JOB: [job]}, other
    else:
        by = _axis(by, values)
        against = _value(against, values[by], by)
    places = _by_place(rows, by)
    ordered = sorted({place for _, place in places}, key=lambda place: _ranks(place, order))
    within = dict(zip(ordered, _described(ordered), strict=True))
    contrasts = [
        contrast(
            _seeds(places[value, place], metric, limit),
            _seeds(places[against, place], metric, limit),
            metric=metric,
            names=(str(value), str(against)),
            within=within[place],
        )
        for place in ordered
        for value in values[by]
        if value != against and (value, place) in places and (against, place) in places
        for metric in metrics
    ]
    if not contrasts:
        raise HarnessError(f"{' and '.join(names)}: no cells that differ in {by} alone{_why_none(rows, names, by)}")
    needed = names if other is not None else [against]
    lacking = {side: [within[place] for place in ordered if (side, place) not in places] for side in needed}
    return Compared(corrected(contrasts), {f"{by} {side}": found for side, found in lacking.items() if found})


def collapsed_limit(given: Mapping[str, float]) -> Collapsed:
    """What counts as a collapsed seed, of its name and limit.

    Raises:
      HarnessError: If there is no such limit.
    """
    try:
        return Collapsed.model_validate(dict(given))
    except ValidationError as error:
        text = ", ".join(f"{name}={value}" for name, value in given.items())
        of_limits = [found for found in error.errors() if found["type"] not in ("extra_forbidden", "value_error")]
        why = sentence(of_limits[0]["msg"]) if of_limits else COLLAPSED_HELP
        raise HarnessError(f"--collapsed {text}: {why}") from error


COLLAPSED_HELP = "name what a seed is known by, and a limit: w1=0.3, w1_sliced=0.1 or modes=8"
_NUMERIC = frozenset(field.name for field in CELLS if str(field.type) == "double")


def _check_metrics(metrics: Sequence[str], results: Results, jobs: Sequence[str]) -> None:
    if not metrics:
        raise HarnessError("--metric names none; name columns of cells, or metrics of the job: --metric w1,bound_best")
    if all(metric in _NUMERIC for metric in metrics):
        return
    own = _own_metrics(results, jobs)
    for metric in metrics:
        if metric not in _NUMERIC and metric not in own:
            meant = next((name for name in own if _first_name(name) == metric), metric)  # coverage for coverage(k=3)
            raise HarnessError(
                f"--metric: no column '{metric}' of numbers, and no such metric.{suggest(meant, [*own, *_NUMERIC])}"
            )


def _check_limit(limit: Collapsed, spec: Sequence[Any], results: Results, names: Sequence[str]) -> None:
    """As a job file is checked: every job has what the limit is of."""
    for job, name in zip(spec, names, strict=True):
        if job is not None and (reason := limit.why_not(job.problem)):
            raise HarnessError(f"--collapsed {limit.metric}={limit.given()[limit.metric]}: {reason}")
        if limit.metric not in _NUMERIC and limit.metric not in _own_metrics(results, [name]):
            raise HarnessError(
                f"--collapsed {limit.metric}: {name} has no such metric; add it: evaluation.metrics: [{limit.metric}]"
            )


def _own_metrics(results: Results, jobs: Sequence[str]) -> list[str]:
    found = results.query(f"SELECT DISTINCT name FROM metrics WHERE job IN ({_quoted(jobs)}) ORDER BY name")
    names: list[str] = found["name"].to_pylist()
    return names


def _first_name(label: object) -> str:
    """Of a part's label, without its space and parameters: ``r1`` of ``r1(gamma=10)``."""
    return re.split(r"[\[(]", str(label), maxsplit=1)[0]


def _quoted(names: Sequence[str]) -> str:
    return ", ".join("'" + name.replace("'", "''") + "'" for name in names)


def _job_file(results: Results, job: str) -> Any:
    """The job as it was computed; None where its file is not there."""
    if job not in results.store.jobs():
        raise HarnessError(f"no job '{job}' in {results.store.root}.{suggest(job, results.store.jobs())}")
    text = results.store.place.content(f"{job}/job.yaml")
    found = None if text is None else parse_job(text.decode(), source=f"{results.store.root}/{job}/job.yaml")
    if isinstance(found, DiracJob):
        raise HarnessError(f"{job}: its games have no seeds to compare")
    return found


def _collapsed_of(job: Any) -> Collapsed | None:
    found: Collapsed | None = None if job is None else job.evaluation.collapsed
    return found


def _rows(
    results: Results, names: Sequence[str], metrics: Sequence[str], limit: Collapsed | None, epoch: int | None
) -> list[_Row]:
    """The cells at one epoch."""
    values = dict.fromkeys([*metrics, *([limit.metric] if limit else ())])
    own = [name for name in values if name not in _NUMERIC]
    wanted = dict.fromkeys([JOB, "cell_id", *AXES, "seed", "epoch", "status", *(v for v in values if v not in own)])
    rows = results.query(f"SELECT {', '.join(wanted)} FROM cells WHERE job IN ({_quoted(names)})").to_pylist()
    if own:
        found = results.query(
            f"SELECT job, cell_id, name, value FROM metrics "
            f"WHERE job IN ({_quoted(names)}) AND name IN ({_quoted(own)})"
        ).to_pylist()
        of_cell = {(row[JOB], row["cell_id"], row["name"]): row["value"] for row in found}
        rows = [{**row, **{name: of_cell.get((row[JOB], row["cell_id"], name)) for name in own}} for row in rows]
    epochs = [{row["epoch"] for row in rows if row[JOB] == name} for name in names]
    common = set.intersection(*epochs)
    chosen = epoch if epoch is not None else max(common, default=None)
    if epoch is None and chosen is None:
        raise HarnessError(f"{' and '.join(names)}: no rows of one epoch to compare; run the job first")
    if chosen not in common:
        known = ", ".join(map(str, sorted(common))) or "none"
        raise HarnessError(f"--epoch {epoch}: not an epoch of {' and '.join(names)}; theirs: {known}")
    return [row for row in rows if row["epoch"] == chosen]


def _values(rows: Sequence[_Row], job: Any) -> dict[str, list[Any]]:
    """The values of each axis, in the order of the job file as far as it tells (a search's does not)."""
    named = [cell.columns() for cell in expand(job)] if isinstance(job, Job) else []
    found = {}
    for axis in AXES:
        there = sorted({row[axis] for row in rows}, key=lambda value: (value is None, str(value)))
        first = [value for value in dict.fromkeys(columns[axis] for columns in named) if value in there]
        found[axis] = [*first, *(value for value in there if value not in first)]
    return found


def _axis(by: str | None, values: Mapping[str, Sequence[Any]]) -> str:
    several = [axis for axis in AXES if len(values[axis]) > 1]
    if by is None and len(several) == 1:
        return several[0]
    if by is None:
        raise HarnessError(f"--by: which axis? Those with several values: {', '.join(several) or 'none'}")
    by = "schedule" if by == "sigma" else by  # as a job file has it
    if by not in AXES:
        raise HarnessError(f"--by: unknown axis '{by}'.{suggest(by, [*AXES, 'sigma'])}")
    if by not in several:
        raise HarnessError(f"--by {by}: has one value only; those with several: {', '.join(several) or 'none'}")
    return by


def _value(wanted: str | None, values: Sequence[Any], by: str) -> Any:
    if wanted is None:
        return values[0]
    for value in values:
        if str(value) == wanted or (_is_number(wanted) and _is_number(value) and float(wanted) == float(value)):
            return value
    named = [value for value in values if _first_name(value) == wanted and " + " not in str(value)]
    if len(named) == 1:
        return named[0]
    if named:
        raise HarnessError(f"--against {wanted}: which of {', '.join(map(repr, named))}?")
    raise HarnessError(f"--against: no {by} '{wanted}'.{suggest(wanted, [str(value) for value in values])}")


def _is_number(text: Any) -> bool:
    try:
        float(text)
    except (TypeError, ValueError):  # None: no such axis
        return False
    return True


def _ranks(place: _Place, order: Mapping[str, Mapping[Any, int]]) -> list[int]:
    return [order[axis].get(value, -1) for axis, value in zip(AXES, place, strict=True)]


def _described(places: Sequence[_Place]) -> list[str]:
    """For a person: the axes that tell the places apart, with their values; empty for a single place.

    One that follows from those before it, as a loss may come with a penalty of its own, is not said.
    """
    varying: list[int] = []
    for index, _ in enumerate(AXES):
        known = {tuple(place[other] for other in varying) for place in places}
        if len({tuple(place[other] for other in (*varying, index)) for place in places}) > len(known):
            varying.append(index)
    return [", ".join(f"{AXES[index]} {place[index]}" for index in varying) for place in places]


def _why_none(rows: Sequence[_Row], names: Sequence[str], by: str) -> str:
    """In which axes two jobs have nothing in common, or the way out."""
    if by != JOB:
        return "; name another value by --against"
    texts = []
    for axis in AXES:
        values = {name: sorted({str(row[axis]) for row in rows if row[JOB] == name}) for name in names}
        if len(set.intersection(*map(set, values.values()))) == 0:
            theirs = (f"{name} has {', '.join(found)}" for name, found in values.items())
            texts.append(f"\n  They differ in {axis}: {'; '.join(theirs)}")
    return "".join(texts) or "; no combination of their axes' values is in both"


def _by_place(rows: Sequence[_Row], by: str) -> dict[tuple[Any, _Place], list[_Row]]:
    """Rows by their value of the axis, and by the values of the others."""
    found: dict[tuple[Any, _Place], list[_Row]] = {}
    for row in rows:
        place = tuple(None if axis == by else row[axis] for axis in AXES)
        found.setdefault((row[by], place), []).append(row)
    return found


def _seeds(rows: Sequence[_Row], metric: str, limit: Collapsed | None) -> dict[int, Seed]:
    def has_collapsed(row: _Row) -> bool | None:
        if limit is None:
            return None
        return row["status"] != "completed" or limit.says(row[limit.metric])

    return {row["seed"]: Seed(row[metric], row["status"], has_collapsed(row)) for row in rows}
