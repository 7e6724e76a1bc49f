"""What ``harness run`` prints at the end."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import counted
from ..execution.durations import duration
from ..execution.run import Outcome
from ..job.dirac import DiracJob
from ..job.job import Job
from ..storage.query import Results
from .options import say
from .rendering import print_fitted

# what matters first: in pixel space the full bound is vacuous and the sliced one is not
_ON_IMAGES = ("w1_sliced", "real_w1_sliced", "bound_sliced_best", "real_bound_sliced_best", "w1", "bound_best")
_ON_POINTS = ("w1", "real_w1", "bound_best", "real_bound_best", "bound_paper")


def print_summary(outcome: Outcome, *, results: str, job_file: Path, options: str = "") -> None:
    """Prints what came out and how to look further; `options` are those that a second run needs too."""
    job = outcome.plan.job
    statuses = ", ".join(f"{count} {status}" for status, count in sorted(outcome.statuses.items()))
    if outcome.num_computed:
        took = f"{outcome.num_computed} computed in {duration(outcome.seconds)} by {outcome.executor}"
        say(f"{job.name}: {statuses}; {took}")
    else:
        say(f"{job.name}: nothing to compute, every cell has a row ({statuses})")
    store = Results(results)
    overview = _games(job) if isinstance(job, DiracJob) else _means(job)
    table = store.query(overview.sql)
    say(overview.title)
    left_out = print_fitted(
        table,
        axes=list(overview.axes),
        importance=overview.importance,
        way_out="Widen the terminal to see more, or ask for them by the first query below.",
    )
    if not isinstance(job, DiracJob):
        _print_vacuity(store, job)
    option = "" if results == "results" else f" --results {shlex.quote(results)}"
    _print_failures(store, job.name, option)
    harness = _own_name()
    if not outcome.is_complete:
        say(f"Again:  {harness} run {shlex.quote(str(job_file))} --retry failed,diverged,timeout,lost{option}{options}")
    points = {"dirac": "trajectories", "probe": "curves", "train": "training"}[job.protocol]
    say(
        "Look further:\n"
        f'  {harness} query "{overview.rest(left_out)}"{option}\n'
        f"  {harness} query \"SELECT * FROM {points} WHERE job = '{job.name}'\" --format csv{option}\n"
        f"  {harness} list columns"
    )


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
    of_training = ("accuracy", "grad_norm", "jsd_mixture", "real_jsd_mixture")
    where = f"job = '{job.name}'"
    return _Overview(
        title=f"Means ± standard deviations over seeds at epoch {job.last_epoch}",
        axes={axis.replace("_", " "): axis for axis in ("loss", *optional)} | {"sigma": "schedule"},
        metrics={
            "cells": "count(*)",
            **{name.replace("_", " "): f"avg({name})" for name in (*of_training, *distances)},
            "bounds hold": "bool_and(bound_holds)",
        },
        importance=["bounds hold", *(name.replace("_", " ") for name in (*distances, *of_training)), "cells"],
        where=f"{where} AND epoch = {job.last_epoch} AND status = 'completed'",
        order=", ".join(("loss", *optional, "min(cells.sigma)")),
        further=f"SELECT loss, sigma, epoch, avg(w1), avg(bound_best) FROM cells WHERE {where} "
        "GROUP BY ALL ORDER BY ALL",
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


def _own_name() -> str:
    """How the user can call this command again."""
    if shutil.which("harness"):
        return "harness"
    return "python -m harness" if sys.argv[0].endswith("__main__.py") else sys.argv[0]


def _print_vacuity(store: Results, job: Job) -> None:
    answer = store.query(
        f"""SELECT count(*) AS cells, count(*) FILTER (bound_best > data_diameter) AS vacuous FROM cells
            WHERE job = '{job.name}' AND status = 'completed'"""
    )
    (counts,) = answer.to_pylist()
    if counts["vacuous"]:
        way_out = "; the sliced bound is the one to look at" if is_image_problem(job) else ""
        say(
            f"In {counts['vacuous']} of {counted(counts['cells'], 'cell')} even the best full bound is vacuous: it "
            f"exceeds the diameter of the data{way_out}."
        )


def _print_failures(store: Results, job: str, option: str) -> None:
    failures = store.query(
        f"""SELECT status, count(*) AS cells, any_value(error) AS error FROM cells
            WHERE job = '{job}' AND status <> 'completed' GROUP BY status, split_part(error, chr(10), 1)"""
    )
    for row in failures.to_pylist():
        error = str(row["error"]).strip().splitlines()
        say(f"{row['cells']} {row['status']}: {error[-1]}")
    if len(failures):
        say(
            f"Tracebacks:  {_own_name()} query \"SELECT cell_id, error FROM cells WHERE job = '{job}' "
            f'AND error IS NOT NULL" --format json{option}'
        )
