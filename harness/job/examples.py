"""The job files that come with the package: ``example:NAME`` wherever a job file is asked for."""

from __future__ import annotations

import re
from pathlib import Path

from ..errors import JobError, suggest

PREFIX = "example:"
FOLDER = Path(__file__).parents[1] / "examples"
"""Of a checkout the folder ``jobs``, to which it is a link; of an installed package a copy."""
SCHEMA_LINE = re.compile(r"# yaml-language-server: .*\n")
"""Names the JSON schema to editors; relative to the file, so of no use to a copy elsewhere."""


def example_names() -> list[str]:
    """What can follow ``example:``."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def example_path(name: str) -> Path:
    """The file of an example.

    Raises:
      JobError: If there is none of this name.
    """
    names = example_names()
    if name not in names:
        raise JobError(f"{PREFIX}{name}: no such example.{suggest(name, names)}")
    return FOLDER / f"{name}.yaml"


def example_text(name: str) -> str:
    """What is in the file, without the line for editors."""
    return SCHEMA_LINE.sub("", example_path(name).read_text(encoding="utf-8"), count=1)


def introduction(text: str) -> str:
    """The first sentence of the comment at the head of a job file."""
    lines = (line.removeprefix("#").strip() for line in SCHEMA_LINE.sub("", text, count=1).splitlines())
    paragraph = []
    for line in lines:
        if not line or not line[0].isalpha() or re.match(r"\w+: ", line):
            break
        paragraph.append(line)
    return re.split(r"(?<=[.?])\s", " ".join(paragraph), maxsplit=1)[0].removesuffix(".")
