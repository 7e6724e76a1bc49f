"""Commands by which one finds a way in: ``harness init``, ``list``, ``show``, ``schema`` and ``info``."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import typer

from ..errors import HarnessError, StoreError, suggest
from .options import Results, err, results_console, say

app = typer.Typer()

_TEMPLATES: Mapping[str, str] = {
    "quickstart": "quickstart",
    "ring": "ring",
    "fashion": "fashion",
    "tune": "tune_ring",
    "own": "own",
}
"""The examples that are named first, by what they are called here."""
_WIDTH = 80  # of what is said of a job
_PARTS = "harness.examples.own_parts"
_EDITORS = (
    "# Editors complete and check this file after `harness schema -o job.schema.json`, if its first line is\n"
    "#   # yaml-language-server: $schema=job.schema.json\n"
)


@app.command()
def init(
    template: Annotated[
        str,
        typer.Argument(metavar="NAME", help="quickstart, ring, fashion, tune, own, or one of harness list examples."),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="A new file instead of standard output; of own a Python file too."),
    ] = None,
) -> None:
    """Print a commented job file to start from: harness init ring > mine.yaml.

    own is a job with a problem, a loss and a metric of your own; -o mine.yaml writes them to mine_parts.py.
    """
    from ..job.examples import FOLDER, example_names, example_text

    names = dict.fromkeys(example_names())
    if template not in _TEMPLATES and template not in names:
        raise HarnessError(f"no job file '{template}' to start from.{suggest(template, {**_TEMPLATES, **names})}")
    name = _TEMPLATES.get(template, template)
    text = _EDITORS + example_text(name).replace(f"jobs/{name}.yaml", str(output or "mine.yaml"))
    text = re.sub(r"jobs/(\w+)\.yaml", r"example:\1", text)
    if output is None:
        sys.stdout.write(text)
        return
    files = {output: text}
    if name == "own":
        parts = output.with_name(f"{_module_name(output.stem)}_parts.py")
        files = {
            output: text.replace(_PARTS, parts.stem).replace("own_parts.py", parts.name),
            parts: (FOLDER / "own_parts.py").read_text(encoding="utf-8").replace("own.yaml", output.name),
        }
    _write_new(files)
    command = "tune" if "\nprotocol: tune\n" in text else "run"
    where = "" if output.parent == Path() else f"cd {output.parent} and "
    say(f"{', '.join(map(str, files))}: next, {where}harness {command} {output.name}", to=err)


@app.command("list")
def list_(
    kind: Annotated[
        Literal[
            "jobs",
            "examples",
            "losses",
            "problems",
            "networks",
            "optimizers",
            "penalties",
            "schedules",
            "noises",
            "metrics",
            "features",
            "samplers",
            "pruners",
            "executors",
            "statuses",
            "columns",
        ],
        typer.Argument(help="What to list."),
    ],
    results: Results = "results",
) -> None:
    """List the jobs of a store, the examples, what a job file can name, or the columns of the tables."""
    from .printing.catalogue import entries

    if kind == "jobs":
        try:
            _list_jobs(results)
            return
        except StoreError:
            if results != "results" or Path(results).is_dir():
                raise
        say("no results here yet. Examples, for harness run or tune example:NAME:", to=err)
        kind = "examples"
    listed = entries(kind)
    if kind == "examples" and results_console().is_terminal:
        _print_wrapped(listed)
        return
    width = max(len(name) for name, _ in listed)
    for name, meaning in listed:
        say(f"{name:<{width}}  {meaning}")


@app.command()
def show(
    job: Annotated[
        str, typer.Argument(metavar="JOB", help="Name of a job with results, or a job file, or example:NAME.")
    ],
    results: Results = "results",
) -> None:
    """Show what a job is, how far it is, where its files are, and what to do next."""
    from .printing.catalogue import portrait

    for line in portrait(job, results=results, width=min(_WIDTH, results_console().width)):
        say(line)


@app.command()
def schema(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Instead of standard output.")
    ] = None,
) -> None:
    """Print the JSON schema of job files, by which editors complete and check them."""
    from ..job.schema import schema_text

    if output is None:
        sys.stdout.write(schema_text())
        return
    try:
        output.write_text(schema_text(), encoding="utf-8")
    except (OSError, ValueError) as error:
        raise HarnessError(f"--output {output}: cannot be written: {error}") from error


@app.command()
def info(json_: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False) -> None:
    """Show versions and the devices of this machine."""
    from .printing.catalogue import machine

    facts = machine()
    if json_:
        sys.stdout.write(json.dumps(facts, indent=2) + "\n")
        return
    for name, value in facts.items():
        say(f"{name:<12} {value}")


def _module_name(stem: str) -> str:
    """A name that Python can import."""
    name = re.sub(r"\W", "_", stem, flags=re.ASCII)
    return name if name.isidentifier() else f"job_{name}"


def _write_new(files: Mapping[Path, str]) -> None:
    """Writes files that are not there yet: all of them, or none."""
    if there := [str(path) for path in files if path.exists()]:
        raise HarnessError(f"{' and '.join(there)}: is there already, and kept; name another file")
    for path, text in files.items():
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
        except (OSError, ValueError) as error:
            raise HarnessError(f"--output {path}: cannot be written: {error}") from error


def _list_jobs(results: str) -> None:
    from .printing.catalogue import jobs
    from .printing.rendering import print_table

    print_table(jobs(results), stack_headers=True, whole=["job"])


def _print_wrapped(listed: list[tuple[str, str]]) -> None:
    """Names and meanings, of which long ones go on below themselves."""
    import textwrap

    width = max(len(name) for name, _ in listed) + 2
    below = "\n" + " " * width
    for name, meaning in listed:
        lines = textwrap.wrap(meaning, results_console().width - width)
        say(f"{name:<{width}}{below.join(lines)}")
