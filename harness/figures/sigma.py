"""Figures of noise over training: as schedules say, and as it was."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from ..errors import HarnessError
from ..storage.query import Results
from .style import COLOURS, canvas, check_job, grouped, label, quoted

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def noise_over_training(results: Results, job: str) -> Figure:
    """sigma over the steps of every run of a job, as it was; adaptive schedules differ between seeds.

    Raises:
      HarnessError: If the job has no runs with a noise of their own.
    """
    rows = results.query(
        f"""SELECT schedule, run_id, step, sigma FROM training
            WHERE job = {quoted(job)} AND protocol = 'train' ORDER BY run_id, step"""
    ).to_pylist()
    if not rows:
        check_job(results, job)
        raise HarnessError(f"job '{job}' has no runs with a noise of their own; run a job of protocol train first")
    figure, (axes,) = canvas(1, 1, width=5.0, height=3.2)
    names = list(dict.fromkeys(row["schedule"] for row in rows))
    for (name, _), run in grouped(rows, lambda row: (row["schedule"], row["run_id"])).items():
        colour = COLOURS[names.index(name) % len(COLOURS)]
        axes.plot([row["step"] for row in run], [row["sigma"] for row in run], color=colour, label=name)
    label(axes, "sigma, data units", log=False, iterations="generator's steps", log_iterations=False)
    handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    axes.legend(handles.values(), handles.keys(), fontsize=7)
    return figure


def schedules(functions: Mapping[str, Callable[[float], float]]) -> Figure:
    """sigma(t) of schedules, by name."""
    figure, (axes,) = canvas(1, 1, width=5.0, height=3.2)
    times = np.linspace(0, 1, 401)
    for index, (name, sigma) in enumerate(functions.items()):
        values = [sigma(float(t)) for t in times]
        axes.plot(times, values, color=COLOURS[index % len(COLOURS)], label=name)
    label(axes, "sigma, data units", log=False, iterations="t, fraction of training done", log_iterations=False)
    axes.set_ylim(0, None)
    axes.legend(fontsize=7)
    return figure
