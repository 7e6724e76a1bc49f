"""The ``harness`` command. Results go to standard output, progress and logs to standard error.

Exit codes: 0 complete, 1 some cells failed, 2 usage or validation, 130 interrupted.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console

from . import cli_checks, cli_figures, cli_tune
from .cli_options import Address, ExecutorOption, Quiet, Results
from .errors import HarnessError

app = typer.Typer(
    help="Benchmark GAN losses under instance noise: run grids, query results, check bounds.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.add_typer(cli_checks.app)
app.add_typer(cli_figures.app)
app.add_typer(cli_tune.app)

JobFile = Annotated[Path, typer.Argument(metavar="JOB", help="A job file, such as jobs/quickstart.yaml.")]
Retry = Annotated[
    str, typer.Option("--retry", metavar="STATUSES", help="Compute these again, such as failed,diverged,timeout,lost.")
]
JobsAddress = Annotated[
    str | None,
    typer.Option("--address", metavar="URL", help="The cluster's dashboard, such as http://127.0.0.1:8265."),
]
SubmissionId = Annotated[str, typer.Argument(metavar="ID", help="What submit printed.")]

_RETRIABLE = ("failed", "diverged", "timeout", "lost")
_err = Console(stderr=True, highlight=False)


def main() -> None:
    """Entry point: turns mistakes of the user into one clear message and exit code 2."""
    sys.path.insert(0, str(Path.cwd()))  # a user's own losses and problems, package.module:name
    signals = _Signals()
    try:
        app()
    except HarnessError as error:
        _err.print(str(error), style="red", markup=False, soft_wrap=True)
        sys.exit(2)
    except BaseException:
        if not signals.received:
            raise
        # whatever the signal's exception became on its way through foreign code
        _err.print("Interrupted. What was written stays; the same command goes on where it was.")
        sys.exit(130)


class _InterruptedError(BaseException):
    """SIGINT or SIGTERM; not KeyboardInterrupt, which typer would turn into an exit code of its own."""


class _Signals:
    """Ends the command at SIGINT and SIGTERM, and remembers that it did."""

    def __init__(self) -> None:
        self.received = False
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, self._handle)

    def _handle(self, signum: int, frame: object) -> None:
        self.received = True
        raise _InterruptedError


@app.command()
def run(
    job: JobFile,
    results: Results = "results",
    executor: ExecutorOption = "ray",
    address: Address = None,
    retry: Retry = "",
    quiet: Quiet = False,
) -> None:
    """Compute the cells of a job that the store does not have yet; run it again to go on after a crash."""
    from .jobfile import load_job

    parsed = load_job(job)
    statuses = _statuses(retry)

    from . import driver
    from .progress import ProgressDisplay
    from .summary import print_summary

    with ProgressDisplay(_err, enabled=not quiet) as display:
        outcome = driver.run(
            parsed,
            results=results,
            executor=executor,
            address=address,
            retry=statuses,
            observer=display,
            announce=None if quiet else lambda text: _err.print(f"{parsed.name}: {text}", soft_wrap=True),
        )
    print_summary(outcome, results=results, job_file=job)
    raise typer.Exit(0 if outcome.is_complete else 1)


@app.command()
def plan(
    job: JobFile,
    results: Results = "results",
    retry: Retry = "",
    json_: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Show what a run would do: cells, what they share, what is missing and why, expected time."""
    from .jobfile import load_job
    from .plan import make_plan
    from .plan_report import local_slots, print_plan
    from .store import Store

    parsed = load_job(job)
    slots = local_slots(parsed.resources)
    print_plan(make_plan(parsed, Store(results), slots=slots, retry=_statuses(retry)), as_json=json_)


@app.command()
def query(
    sql: Annotated[
        str, typer.Argument(metavar="SQL", help="Over the tables cells, curves, training, trajectories and trials.")
    ],
    results: Results = "results",
    form: Annotated[
        Literal["table", "json", "csv", "parquet"], typer.Option("--format", help="Of the answer.")
    ] = "table",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A file instead of standard output.")] = None,
) -> None:
    """Answer an SQL statement from the result store (DuckDB). DESCRIBE cells lists the columns."""
    from .query import open_results
    from .rendering import results_console, to_rich, to_text, write_parquet

    answer = open_results(results).query(sql)
    if form == "parquet":
        if output is None:
            raise HarnessError("--format parquet needs --output FILE")
        write_parquet(answer, output)
    elif form == "table" and output is None:
        results_console().print(to_rich(answer))
    else:
        text = to_text(answer, form="csv" if form == "table" else form)
        if output is None:
            sys.stdout.write(text)
        else:
            output.write_text(text, encoding="utf-8")


@app.command("list")
def list_(
    kind: Annotated[
        Literal[
            "losses", "problems", "networks", "optimizers", "penalties", "schedules", "noises", "statuses", "columns"
        ],
        typer.Argument(help="What to list."),
    ],
) -> None:
    """List what a job file can name, or the columns of the tables, each with what it means."""
    from .catalogue import entries
    from .rendering import results_console

    console = results_console()
    listed = entries(kind)
    width = max(len(name) for name, _ in listed)
    for name, meaning in listed:
        console.print(f"{name:<{width}}  {meaning}", markup=False, soft_wrap=True)


