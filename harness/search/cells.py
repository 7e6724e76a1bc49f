"""Points of a search's space as cells of protocol ``train``."""

from __future__ import annotations

from collections.abc import Sequence

from ..job.space import Parameters
from ..job.tune import TuneJob, example_grid
from ..planning.cells import Cell
from ..planning.grid import expand


def trial_cells(
    job: TuneJob, parameters: Parameters, *, seeds: Sequence[int] | None = None, epochs: Sequence[int] | None = None
) -> list[Cell]:
    """The cells that a point of the space is trained as. Under whatever job they are computed, they are these.

    Args:
      job: The search.
      parameters: The point.
      seeds: Those of the search, unless others are named.
      epochs: The search's last, unless others are named.
    """
    own = range(job.search.seeds) if seeds is None else seeds
    return expand(job.training_job(job.name, (job.grid(parameters, seeds=own, epochs=epochs),)))


def example_cell(job: TuneJob) -> Cell:
    """A cell of one point, which shows what those of all points have in common."""
    (cell,) = expand(job.training_job(job.name, (example_grid(job),)))
    return cell
