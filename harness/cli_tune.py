"""The command ``harness tune``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console

from .errors import TuneError

if TYPE_CHECKING:
    from .tune_job import TuneJob
    from .tuning import Tuned

app = typer.Typer()


@app.command()
def tune(
    job: Annotated[
        Path, typer.Argument(metavar="JOB", help="A job file of protocol tune, such as jobs/tune_ring.yaml.")
    ],
    results: Annotated[str, typer.Option("--results", metavar="ROOT", help="Result store: a folder or a URI.")] = (
        "results"
    ),
    executor: Annotated[Literal["ray", "serial"], typer.Option("--executor", help="As in run.")] = "ray",
    address: Annotated[
        str | None, typer.Option("--address", metavar="ADDRESS", help="An existing Ray cluster, such as auto.")
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option("--storage", metavar="URL", help="Of the study, for Optuna; SQLite in the store if none."),
    ] = None,
    warm_start: Annotated[
        str | None,
        typer.Option("--warm-start", metavar="JOB", help="A job whose results in the store the search starts from."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress display.")] = False,
) -> None:
    """Search the noise schedule of least Wasserstein bound; run it again to go on after a crash."""
    from .jobfile import load_tune_job

    parsed = load_tune_job(job)

    from .tuning import tune as search

    err = Console(stderr=True, highlight=False)
    try:
        tuned = search(
            parsed,
            results=results,
            executor=executor,
            address=address,
            storage=storage,
            warm_start=warm_start,
            announce=None if quiet else lambda text: err.print(f"{parsed.name}: {text}", soft_wrap=True),
        )
    except TuneError as error:
        err.print(str(error), style="red", markup=False, soft_wrap=True)
        raise typer.Exit(1) from None
    _print(tuned, parsed, results)


def _print(tuned: Tuned, job: TuneJob, results: str) -> None:
    import pyarrow as pa

    from .rendering import results_console, to_rich

    console = results_console()

    def say(text: str) -> None:
        console.print(text, markup=False, soft_wrap=True)

    def table(rows: Sequence[Mapping[str, Any]], title: str) -> None:
        console.print(to_rich(pa.Table.from_pylist(list(rows)), title=title, stack_headers=True))

    correlation = "unknown" if math.isnan(tuned.rank_correlation) else f"{tuned.rank_correlation:.3f}"
    say(
        f"{job.name}: {tuned.num_trials} trials, {tuned.num_pruned} given up early "
        f"({tuned.member_steps:.0%} of the steps of as many whole trials)\n"
        f"rank correlation of objective and exact distance over all trials: {correlation}"
    )
    if tuned.front:
        table(tuned.front, "Pareto front")
    seeds = job.search.seeds + job.search.finalist_seeds
    table(tuned.finalists, f"Finalists, {job.objective.reduce} of {seeds} seeds")
    table(tuned.confirmed, f"Confirmed on {job.search.confirmation_seeds} fresh seeds")
    say(_gain(tuned, job))
    for warning in tuned.warnings:
        say(warning)
    say(f"The chosen schedule as a job:  harness run {tuned.best_file}")
    say(f"A picture of the search:  harness figure search --job {job.name} --results {results} -o {job.name}.png")


def _gain(tuned: Tuned, job: TuneJob) -> str:
    """Says plainly whether the chosen schedule is better than no noise on the fresh seeds."""
    by_name = {row["candidate"]: row for row in tuned.confirmed}
    chosen, without = by_name[f"trial {tuned.best_number}"], by_name["no noise"]
    parts = []
    for column in (job.bound, job.distance):
        ours, theirs = chosen[f"median {column}"], without[f"median {column}"]
        verdict = "better" if ours < theirs else "NOT better"
        parts.append(f"{column} {ours:.4g} against {theirs:.4g}, {verdict}")
    return f"The chosen schedule, trial {tuned.best_number}, against no noise, medians: {'; '.join(parts)}"
