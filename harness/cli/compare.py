"""``harness compare``: contrasts with intervals, corrected for their number."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ..errors import HarnessError, counted
from .options import Results, err, say

if TYPE_CHECKING:
    import pyarrow as pa

    from ..contrasts.compare import Compared
    from ..job.parts.settings import Collapsed
    from .printing.prose import Command

app = typer.Typer()


@app.command()
def compare(
    job: Annotated[str, typer.Argument(metavar="JOB", help="Name of a job with results.")],
    other: Annotated[
        str | None, typer.Argument(metavar="[JOB2]", help="Another, which the first is compared with at every cell.")
    ] = None,
    results: Results = "results",
    by: Annotated[
        str | None, typer.Option("--by", metavar="AXIS", help="loss, penalty, schedule (the noise), learning_rate, ...")
    ] = None,
    metric: Annotated[
        str, typer.Option("--metric", metavar="NAMES", help="Columns of cells, or metrics.")
    ] = "w1,bound_best",
    against: Annotated[
        str | None,
        typer.Option("--against", metavar="VALUE", help="Of the axis; the first of the job file without it."),
    ] = None,
    epoch: Annotated[int | None, typer.Option("--epoch", help="The last that all have without it.")] = None,
    collapsed: Annotated[
        str | None,
        typer.Option("--collapsed", metavar="w1=LIMIT", help="Or modes=ALL; as evaluation.collapsed in a job."),
    ] = None,
    form: Annotated[Literal["table", "json", "csv"], typer.Option("--format", help="Of the answer.")] = "table",
    json_: Annotated[bool, typer.Option("--json", help="As --format json.")] = False,
) -> None:
    """Compare the values of an axis, or two jobs: paired differences with intervals, shares, verdicts.

    Verdicts are by the paired t test of the means at 5 %, corrected by Holm over all contrasts that are printed.
    """
    if json_ and form == "csv":
        raise HarnessError("--json and --format csv ask for two formats; leave one of them out")
    import pyarrow as pa

    from ..contrasts.compare import compared
    from ..contrasts.contrast import row, sentence
    from ..storage.query import open_results
    from .printing.prose import say_further, say_prose
    from .printing.rendering import to_text, write

    answer = compared(
        open_results(results),
        job,
        other,
        by=by,
        metrics=names_of(metric),
        against=against,
        epoch=epoch,
        collapsed=None if collapsed is None else _limit(collapsed),
    )
    found = answer.contrasts
    rows = [row(contrast) for contrast in found]
    if json_ or form != "table":
        write(to_text(pa.Table.from_pylist(rows), form="csv" if form == "csv" and not json_ else "json"))
        for text in _left_out(answer):
            say(text, to=err)
        return
    _print(pa.Table.from_pylist([{name: _known(value) for name, value in line.items()} for line in rows]))
    for contrast in found:
        say_prose(sentence(contrast))
    number = counted(len(found), "contrast")
    say_prose(f"p and intervals are corrected for {number} (Holm, 5 %), which exclude 0 at a verdict.")
    if any(contrast.shares for contrast in found):
        say_prose("p of collapsed shares are of one contrast alone.")
    for text in _left_out(answer):
        say_prose(text)
    jobs = [job] if other is None else [job, other]
    say_further(_further(jobs, list(dict.fromkeys(contrast.metric for contrast in found)), results))


def names_of(text: str) -> list[str]:
    """Names with commas between them."""
    return [name.strip() for name in _COMMA.split(text) if name.strip()]


_COMMA = re.compile(r",(?![^(\[]*[)\]])")
"""Between names, not between the parameters of one."""
_MOST_NAMED = 10


def _left_out(answer: Compared) -> Iterator[str]:
    for what, combinations in answer.left_out.items():
        more = len(combinations) - _MOST_NAMED
        named = "; ".join(combinations[:_MOST_NAMED]) + (f"; and {more} more" if more > 0 else "")
        yield f"{counted(len(combinations), 'combination')} left out, without {what}: {named}"


def _further(jobs: Sequence[str], metrics: Sequence[str], results: str) -> list[Command]:
    """The means and the values of seeds behind the contrasts."""
    from ..storage.records import CELLS
    from .printing.prose import store_option

    names = ", ".join(f"'{name}'" for name in jobs)
    columns = [metric for metric in metrics if metric in CELLS.names]
    rows = "cells"
    if not columns:  # of metrics that a job asks for
        rows, columns = "metrics JOIN cells USING (job, cell_id)", ["value"]
    means = ", ".join(f"avg({column})" for column in columns)
    where = f"FROM {rows} WHERE job IN ({names})"
    place = "job, cells.loss, cells.schedule, cells.epoch"
    statements = (
        f"SELECT {place}, {means} {where} GROUP BY ALL ORDER BY ALL",
        f"SELECT {place}, cells.seed, {', '.join(columns)} {where} ORDER BY cells.epoch DESC, {columns[0]} LIMIT 20",
    )
    return [("query", f'"{statement}"', *store_option(results)) for statement in statements]


def _print(table: pa.Table) -> None:
    """What a person compares first; the rest is in --json."""
    from .printing.rendering import print_fitted

    axes = ["ours", *(["within"] if any(table["within"].to_pylist()) else []), "metric", "verdict"]
    columns = ["mean_ours", "mean_theirs", "difference", "low", "high", "holm_p", "wilcoxon_p", "pairs"]
    columns += [name for name in ("collapsed_ours", "collapsed_theirs", "collapsed_p") if name in table.column_names]
    shown = table.select([*axes, *columns])
    shown = shown.rename_columns([name.replace("_", " ") for name in shown.column_names])
    names = [name.replace("_", " ") for name in columns]
    first = ["difference", "low", "high", "holm p", "pairs"]
    importance = [*first, *(name for name in names if name not in first)]
    say(f"Against {table['theirs'][0].as_py()}")
    print_fitted(shown, axes=axes, importance=importance, way_out="--json shows them all.")


def _known(value: Any) -> Any:
    """None in place of what no pairs tell: a p, the ends of an interval. Sentences say why."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _limit(text: str) -> Collapsed:
    from ..contrasts.compare import COLLAPSED_HELP, collapsed_limit

    name, _, limit = text.partition("=")
    try:
        number = int(limit) if limit.removeprefix("-").isdigit() else float(limit)
    except ValueError as error:
        raise HarnessError(f"--collapsed {text}: {COLLAPSED_HELP}") from error
    return collapsed_limit({name.strip(): number})
