"""The report of one job: words, failures, pictures, contrasts, the table of cells, and how it was made."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..contrasts.contrast import Contrast
from ..errors import HarnessError, counted
from ..job.dirac import DiracJob
from ..job.job import Job
from ..job.reading import parse_job
from ..job.tune import TuneJob
from ..identity import digest
from ..storage.query import Results
from ..storage.records import CELLS
from . import content
from .content import Contrasts, Control, Failure, Table
from .findings import findings
from .pictures import Other, Shown, drawn


@dataclass(frozen=True)
class JobReport:
    """All that a report says of a job.

    Attributes:
      name, anchor: The job's, and the place of the page.
      lead, sentences: What came out, in words.
      counts: Cells by how they ended.
      failures: Why cells did not complete.
      controls: What a reader chooses.
      pictures: In the order they are shown.
      tables: Rows of the pictures' named data.
      notes: Why something one might look for is not there.
      contrasts: None where there is nothing to compare.
      table: None where there are no cells.
      facts, file: How it was made.
    """

    name: str
    anchor: str
    lead: str
    sentences: Sequence[str]
    counts: str
    failures: Sequence[Failure]
    controls: Sequence[Control]
    pictures: Sequence[Shown]
    tables: Mapping[str, Sequence[Mapping[str, Any]]]
    notes: Sequence[str]
    contrasts: Contrasts | None
    table: Table | None
    facts: Sequence[tuple[str, str]]
    file: str


def job_report(results: Results, name: str) -> JobReport:
    """Reads what the store has of a job."""
    text = content.job_file(results, name)
    job = _parsed(text)
    by_status = content.statuses(results, name)
    said = findings(results, name)
    axes, table, metrics = _cells(results, name, job) if by_status and not isinstance(job, TuneJob) else ({}, None, ())
    if isinstance(job, TuneJob):
        table = content.trials(results, name)
    contrasts, found, notes = _contrasts(results, name, axes, metrics)
    shown = drawn(results, name, axes=axes, metrics=metrics, others=_others(results, name, job, by_status, found))
    return JobReport(
        name=name,
        anchor=f"job-{digest(name)[:8]}",
        lead=" ".join(said.sentences[:2]),
        sentences=said.sentences[2:],
        counts=_counts(by_status),
        failures=content.failures(results, name),
        controls=shown.controls,
        pictures=shown.shown,
        tables=shown.tables,
        notes=[*notes, *shown.notes],
        contrasts=contrasts,
        table=table,
        facts=content.facts(results, name),
        file=text,
    )


# --- private


def _parsed(text: str) -> Job | DiracJob | TuneJob | None:
    """The job of a store; None where its file is not there, or names parts that are not here."""
    try:
        return parse_job(text) if text else None
    except HarnessError:
        return None


def _cells(
    results: Results, name: str, job: Job | DiracJob | None
) -> tuple[Mapping[str, Sequence[Any]], Table, Sequence[str]]:
    """Of a grid: its axes, its table, and the metrics that it has."""
    axes = content.varying_axes(results, name)
    table = content.cells(results, name, varying=[axis for axis in axes if axis != "epoch"])
    is_probe = isinstance(job, Job) and job.protocol == "probe"
    return axes, table, _metrics(table, of_discriminators=is_probe)


def _metrics(table: Table, *, of_discriminators: bool) -> list[str]:
    """What pictures may show: distances, bounds, divergences, the discriminator, the job's own.

    The first is what says most. Probes of one generator differ in their discriminators, so theirs begin with these.
    """
    there = {name for name in table.details if any(isinstance(row.get(name), int | float) for row in table.rows)}
    own = [name for name in table.details if name not in CELLS.names and name in there]
    known = [name for name in _KNOWN if name in there]
    if 2 * sum(map(_is_vacuous, table.rows)) > len(table.rows) and "w1_sliced" in there:  # as on images
        known.sort(key=lambda name: "sliced" not in name)
    if of_discriminators:
        known.sort(key=lambda name: name not in _OF_DISCRIMINATORS)
    return [*known, *own]


def _contrasts(
    results: Results, name: str, axes: Mapping[str, Sequence[Any]], metrics: Sequence[str]
) -> tuple[Contrasts | None, Sequence[Contrast], list[str]]:
    """The contrasts of the axis that a job is most likely about: a table, what it is of, and why there is none."""
    by = next((axis for axis in ("schedule", "penalty", "loss", "discriminator_steps") if len(axes.get(axis, ())) > 1), "")
    first = ("accuracy", "grad_norm") if metrics[:1] and metrics[0] in _OF_DISCRIMINATORS else _DISTANCES
    judged = [metric for metric in first if metric in metrics]
    if not by or not judged:
        return None, (), []
    found = content.contrasts(results, name, by, judged[:2])
    return (None, (), [found]) if isinstance(found, str) else (*found, [])


def _is_vacuous(row: Mapping[str, Any]) -> bool:
    """Whether even the best full bound says nothing."""
    return (row.get("bound_best") or 0.0) > (row.get("data_diameter") or math.inf)


_DISTANCES = ("w1", "w1_sliced", "bound_best", "bound_sliced_best")


def _others(
    results: Results, name: str, job: Job | DiracJob | TuneJob | None, by_status: Mapping[str, int], found: Sequence[Contrast]
) -> list[Other]:
    """The pictures that a job's protocol has, besides those of its metrics."""
    return []


_OF_DISCRIMINATORS = ("jsd_mixture", "jsd_discriminator", "accuracy", "d_loss", "grad_norm", "bound_paper")
_KNOWN = (
    *("w1", "w1_sliced", "bound_best", "bound_sliced_best", "w1_minus_floor", "w1_sliced_minus_floor"),
    *("jsd_mixture", "tv", "bound_paper", "bound_sliced", "jsd_discriminator", "accuracy", "d_loss"),
    *("grad_norm", "grad_variance", "grad_tail_index", "d_gradient_real_share", "p_real", "p_fake"),
    *("modulus", "steps_to_tolerance", "seconds"),
)


def _counts(statuses: Mapping[str, int]) -> str:
    """How the cells ended, for a person."""
    total = sum(statuses.values())
    if not total:
        return "No cell has a row yet."
    if set(statuses) == {"completed"}:
        return f"All of its {counted(total, 'cell')} with a row completed."
    return f"{counted(total, 'cell')}: " + ", ".join(f"{number:,} {status}" for status, number in statuses.items()) + "."
