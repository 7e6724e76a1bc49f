"""The rows of figures: cells, and groups of cells that differ in their seed alone, from the views of a store."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import HarnessError, JobError, suggest
from ..job.dirac import DiracJob
from ..job.job import Job
from ..job.reading import parse_job
from ..storage.query import Results
from ..storage.records import CELLS, CellKey

Row = dict[str, Any]

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
MAX_CELLS = 4000
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
            raise HarnessError(f"job '{job}' has no completed cell to draw")
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
    columns = [name for name in names if name in CELLS.names]
    parts = ", ".join(_aggregates(name, f'c."{name}"') for name in columns)
    place = ", ".join(f'c."{axis}"' for axis in PLACE)
    few = f"CASE WHEN count(*) <= {MAX_SEEDS_SHOWN} THEN"
    rows = results.query(
        f"""SELECT {place}, avg(sigma) AS sigma, any_value(noise) AS noise, avg(epoch) AS _epoch, count(*) AS n,
                   {few} list(seed ORDER BY seed, cell_id) END AS seeds,
                   {few} list(cell_id ORDER BY seed, cell_id) END AS cell_ids{", " if parts else ""}{parts}
            FROM cells c WHERE {_completed(job)} {_conditions(where)} GROUP BY {place}"""
    ).to_pylist()
    own = [name for name in names if name not in CELLS.names]
    beside = _own_metrics(results, job, own, where) if own else {}
    order = {axis: {value: rank for rank, value in enumerate(found)} for axis, found in orders(results, job).items()}
    rows.sort(key=lambda row: [order[axis].get(row[axis], -1) for axis in PLACE])
    return [_group(row, columns, own, beside.get(tuple(row[axis] for axis in PLACE), {})) for row in rows]


def cells(
    results: Results, job: str, metrics: Sequence[str] | None = None, *, where: Mapping[str, Any] | None = None
) -> list[Row]:
    """A row for each completed cell: cell_id, axes, metrics; at most `MAX_CELLS`, the first by place and seed."""
    names = list(metric_names(results, job) if metrics is None else metrics)
    columns = [name for name in names if name in CELLS.names]
    chosen = ", ".join(f'"{name}"' for name in ("cell_id", *AXES, *columns))
    place = ", ".join(f'"{axis}"' for axis in (*PLACE, "seed"))
    rows = results.query(
        f"SELECT {chosen} FROM cells c WHERE {_completed(job)} {_conditions(where)} ORDER BY {place} LIMIT {MAX_CELLS}"
    ).to_pylist()
    own = [name for name in names if name not in CELLS.names]
    if own:
        there = ", ".join(map(quoted, own))
        found = results.query(
            f"SELECT cell_id, name, value FROM metrics WHERE job = {quoted(job)} AND name IN ({there})"
        ).to_pylist()
        values = {(row["cell_id"], row["name"]): row["value"] for row in found}
        rows = [{**row, **{name: values.get((row["cell_id"], name)) for name in own}} for row in rows]
    return [{name: _plain(value) for name, value in row.items()} for row in rows]


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


def _aggregates(name: str, value: str) -> str:
    number = f"CAST({value} AS DOUBLE)"
    return (
        f'count({value}) AS "{name}_count", avg({number}) AS "{name}", stddev_samp({number}) AS "{name}_sd", '
        f'min({number}) AS "{name}_min", max({number}) AS "{name}_max", '
        f'CASE WHEN count(*) <= {MAX_SEEDS_SHOWN} THEN list({number} ORDER BY seed, c.cell_id) END AS "{name}_values"'
    )


def _own_metrics(
    results: Results, job: str, names: Sequence[str], where: Mapping[str, Any] | None
) -> dict[tuple[Any, ...], dict[str, Row]]:
    """By place and name: the same aggregates of what is in the table ``metrics``."""
    place = ", ".join(f'c."{axis}"' for axis in PLACE)
    rows = results.query(
        f"""SELECT {place}, m.name AS metric, {_aggregates("m", "m.value")}
            FROM metrics m JOIN cells c USING (job, cell_id)
            WHERE {_completed(job)} AND m.name IN ({", ".join(map(quoted, names))}) {_conditions(where)}
            GROUP BY {place}, m.name"""
    ).to_pylist()
    found: dict[tuple[Any, ...], dict[str, Row]] = {}
    for row in rows:
        found.setdefault(tuple(row[axis] for axis in PLACE), {})[row["metric"]] = row
    return found


def _group(row: Row, columns: Sequence[str], own: Sequence[str], beside: Mapping[str, Row]) -> Row:
    group = {axis: row[axis] for axis in AXES if axis != "seed"} | {"n": row["n"]}
    if row["seeds"] is not None:
        group |= {"seeds": row["seeds"], "cell_ids": row["cell_ids"]}
    for name in columns:
        group |= _summary(name, row, name)
    for name in own:
        group |= _summary(name, beside.get(name, {}), "m")
    return group


def _summary(name: str, row: Row, key: str) -> Row:
    """Of a metric in a group; of values that are no finite numbers there is none."""
    number, mean, sd = row.get(f"{key}_count") or 0, _plain(row.get(key)), _plain(row.get(f"{key}_sd"))
    half = None if number < 2 or sd is None or mean is None else _t_factor(number) * sd
    found = {
        name: mean,
        f"{name}_low": None if half is None or mean is None else mean - half,
        f"{name}_high": None if half is None or mean is None else mean + half,
        f"{name}_min": _plain(row.get(f"{key}_min")),
        f"{name}_max": _plain(row.get(f"{key}_max")),
    }
    values = row.get(f"{key}_values")
    return found if values is None else {**found, f"{name}_values": [_plain(value) for value in values]}


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
