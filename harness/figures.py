"""Figures from a store: Figures 1 to 3 of Arjovsky & Bottou (2017), paths of Dirac-GANs, schedules.

Every figure is a function from rows to a matplotlib figure; `save` writes it in the format its name ends with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import HarnessError, suggest
from .query import Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = (".png", ".pdf", ".svg")
# Okabe & Ito's palette, which colour-blind readers can tell apart
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "grid.linewidth": 0.5,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "harness",
}

Row = Mapping[str, Any]


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
    _label(error, "discriminator's error\n(cross-entropy, nats)", log=True)
    _label(right, "discriminator's accuracy", log=False)
    right.set_ylim(None, 1.005)
    _legend(error, selection)
    return figure


def figure_2(results: Results, job: str, selection: Selection) -> Figure:
    """Norm of the generator's gradient under the original cost, log(1 - D)."""
    figure, (axes,) = canvas(1, 1, width=5.0, height=3.4)
    for name, iterations, rows in _curves(results, job, selection):
        _band(axes, name, iterations, rows["grad_norm_minimax"], log=True)
    _label(axes, "norm of the generator's gradient\nunder log(1 - D)", log=True)
    _legend(axes, selection)
    return figure


def figure_3(results: Results, job: str, selection: Selection) -> Figure:
    """Norm of the generator's gradient under -log D, and its variance over batches."""
    figure, (norm, variance) = canvas(1, 2, width=7.2, height=3.2)
    for name, iterations, rows in _curves(results, job, selection, loss="non_saturating"):
        _band(norm, name, iterations, rows["grad_norm_non_saturating"], log=True)
        _band(variance, name, iterations, rows["grad_variance"], log=True)
    _label(norm, "norm of the generator's gradient\nunder -log D", log=True)
    _label(variance, "its variance over batches", log=True)
    _legend(norm, selection)
    return figure


