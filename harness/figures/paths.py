"""Figure of Dirac-GANs: their paths in the plane of the two parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..errors import HarnessError
from ..storage.query import Results
from .style import COLOURS, canvas, check_job, grouped, quoted

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def trajectories(results: Results, job: str) -> Figure:
    """Paths of Dirac-GANs in the plane of their two parameters, one panel a method, one line an update rule.

    Raises:
      HarnessError: If the job has no trajectories.
    """
    rows = results.query(
        f"""SELECT t.loss, t.penalty, t.sigma, t.learning_rate, t.updates, verdict, iteration, theta, psi
            FROM trajectories t JOIN cells USING (job, cell_id) WHERE job = {quoted(job)}
            ORDER BY t.sigma, t.penalty = 'none' DESC, t.loss, t.penalty, t.learning_rate, t.updates, iteration"""
    ).to_pylist()
    if not rows:
        check_job(results, job)
        raise HarnessError(f"job '{job}' has no trajectories; run a job of protocol dirac first")
    panels = grouped(rows, lambda row: (row["loss"], row["penalty"], row["sigma"], row["learning_rate"]))
    varied_rates = len({row["learning_rate"] for row in rows}) > 1
    rules = sorted({row["updates"] for row in rows}, key=lambda rule: ("simultaneous" not in rule, rule))
    columns = min(5, len(panels))
    height = -(-len(panels) // columns)
    figure, axes = canvas(height, columns, width=max(5.0, 2.1 * columns), height=2.3 * height + 0.4)
    for panel, ((loss, penalty, sigma, rate), members) in zip(axes, panels.items(), strict=False):
        paths = grouped(members, lambda row: row["updates"])
        for rule in (rule for rule in rules if rule in paths):
            points = np.array([(row["theta"], row["psi"]) for row in paths[rule]])
            (line,) = panel.plot(*points.T, color=COLOURS[rules.index(rule) % len(COLOURS)], linewidth=0.7, label=rule)
            panel.plot(*points[-1], "o", color=line.get_color(), markersize=3)
        panel.plot(0, 0, "k+", markersize=7)
        verdicts = [paths[rule][0]["verdict"] for rule in rules if rule in paths]
        shown = verdicts[:1] if len(set(verdicts)) == 1 else verdicts
        help_ = [penalty] * (penalty != "none") + [f"sigma = {sigma:.3g}"] * (sigma > 0)
        if varied_rates:
            help_.append(f"learning rate {rate:g}")
        panel.set_title(f"{loss}\n{', '.join(help_) or 'no help'}\n{' / '.join(shown)}", fontsize=7)
        panel.tick_params(labelsize=6)
    for panel in axes[len(panels) :]:
        panel.set_visible(False)
    handles = {line.get_label(): line for panel in axes for line in panel.lines if line.get_label() in rules}
    figure.legend([handles[rule] for rule in rules], rules, loc="outside upper center", ncols=len(rules), fontsize=7)
    figure.supxlabel("generator's parameter theta", fontsize=8)
    figure.supylabel("discriminator's parameter psi", fontsize=8)
    return figure
