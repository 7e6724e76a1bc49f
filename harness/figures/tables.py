"""The rows of figures: cells, and groups of cells that differ in their seed alone, from the views of a store."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import HarnessError, JobError, suggest
from ..job.dirac import DiracJob
from ..job.job import Job
from ..job.reading import parse_job
from ..storage.query import Results
from ..storage.records import CELLS, CellKey

if TYPE_CHECKING:
    import pyarrow as pa

Row = dict[str, Any]
Floats = np.ndarray[Any, np.dtype[np.float64]]
Integers = np.ndarray[Any, np.dtype[np.int64]]

PLACE = tuple(name for name in CellKey._fields if name != "seed")
"""The axes that tell groups apart; sigma and noise follow from the schedule and the epoch."""
AXES = ("loss", "penalty", "schedule", "sigma", "noise", *(name for name in PLACE[3:]), "seed")
AXIS_TITLES: Mapping[str, str] = {
    "loss": "loss",
    "penalty": "penalty",
    "schedule": "noise",
    "sigma": "noise \u03c3, data units",
    "noise": "family of the noise",
    "learning_rate": "learning rate",
    "batch_norm": "batch normalisation",
    "discriminator_steps": "discriminator steps an update",
    "epoch": "epochs of training",
    "updates": "updates",
    "seed": "seed",
}
NUMERIC_AXES = frozenset({"sigma", "learning_rate", "discriminator_steps", "epoch", "seed"})
MAX_SEEDS_SHOWN = 10
"""Of a group whose seeds are shown one by one."""
MAX_GROUPS = 4000
_COLUMNS = tuple(field.name for field in CELLS if str(field.type) in ("double", "bool") and field.name not in AXES)
_ALSO = ("steps_to_tolerance",)


def check_job(results: Results, job: str) -> None:
    """Refuses a job that has nothing in the store."""
    if job not in results.store.jobs():
        raise HarnessError(f"--job {job}: no such job in {results.store.root}.{suggest(job, results.store.jobs())}")


def quoted(text: str) -> str:
    """As a literal of SQL."""
    return "'" + text.replace("'", "''") + "'"


def literal(value: Any) -> str:
    """A value as a literal of SQL."""
    return "NULL" if value is None else quoted(value) if isinstance(value, str) else repr(value)


def metric_names(results: Results, job: str) -> list[str]:
    """What has a value in any completed cell: columns of ``cells`` in their order, then the job's own metrics."""
    check_job(results, job)
    counts = ", ".join(f'count("{name}") AS "{name}"' for name in (*_COLUMNS, *_ALSO))
    (found,) = results.query(f"SELECT {counts} FROM cells WHERE {_completed(job)}").to_pylist()
    own = results.query(f"SELECT DISTINCT name FROM metrics WHERE job = {quoted(job)} ORDER BY name")
    return [*(name for name, number in found.items() if number), *own["name"].to_pylist()]


def metric_title(metric: str) -> str:
    """A metric's name in words, with its unit."""
    if metric not in CELLS.names:
        return metric.replace("_", " ")
    unit = (CELLS.field(metric).metadata or {}).get(b"unit", b"").decode()
    return metric.replace("_", " ") + (f", {unit}" if unit else "")


def check_metric(results: Results, job: str, metric: str) -> None:
    """Refuses a metric that no completed cell has a value of."""
    known = metric_names(results, job)
    if metric not in known:
        if not known:
            raise HarnessError(f"job '{job}' has no completed cell with a value to draw")
        raise HarnessError(f"--y {metric}: job '{job}' has no values of it.{suggest(metric, known)}")


def orders(results: Results, job: str) -> dict[str, list[Any]]:
    """The values of each axis in the completed cells: in the order of the job file, or else by size."""
    check_job(results, job)
    lists = ", ".join(f'list(DISTINCT "{axis}") AS "{axis}"' for axis in AXES)
    (found,) = results.query(f"SELECT {lists} FROM cells WHERE {_completed(job)}").to_pylist()
    named = _of_the_job_file(results, job)
    ordered = {}
    for axis in AXES:
        there = sorted(found[axis] or [], key=_by_size)
        first = [value for value in named.get(axis, ()) if value in there]
        ordered[axis] = [*first, *(value for value in there if value not in first)]
    return ordered


