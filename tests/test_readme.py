"""README.md, docs/jobs.md and docs/clusters.md say what is there: their files, Python names, jobs and commands."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from ruamel.yaml import YAML

import harness
from harness.cli.app import app
from tests.searches import HEAD

ROOT = Path(__file__).parents[1]
PAGES = {page: (ROOT / page).read_text(encoding="utf-8") for page in ("README.md", "docs/jobs.md", "docs/clusters.md")}


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGES[page], re.MULTILINE | re.DOTALL)


def commands() -> Iterator[str]:
    """Every `harness ...` of the pages: lines of blocks without a language, and spans within text."""
    for text in PAGES.values():
        whole = re.sub(r"\n +", " ", text)  # a command that goes on in an indented line
        lines = [line for block in re.findall(r"^```\n(.*?)^```$", whole, re.M | re.S) for line in block.splitlines()]
        prose = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S).replace("\n", " ")
        for found in (*lines, *re.findall(r"`(harness [^`]+)`", prose)):
            if found.startswith("harness "):
                yield re.split(r" +#", found)[0]


COMMANDS = sorted(set(commands()))


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files(page: str) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", PAGES[page])
    assert [target for target in targets if not ((ROOT / page).parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_paths_in_text_exist(page: str) -> None:
    """Job files, documents, benchmarks and modules; names in capitals and of an example are placeholders."""
    paths = re.findall(
        r"\b(?:jobs|docs|benchmarks|tests|harness|deploy)/[\w/-]+\.(?:yaml|md|py|png|ipynb|sbatch)\b", PAGES[page]
    )
    assert [path for path in sorted(set(paths) - {"jobs/grid.yaml"}) if not (ROOT / path).exists()] == []


def test_the_python_names_are_public() -> None:
    (code,) = blocks("README.md", "python")
    used = {
        node.attr
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "harness"
    }
    assert used == {"plan", "run", "open_results", "compare", "tune", "evaluate", "verify"}
    assert used <= set(harness.__all__)


def test_the_grid_of_the_readme_is_a_job() -> None:
    (text,) = blocks("README.md", "yaml")
    job: Any = harness.load_job(YAML(typ="safe").load(text))
    assert job.name == "ring"
    assert len(harness.plan(job, results="nowhere").cells) == 2 * 3 * 2 * 3 * 3  # loss, sigma, penalty, epoch, seed


def test_the_space_of_the_guide_is_a_space() -> None:
    (text,) = [text for text in blocks("docs/jobs.md", "yaml") if text.startswith("space:")]
    harness.load_job({**YAML(typ="safe").load(HEAD + text), "epochs": 4})


@pytest.mark.parametrize("text", COMMANDS)
def test_each_command_and_its_options_exist(text: str) -> None:
    command: Any = typer.main.get_command(app)
    words = shlex.split(text)[1:]
    while words and hasattr(command, "commands") and not words[0].startswith("-"):
        assert words[0] in command.commands, f"no command {words[0]}"
        command = command.commands[words.pop(0)]
    known = {"-h", "--help", *(option for parameter in command.params for option in parameter.opts)}
    assert [word for word in words if re.fullmatch(r"--?[a-z][\w-]*", word) and word not in known] == []


def test_the_commands_are_found() -> None:
    assert {text.split()[1] for text in COMMANDS} >= {"run", "plan", "query", "list", "figure", "tune", "verify"}
