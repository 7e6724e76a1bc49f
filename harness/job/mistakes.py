"""Mistakes in a job file: their places, and pydantic's words made the job file's."""

from __future__ import annotations

import typing
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from ruamel.yaml.comments import CommentedMap

from ..errors import suggest
from ..theory.penalties import PENALTIES
from .parts.networks import NETWORKS
from .parts.optimizers import OPTIMIZERS
from .parts.problems import PROBLEMS
from .parts.settings import PathInJob

_TABLES: dict[str, Any] = {
    "problem": PROBLEMS,
    "networks": NETWORKS,
    "optimizer": OPTIMIZERS,
    "penalty": PENALTIES,
}


@dataclass(frozen=True)
class Mistake:
    """Where in the document, what, and whether the key itself is wrong rather than its value."""

    place: PathInJob
    text: str
    is_about_key: bool = False


def explain(document: CommentedMap, error: Any, grammar: type[BaseModel]) -> Mistake:
    """Place and text of one of pydantic's errors, in the words of a job file."""
    place = place_in(document, error["loc"])
    kind, context, value = error["type"], error.get("ctx", {}), error.get("input")
    if kind == "extra_forbidden":
        text = f"unknown key.{suggest(place[-1], _keys_at(error['loc'][:-1], grammar))}"
        return Mistake(place, text, is_about_key=True)
    if kind == "missing":
        return Mistake(place[:-1], f"'{error['loc'][-1]}' is missing")
    if kind == "literal_error":
        expected = "'probe', 'train', 'dirac', 'tune'" if place == ("protocol",) else context["expected"]
        return Mistake(place, f"got {value!r}.{suggest(value, _literals(expected))}")
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        table = _TABLES[_part_name(place)]
        name = value.get("name") if isinstance(value, dict) else None
        if name is None:
            return Mistake(place, f"needs a name.{suggest('', table)}")
        text = f"unknown {_part_name(place).removesuffix('s')} {name!r}.{suggest(name, table)}"
        return Mistake((*place, "name") if _holds(document, (*place, "name")) else place, text)
    if kind == "too_short":
        return Mistake(place, "is empty; give at least one value")
    if kind == "value_error":
        # of a whole object: what pydantic then names last is the tag of a union, which the document does not have
        return Mistake(place if _holds(document, place) else place[:-1], str(context["error"]))
    return Mistake(place, f"{_sentence(error['msg'])}, got {_shown(value)}")


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


def place_in(document: Any, loc: tuple[Any, ...]) -> PathInJob:
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


def locate(document: Any, mistake: Mistake) -> tuple[int, int]:
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


def dotted(place: PathInJob) -> str:
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