def groups(
    results: Results, job: str, metrics: Sequence[str] | None = None, *, where: Mapping[str, Any] | None = None
) -> list[Row]:
    """A row for each combination of the axes but the seed, of completed cells, in the order of the job file.

    Args:
      metrics: By default all that the job has.
      where: Axes and the one value of each that counts.

    Returns:
      The axes; `n`, cells; and for each metric m: its mean over seeds m, the ends m_low and m_high of its 95 %
      t interval (None below two values), m_min, m_max, and for up to `MAX_SEEDS_SHOWN` cells m_values, whose
      ``seeds`` and ``cell_ids`` are beside them. Shares of cells, such as ``vacuous``, are metrics too.
    """
    names = list(metric_names(results, job) if metrics is None else metrics)
    order = {axis: {value: rank for rank, value in enumerate(found)} for axis, found in orders(results, job).items()}
    place, about = _quoted_names(PLACE), _quoted_names((*AXES, "cell_id"))
    columns = "".join(f', CAST("{name}" AS DOUBLE) AS "{name}"' for name in names if name in CELLS.names)
    table = results.query(
        f"""SELECT {about}{columns}, dense_rank() OVER (ORDER BY {place}) AS _group FROM cells c
            WHERE {_completed(job)} {_conditions(where)} ORDER BY _group, seed, cell_id"""
    )
    own = _own_metrics(results, job, table["cell_id"].to_pylist(), [name for name in names if name not in CELLS.names])
    values = {name: own[name] if name in own else _numbers(table[name]) for name in names}
    starts = np.flatnonzero(np.diff(np.asarray(table["_group"]), prepend=0))
    if not len(starts):
        return []
    firsts = table.select([axis for axis in AXES if axis not in ("seed", "sigma")]).take(starts).to_pylist()
    sigmas = _summaries("sigma", _numbers(table["sigma"]), starts)  # an adaptive schedule's differ between seeds
    summaries = [_summaries(name, values[name], starts) for name in names]
    ends = [*starts[1:], len(table)]
    rows = []
    for index, (first, start, end) in enumerate(zip(firsts, starts, ends, strict=True)):
        row = {axis: sigmas[index]["sigma"] if axis == "sigma" else first[axis] for axis in AXES if axis != "seed"}
        row["n"] = int(end - start)
        for summary in summaries:
            row |= summary[index]
        if row["n"] <= MAX_SEEDS_SHOWN:
            own_rows = table.slice(start, end - start)
            row |= {"seeds": own_rows["seed"].to_pylist(), "cell_ids": own_rows["cell_id"].to_pylist()}
            row |= {f"{name}_values": [_plain(float(value)) for value in values[name][start:end]] for name in names}
        rows.append(row)
    rows.sort(key=lambda row: [order[axis].get(row[axis], -1) for axis in PLACE])
    return rows


def not_completed(results: Results, job: str) -> dict[str, int]:
    """How many cells ended otherwise, by status."""
    rows = results.query(
        f"SELECT status, count(*) AS n FROM cells WHERE job = {quoted(job)} AND status <> 'completed' "
        "GROUP BY status ORDER BY status"
    ).to_pylist()
    return {row["status"]: row["n"] for row in rows}


# --- how groups are made


def _completed(job: str) -> str:
    return f"job = {quoted(job)} AND status = 'completed'"


def _conditions(where: Mapping[str, Any] | None) -> str:
    return "".join(f' AND c."{axis}" IS NOT DISTINCT FROM {literal(value)}' for axis, value in (where or {}).items())


