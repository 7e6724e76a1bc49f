"""README.md and the pages of docs/, as what their tests ask of them: blocks, commands, links."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests import in_process

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
SHELLS = ("", "sh", "console", "bash")
"""Languages of blocks that a reader pastes into a terminal: none, as a rule."""
MARKER = re.compile(r"<!-- (not run|run: slow)(?:: |, )(.+) -->")


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
      info: What stands behind the fence: a language, and for a file of the reader's its name.
      marker: ``not run`` or ``run: slow`` of the comment above it, which gives a reason; empty without one.
    """

    page: str
    line: int
    info: str
    text: str
    marker: str = ""

    @property
    def is_commands(self) -> bool:
        return self.info in SHELLS

    def lines(self) -> Iterator[list[str]]:
        """The words of each command, comments left out; a command may go on in further lines."""
        pending = ""
        for line in self.text.splitlines():
            pending += line.removesuffix("\\") + ("" if line.endswith("\\") else "\n")
            if line.endswith("\\"):
                continue
            try:
                words = shlex.split(pending, comments=True)
            except ValueError:  # within quotes
                continue
            pending = ""
            if words:
                yield words


def pages() -> dict[str, str]:
    """All pages by their path from the root, the README first."""
    paths = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
    found = (path for path in paths if "_build" not in path.parts)
    return {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in found}


def blocks(page: str, text: str) -> list[Block]:
    """The fenced blocks of a page; of one within a list the indentation is taken away."""
    found: list[Block] = []
    lines = text.splitlines()
    start, above = None, ""
    for number, line in enumerate(lines):
        if not line.lstrip().startswith("```"):
            above = above if start is not None else line
            continue
        if start is None:
            start = number
            continue
        marker = MARKER.fullmatch(above.strip())
        info = lines[start].strip().removeprefix("```").strip()
        inner = "\n".join(item.strip() if info in SHELLS else item for item in lines[start + 1 : number])
        found.append(Block(page, start + 1, info, inner, marker.group(1) if marker else ""))
        start, above = None, line
    return found


def commands(page: str, text: str) -> Iterator[list[str]]:
    """The words of every ``harness ...`` of a page: in blocks of commands, and in spans within text."""
    for block in blocks(page, text):
        if block.is_commands:
            yield from (words for words in block.lines() if words[0] == "harness")
    prose = re.sub(r"^\s*```.*?^\s*```$", "", text, flags=re.MULTILINE | re.DOTALL).replace("\n", " ")
    for found in re.findall(r"`(harness [^`]+)`", prose):
        yield shlex.split(found)


def make_folder(folder: Path) -> None:
    """A reader's folder: jobs, results of the reference, and `harness` on what is to be the PATH."""
    (folder / "results").mkdir(parents=True)
    (folder / "jobs").symlink_to(ROOT / "jobs")
    (folder / "results" / "reference").symlink_to(ROOT / "results" / "reference")
    program = folder / "bin" / "harness"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m harness "$@"\n')
    program.chmod(0o755)


def write_files(found: list[Block], folder: Path) -> None:
    """The files that a page has a reader save: a block whose info ends in a name."""
    for block in found:
        words = block.info.split()
        if len(words) == 2 and "." in words[1]:
            (folder / words[1]).write_text(block.text + "\n", encoding="utf-8")


def run_here(block: Block) -> None:
    """Runs a block in this process's folder: `harness` within this process, all else by a shell."""
    for words in block.lines():
        words, target = (words[: words.index(">")], words[-1]) if ">" in words else (words, None)
        if words[0] == "harness":
            answer = in_process.harness(*words[1:])
            assert answer.returncode == 0, f"{block.page}:{block.line}: {shlex.join(words)}\n{answer.stderr}"
            output = answer.stdout
        else:
            output = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        if target is not None:
            Path(target).write_text(output, encoding="utf-8")


def run_in_a_shell(found: list[Block], folder: Path) -> str:
    """Runs blocks one after the other as they stand, in one shell; what they print."""
    script = "set -e\n" + "\n".join(block.text for block in found)
    environment = {
        **os.environ,
        "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }
    answer = subprocess.run(
        ["bash", "-c", script], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, f"{found[0].page}\n{answer.stdout}\n{answer.stderr}"
    return answer.stdout
