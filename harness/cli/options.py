"""What commands share: arguments and options, of which the same name means the same everywhere, and the way to talk."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from ..errors import HarnessError, suggest

err = Console(stderr=True, highlight=False)
"""Progress and logs; results go to standard output."""

_RETRIABLE = ("failed", "diverged", "timeout", "lost")

Results = Annotated[
    str, typer.Option("--results", metavar="ROOT", help="Result store: a folder, or a URI such as s3://bucket/prefix.")
]
ExecutorOption = Annotated[
    Literal["ray", "serial"],
    typer.Option("--executor", help="ray: actors of a cluster or of this machine. serial: this process alone."),
]
Address = Annotated[
    str | None,
    typer.Option("--address", metavar="ADDRESS", help="An existing Ray cluster, such as auto or 10.0.0.1:6379."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress display.")]
JobFile = Annotated[Path, typer.Argument(metavar="JOB", help="A job file, such as jobs/quickstart.yaml.")]
Retry = Annotated[
    str, typer.Option("--retry", metavar="STATUSES", help="Compute these again, such as failed,diverged,timeout,lost.")
]


def parse_statuses(retry: str) -> tuple[str, ...]:
    statuses = tuple(part.strip() for part in retry.split(",") if part.strip())
    for status_ in statuses:
        if status_ not in _RETRIABLE:
            raise HarnessError(f"--retry: unknown status '{status_}'.{suggest(status_, _RETRIABLE)}")
    return statuses
