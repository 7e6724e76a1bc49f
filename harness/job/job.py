"""Jobs of protocols ``probe`` and ``train``: frozen, typed objects that check themselves.

The models are the grammar of a job file; `reading` makes one of a file, and reports every mistake with its place.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from .parts.losses import LossName
from .parts.networks import AnyNetwork, BatchNorm
from .parts.noise import AnySigma
from .parts.penalties import AnyPenalty
from .parts.problems import AnyProblem
from .parts.settings import (
    Axis,
    Evaluation,
    JobName,
    ProbeSettings,
    Reference,
    Resources,
    Training,
    one_or_more,
)
from .spec import MAX_COUNT, FiniteFloat, MistakesError, Spec, short_repr
from .validation import validate_job

Epoch = Annotated[int, Field(ge=1, le=MAX_COUNT)]
Seed = Annotated[int, Field(ge=0, le=2**63 - 1)]


class Grid(Spec):
    """The axes; a cell is one point of their product.

    `batch_norm` is that of the cell's discriminator (protocol ``probe``: of the fresh one; the reference run keeps that
    of ``networks``). `discriminator_steps` belongs to protocol ``train``.
    """

    loss: Axis[LossName]
    sigma: Axis[AnySigma]
    epoch: Axis[Epoch]
    seed: Axis[Seed]
    penalty: Axis[AnyPenalty] | None = None
    learning_rate: Axis[Annotated[FiniteFloat, Field(gt=0)]] | None = None
    batch_norm: Axis[BatchNorm] | None = None
    discriminator_steps: Axis[Annotated[int, Field(ge=1, le=MAX_COUNT)]] | None = None


class Job(Spec):
    """Cells and everything that determines their numbers.

    `grid` is one grid or a list of them, whose cells are united.
    """

    name: JobName
    protocol: Literal["probe", "train"]
    problem: AnyProblem
    networks: AnyNetwork
    training: Training = Training()
    reference: Reference | None = None
    grid: Annotated[tuple[Grid, ...], BeforeValidator(one_or_more), Field(min_length=1)]
    probe: ProbeSettings | None = None
    evaluation: Evaluation = Evaluation()
    resources: Resources = Resources()

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_the_protocol(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("protocol") == "probe":
            return {**value, "reference": value.get("reference") or {}, "probe": value.get("probe") or {}}
        return value

    def __repr__(self) -> str:
        return short_repr(self)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if found := tuple(validate_job(self)):
            raise MistakesError(found)
        return self

    @property
    def last_epoch(self) -> int:
        """The largest epoch of any grid: how far runs are trained, and where schedules end."""
        return int(max(max(grid.epoch) for grid in self.grid))

    def has_axis(self, name: str) -> bool:
        """Whether any grid has this optional axis."""
        return any(getattr(grid, name) is not None for grid in self.grid)
