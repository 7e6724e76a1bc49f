"""What a report says of a job, read from the store: rows, choices, failures, contrasts, and how it was made.

All of it grows with the groups of a job (cells but for their seeds), not with its cells: of a large job a report has
aggregates and a sample of the rows, and says so.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa

from ..contrasts.contrast import Contrast
from ..figures.tables import orders, quoted
from ..job.space import schedule_text, sigma_of
from ..storage.query import Results
from ..storage.records import CELLS
from .names import words

MAX_ROWS = 1_000
"""Rows of cells in a report; of larger jobs it has those that failed first, and a sample of the others."""
MAX_CONTRASTS = 60
MAX_FAILURES = 20

ALL = ""
"""Key of the option that chooses every value of an axis."""

_AXES = ("loss", "schedule", "penalty", "batch_norm", "discriminator_steps", "learning_rate", "updates", "epoch")
_NOT_SHOWN = ("job", "identity", "part", "versions", "git_commit", "error", "sequence", "attempt")
_HEADLINES = ("w1", "w1_sliced", "bound_best", "bound_sliced_best", "accuracy", "grad_norm", "jsd_mixture")
_OF_GAMES = ("verdict", "modulus", "predicted_modulus", "steps_to_tolerance")
_DIGITS = 12  # of numbers in the page

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Option:
    """One of a control's values: its key in the page, its label, and the value that rows have."""

    key: str
    label: str
    value: Any


@dataclass(frozen=True)
class Control:
    """What a reader chooses once for all pictures and the table: an axis, or the metric."""

    name: str
    label: str
    options: Sequence[Option]
    chosen: str


@dataclass(frozen=True)
class Column:
    """Of a table: the key of rows, what it is called, and whether it holds numbers."""

    name: str
    label: str
    is_number: bool


@dataclass(frozen=True)
class Failure:
    """Cells that did not complete for one reason: how many, and one of them."""

    cells: int
    status: str
    reason: str
    error: str
    cell_id: str


@dataclass(frozen=True)
class Table:
    """The cells of a job, or the trials of a search.

    Attributes:
      title: What the rows are.
      key: The column that names a row.
      rows: At most `MAX_ROWS`, those that did not complete first.
      shown: The columns of the table.
      details: All columns that say something of a row, which the page shows of a single one.
      total: Rows that the job has.
    """

    title: str
    key: str
    rows: Sequence[Row]
    shown: Sequence[Column]
    details: Sequence[str]
    total: int

    @property
    def note(self) -> str:
        """For a person: how much of the job the rows are."""
        if self.total == len(self.rows):
            return ""
        return (
            f"The job has {self.total:,} {self.title.lower()}: the table has {len(self.rows):,} of them, those that "
            "did not complete first and a sample of the others."
        )


