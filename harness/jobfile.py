"""Reading a job file: YAML to a `Job`, and every mistake to a line and column.

jobs/grid.yaml:14:10: grid.loss[1]: unknown loss 'non_saturatng'. Did you mean 'non_saturating'?
  Valid: hinge, least_squares, ...
"""

from __future__ import annotations

import io
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from .components import NETWORKS, OPTIMIZERS
from .dirac import DiracJob
from .errors import JobError, suggest
from .job import Job, PathInJob, contradictions
from .problems.specs import PROBLEMS
from .theory.penalties import PENALTIES
from .tune_job import TuneJob, example_grid, impossibilities

_TABLES: dict[str, Any] = {
    "problem": PROBLEMS,
    "networks": NETWORKS,
    "optimizer": OPTIMIZERS,
    "penalty": PENALTIES,
}


@dataclass(frozen=True)
class _Mistake:
    """Where in the document, what, and whether the key itself is wrong rather than its value."""

    place: PathInJob
    text: str
    is_about_key: bool = False


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
        mistakes = [_explain(document, item, grammar) for item in error.errors()]
    else:
        if isinstance(job, DiracJob):
            return job
        # a search's trainings must be possible as well
        checked = job.training_job(job.name, (example_grid(job),)) if isinstance(job, TuneJob) else job
        found = [*contradictions(checked), *(impossibilities(job) if isinstance(job, TuneJob) else ())]
        mistakes = [_Mistake(_place_in(document, place), text) for place, text in found]
        if not mistakes:
            return job  # type: ignore[no-any-return]
    located = sorted({(_locate(document, mistake), _dotted(mistake.place), mistake.text) for mistake in mistakes})
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


def _explain(document: CommentedMap, error: Any, grammar: type[BaseModel]) -> _Mistake:
    """Place and text of one of pydantic's errors, in the words of a job file."""
    place = _place_in(document, error["loc"])
    kind, context, value = error["type"], error.get("ctx", {}), error.get("input")
    if kind == "extra_forbidden":
        text = f"unknown key.{suggest(place[-1], _keys_at(error['loc'][:-1], grammar))}"
        return _Mistake(place, text, is_about_key=True)
    if kind == "missing":
        return _Mistake(place[:-1], f"'{error['loc'][-1]}' is missing")
    if kind == "literal_error":
        expected = "'probe', 'train', 'dirac', 'tune'" if place == ("protocol",) else context["expected"]
        return _Mistake(place, f"got {value!r}.{suggest(value, _literals(expected))}")
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        table = _TABLES[_part_name(place)]
        name = value.get("name") if isinstance(value, dict) else None
        if name is None:
            return _Mistake(place, f"needs a name.{suggest('', table)}")
        text = f"unknown {_part_name(place).removesuffix('s')} {name!r}.{suggest(name, table)}"
        return _Mistake((*place, "name") if _holds(document, (*place, "name")) else place, text)
    if kind == "too_short":
        return _Mistake(place, "is empty; give at least one value")
    if kind == "value_error":
        # of a whole object: what pydantic then names last is the tag of a union, which the document does not have
        return _Mistake(place if _holds(document, place) else place[:-1], str(context["error"]))
    return _Mistake(place, f"{_sentence(error['msg'])}, got {_shown(value)}")


def _part_name(place: PathInJob) -> str:
    """The key a place is under: ``penalty`` for ``grid.penalty[1]``."""
    return next(str(part) for part in reversed(place) if isinstance(part, str))


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _sentence(message: str) -> str:
    """pydantic's message about the value: 'Input should be ...' becomes 'must be ...'."""
    return message.replace("Input should be", "must be").replace("Input should", "must")


def _literals(expected: str) -> list[str]:
    return [part.strip("' ") for part in expected.replace(" or ", ", ").split(",") if part.strip("' ")]


def _place_in(document: Any, loc: tuple[Any, ...]) -> PathInJob:
    """pydantic's location without the union tags, which the document does not have."""
    place: list[str | int] = []
    node = document
    for index, part in enumerate(loc):
        if _has(node, part):
            node = node[part]
        elif index < len(loc) - 1 or not isinstance(node, dict):
            continue
        place.append(part)
    return tuple(place)


def _has(node: Any, part: Any) -> bool:
    if isinstance(node, list):
        return isinstance(part, int) and part < len(node)
    return isinstance(node, dict) and part in node


def _holds(document: Any, place: PathInJob) -> bool:
    node = document
    for part in place:
        if not _has(node, part):
            return False
        node = node[part]
    return True


def _locate(document: Any, mistake: _Mistake) -> tuple[int, int]:
    """Line and column, from 1, of what a mistake is about: a value, or the key of a value that starts a new line."""
    line, column = 0, 0
    node = document
    for depth, part in enumerate(mistake.place):
        if not _has(node, part):
            break
        known = (getattr(node, "lc", None) and node.lc.data) or {}
        if part not in known:
            break  # merged from elsewhere by `<<`: the mapping itself is the nearest place
        if isinstance(node, CommentedMap):
            key, value = node.lc.key(part), node.lc.value(part)
            is_last = depth == len(mistake.place) - 1
            line, column = key if value[0] != key[0] or (is_last and mistake.is_about_key) else value
        else:
            line, column = node.lc.item(part)
        node = node[part]
    return line + 1, column + 1


def _dotted(place: PathInJob) -> str:
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text or "job"


def _keys_at(loc: tuple[Any, ...], grammar: type[BaseModel]) -> list[str]:
    """Names of the keys allowed at a location, by following pydantic's models."""
    model: Any = grammar
    for part in loc:
        model = _step(model, part)
    return sorted({name for candidate in _models(model) for name in candidate.model_fields})


def _step(annotation: Any, part: Any) -> Any:
    for candidate in _models(annotation):
        if isinstance(part, str) and part in candidate.model_fields:
            return candidate.model_fields[part].annotation
        if getattr(candidate.model_fields.get("name"), "annotation", None) == typing.Literal[part]:
            return candidate
        if part == "custom" and candidate.__name__ == "Custom":
            return candidate
    return annotation


def _models(annotation: Any) -> list[type[BaseModel]]:
    """All models an annotation may stand for."""
    arguments = typing.get_args(annotation)
    if arguments:
        return [model for inner in arguments for model in _models(inner)]
    return [annotation] if isinstance(annotation, type) and issubclass(annotation, BaseModel) else []


def _nearby(path: Path) -> str:
    siblings = [str(p) for folder in (path.parent, Path("jobs")) if folder.is_dir() for p in folder.glob("*.yaml")]
    return f".{suggest(str(path), set(siblings))}" if siblings else ""
