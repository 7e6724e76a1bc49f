"""The command ``harness tune``."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import fmean, median
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import TuneError, counted
from .options import STORAGE_HELP, Address, ExecutorOption, NoReport, Quiet, Results, WarmStart, err, say

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
    no_report: NoReport = False,
    quiet: Quiet = False,
) -> None:
    """Search the noise schedule of least Wasserstein bound; run it again to go on after a crash."""
    from ..job.reading import load_search

    parsed = load_search(job)

    from ..execution.progress import ProgressDisplay
    from ..search.tune import tune as search

    try:
        with ExitStack() as stack:
            display = None if quiet else stack.enter_context(ProgressDisplay(err))
            tuned = search(
                parsed,
                results=results,
                executor=executor,
                address=address,
                storage=storage,
                warm_start=warm_start,
                announce=None if display is None else lambda text: display.say(f"{parsed.name}: {text}"),
                observer=display,
            )
    except TuneError as error:
        say(error, to=err, style="red")
        raise typer.Exit(1) from None
    from .report import kept_report

    print_tuned(
        tuned, parsed, results, report=None if no_report else kept_report(results, parsed.name, has_changed=True)
    )


def print_tuned(tuned: Tuned, job: TuneJob, results: str, *, report: Path | str | None = None) -> None:
    """Prints what a search found and how to look further; `report` is where its report is, if one was written."""
    from ..report.findings import findings
    from ..search.finals import verdicts
    from ..storage.query import open_results
    from .printing.prose import say_further, say_prose, say_report, store_option
    from .printing.summary import say_seen

    say_prose(
        f"{job.name}: {counted(tuned.num_trials, 'trial')}, {tuned.num_pruned} pruned "
        f"({tuned.member_steps:.0%} of the steps of as many whole trials)"
    )
    say_seen(findings(open_results(results), job.name))
    say_prose(f"rank correlation of objective and exact distance over all trials: {_number(tuned.rank_correlation)}")
    for epoch, correlation in tuned.report_correlations.items():
        say_prose(
            f"rank correlation of the report at epoch {epoch} and the end, over whole trials: {_number(correlation)}"
        )
    if tuned.front:
        _table(tuned.front, "Pareto front", axes=["trial", *job.objective.minimise])
    seeds = job.search.finalist_seeds or job.search.seeds
    title = f"Finalists, {job.objective.reduce} of {counted(seeds, 'seed')}"
    _table(tuned.finalists, title, axes=["trial", "schedule"])
    rows = [_confirmed_row(row, job) for row in tuned.confirmed]
    title = f"Confirmed on {counted(job.search.confirmation_seeds, 'fresh seed')}"
    _table(rows, title, axes=["candidate", "schedule"])
    for verdict in verdicts(tuned.confirmed, tuned.best_number, job):
        say_prose(verdict)
    for warning in tuned.warnings:
        say_prose(warning)
    say_report(report)
    option = store_option(results)
    trials = f"SELECT trial, family, value, distance FROM trials WHERE job = '{job.name}' ORDER BY value LIMIT 10"
    is_remote = "://" in tuned.best_file
    if is_remote:
        say(f"The chosen schedule as a job, to be copied from there and run:  {tuned.best_file}")
    say_further(
        [
            *([] if is_remote else [("run", shlex.quote(tuned.best_file), *option)]),
            ("figure", "search", "--job", job.name, *option, "-o", f"{job.name}.png"),
            ("query", f'"{trials}"', *option),
        ]
    )


def _table(rows: Sequence[Mapping[str, Any]], title: str, *, axes: Sequence[str]) -> None:
    import pyarrow as pa

    from .printing.rendering import print_fitted

    say(title)
    table = pa.Table.from_pylist(list(rows))
    others = [name for name in table.column_names if name not in axes]
    print_fitted(table, axes=axes, importance=others, way_out="Widen the terminal to see more.")


def _number(correlation: float) -> str:
    return "unknown" if math.isnan(correlation) else f"{correlation:.3f}"


def _confirmed_row(row: Confirmed, job: TuneJob) -> dict[str, Any]:
    columns: dict[str, Any] = {"candidate": row.candidate, "schedule": row.schedule}
    for name, values in ((job.comparable_bound, row.bounds), (job.distance, row.distances)):
        columns |= {f"{name} {how}": f(values) for how, f in (("mean", fmean), ("median", median), ("worst", max))}
    return {**columns, "not completed": row.not_completed}
