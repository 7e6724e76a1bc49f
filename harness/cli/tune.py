"""The command ``harness tune``."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, median
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import TuneError, counted
from .options import STORAGE_HELP, Address, ExecutorOption, Quiet, Results, WarmStart, err, say

if TYPE_CHECKING:
    from ..job.tune import TuneJob
    from ..search.finals import Confirmed
    from ..search.tune import Tuned

app = typer.Typer()


@app.command()
def tune(
    job: Annotated[Path, typer.Argument(metavar="JOB", help="A job file of protocol tune, or example:tune_ring.")],
    results: Results = "results",
    executor: ExecutorOption = "ray",
    address: Address = None,
    storage: Annotated[
        str | None,
        typer.Option("--storage", metavar="URL", envvar="HARNESS_STORAGE", help=STORAGE_HELP),
    ] = None,
    warm_start: WarmStart = None,
    quiet: Quiet = False,
) -> None:
    """Search the noise schedule of least Wasserstein bound; run it again to go on after a crash."""
    from ..job.reading import load_search

    parsed = load_search(job)

    from ..search.tune import tune as search

    try:
        tuned = search(
            parsed,
            results=results,
            executor=executor,
            address=address,
            storage=storage,
            warm_start=warm_start,
            announce=None if quiet else lambda text: say(f"{parsed.name}: {text}", to=err),
        )
    except TuneError as error:
        say(error, to=err, style="red")
        raise typer.Exit(1) from None
    _print(tuned, parsed, results)


def _print(tuned: Tuned, job: TuneJob, results: str) -> None:
    import pyarrow as pa

    from ..search.finals import verdicts
    from .rendering import print_table

    def table(rows: Sequence[Mapping[str, Any]], title: str) -> None:
        print_table(pa.Table.from_pylist(list(rows)), title=title, stack_headers=True)

    say(
        f"{job.name}: {counted(tuned.num_trials, 'trial')}, {tuned.num_pruned} pruned "
        f"({tuned.member_steps:.0%} of the steps of as many whole trials)\n"
        f"rank correlation of objective and exact distance over all trials: {_number(tuned.rank_correlation)}"
    )
    for epoch, correlation in tuned.report_correlations.items():
        say(f"rank correlation of the report at epoch {epoch} and the end, over whole trials: {_number(correlation)}")
    if tuned.front:
        table(tuned.front, "Pareto front")
    seeds = job.search.finalist_seeds or job.search.seeds
    table(tuned.finalists, f"Finalists, {job.objective.reduce} of {counted(seeds, 'seed')}")
    rows = [_confirmed_row(row, job) for row in tuned.confirmed]
    table(rows, f"Confirmed on {counted(job.search.confirmation_seeds, 'fresh seed')}")
    for verdict in verdicts(tuned.confirmed, tuned.best_number, job):
        say(verdict)
    for warning in tuned.warnings:
        say(warning)
    if "://" in tuned.best_file:
        say(f"The chosen schedule as a job, to be copied from there and run:  {tuned.best_file}")
    else:
        say(f"The chosen schedule as a job:  harness run {shlex.quote(tuned.best_file)}")
    option = f"--job {job.name} --results {shlex.quote(results)}"
    say(f"A picture of the search:  harness figure search {option} -o {job.name}.png")


def _number(correlation: float) -> str:
    return "unknown" if math.isnan(correlation) else f"{correlation:.3f}"


def _confirmed_row(row: Confirmed, job: TuneJob) -> dict[str, Any]:
    columns: dict[str, Any] = {"candidate": row.candidate, "schedule": row.schedule}
    for name, values in ((job.comparable_bound, row.bounds), (job.distance, row.distances)):
        columns |= {f"{name} {how}": f(values) for how, f in (("mean", fmean), ("median", median), ("worst", max))}
    return {**columns, "not completed": row.not_completed}
