"""Arguments and options that commands share: the same name means the same everywhere."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

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
