"""Jobs: frozen, typed objects, and how a job file becomes one.

`load_job` reads a file and reports every mistake with its place; the models below are its grammar.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from .parts.losses import LossName
from .parts.networks import BatchNorm, Networks
from .parts.noise import SigmaValue
from .parts.penalties import Penalty
from .parts.settings import (
    Evaluation,
    JobName,
    ProbeSettings,
    Problem,
    Reference,
    Resources,
    Training,
    axis,
    one_or_more,
)
from .spec import FiniteFloat, Spec


class Grid(Spec):
    """The axes; a cell is one point of their product.

    `batch_norm` is that of the cell's discriminator (protocol ``probe``: of the fresh one; the reference run keeps that
    of ``networks``). `discriminator_steps` belongs to protocol ``train``.
    """

    loss: axis(LossName)  # type: ignore[valid-type]
    sigma: axis(SigmaValue)  # type: ignore[valid-type]
    epoch: axis(Annotated[int, Field(ge=1, le=10**9)])  # type: ignore[valid-type]
    seed: axis(Annotated[int, Field(ge=0, le=2**63 - 1)])  # type: ignore[valid-type]
    penalty: axis(Penalty) | None = None  # type: ignore[valid-type]
    learning_rate: axis(Annotated[FiniteFloat, Field(gt=0)]) | None = None  # type: ignore[valid-type]
    batch_norm: axis(BatchNorm) | None = None  # type: ignore[valid-type]
    discriminator_steps: axis(Annotated[int, Field(ge=1)]) | None = None  # type: ignore[valid-type]


class Job(Spec):
    """Cells and everything that determines their numbers.

    `grid` is one grid or a list of them, whose cells are united.
    """

    name: JobName
    protocol: Literal["probe", "train"]
    problem: Problem
    networks: Networks
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

    @property
    def last_epoch(self) -> int:
        """The largest epoch of any grid: how far runs are trained, and where schedules end."""
        return int(max(max(grid.epoch) for grid in self.grid))

    def has_axis(self, name: str) -> bool:
        """Whether any grid has this optional axis."""
        return any(getattr(grid, name) is not None for grid in self.grid)