@app.command()
def info(json_: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False) -> None:
    """Show versions and the devices of this machine."""
    import json

    from .catalogue import machine
    from .rendering import results_console

    facts = machine()
    if json_:
        sys.stdout.write(json.dumps(facts, indent=2) + "\n")
        return
    for name, value in facts.items():
        results_console().print(f"{name:<12} {value}", markup=False)


@app.command()
def submit(
    job: JobFile,
    address: JobsAddress = None,
    results: Results = "results",
    retry: Retry = "",
    submission_id: Annotated[str | None, typer.Option("--submission-id", help="Must be new to the cluster.")] = None,
    runtime_env: Annotated[Path | None, typer.Option("--runtime-env", help="A YAML file.")] = None,
    runtime_env_json: Annotated[str | None, typer.Option("--runtime-env-json", help="JSON.")] = None,
    working_dir: Annotated[str | None, typer.Option("--working-dir", help="A folder to send along.")] = None,
    metadata_json: Annotated[str | None, typer.Option("--metadata-json", help="JSON of strings.")] = None,
    entrypoint_num_cpus: Annotated[float | None, typer.Option(help="CPUs to reserve for the driver.")] = None,
    entrypoint_num_gpus: Annotated[float | None, typer.Option(help="GPUs to reserve for the driver.")] = None,
    entrypoint_memory: Annotated[int | None, typer.Option(help="Bytes to reserve for the driver.")] = None,
    entrypoint_resources: Annotated[str | None, typer.Option(help="JSON of custom resources.")] = None,
    headers: Annotated[str | None, typer.Option("--headers", help="JSON, added to requests.")] = None,
    verify: Annotated[str, typer.Option("--verify", help="true, false, or a CA file.")] = "true",
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Do not stream the log.")] = False,
) -> None:
    """Run a job on a cluster through Ray Jobs, stream its progress, and exit with its exit code."""
    from .jobfile import load_job
    from .store import Store

    parsed = load_job(job)
    statuses = _statuses(retry)

    from .submission import Submission, parse_json

    cluster = _cluster(address, headers=headers, verify=verify)
    given = cluster.submit(
        parsed,
        results=Store(results).absolute_root,
        arguments=["--retry", ",".join(statuses)] if statuses else [],
        submission=Submission(
            submission_id=submission_id,
            runtime_env=parse_json(runtime_env_json, option="--runtime-env-json") or _yaml(runtime_env),
            working_dir=working_dir,
            metadata=parse_json(metadata_json, option="--metadata-json"),
            entrypoint_num_cpus=entrypoint_num_cpus,
            entrypoint_num_gpus=entrypoint_num_gpus,
            entrypoint_memory=entrypoint_memory,
            entrypoint_resources=parse_json(entrypoint_resources, option="--entrypoint-resources"),
        ),
    )
    options = f"{given} --address {cluster.address}"
    _err.print(f"submitted {given}; harness status|logs|stop {options}", soft_wrap=True)
    if no_wait:
        sys.stdout.write(f"{given}\n")
        return
    raise typer.Exit(cluster.follow(given, sys.stdout))


@app.command()
def status(
    submission: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="What submit printed; all without it.")
    ] = None,
    address: JobsAddress = None,
) -> None:
    """Show how submitted jobs stand."""
    import pyarrow as pa

    from .rendering import results_console, to_rich

    cluster = _cluster(address)
    rows = cluster.submissions() if submission is None else [cluster.status(submission)]
    results_console().print(to_rich(pa.Table.from_pylist(rows)) if rows else "no submitted jobs")


@app.command()
def logs(
    submission: SubmissionId,
    address: JobsAddress = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Until the job ends.")] = False,
) -> None:
    """Print what a submitted job has printed."""
    cluster = _cluster(address)
    if follow:
        cluster.follow(submission, sys.stdout)
    else:
        sys.stdout.write(cluster.logs(submission))


@app.command()
def stop(submission: SubmissionId, address: JobsAddress = None) -> None:
    """Stop a submitted job; what it has computed stays, and submitting it again goes on."""
    final = _cluster(address).stop(submission)
    sys.stdout.write(f"{submission}: {final}\n")


def _cluster(address: str | None, *, headers: str | None = None, verify: str = "true") -> Any:
    from .submission import Cluster, parse_json

    check: str | bool = {"true": True, "false": False}.get(verify.lower(), verify)
    return Cluster(address, headers=parse_json(headers, option="--headers"), verify=check)


def _statuses(retry: str) -> tuple[str, ...]:
    from .errors import suggest

    statuses = tuple(part.strip() for part in retry.split(",") if part.strip())
    for status_ in statuses:
        if status_ not in _RETRIABLE:
            raise HarnessError(f"--retry: unknown status '{status_}'.{suggest(status_, _RETRIABLE)}")
    return statuses


def _yaml(path: Path | None) -> dict[str, Any] | None:
    if path is None:
        return None
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        return dict(YAML(typ="safe").load(path.read_text(encoding="utf-8")))
    except (OSError, YAMLError, TypeError, ValueError) as error:
        raise HarnessError(f"--runtime-env {path}: {error}") from error
