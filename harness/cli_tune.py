"""The command ``harness tune``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from .errors import TuneError

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
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress display.")] = False,
) -> None:
    """Search the noise schedule of least Wasserstein bound; run it again to go on after a crash."""
    import pyarrow as pa

    from .jobfile import load_tune_job

    parsed = load_tune_job(job)

    from .rendering import results_console, to_rich
    from .tuning import tune as search

    err = Console(stderr=True, highlight=False)
    try:
        tuned = search(
            parsed,
            results=results,
            executor=executor,
            address=address,
            storage=storage,
            announce=None if quiet else lambda text: err.print(f"{parsed.name}: {text}", soft_wrap=True),
        )
    except TuneError as error:
        err.print(str(error), style="red", markup=False, soft_wrap=True)
        raise typer.Exit(1) from None
    console = results_console()
    correlation = "unknown" if math.isnan(tuned.rank_correlation) else f"{tuned.rank_correlation:.3f}"
    console.print(
        f"{parsed.name}: {tuned.num_trials} trials; best {parsed.bound} {tuned.best_value:.4g} with {tuned.best}\n"
        f"rank correlation of objective and exact distance over all trials: {correlation}",
        markup=False,
        soft_wrap=True,
    )
    title = f"Confirmed on {parsed.search.confirmation_seeds} fresh seeds"
    console.print(to_rich(pa.Table.from_pylist(list(tuned.confirmed)), title=title, stack_headers=True))
    for warning in tuned.warnings:
        console.print(warning, markup=False, soft_wrap=True)
    console.print(f"The best schedule as a job:  harness run {tuned.best_file}", markup=False, soft_wrap=True)
