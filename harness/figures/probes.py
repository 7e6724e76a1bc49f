"""Figures 1 to 3 of Arjovsky & Bottou (2017), from the curves of a job of probes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import HarnessError
from ..storage.query import Results
from .style import COLOURS, canvas, check_job, grouped, label, literal, quoted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Selection:
    """Which probes a figure shows: lines by one axis, a single value of each other.

    Attributes:
      by: ``epoch``, ``sigma`` or ``batch_norm``.
      epoch, sigma, batch_norm: The value of the others; None for the job's first.
    """

    by: str = "epoch"
    epoch: int | None = None
    sigma: float | None = None
    batch_norm: str | None = None


_AXES: dict[str, str] = {"epoch": "epochs of training", "sigma": "sigma", "batch_norm": "batch normalisation"}


def figure_1(results: Results, job: str, selection: Selection) -> Figure:
    """Error and accuracy of a discriminator trained from scratch against frozen generators."""
    lines = _curves(results, job, selection)
    figure, (error, right) = canvas(1, 2, width=7.2, height=3.2)
    for name, iterations, rows in lines:
        _band(error, name, iterations, rows["d_loss"], log=True)
        _band(right, name, iterations, rows["accuracy"], log=False)
    label(error, "discriminator's error\n(cross-entropy, nats)", log=True)
    label(right, "discriminator's accuracy", log=False)
    right.set_ylim(None, 1.005)
    _legend(error, selection)
    return figure


def figure_2(results: Results, job: str, selection: Selection) -> Figure:
    """Norm of the generator's gradient under the original cost, log(1 - D)."""
    figure, (axes,) = canvas(1, 1, width=5.0, height=3.4)
    for name, iterations, rows in _curves(results, job, selection):
        _band(axes, name, iterations, rows["grad_norm_minimax"], log=True)
    label(axes, "norm of the generator's gradient\nunder log(1 - D)", log=True)
    _legend(axes, selection)
    return figure


def figure_3(results: Results, job: str, selection: Selection) -> Figure:
    """Norm of the generator's gradient under -log D, and its variance over batches."""
    figure, (norm, variance) = canvas(1, 2, width=7.2, height=3.2)
    for name, iterations, rows in _curves(results, job, selection, loss="non_saturating"):
        _band(norm, name, iterations, rows["grad_norm_non_saturating"], log=True)
        _band(variance, name, iterations, rows["grad_variance"], log=True)
    label(norm, "norm of the generator's gradient\nunder -log D", log=True)
    label(variance, "its variance over batches", log=True)
    _legend(norm, selection)
    return figure


_Line = tuple[str, Any, Mapping[str, Any]]  # name, iterations [t], values [seeds, t] by column


def _curves(results: Results, job: str, selection: Selection, *, loss: str = "minimax") -> list[_Line]:
    """Name, iterations ``[t]`` and values ``{column: [seeds, t]}`` of every line."""
    where = [f"job = {quoted(job)}", f"loss = {quoted(loss)}", "protocol = 'probe'"]
    chosen = _chosen(results, job, selection, loss)
    where += [f"{axis} IS NOT DISTINCT FROM {literal(value)}" for axis, value in chosen.items()]
    rows = results.query(
        f"""SELECT {selection.by} AS line, seed, iteration, d_loss, accuracy, grad_norm_minimax,
                   grad_norm_non_saturating, grad_variance
            FROM curves WHERE {" AND ".join(where)}
            ORDER BY {selection.by}, iteration, seed"""
    ).to_pylist()
    lines: list[_Line] = []
    for line, members in grouped(rows, lambda row: row["line"]).items():
        by_seed = grouped(members, lambda row: row["seed"])
        iterations = sorted({row["iteration"] for row in members})
        at = [{row["iteration"]: row for row in seed} for seed in by_seed.values()]
        values = {
            column: np.array(  # a seed that diverged has no values from there on
                [[seed[n][column] if n in seed else None for n in iterations] for seed in at], dtype=float
            )
            for column in ("d_loss", "accuracy", "grad_norm_minimax", "grad_norm_non_saturating", "grad_variance")
        }
        lines.append((f"{line:g}" if isinstance(line, float) else str(line), np.array(iterations), values))
    return lines


def _chosen(results: Results, job: str, selection: Selection, loss: str) -> dict[str, Any]:
    """The one value of each axis that does not tell the lines apart."""
    check_job(results, job)
    chosen = {}
    for axis in (*_AXES, "penalty", "learning_rate", "noise"):
        if axis == selection.by:
            continue
        there = results.query(
            f"""SELECT DISTINCT {axis} AS v FROM cells
                WHERE job = {quoted(job)} AND loss = {quoted(loss)} AND protocol = 'probe' ORDER BY v"""
        )["v"].to_pylist()
        if not there:
            raise HarnessError(f"job '{job}' has no probes with loss {loss}; fig1 to fig3 need them")
        wanted = getattr(selection, axis, None)
        if wanted is None:  # the paper's form where the job has it
            wanted = "separate" if axis == "batch_norm" and "separate" in there else there[0]
        if wanted not in there:
            raise HarnessError(f"job '{job}' has no {axis} {wanted}. Valid: {', '.join(str(value) for value in there)}")
        chosen[axis] = wanted
    return chosen


def _band(axes: Axes, name: str, iterations: Any, values: Any, *, log: bool) -> None:
    """The median over seeds ``[seeds, t]`` as a line, their range as a band."""
    colour = COLOURS[len(axes.lines) % len(COLOURS)]
    lowest, middle, highest = np.nanmin(values, axis=0), np.nanmedian(values, axis=0), np.nanmax(values, axis=0)
    if log:  # a log axis has no 0, to which float32 may round
        lowest, middle = (np.where(part > 0, part, np.nan) for part in (lowest, middle))
    axes.plot(iterations, middle, color=colour, label=name, linewidth=1.3)
    axes.fill_between(iterations, lowest, highest, color=colour, alpha=0.2, linewidth=0)


def _legend(axes: Axes, selection: Selection) -> None:
    axes.legend(title=_AXES[selection.by], fontsize=7, title_fontsize=7)
