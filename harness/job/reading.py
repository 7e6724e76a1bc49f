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
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from ..errors import JobError, suggest
from .dirac import DiracJob
from .job import Job
from .mistakes import Mistake, dotted, explain, locate, place_in
from .tune import TuneJob, example_grid
from .validation import contradictions, impossibilities

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
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise JobError(f"{path}: no such job file{_nearby(path)}") from None
    except IsADirectoryError:
        raise JobError(f"{path}: is a folder, not a job file{_nearby(path / 'x')}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise JobError(f"{path}: cannot be read: {error}") from error
    return parse(text, source=str(path))


def parse_job(text: str, *, source: str = "<job>") -> AnyJob:
    """`load_job` on a text; `source` stands before line and column in messages."""
    job = parse(text, source=source)
    assert not isinstance(job, TuneJob), "a search is no job to run"
    return job


def parse(text: str, *, source: str = "<job>") -> AnyJob | TuneJob:
    """`load` on a text."""
    document = _parse_yaml(text, source)
    try:
        grammar = _GRAMMARS.get(str(document.get("protocol")), Job)
        job: Any = grammar.model_validate(_plain(document))
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


def _parse_yaml(text: str, source: str) -> CommentedMap:
    for number, line in enumerate(text.splitlines(), 1):
        indent = line[: len(line) - len(line.lstrip())]
        if "\t" in indent:
            raise JobError(f"{source}:{number}:{indent.index(chr(9)) + 1}: a tab indents this line; use spaces")
    try:
        document = YAML(typ="rt").load(text)
    except DuplicateKeyError as error:
        mark = error.problem_mark
        problem = str(error.problem).split(" with value")[0].replace("found ", "")
        raise JobError(f"{source}:{mark.line + 1}:{mark.column + 1}: {problem}; remove one of them") from None
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{mark.line + 1}:{mark.column + 1}" if mark else "1:1"
        raise JobError(f"{source}:{place}: not YAML: {error.problem or error.context}") from None
    except YAMLError as error:
        raise JobError(f"{source}:1:1: not YAML: {error}") from None
    except RecursionError:
        raise JobError(f"{source}:1:1: not a job file: its brackets are nested too deeply") from None
    if not isinstance(document, CommentedMap):
        what = "is empty" if document is None else f"holds a {type(document).__name__}"
        raise JobError(f"{source}:1:1: a job file is a mapping with name, protocol, problem, ...; this one {what}")
    return document


def _plain(node: Any) -> Any:
    """ruamel's annotated containers and numbers as plain Python objects."""
    if isinstance(node, dict):
        return {str(key): _plain(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_plain(value) for value in node]
    for kind in (bool, int, float, str):
        if isinstance(node, kind):
            return kind(node)
    return node


def _nearby(path: Path) -> str:
    siblings = [str(p) for folder in (path.parent, Path("jobs")) if folder.is_dir() for p in folder.glob("*.yaml")]
    return f".{suggest(str(path), set(siblings))}" if siblings else ""
