"""What ``harness run`` prints at the end."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

from rich.console import Console

from ..execution.run import Outcome
from ..job.dirac import DiracJob
from ..job.job import Job
from ..storage.query import Results
from .durations import duration
from .rendering import results_console, to_rich

# what matters first: in pixel space the full bound is vacuous and the sliced one is not
_ON_IMAGES = ("w1_sliced", "real_w1_sliced", "bound_sliced_best", "real_bound_sliced_best", "w1", "bound_best")
_LOOK_AT_CELLS = "SELECT loss, sigma, epoch, avg(w1), avg(bound_best)"
_LOOK_AT_GAMES = "SELECT verdict, count(*)"
_ON_POINTS = ("w1", "real_w1", "bound_best", "real_bound_best", "bound_paper")


def _means(job: Job, epoch: int) -> str:
    """SQL for the means over seeds at an epoch, one row a loss and sigma (and further axes, where there are any)."""
    axes = [axis for axis in ("penalty", "learning_rate", "batch_norm", "discriminator_steps") if job.has_axis(axis)]
    distances = _ON_IMAGES if is_image_problem(job) else _ON_POINTS
    means = ["accuracy", "grad_norm", "jsd_mixture", "real_jsd_mixture", *distances]
    columns = ", ".join(f'avg({name}) AS "{name.replace("_", " ")}"' for name in means)
    return f"""
        SELECT {", ".join(["loss", *axes])}, schedule AS sigma, count(*) AS cells, {columns},
               bool_and(bound_holds) AS "bounds hold"
        FROM cells WHERE job = '{job.name}' AND epoch = {epoch} AND status = 'completed'
        GROUP BY ALL ORDER BY {", ".join(["loss", *axes])}, min(cells.sigma)"""


def is_image_problem(job: Job) -> bool:
    """Whether the samples are images ``[c, h, w]``."""
    return len(job.problem.facts().shape) == 3


def print_summary(outcome: Outcome, *, results: str, job_file: Path) -> None:
    """Prints what came out and how to look further."""
    job = outcome.plan.job
    console = results_console()
    statuses = ", ".join(f"{count} {status}" for status, count in sorted(outcome.statuses.items()))
    if outcome.num_computed:
        console.print(
            f"{job.name}: {statuses}; {outcome.num_computed} computed in {duration(outcome.seconds)} "
            f"by {outcome.executor}",
            soft_wrap=True,
        )
    else:
        console.print(f"{job.name}: nothing to compute, every cell has a row ({statuses})", soft_wrap=True)
    store = Results(results)
    if isinstance(job, DiracJob):
        console.print(to_rich(store.query(_games(job.name)), title="Dirac-GANs", stack_headers=True))
    else:
        means = store.query(_means(job, job.last_epoch))
        if len(means):
            console.print(to_rich(means, title=f"Means over seeds at epoch {job.last_epoch}", stack_headers=True))
            _print_vacuity(console, store, job)
    _print_failures(console, store, job.name)
    first_look = _LOOK_AT_GAMES if isinstance(job, DiracJob) else _LOOK_AT_CELLS
    points = "trajectories" if isinstance(job, DiracJob) else "curves"
    option = "" if results == "results" else f" --results {shlex.quote(results)}"
    harness = _own_name()
    if not outcome.is_complete:
        console.print(f"Again:  {harness} run {job_file} --retry failed,diverged,timeout,lost{option}", soft_wrap=True)
    where = f"FROM cells WHERE job = '{job.name}'"
    console.print(
        "Look further:\n"
        f'  {harness} query "{first_look} {where} GROUP BY ALL"{option}\n'
        f"  {harness} query \"SELECT * FROM {points} WHERE job = '{job.name}'\" --format csv{option}\n"
        f"  {harness} list columns",
        markup=False,
        soft_wrap=True,
    )


def _games(job: str) -> str:
    """SQL for one row a game."""
    return f"""
        SELECT loss, penalty, sigma, updates, modulus, predicted_modulus AS "predicted modulus",
               steps_to_tolerance AS "steps to tolerance", verdict
        FROM cells WHERE job = '{job}' AND status = 'completed' ORDER BY loss, penalty, sigma, updates DESC"""


def _own_name() -> str:
    """How the user can call this command again."""
    if shutil.which("harness"):
        return "harness"
    return "python -m harness" if sys.argv[0].endswith("__main__.py") else sys.argv[0]


def _print_vacuity(console: Console, store: Results, job: Job) -> None:
    answer = store.query(
        f"""SELECT count(*) AS cells, count(*) FILTER (bound_best > data_diameter) AS vacuous FROM cells
            WHERE job = '{job.name}' AND status = 'completed'"""
    )
    (counts,) = answer.to_pylist()
    if counts["vacuous"]:
        way_out = "; the sliced bound is the one to look at" if is_image_problem(job) else ""
        console.print(
            f"In {counts['vacuous']} of {counts['cells']} cells even the best full bound is vacuous: it exceeds the "
            f"diameter of the data{way_out}.",
            soft_wrap=True,
        )


def _print_failures(console: Console, store: Results, job: str) -> None:
    failures = store.query(
        f"""SELECT status, count(*) AS cells, any_value(error) AS error FROM cells
            WHERE job = '{job}' AND status <> 'completed' GROUP BY status, split_part(error, chr(10), 1)"""
    )
    for row in failures.to_pylist():
        error = str(row["error"]).strip().splitlines()
        console.print(f"{row['cells']} {row['status']}: {error[-1]}", markup=False, soft_wrap=True)
    if len(failures):
        console.print(
            f"Tracebacks:  {_own_name()} query \"SELECT cell_id, error FROM cells WHERE job = '{job}' "
            'AND error IS NOT NULL" --format json',
            markup=False,
            soft_wrap=True,
        )
