"""What work is expected to cost, from operation counts: for plans and progress displays."""

from __future__ import annotations

from collections.abc import Sequence

from .cells import Cell, Run


def seconds_per_update(run: Run, num_members: int, batch: int) -> float:
    """Expected time of one discriminator or generator update of a pack on one CPU core.

    Dispatch of the step and of each member, and three passes (forward, and twice that backward) over two batches at
    40 GFLOP/s; calibrated on one core of a current server.
    """
    cost = run.networks.cost(run.problem.info().shape)
    return 4e-4 + num_members * (cost.dispatch_seconds + 2 * cost.multiplications * batch * 6 / 40e9)


def evaluation_seconds(cells: Sequence[Cell]) -> float:
    """Expected time to measure the generators of these cells: exact transport and divergences, quadratic in samples."""
    generators = {cell.generator: cell.evaluation.samples for cell in cells}
    return sum(3e-3 + 3.5e-7 * samples**2 for samples in generators.values())
