"""The contrasts of a job, or of two: which rows are compared with which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import HarnessError, suggest
from ..job.dirac import DiracJob
from ..job.job import Job
from ..job.parts.settings import Collapsed
from ..job.reading import parse_job
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
      One per metric, value and combination of the other axes, corrected over all of them (Holm).

    Raises:
      HarnessError: If there is nothing to compare, or a name is unknown.
    """
    limit = None if collapsed is None else Collapsed.model_validate(dict(collapsed))
    opened = open_results(results)
    return contrasts_of(opened, job, other, by=by, metrics=metrics, against=against, epoch=epoch, collapsed=limit)


def contrasts_of(
    results: Results,
    job: str,
    other: str | None = None,
    *,
    by: str | None = None,
    metrics: Sequence[str] = ("w1", "bound_best"),
    against: str | None = None,
    epoch: int | None = None,
    collapsed: Collapsed | None = None,
) -> list[Contrast]:
    """What `compare` says of results that are open."""
    names = [job] if other is None else [job, other]
    _check_metrics(metrics, results, names)
    spec = [_job_file(results, name) for name in names]
    limit = collapsed or next((found for found in map(_collapsed_of, spec) if found is not None), None)
    rows = _rows(results, names, metrics, limit, epoch)
    values = _values(rows, spec[0])
    order = {axis: {value: rank for rank, value in enumerate(found)} for axis, found in values.items()}
    if other is not None:
        by, values, against = JOB, {**values, JOB: [job]}, other
    else:
        by = _axis(by, values)
        against = _value(against, values[by], by)
    contrasts: list[Contrast] = []
    places = _by_place(rows, by)
    varying = [index for index, _ in enumerate(AXES) if len({place[index] for _, place in places}) > 1]
    for place in sorted({place for _, place in places}, key=lambda place: _ranks(place, order)):
        theirs = places.get((against, place))
        for value in values[by]:
            ours = places.get((value, place))
            if value == against or ours is None or theirs is None:
                continue
            within = ", ".join(f"{AXES[index]} {place[index]}" for index in varying)
            contrasts += [
                contrast(
                    _seeds(ours, metric, limit),
                    _seeds(theirs, metric, limit),
                    metric=metric,
                    names=(str(value), str(against)),
                    within=within,
                )
                for metric in metrics
            ]
    if not contrasts:
        raise HarnessError(f"{' and '.join(names)}: no cells that differ in {by} alone")
    return corrected(contrasts)


_NUMERIC = frozenset(field.name for field in CELLS if str(field.type) == "double")


def _check_metrics(metrics: Sequence[str], results: Results, jobs: Sequence[str]) -> None:
    if all(metric in _NUMERIC for metric in metrics):
        return
    own = results.query(f"SELECT DISTINCT name FROM metrics WHERE job IN ({_quoted(jobs)})")["name"].to_pylist()
    for metric in metrics:
        if metric not in _NUMERIC and metric not in own:
            raise HarnessError(
                f"--metric: no column '{metric}' of numbers, and no such metric.{suggest(metric, [*own, *_NUMERIC])}"
            )


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
    if chosen is None or chosen not in common:
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
        raise HarnessError(f"--by: unknown axis '{by}'.{suggest(by, AXES)}")
    if by not in several:
        raise HarnessError(f"--by {by}: has one value only; those with several: {', '.join(several) or 'none'}")
    return by


def _value(wanted: str | None, values: Sequence[Any], by: str) -> Any:
    if wanted is None:
        return values[0]
    for value in values:
        if str(value) == wanted or (isinstance(value, float) and _is_number(wanted) and float(wanted) == value):
            return value
    raise HarnessError(f"--against: no {by} '{wanted}'.{suggest(wanted, [str(value) for value in values])}")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _ranks(place: _Place, order: Mapping[str, Mapping[Any, int]]) -> list[int]:
    return [order[axis].get(value, -1) for axis, value in zip(AXES, place, strict=True)]


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
