"""Rows of the tables, from cells and what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ..evaluation.outputs import output_columns
from ..planning.cells import Cell, Run
from ..planning.difference import AnyCell
from ..planning.naming import Headline, last_line
from ..storage.records import Columns, Status, finite
from .messages import CellsWritten, Extreme
from .provenance import Provenance

if TYPE_CHECKING:
    from ..evaluation.cells import Evaluated, Trained
    from ..training.measurement import Measurement
    from ..training.train import Epoch


def cell_row(
    cell: AnyCell,
    provenance: Provenance,
    *,
    status: Status,
    error: str | None = None,
    attempt: int,
    sequence: int,
    **columns: Any,
) -> Columns:
    """A row of ``cells``: what the cell is, how it ended, and the given columns."""
    return {
        **cell.columns(),
        "attempt": attempt,
        "sequence": sequence,
        "status": status,
        "error": error,
        "finished_at": datetime.now(UTC),
        "versions": provenance.versions,
        "git_commit": provenance.git_commit,
        **columns,
    }


def outcome_columns(trained: Trained, member: int, loss: str, evaluated: Columns) -> Columns:
    """How a member ended and what is measured of it, for a cell of this loss.

    Of one that diverged the numbers are those of its last finite weights, but the loss is the last sound one.
    """
    last = trained.measurements[-1]
    columns = {
        "status": "completed",
        "iterations": last.iteration[member],
        "sigma": trained.sigma[member],
        **gradient_columns(_last_sound(trained.measurements, member), member, loss),
        **evaluated,
    }
    diverged_at = last.diverged_at[member]
    if diverged_at >= 0:
        columns |= {
            "status": "diverged",
            "error": f"not finite from update {diverged_at} on; values are the last finite",
            "iterations": diverged_at,
            "d_loss": finite(last.last_d_loss[member]),
            "jsd_discriminator": None,
        }
    return columns


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


def training_rows(runs: Sequence[Run], epoch: Epoch) -> list[Columns]:
    """Rows of ``training``: each run at the end of an epoch."""
    return [
        {
            "run_id": run.run_id,
            "epoch": epoch.epoch[member],
            "step": epoch.step[member],
            "sigma": epoch.sigma[member],
            "d_loss": finite(epoch.d_loss[member]),
            "g_loss": finite(epoch.g_loss[member]),
            **said,
        }
        for (member, run), said in zip(enumerate(runs), output_columns(epoch.outputs), strict=True)
    ]


def metric_rows(cells: Sequence[Cell], evaluated: Sequence[Evaluated]) -> list[Columns]:
    """Rows of ``metrics``: each metric of each cell's generator."""
    return [
        {
            "cell_id": cell.cell_id,
            "name": metric.name,
            "value": metric.value,
            "standard_error": metric.standard_error,
        }
        for cell, found in zip(cells, evaluated, strict=True)
        for metric in found.metrics
    ]


def written(rows: Sequence[Columns], headline: Headline) -> CellsWritten:
    """What is told of rows of ``cells`` that are in the store."""
    values = [
        Extreme(row["cell_id"], row[headline.column])
        for row in rows
        if row["status"] == "completed" and row.get(headline.column) is not None
    ]
    return CellsWritten(
        {row["cell_id"]: row["status"] for row in rows},
        errors={row["cell_id"]: last_line(row["error"]) for row in rows if row["error"]},
        least=min(values, key=lambda found: found.value, default=None),
        greatest=max(values, key=lambda found: found.value, default=None),
    )


def _last_sound(measurements: Sequence[Measurement], member: int) -> Measurement:
    """The last measurement before the member diverged; the very last where it died before the first."""
    sound = [measurement for measurement in measurements if measurement.diverged_at[member] < 0]
    return (sound or measurements)[-1]