@dataclass(frozen=True)
class Contrasts:
    """A table of contrasts, as text, and what it is of."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]
    note: str


def statuses(results: Results, job: str) -> Mapping[str, int]:
    """How many cells ended how."""
    found = results.query(
        f"SELECT status, count(*) AS cells FROM cells WHERE job = {quoted(job)} GROUP BY status ORDER BY cells DESC"
    )
    return dict(zip(found["status"].to_pylist(), found["cells"].to_pylist(), strict=True))


def failures(results: Results, job: str) -> list[Failure]:
    """The reasons why cells did not complete, the most frequent first."""
    found = results.query(
        f"""SELECT count(*) AS cells, status, any_value(error) AS error, min(cell_id) AS cell_id
            FROM cells WHERE job = {quoted(job)} AND status <> 'completed'
            GROUP BY status, regexp_extract(rtrim(error, chr(10)), '[^\\n]*$')
            ORDER BY cells DESC, status LIMIT {MAX_FAILURES}"""
    ).to_pylist()
    return [
        Failure(
            row["cells"],
            row["status"],
            (str(row["error"] or "").strip().splitlines() or ["no reason is known"])[-1],
            str(row["error"] or ""),
            row["cell_id"],
        )
        for row in found
    ]


def cells(results: Results, job: str, *, varying: Sequence[str]) -> Table:
    """The rows of a job, with its own metrics as columns.

    Args:
      results: The store.
      job: Name.
      varying: Axes that have several values.
    """
    told = _told(results, job)
    columns = [field.name for field in CELLS if field.name in told and not pa.types.is_list(field.type)]
    names = ", ".join(f'"{name}"' for name in columns)
    rows = results.query(
        f"""SELECT {names}, error FROM cells WHERE job = {quoted(job)}
            ORDER BY status = 'completed', hash(cell_id) LIMIT {MAX_ROWS}"""
    ).to_pylist()
    own = _own_metrics(results, job, [row["cell_id"] for row in rows])
    metrics = sorted({name for values in own.values() for name in values})
    order = [name for name in (*varying, "seed", "epoch") if name in columns]
    rows = sorted(
        (
            {
                **{name: value if name in _AXES else _plain(value) for name, value in row.items()},
                **own.get(row["cell_id"], {}),
            }
            for row in rows
        ),
        key=lambda row: [(row[name] is None, row[name]) for name in order],
    )
    details = [*columns, *metrics, "error"]
    wanted = ("cell_id", "status", *varying, "epoch", "seed", *metrics, *_HEADLINES, *_OF_GAMES)
    shown = [name for name in dict.fromkeys(wanted) if name in details]
    total = sum(statuses(results, job).values())
    return _table("Cells", "cell_id", rows, shown, details, total)


def trials(results: Results, job: str) -> Table:
    """The trials of a search, each with its schedule as a job file has it."""
    found = results.query(
        f"""SELECT * EXCLUDE (job, cells, part) FROM trials WHERE job = {quoted(job)}
            ORDER BY state = 'complete', value LIMIT {MAX_ROWS}"""
    ).to_pylist()
    rows = [
        {
            **{name: _plain(value) for name, value in row.items()},
            "schedule": schedule_text(sigma_of(json.loads(row["parameters"]))),
        }
        for row in found
    ]
    rows.sort(key=lambda row: row["trial"])
    names = ["trial", "state", "schedule", "value", "distance", "spread", "completed_seeds", "epoch", "seconds"]
    (total,) = results.query(f"SELECT count(*) AS n FROM trials WHERE job = {quoted(job)}")["n"].to_pylist()
    return _table("Trials", "trial", rows, names, [*names, "seeds", "parameters", "member_steps", "finished_at"], total)


def varying_axes(results: Results, job: str) -> dict[str, list[Any]]:
    """The axes that tell groups of cells apart, with their values in the order of the job file.

    One that follows from those before it, as a loss may come with a penalty of its own, is left out; epochs never are.
    """
    places = results.query(f"SELECT DISTINCT {', '.join(_AXES)} FROM cells WHERE job = {quoted(job)}").to_pylist()
    kept: list[str] = []
    for axis in _AXES:
        known = len({tuple(row[name] for name in kept) for row in places})
        is_further = len({tuple(row[name] for name in (*kept, axis)) for row in places}) > max(1, known)
        if is_further or (axis == "epoch" and len({row[axis] for row in places}) > 1):
            kept.append(axis)
    ordered = orders(results, job)
    found = {}
    for axis in kept:
        there = {row[axis] for row in places}
        found[axis] = [value for value in ordered[axis] if value in there]
        found[axis] += sorted(there - set(found[axis]), key=str)  # of cells of which none completed
    return found


def control_of(name: str, values: Sequence[Any], *, chosen: Any = None, has_all: bool = True) -> Control:
    """A control over the values of an axis; without a choice it shows all."""
    options = [Option(ALL, "all", None)] * has_all
    options += [Option(str(number), str(value), value) for number, value in enumerate(values, 1)]
    key = next((option.key for option in options if option.key != ALL and option.value == chosen), options[0].key)
    return Control(name, words("noise" if name == "schedule" else name), options, key)


def contrast_table(found: Sequence[Contrast]) -> Contrasts | None:
    """Contrasts for a person; None where there are none."""
    if not found:
        return None
    within = any(contrast.within for contrast in found)
    collapsed = any(contrast.shares for contrast in found)
    labels = ["", "against", *(["within"] if within else []), "metric", "mean", "other mean", "difference"]
    labels += ["95 % interval", "p", "pairs", *(["collapsed"] if collapsed else []), "verdict"]
    columns = [
        Column(label, label, label in ("mean", "other mean", "difference", "95 % interval", "p", "pairs"))
        for label in labels
    ]
    rows = [
        [
            contrast.ours,
            contrast.theirs,
            *([contrast.within] if within else []),
            words(contrast.metric),
            number(contrast.our_mean),
            number(contrast.their_mean),
            number(contrast.difference.mean, sign=True),
            f"{number(contrast.interval[0])} to {number(contrast.interval[1])}",
            number(contrast.p, digits=2),
            str(contrast.num_pairs),
            *([_shares(contrast)] if collapsed else []),
            contrast.verdict,
        ]
        for contrast in found[:MAX_CONTRASTS]
    ]
    more = f"; {len(found) - MAX_CONTRASTS} more are left out" if len(found) > MAX_CONTRASTS else ""
    note = (
        "Paired t tests on the seeds that both have; p and intervals are corrected (Holm) for all contrasts of a "
        f"question, as the sentences above say. Other metrics and axes: harness compare{more}."
    )
    return Contrasts(columns, rows, note)


def _shares(found: Contrast) -> str:
    """Collapsed seeds of both sides."""
    if found.shares is None:
        return "-"
    ours, theirs = (f"{count} of {total}" for count, total in (found.shares.ours, found.shares.theirs))
    return f"{ours}, {theirs}"


def facts(results: Results, job: str) -> list[tuple[str, str]]:
    """Machine, versions, times and cost, for a person."""
    found = results.query(
        f"""SELECT list(DISTINCT hostname) AS hosts, list(DISTINCT device) AS devices,
                   list(DISTINCT versions) AS versions,
                   list(DISTINCT git_commit) AS commits, min(started_at) AS first, max(finished_at) AS last,
                   sum(seconds) AS seconds, max(peak_memory_bytes) AS memory
            FROM cells WHERE job = {quoted(job)}"""
    ).to_pylist()
    if not found or found[0]["first"] is None:
        return []
    (row,) = found
    versions = [json.loads(text) for text in row["versions"] or [] if text]
    named = {name: sorted({str(one[name]) for one in versions if name in one}) for one in versions for name in one}
    listed = [
        ("Computed", f"{_time(row['first'])} to {_time(row['last'])}"),
        ("Work", f"{row['seconds']:,.0f} s of one worker" if row["seconds"] else ""),
        ("Machines", ", ".join(sorted(filter(None, row["hosts"] or [])))),
        ("Devices", ", ".join(sorted(filter(None, row["devices"] or [])))),
        ("Memory", f"at most {row['memory'] / 1e9:.2f} GB a worker" if row["memory"] else ""),
        ("Versions", ", ".join(f"{name} {' and '.join(found)}" for name, found in sorted(named.items()))),
        ("Commit", ", ".join(sorted(filter(None, row["commits"] or [])))),
        ("Store", f"{results.store.root}/{job}"),
    ]
    return [(name, text) for name, text in listed if text]


def job_file(results: Results, job: str) -> str:
    """The text of the job as it was computed; empty where it is not there."""
    content = results.store.place.content(f"{job}/job.yaml")
    return "" if content is None else content.decode(errors="replace")


def number(value: float | None, *, digits: int = 3, sign: bool = False) -> str:
    """For a person; what no seeds tell is a dash."""
    if value is None or not math.isfinite(value):
        return "-"
    return f"{value:{'+' if sign else ''}.{digits}g}"


# --- private


def _told(results: Results, job: str) -> set[str]:
    """Columns of cells that have a value in some row."""
    named = [field.name for field in CELLS if field.name not in _NOT_SHOWN]
    counts = results.query(
        f"SELECT {', '.join(f'count({name}) AS {name}' for name in named)} FROM cells WHERE job = {quoted(job)}"
    ).to_pylist()
    return {name for name, count in counts[0].items() if count} if counts else set()


def _table(
    title: str, key: str, rows: Sequence[Row], shown: Sequence[str], details: Sequence[str], total: int
) -> Table:
    columns = [Column(name, words(name), _is_number(rows, name)) for name in shown]
    return Table(title, key, rows, columns, details, total)


def _own_metrics(results: Results, job: str, cell_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Values of the table `metrics` by cell and name."""
    rows = results.query(
        f"""SELECT cell_id, name, value FROM metrics WHERE job = {quoted(job)}
            AND cell_id IN (SELECT cell_id FROM cells WHERE job = {quoted(job)}
                            ORDER BY status = 'completed', hash(cell_id) LIMIT {MAX_ROWS})"""
    ).to_pylist()
    found: dict[str, dict[str, Any]] = {cell_id: {} for cell_id in cell_ids}
    for row in rows:
        if row["cell_id"] in found:
            found[row["cell_id"]][row["name"]] = _plain(row["value"])
    return found


def _plain(value: Any) -> Any:
    """What JSON has: numbers to twelve digits, no NaN; times as text."""
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None
    return _time(value) if isinstance(value, datetime) else value


def _is_number(rows: Sequence[Row], name: str) -> bool:
    return any(isinstance(row.get(name), int | float) and not isinstance(row.get(name), bool) for row in rows)


def _time(value: datetime) -> str:
    return value.strftime("%Y-%m-%d %H:%M:%S UTC")
