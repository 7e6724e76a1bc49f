"""Reading a job file: YAML to a `Job`, and every mistake to a line and column.

jobs/grid.yaml:14:10: grid.loss[1]: unknown loss 'non_saturatng'. Did you mean 'non_saturating'?
  Valid: hinge, least_squares, ...
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML

from ..errors import JobError, suggest
from .dirac import DiracJob
from .job import Job
from .mistakes import Mistake, dotted, explain, locate, place_in
from .tune import TuneJob, example_grid
from .validation import contradictions, impossibilities
from .yaml_text import MAX_BYTES, decode, read_yaml

AnyJob = Job | DiracJob
_GRAMMARS: dict[str, type[BaseModel]] = {"dirac": DiracJob, "tune": TuneJob}


def load_job(path: str | Path) -> AnyJob:
    """`load` of a job that ``harness run`` can run.

    Raises:
      JobError: As `load`, and if the file describes a search.
    """
    job = load(path)
    if isinstance(job, TuneJob):
        raise JobError(f"{path}: protocol tune is a search: run it with 'harness tune {path}'")
    return job


def load_tune_job(path: str | Path) -> TuneJob:
    """`load` of a search.

    Raises:
      JobError: As `load`, and if the file describes no search.
    """
    job = load(path)
    if not isinstance(job, TuneJob):
        raise JobError(f"{path}: protocol {job.protocol} is no search: run it with 'harness run {path}'")
    return job


def load(path: str | Path) -> AnyJob | TuneJob:
    """Reads and checks a file of any protocol.

    Raises:
      JobError: If the file is missing, is not YAML, or has any mistake; the text names them all.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise JobError(f"{path}: no such job file{_nearby(path)}") from None
    except IsADirectoryError:
        raise JobError(f"{path}: is a folder, not a job file{_nearby(path / 'x')}") from None
    except (OSError, ValueError) as error:  # a ValueError of a path that no file can have
        raise JobError(f"{path}: cannot be read: {error}") from error
    return parse(decode(data, source=str(path)), source=str(path))


def parse_job(text: str, *, source: str = "<job>") -> AnyJob:
    """`load_job` on a text; `source` stands before line and column in messages."""
    job = parse(text, source=source)
    assert not isinstance(job, TuneJob), "a search is no job to run"
    return job


def parse(text: str, *, source: str = "<job>") -> AnyJob | TuneJob:
    """`load` on a text."""
    document, content = read_yaml(text, source=source)
    try:
        grammar = _GRAMMARS.get(str(document.get("protocol")), Job)
        job: Any = grammar.model_validate(content)
    except ValidationError as error:
        mistakes = [explain(document, item, grammar) for item in error.errors()]
    else:
        if isinstance(job, DiracJob):
            return job
        # a search's trainings must be possible as well
        checked = job.training_job(job.name, (example_grid(job),)) if isinstance(job, TuneJob) else job
        found = [*contradictions(checked), *(impossibilities(job) if isinstance(job, TuneJob) else ())]
        mistakes = [Mistake(place_in(document, place), text) for place, text in found]
        if not mistakes:
            return job  # type: ignore[no-any-return]
    located = sorted({(locate(document, mistake), dotted(mistake.place), mistake.text) for mistake in mistakes})
    raise JobError("\n".join(f"{source}:{line}:{col}: {name}: {text}" for (line, col), name, text in located))


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
    return f".{suggest(str(path), set(siblings))}" if siblings else ""
