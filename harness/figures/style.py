"""What figures share: style, formats, canvas, labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import HarnessError, suggest
from ..storage.query import Results

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


def save(figure: Figure, path: Path) -> None:
    """Writes a figure as PNG, PDF or SVG, by the end of its name.

    Raises:
      HarnessError: If the name ends otherwise, or the file cannot be written.
    """
    check_output(path)
    # no date in the file: the same results give the same bytes
    metadata: dict[str, dict[str, Any]] = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
    try:
        figure.savefig(path, dpi=160, metadata=metadata.get(path.suffix.lower()))
    except OSError as error:
        raise HarnessError(f"--output {path}: cannot be written: {error}") from error


def check_output(path: Path) -> None:
    """Refuses a name that ends in no known format, or that is in a folder that is not there."""
    if path.suffix.lower() not in FORMATS:
        raise HarnessError(f"--output {path}: a figure's name must end in {', '.join(FORMATS)}")
    if not path.parent.is_dir():
        raise HarnessError(f"--output {path}: there is no folder {path.parent}")


def check_job(results: Results, job: str) -> None:
    """Refuses a job that has nothing in the store."""
    if job not in results.store.jobs():
        raise HarnessError(f"--job {job}: no such job in {results.store.root}.{suggest(job, results.store.jobs())}")


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def literal(value: Any) -> str:
    return "NULL" if value is None else quoted(value) if isinstance(value, str) else repr(value)


def grouped(rows: Sequence[Row], key: Callable[[Row], Any]) -> dict[Any, list[Row]]:
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


def label(
    axes: Axes, text: str, *, log: bool, iterations: str = "discriminator's iterations", log_iterations: bool = True
) -> None:
    axes.set_ylabel(text)
    axes.set_xlabel(iterations)
    if log:
        axes.set_yscale("log")
    if log_iterations:
        axes.set_xscale("log")
