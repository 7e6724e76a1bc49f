"""The report of one job: words, failures, pictures, contrasts, the table of cells, and how it was made."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..contrasts.contrast import Contrast
from ..errors import HarnessError, counted
from ..figures import bound, contrasts, paths, probes, samples, search, sigma, spectrum
from ..figures.probes import Which
from ..figures.selection import View
from ..identity import digest
from ..job.dirac import DiracJob
from ..job.job import Job
from ..job.reading import parse_job
from ..job.tune import TuneJob
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
    said = findings(results, name)  # of a search it looks at the job that confirms it too
    results = results.of_job(name)
    text = content.job_file(results, name)
    job = _parsed(text)
    by_status = content.statuses(results, name)
    axes, table, metrics = _cells(results, name, job) if by_status and not isinstance(job, TuneJob) else ({}, None, ())
    if isinstance(job, TuneJob):
        table = content.trials(results, name)
    shown = drawn(
        results, name, axes=axes, metrics=metrics, others=_others(results, name, job, metrics, said.contrasts)
    )
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
        notes=shown.notes,
        contrasts=content.contrast_table(said.contrasts),
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
        known.sort(key=lambda name: _OF_DISCRIMINATORS.index(name) if name in _OF_DISCRIMINATORS else len(known))
    return [*known[:_MAX_METRICS], *own]


def _is_vacuous(row: Mapping[str, Any]) -> bool:
    """Whether even the best full bound says nothing."""
    return (row.get("bound_best") or 0.0) > (row.get("data_diameter") or math.inf)


def _others(
    results: Results, name: str, job: Job | DiracJob | TuneJob | None, metrics: Sequence[str], found: Sequence[Contrast]
) -> list[Other]:
    """The pictures that a job's protocol has, besides those of its metrics."""
    if isinstance(job, TuneJob):
        searched = Other("search", "The search", lambda: search.search(results, name), is_wide=True, is_first=True)
        confirmed = Other("contrasts", "Confirmation", lambda: contrasts.picture_of(found, name), is_wide=True)
        return [searched, *([confirmed] if found else [])]
    if isinstance(job, DiracJob):
        return [
            Other(
                "paths", "Paths of the two parameters", lambda: paths.paths(results, name), is_wide=True, is_first=True
            )
        ]
    others = [Other("samples", "Samples", lambda: samples.samples(results, name), is_wide=True)]
    if found:
        others.append(Other("contrasts", "Contrasts", lambda: contrasts.picture_of(found, name), is_wide=True))
    if job is not None and job.protocol == "probe":
        others += [
            Other("bound", "Bound and distance", lambda: bound.bound(results, name), is_wide=True),
            *(
                Other(
                    f"figure-{which}",
                    f"Figure {which}: {title}",
                    functools.partial(probes.probes, results, name, which),
                )
                for which, title in _FIGURES.items()
            ),
        ]
    else:
        others.append(Other("noise", "Noise over training", lambda: sigma.noise_over_training(results, name)))
    if "grad_tail_index" in metrics:
        others.append(
            Other("spectrum", "Tails of gradients", lambda: spectrum.spectrum(results, name, View(y="grad_tail_index")))
        )
    return others


_FIGURES: Mapping[Which, str] = {
    1: "error and accuracy of fresh discriminators",
    2: "the generator's gradient under log(1 - D)",
    3: "the generator's gradient under -log D",
}
_MAX_METRICS = 10
"""Of the harness's own in the pictures of a page, each of which has a specification for each; the table has all."""
_OF_DISCRIMINATORS = ("accuracy", "grad_norm", "jsd_discriminator", "jsd_mixture", "d_loss", "bound_paper")
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
    return (
        f"{counted(total, 'cell')}: " + ", ".join(f"{number:,} {status}" for status, number in statuses.items()) + "."
    )
