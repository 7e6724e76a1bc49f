"""Playing a Dirac-GAN: the measured columns of its row, and its path."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ..job.parts.losses import find_loss
from .cells import DiracCell

if TYPE_CHECKING:
    from ..theory.dirac import DiracGAN

_POINTS_KEPT = 10_000


def game_of(cell: DiracCell) -> DiracGAN:
    """The game a cell is about."""
    from ..theory.dirac import DiracGAN

    return DiracGAN(find_loss(cell.loss), penalty=cell.penalty.on_linear(), sigma=cell.sigma)


def play(cell: DiracCell) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Plays a game: the measured columns of its row, and its path for ``trajectories``."""
    import numpy as np

    from ..theory import dirac

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
