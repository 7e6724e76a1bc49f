"""Reading a job file: YAML to a `Job`, and every mistake to a line and column.

jobs/grid.yaml:14:10: grid.loss[1]: unknown loss 'non_saturatng'. Did you mean 'non_saturating'?
  Valid: hinge, least_squares, ...
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from pydantic import ValidationError
from ruamel.yaml import YAML

from ..errors import JobError, suggest
from .dirac import DiracJob
from .examples import PREFIX, example_names, example_path
from .job import Job
from .mistakes import Mistake, explain, locate
from .spec import PathInJob, dotted
from .tune import TuneJob
from .yaml_text import MAX_BYTES, decode, read_yaml

AnyJob: TypeAlias = Job | DiracJob
Source: TypeAlias = str | Path | Mapping[str, Any] | Job | DiracJob | TuneJob
"""What a job is read from: a file, ``example:NAME`` for one that comes with the package, a dictionary of what a file
would hold, or a job, which is checked already."""
_GRAMMARS: Mapping[str, type[Job | DiracJob | TuneJob]] = {
    "probe": Job,
    "train": Job,
    "dirac": DiracJob,
    "tune": TuneJob,
}
"""By protocol."""
_PROTOCOL: PathInJob = ("protocol",)
MAX_MISTAKES = 100
"""That are shown."""


def load_job(source: Source) -> AnyJob | TuneJob:
    """A job of any protocol from a file, or from what a file would hold as a dictionary; checked completely.

    Raises:
      JobError: If the file is missing, is not YAML, or has any mistake; the text names them all, with their places.
    """
    if isinstance(source, (Job, DiracJob, TuneJob)):
        return source
    if isinstance(source, Mapping):
        return _checked(source, dict(source), source="job")
    name = str(source)
    path = example_path(name.removeprefix(PREFIX)) if name.startswith(PREFIX) else Path(source)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise JobError(f"{path}: no such job file{_nearby(path)}") from None
    except IsADirectoryError:
        raise JobError(f"{path}: is a folder, not a job file{_nearby(path / 'x')}") from None
    except (OSError, ValueError) as error:  # a ValueError of a path that no file can have
        raise JobError(f"{path}: cannot be read: {error}") from error
    return parse_job(decode(data, source=name), source=name)


def load_grid(source: Source) -> AnyJob:
    """`load_job` of a job that ``harness run`` can run.

    Raises:
      JobError: As `load_job`, and if it describes a search.
    """
    job = load_job(source)
    if isinstance(job, TuneJob):
        raise JobError(f"{_name(source)}: protocol tune is a search: run it with 'harness tune {_name(source)}'")
    return job


def load_search(source: Source) -> TuneJob:
    """`load_job` of a search.

    Raises:
      JobError: As `load_job`, and if it describes no search.
    """
    job = load_job(source)
    if not isinstance(job, TuneJob):
        raise JobError(
            f"{_name(source)}: protocol {job.protocol} is no search: run it with 'harness run {_name(source)}'"
        )
    return job


def parse_job(text: str, *, source: str = "<job>") -> AnyJob | TuneJob:
    """`load_job` on a text; `source` stands before line and column in messages."""
    document, values = read_yaml(text, source=source)
    return _checked(document, values, source=source)


def _checked(document: Any, values: dict[str, Any], *, source: str) -> AnyJob | TuneJob:
    grammar = _GRAMMARS.get(str(values.get("protocol")), Job)
    try:
        return grammar.model_validate(values)
    except ValidationError as error:
        mistakes = explain(document, error.errors(), grammar, literals={_PROTOCOL: list(_GRAMMARS)})
    raise JobError("\n".join(_lines(document, mistakes, source)))


def _lines(document: Any, mistakes: list[Mistake], source: str) -> list[str]:
    """One text per mistake, in the order of the file."""
    more = [] if len(mistakes) <= MAX_MISTAKES else [f"{source}: and {len(mistakes) - MAX_MISTAKES} more mistakes"]
    mistakes = mistakes[:MAX_MISTAKES]
    located = sorted({(locate(document, m) or (0, 0), dotted(m.place), m.text) for m in mistakes})
    lines = [f"{_place(source, line, column, place)}: {text}" for (line, column), place, text in located]
    return lines + more


def _place(source: str, line: int, column: int, place: str) -> str:
    """In a file ``job.yaml:3:1: grid``; in a dictionary ``job: grid``, or ``job`` of the whole."""
    if line:
        return f"{source}:{line}:{column}: {place}"
    return source if place == source else f"{source}: {place}"


def _name(source: Source) -> str:
    if isinstance(source, (str, Path)):
        return str(source)
    return str(source.get("name", "job")) if isinstance(source, Mapping) else source.name


def dump_job(job: AnyJob | TuneJob) -> str:
    """A job as the text of a job file, defaults written out; `parse_job` gives the same job back."""
    stream = io.StringIO()
    yaml = YAML()
    yaml.default_flow_style = None
    yaml.width = 100
    yaml.dump(job.model_dump(mode="json", exclude_none=True), stream)
    return stream.getvalue()


def _nearby(path: Path) -> str:
    siblings = [str(p) for folder in (path.parent, Path("jobs")) if folder.is_dir() for p in folder.glob("*.yaml")]
    if siblings:
        return f".{suggest(str(path), set(siblings))}"
    return f". Did you mean '{PREFIX}{path.stem}'?" if path.stem in example_names() else ""
