"""Sentences and commands for people: in the lines of a terminal, and whole in a pipe."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.cells import cell_len
from rich.text import Text

from ..options import plain, results_console, say

Command = Sequence[str]
"""Words of a command, quoted where a shell wants it."""

LONGEST_LINE = 120
"""Of prose, where the terminal is wider."""
_INDENT = "  "
_CONTINUED = " \\"


def say_prose(text: str) -> None:
    """Prints a sentence or more, on a terminal in lines of its width that break between words."""
    console = results_console()
    if not console.is_terminal:
        say(text)
        return
    width = min(console.width, LONGEST_LINE)
    first, *rest = (line.plain.rstrip() for line in Text(plain(text)).wrap(console, width))
    further = Text(" ".join(rest)).wrap(console, width - len(_INDENT))
    say("\n".join([first, *(f"{_INDENT}{line.plain.rstrip()}" for line in further if line.plain)]))


def say_command(*words: str) -> None:
    """Prints a command that can be pasted into a shell, on a terminal in lines of its width where it can be broken.

    Args:
      words: As a shell takes them, quoted where they must be. An SQL statement is one of them, in double quotes.
    """
    console = results_console()
    if not console.is_terminal:
        say(f"{_INDENT}{' '.join(words)}")
        return
    lines = [_INDENT]
    for number, word in enumerate(words):
        is_last = number == len(words) - 1
        room = console.width - (0 if is_last else len(_CONTINUED))
        if cell_len(f"{lines[-1]} {word}") > room and lines[-1].strip() and not word.startswith('"'):
            lines[-1] += _CONTINUED
            lines.append(2 * _INDENT)
        pieces = _outside_quotes(word) if word.startswith('"') else [word]
        for piece in pieces:
            if cell_len(f"{lines[-1]} {piece}") > room and lines[-1].strip():
                lines.append(2 * _INDENT)  # within double quotes a line may end anywhere
            lines[-1] += piece if not lines[-1].strip() else f" {piece}"
    say("\n".join(lines))


def say_report(report: Path | str | None) -> None:
    """Where a report is; nothing if there is none."""
    if report is not None:
        say(f"Report:  {report}")


def say_further(commands: Sequence[Command]) -> None:
    """What to look at next."""
    say("Look further:")
    for command in commands:
        say_command(own_name(), *command)


def store_option(results: str) -> tuple[str, ...]:
    """Which store a printed command is to ask; nothing where it would anyway."""
    return () if results == "results" else ("--results", shlex.quote(results))


def own_name() -> str:
    """How the user can call this command again."""
    if shutil.which("harness"):
        return "harness"
    return "python -m harness" if sys.argv[0].endswith("__main__.py") else shlex.quote(sys.argv[0])


def _outside_quotes(sql: str) -> list[str]:
    """Its words; what is between single quotes stays together."""
    return re.findall(r"(?:'[^']*'|[^\s'])+", sql)
