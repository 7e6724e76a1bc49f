"""Protocol ``dirac``: the Dirac-GAN's cells, from job file to rows. The mathematics is `theory.dirac`.

Its cells are not trained by packs of networks: the game has two parameters, its expectations over the noise are exact,
and a cell takes a second. All else is as for other cells: a plan, actors, rows in ``cells``, paths in ``trajectories``.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from ..identity import canonical_json, canonical_object, digest_of_text
from ..job.dirac import DiracJob, Dynamics
from ..job.parts.losses import named_with_source
from ..job.spec import exact
from ..storage.records import CellKey

if TYPE_CHECKING:
    from ..job.parts.penalties import Penalty

DIRAC_VERSION = 1
"""Raised when the same settings give other numbers."""
_SECONDS_PER_STEP = 1.2e-4  # of one simulated update on one core


@dataclass(frozen=True)
class DiracCell:
    """One game; one row of ``cells``. It has neither run nor probe."""

    run: ClassVar[None] = None
    probe: ClassVar[None] = None

    loss: str
    penalty: Penalty
    sigma: float
    updates: str
    learning_rate: float
    dynamics: Dynamics

    @cached_property
    def cell_id(self) -> str:
        """Hash of `identity`."""
        return digest_of_text(self.identity)

    @cached_property
    def identity(self) -> str:
        """What determines the row's numbers, and nothing else, as canonical JSON."""
        return canonical_object(
            {
                "dirac_version": str(DIRAC_VERSION),
                "loss": canonical_json(named_with_source(self.loss)),
                "penalty": self.penalty.canonical,
                "sigma": canonical_json(self.sigma),
                "updates": canonical_json(self.updates),
                "learning_rate": canonical_json(self.learning_rate),
                "dynamics": self.dynamics.canonical,
            }
        )

    @property
    def generator(self) -> None:
        """No snapshot."""
        return

    @property
    def key(self) -> CellKey:
        """The cell's place in its grid."""
        return CellKey(
            loss=self.loss,
            penalty=self.penalty.description,
            schedule=exact(self.sigma),
            learning_rate=self.learning_rate,
            updates=self.updates,
        )

    def columns(self) -> dict[str, Any]:
        """The columns that say which cell it is."""
        return {
            **self.key._asdict(),
            "cell_id": self.cell_id,
            "protocol": "dirac",
            "problem": "dirac",
            "network": "dirac",
            "optimizer": "sgd",
            "sigma": self.sigma,
            "noise": "gaussian",
            "identity": self.identity,
        }

    @property
    def discriminator_steps(self) -> int:
        """Discriminator updates an iteration."""
        words = self.updates.split()
        return int(words[1]) if len(words) == 2 else 1


@dataclass(frozen=True)
class DiracPack:
    """Games played one after another."""

    phase: ClassVar = "playing"

    cells: tuple[DiracCell, ...]

    @property
    def num_members(self) -> int:
        return len(self.cells)

    @cached_property
    def member_steps(self) -> int:
        """Iterations over all games."""
        return sum(cell.dynamics.steps for cell in self.cells)

    @property
    def training_seconds(self) -> float:
        """Expected time of one slot to play the games."""
        return self.seconds

    @cached_property
    def seconds(self) -> float:
        """Expected time of one slot: the path, and 4,000 iterations for the modulus."""
        updates = ((cell.dynamics.steps + 4000) * (1 + cell.discriminator_steps) for cell in self.cells)
        return _SECONDS_PER_STEP * sum(updates)

    @property
    def requires(self) -> frozenset[tuple[str, int]]:
        """No snapshots."""
        return frozenset()

    @property
    def snapshots(self) -> frozenset[tuple[str, int]]:
        """None are made."""
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
