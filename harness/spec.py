"""The base of everything a job file is made of: frozen, strict, without unknown keys."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

FiniteFloat = Annotated[float, Field(allow_inf_nan=False)]


class Spec(BaseModel):
    """An immutable, validated part of a job."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)
