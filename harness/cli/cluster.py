"""Commands for a Ray cluster: ``harness submit``, ``status``, ``logs`` and ``stop``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import HarnessError
from .options import JobFile, Results, Retry, err, parse_statuses, say

app = typer.Typer()

JobsAddress = Annotated[
    str | None,
    typer.Option("--address", metavar="URL", help="The cluster's dashboard, such as http://127.0.0.1:8265."),
]
SubmissionId = Annotated[str, typer.Argument(metavar="ID", help="What submit printed.")]


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
    from ..job.reading import load_grid
    from ..storage.store import Store

    parsed = load_grid(job)
    statuses = parse_statuses(retry)

    from ..execution.submission import Submission, parse_json

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
    err.print(f"submitted {given}; harness status|logs|stop {options}", soft_wrap=True)
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

    from .rendering import print_table

    cluster = _cluster(address)
    rows = cluster.submissions() if submission is None else [cluster.status(submission)]
    if rows:
        print_table(pa.Table.from_pylist(rows))
    else:
        say("no submitted jobs")


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
    from ..execution.submission import Cluster, parse_json

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
