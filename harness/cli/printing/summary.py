"""What ``harness run`` prints at the end, and how any command says what to look at next."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...execution.durations import duration
from ...execution.run import Outcome
from ...job.dirac import DiracJob
from ...job.job import Job
from ...planning.naming import headline
from ...report.findings import Findings, findings
from ...storage.query import Results
from ..options import say
from .prose import Command, own_name, say_command, say_further, say_prose, say_report, store_option
from .rendering import print_fitted

# what matters first: in pixel space the full bound is vacuous and the sliced one is not
_ON_IMAGES = ("w1_sliced", "real_w1_sliced", "bound_sliced_best", "real_bound_sliced_best", "w1", "bound_best")
_ON_POINTS = ("w1", "real_w1", "bound_best", "real_bound_best", "bound_paper")
_OF_TRAINING = ("accuracy", "grad_norm", "jsd_mixture", "real_jsd_mixture")
_NUM_SEEN = 2


def print_summary(
    outcome: Outcome, *, results: str, job_file: Path, options: str = "", report: Path | str | None = None
) -> None:
    """Prints what came out and how to look further.

    Args:
      outcome: Of the run.
      results: Root of the store.
      job_file: What was run.
      options: Those that a second run needs too.
      report: Where the job's report is, if one was written.
    """
    job = outcome.plan.job
    statuses = ", ".join(f"{count} {status}" for status, count in sorted(outcome.statuses.items()))
    if outcome.num_computed:
        took = f"{outcome.num_computed} computed in {duration(outcome.seconds)} by {outcome.executor}"
        say_prose(f"{job.name}: {statuses}; {took}")
    else:
        say_prose(f"{job.name}: nothing to compute, every cell has a row ({statuses})")
    store = Results(results)
    seen = findings(store, job.name)
    say_seen(seen)
    overview = _games(job) if isinstance(job, DiracJob) else _means(job)
    left_out: Sequence[str] = ()
    if outcome.statuses.get("completed"):
        say(overview.title)
        left_out = print_fitted(
            store.query(overview.sql),
            axes=list(overview.axes),
            importance=overview.importance,
            way_out="Widen the terminal to see more, or ask for them by the first query below.",
        )
    for text in (*seen.on("bounds"), *seen.on("failed")):
        if text not in seen.sentences[:_NUM_SEEN]:
            say_prose(text)
    if seen.on("failed"):
        _say_where_errors_are(job.name, store_option(results))
    if not outcome.is_complete:
        say("Again:")
        retried = ("--retry", "failed,diverged,timeout,lost", *store_option(results), *shlex.split(options))
        say_command(own_name(), "run", shlex.quote(str(job_file)), *retried)
    say_report(report)
    if outcome.statuses.get("completed"):
        say_further(_further(job, seen, overview, left_out, results))


def say_seen(seen: Findings) -> None:
    """The two sentences that say most."""
    for text in seen.sentences[:_NUM_SEEN]:
        say_prose(text)


def is_image_problem(job: Job) -> bool:
    """Whether the samples are images ``[c, h, w]``."""
    return len(job.problem.info().shape) == 3


@dataclass(frozen=True)
class _Overview:
    """A table of a job's completed cells.

    Attributes:
      axes, metrics: SQL of the columns, by what they are called.
      importance: Names of metrics, those first that a narrow terminal is to show before others.
      where, order: SQL.
      further: The statement proposed where nothing was left out.
    """

    title: str
    axes: Mapping[str, str]
    metrics: Mapping[str, str]
    importance: Sequence[str]
    where: str
    order: str
    further: str

    @property
    def sql(self) -> str:
        shown = {name: _with_spread(sql) for name, sql in self.metrics.items()}
        columns = ", ".join(f'{sql} AS "{name}"' for name, sql in {**self.axes, **shown}.items())
        return f"SELECT {columns} FROM cells WHERE {self.where} GROUP BY ALL ORDER BY {self.order}"

    def rest(self, left_out: Sequence[str]) -> str:
        """A statement that shows what a narrow terminal has left out."""
        if not left_out:
            return self.further
        columns = ", ".join([*self.axes.values(), *(self.metrics[name] for name in left_out)])
        return f"SELECT {columns} FROM cells WHERE {self.where} GROUP BY ALL ORDER BY ALL"


def _with_spread(sql: str) -> str:
    """A mean with the standard deviation over seeds, where it is one of several values."""
    if not sql.startswith("avg("):
        return sql
    name = sql.removeprefix("avg(").removesuffix(")")
    return (
        f"CASE WHEN stddev_samp({name}) > 0 THEN printf('%.4g ± %.2g', avg({name}), stddev_samp({name})) "
        f"ELSE printf('%.4g', avg({name})) END"
    )


def _means(job: Job) -> _Overview:
    """Means over seeds at the last epoch, one row a loss and sigma (and further axes, where there are any)."""
    optional = [
        axis for axis in ("penalty", "learning_rate", "batch_norm", "discriminator_steps") if job.has_axis(axis)
    ]
    distances = _ON_IMAGES if is_image_problem(job) else _ON_POINTS
    where = f"job = '{job.name}'"
    # a generator is what training is for, and what a probe is asked about a generator
    first = (*_OF_TRAINING, *distances) if job.protocol == "probe" else (*distances, *_OF_TRAINING)
    return _Overview(
        title=f"Means ± standard deviations over seeds at epoch {job.last_epoch}",
        axes={axis.replace("_", " "): axis for axis in ("loss", *optional)} | {"sigma": "schedule"},
        metrics={
            "cells": "count(*)",
            **{name.replace("_", " "): f"avg({name})" for name in (*_OF_TRAINING, *distances)},
            "bounds hold": "bool_and(bound_holds)",
        },
        importance=["bounds hold", *(name.replace("_", " ") for name in first), "cells"],
        where=f"{where} AND epoch = {job.last_epoch} AND status = 'completed'",
        order=", ".join(("loss", *optional, "min(cells.sigma)")),
        further=f"SELECT epoch, loss, schedule, avg({headline(job.protocol, job.problem.info().shape).column}) "
        f"FROM cells WHERE {where} GROUP BY ALL ORDER BY ALL",
    )


def _games(job: DiracJob) -> _Overview:
    """One row a game."""
    metrics = ("modulus", "predicted_modulus", "steps_to_tolerance", "verdict")
    return _Overview(
        title="Dirac-GANs",
        axes={name.replace("_", " "): name for name in ("loss", "penalty", "sigma", "learning_rate", "updates")},
        metrics={name.replace("_", " "): name for name in metrics},
        importance=["verdict", "modulus", "predicted modulus", "steps to tolerance"],
        where=f"job = '{job.name}' AND status = 'completed'",
        order="loss, penalty, sigma, updates DESC",
        further=f"SELECT verdict, count(*) FROM cells WHERE job = '{job.name}' GROUP BY ALL ORDER BY ALL",
    )


def _further(
    job: Job | DiracJob, seen: Findings, overview: _Overview, left_out: Sequence[str], results: str
) -> list[Command]:
    """Three commands, each of which answers something."""
    option = store_option(results)
    rest: Command = ("query", f'"{overview.rest(left_out)}"', *option)
    picture = f"{job.name}.png"
    if isinstance(job, DiracJob):
        draw: Command = ("figure", "paths", "--job", job.name, "-o", picture, *option)
        slowest = (
            f"SELECT loss, penalty, updates, verdict, modulus FROM cells WHERE {overview.where} ORDER BY modulus DESC"
        )
        return [rest, draw, ("query", f'"{slowest} LIMIT 10"', *option)]
    column = headline(job.protocol, job.problem.info().shape).column
    if job.protocol == "probe":
        last: Command = ("figure", "probes", "--which", "1", "--job", job.name, "-o", picture, *option)
    else:
        last = ("figure", "lines", "--job", job.name, "--y", column, "-o", picture, *option)
    if seen.axes:
        return [rest, ("compare", job.name, "--by", seen.axes[0], "--metric", column, *option), last]
    return [rest, last, ("show", job.name, *option)]


def _say_where_errors_are(job: str, option: tuple[str, ...]) -> None:
    say("Tracebacks:")
    sql = f"\"SELECT cell_id, error FROM cells WHERE job = '{job}' AND error IS NOT NULL ORDER BY cell_id\""
    say_command(own_name(), "query", sql, "--format", "json", *option)
