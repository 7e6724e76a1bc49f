"""What all penalties have in common, and their strengths: numbers, or schedules over the fraction of training done."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self, TypeAlias

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from ...identity import canonical_json
from ..extensions import source_digest
from ..spec import FiniteFloat
from .part import Part
from .schedules import Constant, Schedule

if TYPE_CHECKING:
    from torch import Tensor

    from ...theory.dirac import LinearPenalty
    from ...theory.losses import Loss

Weight = Annotated[FiniteFloat, Field(ge=0)]
"""A strength that does not change."""


def _read(value: Any, as_number: Callable[[Any], float]) -> float | Schedule:
    """A strength as a job says it; a constant schedule is its number, so that equal strengths are equal."""
    schedule = value
    if isinstance(value, Mapping):
        if "schedule" not in value:
            raise ValueError(
                "must be a number >= 0, or a schedule such as {schedule: cosine, start: 0.05, end: 0.005}; "
                f"got {value}"
            )
        given = {name: item for name, item in value.items() if name != "schedule"}
        schedule = Schedule.of(str(value["schedule"]), given, what="the strength")
    if not isinstance(schedule, Schedule):
        return as_number(value)
    if schedule.adapts:
        raise ValueError(
            f"{schedule.name} moves sigma by what the discriminator does; a strength is a function of t: use cosine, "
            "linear, exponential or another"
        )
    return schedule.sigma if isinstance(schedule, Constant) else schedule


def _as_in_a_job_file(strength: float | Schedule) -> Any:
    return {"schedule": strength.name, **strength.given()} if isinstance(strength, Schedule) else strength


class _Grammar:
    """How pydantic reads and writes a strength: no union, whose branches would show in the places of mistakes."""

    def __get_pydantic_core_schema__(self, _: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_wrap_validator_function(
            _read,
            handler.generate_schema(Weight),
            serialization=core_schema.plain_serializer_function_ser_schema(_as_in_a_job_file),
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        schedule = {"type": "object", "required": ["schedule"], "properties": {"schedule": {"type": "string"}}}
        return {"anyOf": [handler(schema), schedule]}


Strength: TypeAlias = Annotated[float | Schedule, _Grammar()]
"""A number >= 0, or ``{schedule: cosine, start: 0.05, end: 0.005}`` over the fraction of training done."""


def number(strength: float | Schedule | Tensor) -> Any:
    """A strength as what a step computes with: a number, or one per member ``[k]``.

    Raises:
      ValueError: If it is a schedule, of which `Penalty.at` gives the value at a step.
    """
    if isinstance(strength, Schedule):
        raise ValueError(f"the strength follows a schedule, {strength.description}; Penalty.at gives it at a step")
    return strength


Discriminator = Callable[["Tensor"], "Tensor"]
"""From samples ``[k, b, *shape]`` of k members to logits ``[k, b]``."""


class Draws(dict[str, "Tensor"]):
    """A penalty's random numbers by name, ``[k, ...]`` each; they say how to ask for one that is missing."""

    def __missing__(self, name: str) -> Tensor:
        raise ValueError(
            f"a penalty takes draws[{name!r}] without asking for it; its shape goes into draws(batch, shape)"
        )


class Penalty(Part):
    """Base of all penalties.

    A parameter of type `Strength` may be a schedule. A step uses the penalty `at` that step, where it is a number.
    """

    kind: ClassVar[str] = "penalty"

    @functools.cached_property
    def canonical(self) -> str:
        return canonical_json(self.identity())

    def identity(self) -> dict[str, Any]:
        """What determines the penalty's numbers: its values, and hashes of the sources of a user's own parts."""
        values = self.with_source(self.model_dump(mode="json"))
        for name, schedule in self._scheduled().items():
            if digest := source_digest(schedule.name):
                values[name] = {**values[name], "source": digest}
        return values

    @property
    def terms(self) -> tuple[Penalty, ...]:
        """The penalties it is a sum of: itself, unless it is a `Sum`."""
        return (self,)

    @property
    def schedules(self) -> tuple[Schedule, ...]:
        """Those its strengths follow; none where all of them are numbers."""
        return tuple(self._scheduled().values())

    def at(self, strength: Callable[[Schedule], Tensor | float]) -> Self:
        """The penalty at a step, where each schedule has this value: a number, or one per member ``[k]``."""
        scheduled = self._scheduled()
        return self.model_copy(update={name: strength(schedule) for name, schedule in scheduled.items()})

    def _scheduled(self) -> dict[str, Schedule]:
        own = ((name, getattr(self, name)) for name in type(self).model_fields)
        return {name: value for name, value in own if isinstance(value, Schedule)}

    def why_not(self, loss: Loss) -> str | None:
        """What keeps the penalty from going with a loss; None if nothing does."""
        del loss
        return None

    @classmethod
    def undefined(cls) -> list[str]:
        acts = cls.__call__ is not Penalty.__call__ or cls.constrain is not Penalty.constrain
        return [] if acts else ["__call__ or constrain"]

    def draws(self, batch: int, shape: tuple[int, ...]) -> Mapping[str, tuple[int, ...]]:
        """Shapes, by name, of the uniform random numbers in [0, 1) that each member needs in a step."""
        del batch, shape
        return {}

    def __call__(
        self, discriminator: Discriminator, real: Tensor, fake: Tensor, draws: Mapping[str, Tensor]
    ) -> Tensor | float:
        """The term of each member's loss, ``[k]``, differentiable in the discriminators' weights; 0 for none.

        Args:
          discriminator: Of all k members.
          real, fake: The noisy batches they see, ``[k, b, *shape]``, data units.
          draws: What `draws` asked for, ``[k, ...]`` each.
        """
        return 0.0

    def constrain(self, weights: Tensor) -> Tensor:
        """The discriminators' weights ``[k, p]`` after an update, as the penalty allows them."""
        return weights

    def on_linear(self) -> LinearPenalty:
        """What the penalty is for the discriminator ``D(x) = psi x`` of the Dirac-GAN (protocol dirac).

        Raises:
          ValueError: If the penalty does not say.
        """
        raise ValueError(f"penalty {self.name} does not say what it is on the Dirac-GAN; it has no on_linear")


def one_a_member(penalty: Penalty, term: Tensor | float, *, num_members: int) -> Tensor | float:
    """The value of a penalty, which is one per member ``[k]``, or a plain number.

    Raises:
      ValueError: If it has another shape.
    """
    shape = getattr(term, "shape", None)
    if shape is not None and tuple(shape) != (num_members,):
        raise ValueError(
            f"penalty {penalty.name} gives values of shape {list(shape)} for {num_members} members; "
            "it must give one value per member, [k]: reduce over the samples of a batch alone"
        )
    return term