def _quoted_names(names: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _numbers(column: pa.ChunkedArray) -> Floats:
    """A column's values, NaN where there is none."""
    return np.asarray(column.to_numpy(), dtype=np.float64)


def _own_metrics(results: Results, job: str, cell_ids: Sequence[str], names: Sequence[str]) -> dict[str, Floats]:
    """The values of metrics in the table ``metrics``, for cells in their order."""
    if not names:
        return {}
    index = {cell_id: place for place, cell_id in enumerate(cell_ids)}
    values = {name: np.full(len(cell_ids), math.nan) for name in names}
    found = results.query(
        f"SELECT cell_id, name, value FROM metrics WHERE job = {quoted(job)} AND value IS NOT NULL "
        f"AND name IN ({', '.join(map(quoted, names))})"
    ).to_pylist()
    for row in found:
        if row["cell_id"] in index:
            values[row["name"]][index[row["cell_id"]]] = row["value"]
    return values


def _summaries(name: str, values: Floats, starts: Integers) -> list[Row]:
    """Of a metric in each group, whose values lie side by side; those that are not there do not count.

    In numpy and not in DuckDB, whose threads add in any order: the same results are to give the same files.
    """
    known = np.isfinite(values)
    numbers = np.add.reduceat(known.astype(np.int64), starts)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = np.add.reduceat(np.where(known, values, 0.0), starts) / numbers
        deviations = np.where(known, values - np.repeat(means, np.diff([*starts, len(values)])), 0.0)
        spreads = np.sqrt(np.add.reduceat(np.square(deviations), starts) / (numbers - 1))
    means[np.logical_or.reduceat(np.isinf(values), starts)] = math.nan  # as a divergence is: then it has no mean
    least = np.minimum.reduceat(np.where(known, values, math.inf), starts)
    most = np.maximum.reduceat(np.where(known, values, -math.inf), starts)
    rows = []
    for number, mean, spread, low, high in zip(
        *(part.tolist() for part in (numbers, means, spreads, least, most)), strict=True
    ):
        half = _t_factor(number) * spread if number > 1 else math.nan
        ends = {
            name: mean,
            f"{name}_low": mean - half,
            f"{name}_high": mean + half,
            f"{name}_min": low,
            f"{name}_max": high,
        }
        rows.append({key: _plain(value) for key, value in ends.items()})
    return rows


_T_FACTORS: dict[int, float] = {}


def _t_factor(number: int) -> float:
    """Half the width of the 95 % t interval of the mean of so many values, in their standard deviations."""
    if number not in _T_FACTORS:
        from scipy import stats

        _T_FACTORS[number] = float(stats.t.isf(0.025, number - 1)) / math.sqrt(number)
    return _T_FACTORS[number]


def _plain(value: Any) -> Any:
    """None in the place of a number that is not finite, which JSON does not have."""
    if isinstance(value, bool):
        return float(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


# --- order


def _of_the_job_file(results: Results, job: str) -> dict[str, list[Any]]:
    """The values of axes as the job file lists them; empty where it cannot be read, and of a search."""
    text = results.store.place.content(f"{job}/job.yaml")
    try:
        found = None if text is None else parse_job(text.decode(), source=f"{job}/job.yaml")
    except (JobError, UnicodeDecodeError):  # of another version, or with parts of the user's own that are not here
        found = None
    named: dict[str, list[Any]] = {}
    for grid in found.grid if isinstance(found, Job | DiracJob) else ():
        for axis in ("loss", "penalty", "sigma", "learning_rate", "batch_norm", "discriminator_steps", "updates"):
            for value in getattr(grid, axis, None) or ():
                name = getattr(value, "description", value)
                named.setdefault("schedule" if axis == "sigma" else axis, []).append(
                    str(name) if axis == "sigma" else name
                )
    return {axis: list(dict.fromkeys(values)) for axis, values in named.items()}


def _by_size(value: Any) -> tuple[bool, bool, float, str]:
    try:
        return value is None, False, float(value), ""
    except (TypeError, ValueError):
        return value is None, True, 0.0, str(value)
