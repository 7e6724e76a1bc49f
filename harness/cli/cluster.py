"""Commands for a Ray cluster: ``harness submit``, ``status``, ``logs`` and ``stop``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import HarnessError
from .options import STORAGE_HELP, Results, Retry, WarmStart, err, parse_statuses, say

if TYPE_CHECKING:
    from ..execution.ray.submission import Cluster

app = typer.Typer()

JobsAddress = Annotated[
    str | None,
    typer.Option("--address", metavar="URL", help="The cluster's dashboard, such as http://127.0.0.1:8265."),
]
Headers = Annotated[
    str | None,
    typer.Option("--headers", metavar="JSON", envvar="RAY_JOB_HEADERS", help="Added to requests."),
]
Verify = Annotated[str, typer.Option("--verify", metavar="HOW", help="TLS: true, false, or a CA file.")]
SubmissionId = Annotated[str, typer.Argument(metavar="ID", help="What submit printed.")]


@app.command()
def submit(
    job: Annotated[
        Path,
        typer.Argument(
            metavar="JOB", help="A job file or example:NAME: a grid, or a search, which 'harness tune' then does there."
        ),
    ],
    address: JobsAddress = None,
    results: Annotated[
        str,
        typer.Option(
            "--results",
            metavar="ROOT",
            help="Result store: a URI such as s3://bucket/prefix, or a folder of the cluster's machines, not of this "
            "one unless they share it. A relative folder counts from here.",
        ),
    ] = "results",
    retry: Retry = "",
    storage: Annotated[
        str | None,
        typer.Option("--storage", metavar="URL", help=f"{STORAGE_HELP} Needed if the store is a URI."),
    ] = None,
    warm_start: WarmStart = None,
    submission_id: Annotated[str | None, typer.Option("--submission-id", help="Must be new to the cluster.")] = None,
    runtime_env: Annotated[Path | None, typer.Option("--runtime-env", help="A YAML file.")] = None,
    runtime_env_json: Annotated[
        str | None, typer.Option("--runtime-env-json", help='JSON, such as {"env_vars": {"NAME": "value"}}.')
    ] = None,
    working_dir: Annotated[str | None, typer.Option("--working-dir", help="A folder to send along.")] = None,
    metadata_json: Annotated[str | None, typer.Option("--metadata-json", help="JSON of strings.")] = None,
    entrypoint_num_cpus: Annotated[float | None, typer.Option(help="CPUs to reserve for the driver.")] = None,
    entrypoint_num_gpus: Annotated[float | None, typer.Option(help="GPUs to reserve for the driver.")] = None,
    entrypoint_memory: Annotated[int | None, typer.Option(help="Bytes to reserve for the driver.")] = None,
    entrypoint_resources: Annotated[str | None, typer.Option(help="JSON of custom resources.")] = None,
    headers: Headers = None,
    verify: Verify = "true",
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Do not stream the log.")] = False,
) -> None:
    """Run a job on a cluster through Ray Jobs, stream its progress, and exit with its exit code.

    Submitted again, also to another cluster, it goes on with what the store has.
    """
    from ..job.reading import load_job

    parsed = load_job(job)
    statuses = parse_statuses(retry)

    from ..execution.ray.parcel import command_for
    from ..execution.ray.submission import Submission, check_strings, parse_json

    if runtime_env is not None and runtime_env_json is not None:
        raise HarnessError("--runtime-env and --runtime-env-json: give one of them")
    command = command_for(parsed, results=results, retry=statuses, storage=storage, warm_start=warm_start)
    submission = Submission(
        submission_id=submission_id,
        runtime_env=parse_json(runtime_env_json, option="--runtime-env-json") or _yaml(runtime_env),
        working_dir=working_dir,
        metadata=check_strings(parse_json(metadata_json, option="--metadata-json") or {}, option="--metadata-json"),
        entrypoint_num_cpus=entrypoint_num_cpus,
        entrypoint_num_gpus=entrypoint_num_gpus,
        entrypoint_memory=entrypoint_memory,
        entrypoint_resources=parse_json(entrypoint_resources, option="--entrypoint-resources"),
    )
    cluster = _cluster(address, headers, verify)
    given = cluster.submit(parsed, command, submission, announce=lambda text: say(f"{parsed.name}: {text}", to=err))
    say(f"submitted {given}; harness status|logs|stop {given} --address {cluster.address}", to=err)
    if no_wait:
        sys.stdout.write(f"{given}\n")
        return
    try:
        code = cluster.follow(given, sys.stdout)
    except BaseException as error:
        if not isinstance(error, Exception):  # an interrupt, of this command alone
            say(f"{given} goes on: harness logs -f {given} --address {cluster.address}", to=err)
        raise
    raise typer.Exit(code)


@app.command()
def status(
    submission: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="What submit printed; all without it.")
    ] = None,
    address: JobsAddress = None,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Until all shown have ended; exit code 0 if all of them succeeded.")
    ] = False,
    headers: Headers = None,
    verify: Verify = "true",
) -> None:
    """Show how submitted jobs stand: all in a table, or one with its command and what Ray says of it."""
    from . import submissions

    cluster = _cluster(address, headers, verify)

    if watch:
        ended = submissions.watch(lambda: cluster.states() if submission is None else [cluster.state(submission)])
        raise typer.Exit(0 if all(state.has_succeeded for state in ended) else 1)
    if submission is None:
        submissions.print_all(cluster.states())
    else:
        submissions.print_one(cluster.state(submission))


@app.command()
def logs(
    submission: Annotated[str, typer.Argument(metavar="ID|JOB", help="What submit printed; with --cell a job's name.")],
    address: JobsAddress = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Until the job ends.")] = False,
    headers: Headers = None,
    verify: Verify = "true",
    cell: Annotated[
        str | None, typer.Option("--cell", metavar="CELL", help="What happened to this cell (cell_id) of a job.")
    ] = None,
    results: Results = "results",
    json_: Annotated[bool, typer.Option("--json", help="With --cell: the lines as they are kept.")] = False,
) -> None:
    """Print what a submitted job has printed, or what happened to one cell of a job."""
    if cell is not None:
        from .stores import print_cell_log

        print_cell_log(results, submission, cell, as_json=json_)
        return
    cluster = _cluster(address, headers, verify)
    if follow:
        cluster.follow(submission, sys.stdout)
    else:
        sys.stdout.write(cluster.logs(submission))


@app.command()
def stop(
    submission: SubmissionId, address: JobsAddress = None, headers: Headers = None, verify: Verify = "true"
) -> None:
    """Stop a submitted job; what it has computed stays, and submitting it again goes on."""
    final = _cluster(address, headers, verify).stop(submission)
    sys.stdout.write(f"{submission}: {final}\n")


def _cluster(address: str | None, headers: str | None, verify: str) -> Cluster:
    from ..execution.ray.submission import Cluster, parse_json

    check: str | bool = {"true": True, "false": False}.get(verify.lower(), verify)
    return Cluster(address, headers=parse_json(headers, option="--headers"), verify=check)


def _yaml(path: Path | None) -> dict[str, Any] | None:
    if path is None:
        return None
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        return dict(YAML(typ="safe").load(path.read_text(encoding="utf-8")))
    except (OSError, YAMLError, TypeError, ValueError) as error:
        raise HarnessError(f"--runtime-env {path}: {error}") from error
