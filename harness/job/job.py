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
    """The axes; a cell is one point of their product."""

    loss: Axis[LossName] = Field(description="of the GAN (train), or of the fresh discriminator (probe)")
    sigma: Axis[AnySigma] = Field(
        description="instance noise, data units; a number, in protocol train also a schedule, either with a family of "
        "noise and the steps it is added in"
    )
    epoch: Axis[Epoch] = Field(description="at which generators are measured; a run passes through all of them")
    seed: Axis[Seed] = Field(description="of weights, batches and noise; the same seed draws the same in any company")
    penalty: Axis[AnyPenalty] | None = Field(
        None, description="of the discriminator; null: weight_clip for wasserstein, none for all others"
    )
    learning_rate: Axis[Annotated[FiniteFloat, Field(gt=0)]] | None = Field(
        None, description="instead of the optimizer's"
    )
    batch_norm: Axis[BatchNorm] | None = Field(
        None,
        description="of the cell's discriminator, instead of the networks', for a dcgan; the reference run of protocol "
        "probe keeps its own",
    )
    discriminator_steps: Axis[Annotated[int, Field(ge=1, le=MAX_COUNT)]] | None = Field(
        None, description="instead of the training's; protocol train alone"
    )


class Job(Spec):
    """Cells and everything that determines their numbers."""

    name: JobName = Field(description="of the job, and of its folder of results; snapshots and reference are taken")
    protocol: Literal["probe", "train"] = Field(
        description="probe: fresh discriminators against snapshots of one run; train: loss and sigma train the GAN"
    )
    problem: AnyProblem = Field(description="where real samples come from")
    networks: AnyNetwork = Field(description="generator and discriminator")
    training: Training = Field(Training(), description="how generators are trained")
    reference: Reference | None = Field(None, description="protocol probe: the run whose snapshots are probed")
    grid: Annotated[tuple[Grid, ...], BeforeValidator(one_or_more), Field(min_length=1)] = Field(
        description="the axes; of a list of grids the cells are united"
    )
    probe: ProbeSettings | None = Field(
        None, description="protocol probe: how fresh discriminators are trained and measured"
    )
    evaluation: Evaluation = Field(Evaluation(), description="how generators are measured")
    resources: Resources = Field(Resources(), description="what an actor holds; it changes no number and no cell")

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
