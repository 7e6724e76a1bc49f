"""What commands share: arguments and options, of which the same name means the same everywhere, and the way to talk."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ..errors import HarnessError, suggest

err = Console(stderr=True, highlight=False)
"""Progress and logs; results go to standard output."""

UNLIMITED = 10_000
"""Characters; a line of a file or a pipe is never as long."""

_RETRIABLE = ("failed", "diverged", "timeout", "lost")

Results = Annotated[
    str, typer.Option("--results", metavar="ROOT", help="Result store: a folder, or a URI such as s3://bucket/prefix.")
]


def _executors(incomplete: str) -> list[str]:
    """Names to complete."""
    from ..execution.executors import executor_names

    return [name for name in executor_names() if name.startswith(incomplete)]


ExecutorOption = Annotated[
    str,
    typer.Option(
        "--executor",
        metavar="NAME",
        autocompletion=_executors,
        help="ray: actors of a cluster or of this machine. serial: this process alone. Or one that a package brings.",
    ),
]
Address = Annotated[
    str | None,
    typer.Option("--address", metavar="ADDRESS", help="An existing Ray cluster, such as auto or 10.0.0.1:6379."),
]
NoReport = Annotated[
    bool,
    typer.Option("--no-report", envvar="HARNESS_NO_REPORT", help="Write no report.html beside the results."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress display.")]
JobFile = Annotated[Path, typer.Argument(metavar="JOB", help="A job file, or example:NAME (harness list examples).")]
Retry = Annotated[
    str, typer.Option("--retry", metavar="STATUSES", help="Compute these again, such as failed,diverged,timeout,lost.")
]
STORAGE_HELP = "Of the study, for Optuna; SQLite in the store if none."
WarmStart = Annotated[
    str | None,
    typer.Option("--warm-start", metavar="JOB", help="A job whose results in the store the search starts from."),
]


def plain(text: object) -> str:
    """A text in which nothing moves the cursor, sets a colour or turns the direction: such characters are escaped."""
    return "".join(
        character.encode("unicode_escape").decode() if _acts(character) else character for character in str(text)
    )


def say(text: object, *, to: Console | None = None, style: str | None = None) -> None:
    """Prints a text as it is: no markup, no line broken; on standard output if nowhere else."""
    console = to or results_console()
    console.print(plain(text), style=style, markup=False, emoji=False, highlight=False, soft_wrap=True)


def results_console() -> Console:
    """Standard output: as wide as the terminal, or unlimited where it is not one, so that nothing is cut in a pipe."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=UNLIMITED)


def parse_statuses(retry: str) -> tuple[str, ...]:
    statuses = tuple(part.strip() for part in retry.split(",") if part.strip())
    for status_ in statuses:
        if status_ not in _RETRIABLE:
            raise HarnessError(f"--retry: unknown status '{status_}'.{suggest(status_, _RETRIABLE)}")
    return statuses


def _acts(character: str) -> bool:
    """Whether a terminal does something at a character instead of showing it; ends of lines and tabs are harmless."""
    # controls, halves of a surrogate pair, other ends of lines, and what turns the direction of writing
    unsafe = unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")
    return (unsafe or unicodedata.bidirectional(character) in _TURNS) and character not in "\n\t"


_TURNS = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