def trajectories(results: Results, job: str, selection: Selection) -> Figure:
    """Paths of Dirac-GANs in the plane of their two parameters, one panel a method, one line an update rule."""
    rows = results.query(
        f"""SELECT loss, penalty, sigma, learning_rate, updates, verdict, iteration, theta, psi
            FROM trajectories JOIN cells USING (job, cell_id) WHERE job = {_quoted(job)}
            ORDER BY sigma, penalty = 'none' DESC, loss, penalty, learning_rate, updates, iteration"""
    ).to_pylist()
    if not rows:
        raise HarnessError(f"job '{job}' has no trajectories; run a job of protocol dirac first")
    panels = _grouped(rows, lambda row: (row["loss"], row["penalty"], row["sigma"], row["learning_rate"]))
    varied_rates = len({row["learning_rate"] for row in rows}) > 1
    rules = sorted({row["updates"] for row in rows}, key=lambda rule: ("simultaneous" not in rule, rule))
    columns = min(5, len(panels))
    height = -(-len(panels) // columns)
    figure, axes = canvas(height, columns, width=max(5.0, 2.1 * columns), height=2.3 * height + 0.4)
    for panel, ((loss, penalty, sigma, rate), members) in zip(axes, panels.items(), strict=False):
        paths = _grouped(members, lambda row: row["updates"])
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


def noise_over_training(results: Results, job: str, selection: Selection) -> Figure:
    """sigma over the steps of every run of a job, as it was; adaptive schedules differ between seeds."""
    rows = results.query(
        f"""SELECT DISTINCT schedule, t.run_id, t.step, t.sigma
            FROM training t JOIN cells c USING (job, run_id)
            WHERE job = {_quoted(job)} AND protocol = 'train' ORDER BY t.run_id, t.step"""
    ).to_pylist()
    if not rows:
        raise HarnessError(f"job '{job}' has no runs with a noise of their own; run a job of protocol train first")
    figure, (axes,) = canvas(1, 1, width=5.0, height=3.2)
    names = list(dict.fromkeys(row["schedule"] for row in rows))
    for (name, _), run in _grouped(rows, lambda row: (row["schedule"], row["run_id"])).items():
        colour = COLOURS[names.index(name) % len(COLOURS)]
        axes.plot([row["step"] for row in run], [row["sigma"] for row in run], color=colour, label=name)
    _label(axes, "sigma, data units", log=False, iterations="generator's steps", log_iterations=False)
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
    _label(axes, "sigma, data units", log=False, iterations="t, fraction of training done", log_iterations=False)
    axes.set_ylim(0, None)
    axes.legend(fontsize=7)
    return figure


def save(figure: Figure, path: Path) -> None:
    """Writes a figure as PNG, PDF or SVG, by the end of its name.

    Raises:
      HarnessError: If the name ends otherwise or cannot be written.
    """
    check_format(path)
    # no date in the file: the same results give the same bytes
    metadata: dict[str, dict[str, Any]] = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
    try:
        figure.savefig(path, dpi=160, metadata=metadata.get(path.suffix.lower()))
    except OSError as error:
        raise HarnessError(f"--output {path}: cannot be written: {error}") from error


def check_format(path: Path) -> None:
    """Refuses a name that ends in no known format."""
    if path.suffix.lower() not in FORMATS:
        raise HarnessError(f"--output {path}: a figure's name must end in {', '.join(FORMATS)}")


_Line = tuple[str, Any, Mapping[str, Any]]  # name, iterations [t], values [seeds, t] by column


def _curves(results: Results, job: str, selection: Selection, *, loss: str = "minimax") -> list[_Line]:
    """Name, iterations ``[t]`` and values ``{column: [seeds, t]}`` of every line."""
    where = [f"job = {_quoted(job)}", f"loss = {_quoted(loss)}", "protocol = 'probe'"]
    chosen = _chosen(results, job, selection, loss)
    where += [f"{axis} IS NOT DISTINCT FROM {_literal(value)}" for axis, value in chosen.items()]
    rows = results.query(
        f"""SELECT {selection.by} AS line, seed, iteration, u.d_loss, u.accuracy, u.grad_norm_minimax,
                   u.grad_norm_non_saturating, u.grad_variance
            FROM curves u JOIN cells c USING (job, cell_id) WHERE {" AND ".join(where)}
            ORDER BY {selection.by}, iteration, seed"""
    ).to_pylist()
    lines: list[_Line] = []
    for line, members in _grouped(rows, lambda row: row["line"]).items():
        by_seed = _grouped(members, lambda row: row["seed"])
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
    if job not in results.store.jobs():
        raise HarnessError(f"--job {job}: no such job in {results.store.root}.{suggest(job, results.store.jobs())}")
    chosen = {}
    for axis in (*_AXES, "penalty", "learning_rate", "noise"):
        if axis == selection.by:
            continue
        there = results.query(
            f"""SELECT DISTINCT {axis} AS v FROM cells
                WHERE job = {_quoted(job)} AND loss = {_quoted(loss)} AND protocol = 'probe' ORDER BY v"""
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


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _literal(value: Any) -> str:
    return "NULL" if value is None else _quoted(value) if isinstance(value, str) else repr(value)


def _grouped(rows: Sequence[Row], key: Callable[[Row], Any]) -> dict[Any, list[Row]]:
    groups: dict[Any, list[Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def canvas(
    num_rows: int, num_columns: int, *, width: float, height: float, shares: Sequence[float] | None = None
) -> tuple[Figure, list[Axes]]:
    """A figure of the harness's style, size in inches, and its axes row by row.

    Columns are as wide as their `shares` say, or all alike.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams.update(_STYLE)
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(num_rows, num_columns, squeeze=False, width_ratios=shares)
    return figure, list(axes.flat)


def _band(axes: Axes, name: str, iterations: Any, values: Any, *, log: bool) -> None:
    """The median over seeds ``[seeds, t]`` as a line, their range as a band."""
    colour = COLOURS[len(axes.lines) % len(COLOURS)]
    lowest, middle, highest = np.nanmin(values, axis=0), np.nanmedian(values, axis=0), np.nanmax(values, axis=0)
    if log:  # a log axis has no 0, to which float32 may round
        lowest, middle = (np.where(part > 0, part, np.nan) for part in (lowest, middle))
    axes.plot(iterations, middle, color=colour, label=name, linewidth=1.3)
    axes.fill_between(iterations, lowest, highest, color=colour, alpha=0.2, linewidth=0)


def _label(
    axes: Axes, text: str, *, log: bool, iterations: str = "discriminator's iterations", log_iterations: bool = True
) -> None:
    axes.set_ylabel(text)
    axes.set_xlabel(iterations)
    if log:
        axes.set_yscale("log")
    if log_iterations:
        axes.set_xscale("log")


def _legend(axes: Axes, selection: Selection) -> None:
    axes.legend(title=_AXES[selection.by], fontsize=7, title_fontsize=7)
