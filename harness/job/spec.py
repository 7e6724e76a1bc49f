"""The base of everything a job file is made of: frozen, strict, without unknown keys."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field

from ..identity import canonical_json

FiniteFloat = Annotated[float, Field(allow_inf_nan=False)]


def exact(value: float) -> str:
    """A float as its shortest text that still names it exactly."""
    short = f"{value:g}"
    return short if float(short) == value else repr(value)


class Spec(BaseModel):
    """An immutable, validated part of a job."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

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
        """A short text for a column: ``weight_clip(limit=0.01)``, or just the name."""
        values = self.model_dump(exclude={"name"})
        inner = ", ".join(
            f"{key}={exact(value) if isinstance(value, float) else value}" for key, value in values.items()
        )
        name = getattr(self, "name", type(self).__name__)
        return f"{name}({inner})" if inner else str(name)


def to_tuple(value: Any) -> Any:
    """A YAML list as the tuple a frozen object needs."""
    return tuple(value) if isinstance(value, list) else value


def to_matrix(value: Any) -> Any:
    """A YAML list of lists as a tuple of tuples."""
    return tuple(to_tuple(row) for row in value) if isinstance(value, (list, tuple)) else value


def by_name(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value
