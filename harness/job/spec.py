"""The base of everything a job file is made of: frozen, strict, without unknown keys."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field

from ..identity import canonical_json

FiniteFloat = Annotated[float, Field(allow_inf_nan=False)]
MAX_COUNT = 10**9
"""Of whatever a job counts: larger numbers are slips of the keyboard, and overflow what is computed with them."""
WHOLE = "whole"
"""Marks, in an ``Annotated`` number, that it counts something though it is a float."""
PathInJob = tuple[str | int, ...]
"""Where in a job: ``("grid", 0, "sigma", 2)``."""


class Spec(BaseModel):
    """An immutable, validated part of a job."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """pydantic's, without what was derived from the old values and kept."""
        copied = super().model_copy(update=update, deep=deep)
        for name in set(copied.__dict__) - set(type(self).model_fields):
            del copied.__dict__[name]
        return copied

    @functools.cached_property
    def canonical(self) -> str:
        """The part as one line of JSON, equal for equal parts: what identities are made of."""
        return canonical_json(self.model_dump(mode="json"))

    @functools.cached_property
    def description(self) -> str:
        """A short text for a column, own parameters before inherited ones: ``weight_clip(limit=0.01)``, or the name."""
        dumped = self.model_dump(exclude={"name"})
        order = dict.fromkeys((*type(self).__annotations__, *dumped))
        inner = ", ".join(f"{key}={_brief(getattr(self, key, None), dumped[key])}" for key in order if key in dumped)
        name = getattr(self, "name", type(self).__name__)
        return f"{name}({inner})" if inner else str(name)


class MistakesError(ValueError):
    """Mistakes within a part, each with its place there.

    Raised in a validator, where pydantic keeps it as it is; `mistakes` finds the places in the file.
    """

    def __init__(self, found: Iterable[tuple[PathInJob, str]]) -> None:
        self.found = tuple(found)
        super().__init__("; ".join(f"{dotted(place)}: {text}" if place else text for place, text in self.found))


class InnerError(ValueError):
    """What pydantic says of a part that was validated by a class of its own.

    Attributes:
      errors: pydantic's, with places within the part.
      grammar: The part's class.
      place: Of the part, within what was validated.
    """

    def __init__(self, errors: Sequence[Any], grammar: type[BaseModel], *, within: PathInJob = ()) -> None:
        self.errors, self.grammar, self.place = errors, grammar, within
        super().__init__("; ".join(_text((*within, *item["loc"]), item) for item in errors))

    def within(self, *place: str | int) -> InnerError:
        """The same of a part that is at a place of another."""
        return InnerError(self.errors, self.grammar, within=(*place, *self.place))


def _brief(value: Any, dumped: Any) -> Any:
    """A parameter's value in a description."""
    if isinstance(value, Spec):
        return value.description
    return exact(dumped) if isinstance(dumped, float) else dumped


def _text(place: PathInJob, error: Any) -> str:
    """One of pydantic's errors; ours already say what they are about."""
    if error["type"] == "value_error":
        return str(error["ctx"]["error"])
    return f"{dotted(place)} {sentence(error['msg'])}, got {shown(error.get('input'))}"


def sentence(message: str) -> str:
    """pydantic's message about a value: 'Input should be ...' becomes 'must be ...'."""
    return message.replace("Input should be", "must be").replace("Input should", "must")


def shown(value: Any) -> str:
    """A value for a message, shortened."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def dotted(place: PathInJob) -> str:
    """A place as a person writes it: ``grid.sigma[2]``."""
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text or "job"


def short_repr(job: Any) -> str:
    """A job for a person: ``Job('ring', protocol='train', problem='ring')``; `dump_job` has all of it."""
    return f"{type(job).__name__}({job.name!r}, protocol={job.protocol!r}, problem={job.problem.name!r})"


def exact(value: float) -> str:
    """A float as its shortest text that still names it exactly."""
    short = f"{value:g}"
    return short if float(short) == value else repr(value)


def to_tuple(value: Any) -> Any:
    """A YAML list as the tuple a frozen object needs."""
    return tuple(value) if isinstance(value, list) else value


def to_matrix(value: Any) -> Any:
    """A YAML list of lists as a tuple of tuples."""
    return tuple(to_tuple(row) for row in value) if isinstance(value, (list, tuple)) else value
