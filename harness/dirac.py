"""Protocol ``dirac``: the Dirac-GAN's cells, from job file to rows. The mathematics is `theory.dirac`.

Its cells are not trained by packs of networks: the game has two parameters, its expectations over the noise are exact,
and a cell takes a second. All else is as for other cells: a plan, actors, rows in ``cells``, paths in ``trajectories``.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from .components import (
    Dragan,
    GradientPenalty,
    LossName,
    NoPenalty,
    Penalty,
    WeightClip,
    ZeroCentred,
    describe_spec,
    find_loss,
    named_with_source,
    to_tuple,
)
from .identity import canonical_json, digest
from .job import JobName, Resources, axis, one_or_more
from .problems.specs import Dirac
from .spec import FiniteFloat, Spec, exact

if TYPE_CHECKING:
    from .components import AnyPenalty
    from .theory.dirac import DiracGAN

DIRAC_VERSION = 1
"""Raised when the same settings give other numbers."""

_POINTS_KEPT = 10_000
_SECONDS_PER_STEP = 1.2e-4  # of one simulated update on one core


def _known_updates(value: str) -> str:
    words = value.split()
    if words in (["simultaneous"], ["alternating"]):
        return words[0]
    if len(words) == 2 and words[0] == "alternating" and words[1].isdecimal() and int(words[1]) >= 1:
        # one spelling for each, so that no game is played twice
        return words[0] if int(words[1]) == 1 else f"{words[0]} {int(words[1])}"
    raise ValueError(
        f"unknown updates {value!r}. Valid: simultaneous, alternating, or alternating N with N discriminator steps each"
    )


class DiracGrid(Spec):
    """The axes of a Dirac-GAN job. `sigma` is the standard deviation of Gaussian instance noise."""

    loss: axis(LossName)  # type: ignore[valid-type]
    penalty: axis(Penalty) = (NoPenalty(),)  # type: ignore[valid-type]
    sigma: axis(Annotated[FiniteFloat, Field(ge=0)]) = (0.0,)  # type: ignore[valid-type]
    updates: axis(Annotated[str, AfterValidator(_known_updates)]) = ("simultaneous", "alternating")  # type: ignore[valid-type]
    learning_rate: axis(Annotated[FiniteFloat, Field(gt=0)]) = (0.1,)  # type: ignore[valid-type]


class Dynamics(Spec):
    """How far a game is played: from `start` for `steps` iterations, judged by a distance of `tolerance`."""

    steps: int = Field(5000, ge=20)
    start: Annotated[tuple[FiniteFloat, FiniteFloat], BeforeValidator(to_tuple)] = (1.0, 1.0)
    tolerance: FiniteFloat = Field(0.01, gt=0)


class DiracJob(Spec):
    """A grid of Dirac-GANs."""

    name: JobName
    protocol: Literal["dirac"]
    problem: Dirac = Dirac(name="dirac")
    grid: Annotated[tuple[DiracGrid, ...], BeforeValidator(one_or_more), Field(min_length=1)]
    dynamics: Dynamics = Dynamics()
    resources: Resources = Resources()


@dataclass(frozen=True)
class DiracCell:
    """One game; one row of ``cells``."""

    loss: str
    penalty: AnyPenalty
    sigma: float
    updates: str
    learning_rate: float
    dynamics: Dynamics
    cell_id: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "cell_id", digest(self.identity()))

    def identity(self) -> dict[str, Any]:
        """What determines the row's numbers, and nothing else."""
        return {
            "dirac_version": DIRAC_VERSION,
            "loss": named_with_source(self.loss),
            "penalty": self.penalty.model_dump(mode="json"),
            "sigma": self.sigma,
            "updates": self.updates,
            "learning_rate": self.learning_rate,
            "dynamics": self.dynamics.model_dump(mode="json"),
        }

    @property
    def coordinates(self) -> tuple[Any, ...]:
        """The cell's place in its grid, see `store.COORDINATES`."""
        return (
            self.loss,
            describe_spec(self.penalty),
            exact(self.sigma),
            self.learning_rate,
            None,
            None,
            None,
            None,
            self.updates,
        )

    def description(self) -> dict[str, Any]:
        """The columns that say which cell it is."""
        return {
            "cell_id": self.cell_id,
            "protocol": "dirac",
            "problem": "dirac",
            "network": "dirac",
            "loss": self.loss,
            "penalty": describe_spec(self.penalty),
            "optimizer": "sgd",
            "learning_rate": self.learning_rate,
            "schedule": exact(self.sigma),
            "sigma": self.sigma,
            "noise": "gaussian",
            "updates": self.updates,
            "identity": canonical_json(self.identity()),
        }

    @property
    def discriminator_steps(self) -> int:
        """Discriminator updates an iteration."""
        words = self.updates.split()
        return int(words[1]) if len(words) == 2 else 1


