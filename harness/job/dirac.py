"""Protocol ``dirac``: the grammar of a grid of Dirac-GANs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from .parts.losses import LossName
from .parts.penalties import AnyPenalty, NoPenalty
from .parts.penalty import Penalty
from .parts.problems import Dirac
from .parts.settings import Axis, JobName, Resources, one_or_more
from .spec import MAX_COUNT, FiniteFloat, MistakesError, Spec, short_repr, to_tuple
from .validation import why_not_with


def _known_updates(value: str) -> str:
    words = value.split()
    if words in (["simultaneous"], ["alternating"]):
        return words[0]
    if len(words) == 2 and words[0] == "alternating" and words[1].isdecimal() and 1 <= int(words[1]) <= MAX_COUNT:
        # one spelling for each, so that no game is played twice
        return words[0] if int(words[1]) == 1 else f"{words[0]} {int(words[1])}"
    raise ValueError(
        f"unknown updates {value!r}. Valid: simultaneous, alternating, or alternating N with N discriminator steps each"
    )


def _one_number(value: Any) -> Any:
    if isinstance(value, dict):
        raise ValueError(
            "must be a number: the Dirac-GAN's theorems are of Gaussian noise of one sigma, in both steps; schedules, "
            f"families and noise_on belong to protocol: train; got {value!r}"
        )
    return value


class DiracGrid(Spec):
    """The axes of a Dirac-GAN job."""

    loss: Axis[LossName] = Field(description="of both players")
    penalty: Axis[AnyPenalty] = Field((NoPenalty(),), description="of the discriminator")
    sigma: Axis[Annotated[FiniteFloat, Field(ge=0), BeforeValidator(_one_number)]] = Field(
        (0.0,), description="standard deviation of Gaussian instance noise"
    )
    updates: Axis[Annotated[str, AfterValidator(_known_updates)]] = Field(
        ("simultaneous", "alternating"),
        description="simultaneous, alternating, or alternating N with N discriminator steps, which come first",
    )
    learning_rate: Axis[Annotated[FiniteFloat, Field(gt=0)]] = Field((0.1,), description="of both players")


class Dynamics(Spec):
    """How far a game is played, and how it is judged."""

    steps: int = Field(5000, ge=20, le=MAX_COUNT, description="iterations")
    start: Annotated[tuple[FiniteFloat, FiniteFloat], BeforeValidator(to_tuple)] = Field(
        (1.0, 1.0), description="the parameters theta and psi at the beginning"
    )
    tolerance: FiniteFloat = Field(
        0.01, gt=0, description="the distance from the equilibrium within which a game that converges stays"
    )


class DiracJob(Spec):
    """A grid of Dirac-GANs."""

    name: JobName = Field(description="of the job, and of its folder of results")
    protocol: Literal["dirac"] = Field(description="Dirac-GANs, played exactly: no networks, epochs or seeds")
    problem: Dirac = Field(Dirac(), description="all mass at 0")
    grid: Annotated[tuple[DiracGrid, ...], BeforeValidator(one_or_more), Field(min_length=1)] = Field(
        description="the axes; of a list of grids the cells are united"
    )
    dynamics: Dynamics = Field(Dynamics(), description="how far a game is played")
    resources: Resources = Field(Resources(), description="what an actor holds; it changes no number")

    def __repr__(self) -> str:
        return short_repr(self)

    @model_validator(mode="after")
    def _playable(self) -> Self:
        found = [
            (("grid", number, "penalty", index), reason)
            for number, grid in enumerate(self.grid)
            for index, penalty in enumerate(grid.penalty)
            if (reason := _why_not(penalty, grid.loss)) is not None
        ]
        if found:
            raise MistakesError(found)
        return self


def _why_not(penalty: Penalty, losses: Sequence[str]) -> str | None:
    """What keeps a penalty from being played; None if nothing does."""
    for term in penalty.terms:
        if type(term).on_linear is Penalty.on_linear:
            return f"{term.name} does not say what it is on the Dirac-GAN (on_linear)"
    if penalty.schedules:
        return (
            f"{penalty.description} changes over time, and a Dirac-GAN is judged by the eigenvalues of one field; "
            "give it numbers, a game for each"
        )
    return why_not_with(penalty, losses)
