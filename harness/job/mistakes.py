"""Mistakes in a job file: their places, and pydantic's words made the job file's."""

from __future__ import annotations

import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from ruamel.yaml.comments import CommentedMap

from ..errors import suggest
from .spec import InnerError, MistakesError, PathInJob, sentence, shown
from .synonyms import key_meant, models_in


@dataclass(frozen=True)
class Mistake:
    """Where in the document, what, and whether the key itself is wrong rather than its value.

    Attributes:
      key: Place of a key that is missing, or that is meant by one that is unknown.
    """

    place: PathInJob
    text: str
    is_about_key: bool = False
    key: PathInJob | None = None


def explain(
    document: Any, errors: Sequence[Any], grammar: type[BaseModel], *, literals: Mapping[PathInJob, Sequence[str]]
) -> list[Mistake]:
    """pydantic's errors in the words of a job file.

    Args:
      document: What was validated, from whose places those in the file follow.
      errors: pydantic's.
      grammar: The model that found them.
      literals: Valid values at places where `grammar` does not know them all.
    """
    found = list(_explain(document, errors, grammar, (), literals))
    meant = {mistake.key for mistake in found if mistake.is_about_key}
    # where `seeds` is unknown and `seed` is missing, one line says it
    return [mistake for mistake in found if mistake.is_about_key or mistake.key is None or mistake.key not in meant]


def _explain(
    document: Any,
    errors: Sequence[Any],
    grammar: type[BaseModel],
    within: PathInJob,
    literals: Mapping[PathInJob, Sequence[str]],
) -> Iterator[Mistake]:
    for error in errors:
        place = place_in(document, (*within, *error["loc"]))
        kind, value = error["type"], error.get("input")
        inner = error.get("ctx", {}).get("error")
        if isinstance(inner, InnerError):
            here = (*within, *error["loc"], *inner.place)
            yield from _explain(document, inner.errors, inner.grammar, here, {})
        elif isinstance(inner, MistakesError):
            for where, text in inner.found:
                yield Mistake(place_in(document, (*within, *error["loc"], *where)), text)
        elif kind == "extra_forbidden":
            keys = _keys_at(error["loc"][:-1], grammar)
            meant = key_meant(place[-1], keys, grammar)
            hint = f" Did you mean '{meant}'?" if meant else ""
            text = f"unknown key.{hint}\n  Valid: {', '.join(keys)}"
            yield Mistake(place, text, is_about_key=True, key=(*place[:-1], meant or ""))
        elif kind == "missing":
            yield Mistake(place[:-1], f"'{error['loc'][-1]}' is missing", key=place)
        elif kind == "literal_error":
            valid = literals.get(tuple(error["loc"])) or _literals_at(error["loc"], grammar)
            yield Mistake(place, f"got {shown(value)}.{suggest(value, valid)}")
        elif kind == "tuple_type":
            yield Mistake(place, _no_list(place[-1], value))
        elif kind == "too_short":
            yield Mistake(place, "is empty; give at least one value")
        elif kind == "value_error":
            # of a whole object: what pydantic then names last is the tag of a union, which the document does not have
            yield Mistake(place if _holds(document, place) else place[:-1], str(inner))
        else:
            yield Mistake(place, f"{sentence(error['msg'])}, got {shown(value)}")


def _no_list(key: object, value: object) -> str:
    if not isinstance(value, (str, int, float)):
        return f"must be a list, got {shown(value)}"
    if key != "seed" or isinstance(value, (str, bool, float)) or value < 2:
        return f"must be a list: [{value}]"
    first = ", ".join(map(str, range(min(value, 3))))
    return f"must be a list: [{value}], or of {value} seeds [{first}{', ...' if value > 3 else ''}]"


def place_in(document: Any, loc: Sequence[Any]) -> PathInJob:
    """pydantic's location without what the document does not have: names of unions' members, defaults of a part."""
    place: list[str | int] = []
    node = document
    for index, part in enumerate(loc):
        if _has(node, part):
            node = node[part]
        elif index < len(loc) - 1 or not isinstance(node, dict):
            continue
        place.append(part)
    return tuple(place)


def locate(document: Any, mistake: Mistake) -> tuple[int, int] | None:
    """Line and column, from 1, of what a mistake is about: a value, or the key of a value that starts a new line.

    None where the document is no text.
    """
    if not isinstance(document, CommentedMap):
        return None
    line, column = 0, 0
    node: Any = document
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


def _has(node: Any, part: Any) -> bool:
    if isinstance(node, (list, tuple)):
        return isinstance(part, int) and part < len(node)
    return isinstance(node, dict) and part in node


def _holds(document: Any, place: PathInJob) -> bool:
    node = document
    for part in place:
        if not _has(node, part):
            return False
        node = node[part]
    return True


def _keys_at(loc: Sequence[Any], grammar: type[BaseModel]) -> list[str]:
    """Names of the keys allowed at a location, by following pydantic's models."""
    return sorted({name for model in models_in(_annotation_at(loc, grammar)) for name in model.model_fields})


def _literals_at(loc: Sequence[Any], grammar: type[BaseModel]) -> list[str]:
    """The literals that a field's annotation names."""
    return [str(value) for value in _literals(_annotation_at(loc, grammar))]


def _annotation_at(loc: Sequence[Any], grammar: Any) -> Any:
    annotation = grammar
    for part in loc:
        for model in models_in(annotation):
            if part in model.model_fields:
                annotation = model.model_fields[part].annotation
                break
    return annotation


def _literals(annotation: Any) -> list[Any]:
    if typing.get_origin(annotation) is typing.Literal:
        return list(typing.get_args(annotation))
    return [value for inner in typing.get_args(annotation) for value in _literals(inner)]