@dataclass(frozen=True)
class DiracPack:
    """Games played one after another."""

    cells: tuple[DiracCell, ...]

    @property
    def num_members(self) -> int:
        return len(self.cells)

    @cached_property
    def member_steps(self) -> int:
        """Iterations over all games."""
        return sum(cell.dynamics.steps for cell in self.cells)

    @cached_property
    def seconds(self) -> float:
        """Expected time of one slot: the path, and 4,000 iterations for the modulus."""
        updates = ((cell.dynamics.steps + 4000) * (1 + cell.discriminator_steps) for cell in self.cells)
        return _SECONDS_PER_STEP * sum(updates)

    @property
    def requires(self) -> frozenset[tuple[str, int]]:
        return frozenset()

    @property
    def is_divisible(self) -> bool:
        """Whether `split` makes the pack smaller."""
        return len(self.cells) > 1

    def split(self) -> list[DiracPack]:
        """Two halves of the pack."""
        middle = len(self.cells) // 2
        return [DiracPack(self.cells[:middle]), DiracPack(self.cells[middle:])]

    def without(self, cell_ids: Any, snapshots: Any) -> DiracPack | None:
        """The pack relieved of cells that are done; None if nothing is left."""
        left = tuple(cell for cell in self.cells if cell.cell_id not in cell_ids)
        return replace(self, cells=left) if left else None


def expand(job: DiracJob) -> list[DiracCell]:
    """All cells of a job, in the order of its axes; those in several grids once."""
    cells = (
        DiracCell(*point, dynamics=job.dynamics)
        for grid in job.grid
        for point in itertools.product(grid.loss, grid.penalty, grid.sigma, grid.updates, grid.learning_rate)
    )
    return list({cell.cell_id: cell for cell in cells}.values())


def game_of(cell: DiracCell) -> DiracGAN:
    """The game a cell is about."""
    from .theory.dirac import DiracGAN

    match cell.penalty:
        case NoPenalty():
            strength = 0.0
        case WeightClip(limit=limit):
            strength = limit
        case GradientPenalty(weight=weight) | Dragan(weight=weight) | ZeroCentred(weight=weight):
            strength = weight
        case _:
            strength = cell.penalty.gamma
    name = cell.penalty.name if strength > 0 else "none"
    return DiracGAN(find_loss(cell.loss), penalty=name, strength=strength, sigma=cell.sigma)


def play(cell: DiracCell) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Plays a game: the measured columns of its row, and its path for ``trajectories``."""
    import numpy as np

    from .theory import dirac

    game = game_of(cell)
    updates: Any = cell.updates.split()[0]
    descent = dirac.Descent(cell.learning_rate, updates, cell.discriminator_steps)
    path = dirac.simulate(game, descent, num_steps=cell.dynamics.steps, start=cell.dynamics.start)
    predicted, jacobian = dirac.linearise(game), game.jacobian()
    measured = None if jacobian is None else sorted(np.linalg.eigvals(jacobian).tolist(), key=_by_parts)
    columns = {
        **_eigenvalues("", measured),
        **_eigenvalues("predicted_", None if predicted is None else predicted.eigenvalues),
        "modulus": dirac.measured_modulus(game, descent),
        "predicted_modulus": None if predicted is None else predicted.modulus(descent),
        "verdict": dirac.verdict(path, cell.dynamics.tolerance),
        "steps_to_tolerance": dirac.steps_to_tolerance(path, cell.dynamics.tolerance),
        "iterations": cell.dynamics.steps,
    }
    return columns, list(_points(cell, path))


def _by_parts(value: complex) -> tuple[float, float]:
    # a double eigenvalue comes with parts of rounding error: they must not decide the order
    return round(value.real, 6), value.imag


def _eigenvalues(prefix: str, values: Sequence[complex] | None) -> dict[str, Any]:
    parts = None if values is None else [complex(value) for value in values]
    return {
        f"{prefix}eigenvalues_real": parts and [value.real for value in parts],
        f"{prefix}eigenvalues_imag": parts and [value.imag for value in parts],
    }


def _points(cell: DiracCell, path: Any) -> Iterator[dict[str, Any]]:
    import numpy as np

    stride = -(-cell.dynamics.steps // _POINTS_KEPT)
    for iteration in range(0, len(path), stride):
        if np.isfinite(path[iteration]).all():
            theta, psi = path[iteration].tolist()
            yield {"cell_id": cell.cell_id, "iteration": iteration, "theta": theta, "psi": psi}
