"""The ``harness`` command. Results go to standard output, progress and logs to standard error.

Exit codes: 0 complete, 1 some cells failed, 2 usage or validation, 130 interrupted.
"""

from __future__ import annotations

import gc
import importlib
import signal
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TextIO

import typer

from .. import __version__
from ..errors import HarnessError, StoreWarning
from . import checks, cluster, compare, figure, report, stores, tune, watch, ways
from .options import Address, ExecutorOption, JobFile, NoReport, Quiet, Results, Retry, err, parse_statuses, say

if TYPE_CHECKING:
    from ..execution.state import State

app = typer.Typer(
    help="Benchmark GAN losses under instance noise: run grids, query results, check bounds.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for group in (tune, compare, report, watch, ways, cluster, stores, checks):
    app.add_typer(group.app)
app.add_typer(figure.app, name="figure")


def main() -> None:
    """Entry point: turns mistakes of the user into one clear message and exit code 2."""
    # a large plan is millions of objects without a circle, and to look for circles among them takes a fifth of it
    gc.set_threshold(50_000)
    sys.path.insert(0, str(Path.cwd()))  # a user's own losses and problems, package.module:name
    warnings.showwarning = _show_warning
    signals = _Signals()
    try:
        app()
    except HarnessError as error:
        say(error, to=err, style="red")
        sys.exit(2)
    except BaseException:
        if not signals.received:
            raise
        # whatever the signal's exception became on its way through foreign code
        err.print("Interrupted. What was written stays; the same command goes on where it was.")
        sys.exit(130)


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """What is wrong with a store in one line; any other warning as Python would show it."""
    if issubclass(category, StoreWarning):
        say(f"warning: {message}", to=err)
    else:
        (file or sys.stderr).write(warnings.formatwarning(message, category, filename, lineno, line))


_ENDING_SECONDS = 15.0


class _InterruptedError(BaseException):
    """SIGINT or SIGTERM; not KeyboardInterrupt, which typer would turn into an exit code of its own."""


class _Signals:
    """Ends the command at SIGINT and SIGTERM, and remembers that it did; impatient ones do not disturb the ending."""

    def __init__(self) -> None:
        self.received = False
        self._at = -_ENDING_SECONDS
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, self._handle)

    def _handle(self, signum: int, frame: object) -> None:
        if time.monotonic() - self._at < _ENDING_SECONDS:
            return
        self.received, self._at = True, time.monotonic()
        raise _InterruptedError


def _print_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"harness {__version__}\n")
        raise typer.Exit


@app.callback()
def _general(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Show the version and exit.")
    ] = False,
) -> None:
    del version  # its callback has acted


@app.command()
def run(
    job: JobFile,
    results: Results = "results",
    executor: ExecutorOption = "ray",
    address: Address = None,
    retry: Retry = "",
    no_report: NoReport = False,
    quiet: Quiet = False,
) -> None:
    """Compute the cells of a job that the store does not have yet; run it again to go on after a crash."""
    from ..job.reading import load_grid

    parsed = load_grid(job)
    statuses = parse_statuses(retry)

    from ..execution.run import run as run_job

    # what the summary takes a second to load is loaded while the workers work
    loading = threading.Thread(target=_load_what_a_summary_needs, daemon=True)

    def observe(state: State) -> None:
        if loading.ident is None and state.num_running:
            loading.start()

    outcome = run_job(
        parsed,
        results=results,
        executor=executor,
        address=address,
        retry=statuses,
        progress=not quiet,
        observer=observe,
    )
    from .printing.summary import print_summary

    where = ("" if executor == "ray" else f" --executor {executor}") + (f" --address {address}" if address else "")
    written = None if no_report else report.kept_report(results, parsed.name, has_changed=outcome.num_computed > 0)
    print_summary(outcome, results=results, job_file=job, options=where, report=written)
    raise typer.Exit(0 if outcome.is_complete else 1)


def _load_what_a_summary_needs() -> None:
    for name in ("pyarrow.dataset", f"{__package__}.printing.summary", "vl_convert", "harness.report.page"):
        importlib.import_module(name)


@app.command()
def plan(
    job: JobFile,
    results: Results = "results",
    retry: Retry = "",
    json_: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Show what a run would do: cells, what they share, what is missing and why, expected time."""
    from ..execution.run import plan as plan_job
    from ..job.reading import load_grid
    from .printing.plan_report import print_plan

    print_plan(plan_job(load_grid(job), results=results, retry=parse_statuses(retry)), as_json=json_)


@app.command()
def query(
    sql: Annotated[
        str,
        typer.Argument(metavar="SQL", help="Over cells, curves, training, metrics, trajectories, trials."),
    ],
    results: Results = "results",
    form: Annotated[
        Literal["table", "json", "csv", "markdown", "latex", "parquet"] | None,
        typer.Option("--format", help="Of the answer; without it a table, or what the name of --output ends in."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="A file instead of standard output: .json, .md, .tex, .parquet, or else CSV."
        ),
    ] = None,
) -> None:
    """Answer an SQL statement from the result store (DuckDB). DESCRIBE cells lists the columns."""
    from ..storage.query import open_results
    from .printing.rendering import form_of, print_table, to_text, write, write_file

    if form == "parquet" and output is None:
        raise HarnessError("--format parquet needs --output FILE")
    answer = open_results(results).query(sql)
    if output is not None:
        write_file(answer, output, form=form or form_of(output))
    elif form is None or form == "table" or form == "parquet":
        print_table(answer)
    else:
        write(to_text(answer, form=form))
