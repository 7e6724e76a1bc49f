"""What work is expected to cost, from operation counts: for plans and progress displays."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..job.parts.networks import DCGAN, MLP
from .cells import Cell, Run


def seconds_per_update(run: Run, num_members: int, batch: int) -> float:
    """Expected time of one discriminator or generator update of a pack on one CPU core.

    Dispatch of the step and of each member, and three passes (forward, and twice that backward) over two batches at
    40 GFLOP/s; calibrated on one core of a current server.
    """
    networks = run.networks
    shape = run.problem.facts().shape
    if isinstance(networks, MLP):
        multiplications = math.prod(shape) * networks.width + networks.width**2 * (networks.depth - 1) + networks.width
        dispatch = 2e-4
    else:
        multiplications = _dcgan_multiplications(networks, shape)
        dispatch = 1.5e-3
    return 1e-3 + num_members * (dispatch + 2 * multiplications * batch * 6 / 40e9)


def evaluation_seconds(cells: Sequence[Cell]) -> float:
    """Expected time to measure the generators of these cells: exact transport and divergences, quadratic in samples."""
    generators = {(cell.run.run_id, cell.epoch): cell.evaluation.samples for cell in cells}
    return sum(2.5e-6 * samples**2 for samples in generators.values())


def _dcgan_multiplications(networks: DCGAN, shape: tuple[int, ...]) -> int:
    """Multiplications of one sample's pass through the convolutions of 4x4 kernels, each halving the side."""
    inputs, outputs, side = shape[0], networks.width, shape[1] // 2
    total = 0
    while side >= (2 if shape[1] == 8 else 4):
        total += side * side * inputs * outputs * 16
        inputs, outputs, side = outputs, 2 * outputs, side // 2
    return total
