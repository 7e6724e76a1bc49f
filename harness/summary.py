"""What ``harness run`` prints at the end."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

from rich.console import Console

from .driver import Outcome
from .durations import duration
from .query import Results
from .rendering import results_console, to_rich

_MEANS = """
    SELECT loss, {axes} schedule AS sigma, count(*) AS cells, avg(accuracy) AS accuracy, avg(grad_norm) AS grad_norm,
           avg(jsd_mixture) AS jsd, avg(real_jsd_mixture) AS real_jsd, avg(w1) AS w1, avg(real_w1) AS real_w1,
           avg(bound_paper) AS bound_paper, avg(bound_best) AS bound_best, bool_and(bound_holds) AS holds,
           bool_and(vacuous) AS vacuous
    FROM cells WHERE job = '{job}' AND epoch = {epoch} AND status = 'completed'
    GROUP BY ALL ORDER BY loss, {axes} min(sigma)
"""


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
    epoch = max(job.grid.epoch)
    axes = "".join(f"{axis}, " for axis in ("penalty", "learning_rate") if getattr(job.grid, axis) is not None)
    means = store.query(_MEANS.format(job=job.name, epoch=epoch, axes=axes))
    if len(means):
        console.print(
            to_rich(
                means.rename_columns([n.replace("_", " ") for n in means.column_names]),
                title=f"Means over seeds at epoch {epoch}",
            )
        )
    _print_failures(console, store, job.name)
    option = "" if results == "results" else f" --results {shlex.quote(results)}"
    harness = "harness" if shutil.which("harness") else sys.argv[0]
    if not outcome.is_complete:
        console.print(f"Again:  {harness} run {job_file} --retry failed,diverged,timeout,lost{option}", soft_wrap=True)
    where = f"FROM cells WHERE job = '{job.name}'"
    console.print(
        "Look further:\n"
        f'  {harness} query "SELECT loss, sigma, epoch, avg(w1), avg(bound_best) {where} GROUP BY ALL"{option}\n'
        f"  {harness} query \"SELECT * FROM curves WHERE job = '{job.name}'\" --format csv{option}\n"
        f"  {harness} list columns",
        markup=False,
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
            f"Tracebacks:  harness query \"SELECT cell_id, error FROM cells WHERE job = '{job}' "
            'AND error IS NOT NULL" --format json',
            markup=False,
            soft_wrap=True,
        )
