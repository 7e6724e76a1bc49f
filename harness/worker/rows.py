"""Rows of the tables, from cells and what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ..planning.cells import Cell
from ..planning.difference import AnyCell
from ..storage.records import Columns, Status, finite
from .provenance import Provenance

if TYPE_CHECKING:
    from ..training.measurement import Measurement


def cell_row(
    cell: AnyCell,
    provenance: Provenance,
    *,
    status: Status,
    error: str | None = None,
    attempt: int,
    **columns: Any,
) -> Columns:
    """A row of ``cells``: what the cell is, how it ended, and the given columns."""
    return {
        **cell.columns(),
        "attempt": attempt,
        "status": status,
        "error": error,
        "finished_at": datetime.now(UTC),
        "versions": provenance.versions,
        "git_commit": provenance.git_commit,
        **columns,
    }


def gradient_columns(measurement: Measurement, member: int, loss: str) -> Columns:
    """The gradient columns of one member for a cell of this loss."""

    def of(values: Mapping[str, Sequence[float]], name: str) -> float | None:
        return finite(values[name][member]) if name in values else None

    return {
        "grad_norm": of(measurement.grad_norm, loss),
        "grad_norm_std": of(measurement.grad_norm_std, loss),
        "grad_variance": of(measurement.grad_variance, loss),
        "grad_tail_index": of(measurement.grad_tail_index, loss),
        "grad_cauchy_advantage": of(measurement.grad_cauchy_advantage, loss),
        "grad_norm_minimax": of(measurement.grad_norm, "minimax"),
        "grad_norm_non_saturating": of(measurement.grad_norm, "non_saturating"),
    }


def curve_rows(cells: Sequence[Cell], members: Sequence[int], measurements: Sequence[Measurement]) -> list[Columns]:
    """Rows of ``curves``: each cell's member at each measurement, up to its divergence."""
    return [
        {
            "cell_id": cell.cell_id,
            "iteration": measurement.iteration[member],
            "d_loss": finite(measurement.d_loss[member]),
            "accuracy": finite(measurement.accuracy[member]),
            **gradient_columns(measurement, member, cell.loss),
        }
        for cell, member in zip(cells, members, strict=True)
        for measurement in measurements
        if measurement.diverged_at[member] < 0
    ]
