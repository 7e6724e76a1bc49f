"""The base of everything a job file is made of: frozen, strict, without unknown keys."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

FiniteFloat = Annotated[float, Field(allow_inf_nan=False)]


def exact(value: float) -> str:
    """A float as its shortest text that still names it exactly."""
    short = f"{value:g}"
    return short if float(short) == value else repr(value)


class Spec(BaseModel):
    """An immutable, validated part of a job."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)
