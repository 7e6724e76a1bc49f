"""Tables for people and for programs."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ...errors import HarnessError
from ..options import UNLIMITED, plain, results_console, say
from .prose import LONGEST_LINE, say_prose

TextFormat = Literal["json", "csv", "markdown", "latex"]
Format = Literal["table", "parquet"] | TextFormat

_FORMS: dict[str, Format] = {".json": "json", ".parquet": "parquet", ".md": "markdown", ".tex": "latex"}
_GAP = 2  # between columns
_LEAST_TEXT = 12  # a column of text is folded to this width, no further; shorter labels stay as they are
_FIRST_METRICS = 3  # a terminal shows so many of a table's, if need be with numbers for labels


def write(text: str) -> None:
    """Text for programs on standard output: as it is, unless a person looks at it."""
    sys.stdout.write(plain(text) if sys.stdout.isatty() else text)


# --- tables for programs


def to_text(table: pa.Table, *, form: TextFormat) -> str:
    """An Arrow table as a text.

    JSON is a list of objects (infinity is 1e999, which readers of JSON take for it). Markdown and LaTeX are to be read:
    numbers have four significant digits; LaTeX is a tabular of the package booktabs.
    """
    if form in ("markdown", "latex"):
        return _to_be_typeset(table, is_latex=form == "latex")
    rows = table.to_pylist()
    if form == "json":
        marked = [{name: _marked(value) for name, value in row.items()} for row in rows]
        text_ = json.dumps(marked, indent=2, default=_plain, allow_nan=False)
        return text_.replace(json.dumps(f"-{_INFINITY}"), "-1e999").replace(json.dumps(_INFINITY), "1e999") + "\n"
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=table.column_names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def form_of(path: Path) -> Format:
    """What a file holds by the end of its name; CSV where the end says nothing."""
    return _FORMS.get(path.suffix.lower(), "csv")


def write_file(table: pa.Table, path: Path, *, form: Format) -> None:
    """An Arrow table as a file; nothing is written of one that the format cannot hold.

    Raises:
      HarnessError: If there is no such folder, it cannot be written to, or Parquet has no type for a column.
    """
    try:
        path.write_bytes(_encoded(table, form))
    except (OSError, ValueError, pa.ArrowException) as error:  # ValueError: a name no file can have
        raise HarnessError(f"--output {path}: {_why_not(path, error)}") from error


# --- tables for people


def print_table(
    table: pa.Table, *, title: str = "", stack_headers: bool = False, wrap: bool = True, whole: Sequence[str] = ()
) -> None:
    """Prints all rows and columns: side by side where the terminal has room, or else a block of lines per row.

    Text may be folded, numbers and the columns `whole` never are; without `wrap` nothing is, and lines may be longer
    than the terminal's.
    """
    console = results_console()
    columns = _columns(table, stack_headers=stack_headers, whole=whole)
    if title:
        say(title, to=console, style="bold")
    if not wrap:
        console = Console(highlight=False, width=max(console.width, _width(column.width for column in columns)))
    least = _width(column.width if column.is_whole else min(column.width, _LEAST_TEXT) for column in columns)
    if least <= console.width:
        console.print(to_rich(table, stack_headers=stack_headers, whole=whole))
        return
    names = [" ".join(column.header.split()) for column in columns]
    width = max(map(cell_len, names))
    for number, row in enumerate(table.to_pylist()):
        say(("\n" if number else "") + f"row {number + 1} of {len(table)}", to=console, style="bold")
        for name, value in zip(names, row.values(), strict=True):
            say(f"{name}{' ' * (width - cell_len(name))}  {_cell(value)}", to=console)


def to_rich(table: pa.Table, *, stack_headers: bool = False, whole: Sequence[str] = ()) -> Table:
    """An Arrow table for a terminal, numbers with four significant digits; stacked headers keep columns narrow."""
    shown = Table(header_style="bold", box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for column in _columns(table, stack_headers=stack_headers, whole=whole):
        shown.add_column(Text(column.header), justify="right" if column.is_number else "left", no_wrap=column.is_whole)
    for row in table.to_pylist():
        shown.add_row(*(Text(_cell(value)) for value in row.values()))
    return shown


def print_fitted(table: pa.Table, *, axes: Sequence[str], importance: Sequence[str], way_out: str) -> Sequence[str]:
    """Prints the columns for which the terminal has room, says once what is the same in every row, and names the rest.

    Long labels give way to numbers, with a legend, where they would leave no room for the first metrics.

    Args:
      axes, importance: As in `fit`.
      way_out: How to see what was left out.

    Returns:
      Names of the columns left out.
    """
    terminal = results_console().width
    line = min(terminal, LONGEST_LINE)
    short, legend = with_short_labels(table, axes=axes, importance=importance, width=terminal)
    fitted = fit(short, axes=axes, importance=importance, width=terminal)
    if fitted.constant:
        same = (f"{name} {value}" for name, value in fitted.constant.items())
        say(listing(same, first="In every row:", width=line))
    if len(table):
        print_table(fitted.table, stack_headers=True, wrap=False)
    for key, label in legend.items():
        say_prose(f"{key} {label}")
    if fitted.left_out:
        number = len(fitted.left_out)
        say(listing(fitted.left_out, first=f"{number} more column{'s' if number > 1 else ''}:", width=line))
        say_prose(way_out)
    return fitted.left_out


@dataclass(frozen=True)
class Fitted:
    """What of a table is shown.

    Attributes:
      table: The columns there is room for.
      constant: Columns whose values all look alike, with the value.
      left_out: Columns there is no room for.
    """

    table: pa.Table
    constant: Mapping[str, str]
    left_out: Sequence[str]


def fit(table: pa.Table, *, axes: Sequence[str], importance: Sequence[str], width: int) -> Fitted:
    """The columns of a table that fit in a width, side by side, none of them folded or cut.

    Args:
      axes: Columns that are shown whether they fit or not, unless they are the same in every row.
      importance: The other columns, those first that are left out last.
      width: Of the terminal, characters.
    """
    texts = {name: [_cell(value) for value in table[name].to_pylist()] for name in table.column_names}
    looks = {**texts, **{name: table[name].to_pylist() for name in axes}}  # axes that differ are never taken for equal
    constant = {name: values[0] for name, values in texts.items() if len(table) > 1 and len(set(looks[name])) == 1}
    varying = table.select([name for name in table.column_names if name not in constant])
    widths = {column.name: column.width for column in _columns(varying, stack_headers=True)}
    kept = [name for name in axes if name in widths]
    for name in (name for name in importance if name in widths):
        if _width(widths[other] for other in (*kept, name)) <= width:
            kept.append(name)
    shown = [name for name in varying.column_names if name in kept]
    return Fitted(table.select(shown), constant, [name for name in varying.column_names if name not in kept])


def with_short_labels(
    table: pa.Table, *, axes: Sequence[str], importance: Sequence[str], width: int
) -> tuple[pa.Table, Mapping[str, str]]:
    """The table with numbers for long labels, of the widest axes first, until the first three metrics fit in a width.

    Args:
      table, axes, importance, width: As in `fit`.

    Returns:
      The table, as it is where nothing is gained; and the label of each number, ``[1]``.
    """

    def num_metrics(candidate: pa.Table) -> int:
        shown = fit(candidate, axes=axes, importance=importance, width=width)
        return sum(name in shown.table.column_names for name in importance)

    whole = fit(table, axes=axes, importance=importance, width=UNLIMITED).table
    enough = min(_FIRST_METRICS, sum(name in whole.column_names for name in importance))
    labelled = [
        column for column in _columns(whole, stack_headers=True) if column.name in axes and not column.is_number
    ]
    short, keys = table, dict[str, str]()
    for column in sorted(labelled, key=lambda column: -column.width):
        if num_metrics(short) >= enough:
            break
        values = [_cell(value) for value in table[column.name].to_pylist()]
        for value in values:
            if cell_len(value) > _LEAST_TEXT:
                keys.setdefault(value, f"[{len(keys) + 1}]")
        place = short.column_names.index(column.name)
        short = short.set_column(place, column.name, pa.array([keys.get(value, value) for value in values]))
    if num_metrics(short) == num_metrics(table):
        return table, {}
    return short, {key: label for label, key in keys.items()}


def listing(items: Iterable[str], *, first: str, width: int) -> str:
    """``first a, b, c``, on lines of a width that are broken between items alone."""
    lines = [first]
    for number, item in enumerate(items):
        if number:
            lines[-1] += ","
        if cell_len(f"{lines[-1]} {item},") > width:
            lines.append(" ")
        lines[-1] += f" {item}"
    return "\n".join(lines)


# --- private


_TEX = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "[": "{[}",  # which after the end of a row would be an option of it
    '"': "''",
    "±": r"$\pm$",
}


def _to_be_typeset(table: pa.Table, *, is_latex: bool) -> str:
    columns = _columns(table, stack_headers=False)
    escaped = _as_latex if is_latex else _as_markdown
    rows = [[escaped(_cell(value)) for value in row.values()] for row in table.to_pylist()]
    lines = [[escaped(column.name) for column in columns], *rows]
    if not is_latex:
        lines.insert(1, ["--:" if column.is_number else "---" for column in columns])
        return "".join(f"| {' | '.join(line)} |\n" for line in lines)
    head, *body = (f"{' & '.join(line)} \\\\" for line in lines)
    sides = "".join("r" if column.is_number else "l" for column in columns)
    return "\n".join(
        [rf"\begin{{tabular}}{{{sides}}}", r"\toprule", head, r"\midrule", *body, r"\bottomrule", r"\end{tabular}", ""]
    )


def _as_markdown(text: str) -> str:
    """One line of a table's cell, in which nothing is taken for markup."""
    marked = re.sub(r"([\\`*_\[\]<>|~$&])", r"\\\1", text)
    return "<br>".join(marked.split("\n"))


def _as_latex(text: str) -> str:
    minus, size = ("$-$", text[1:]) if re.match(r"-[\di]", text) else ("", text)  # a number, or -inf
    return minus + " ".join("".join(_TEX.get(character, character) for character in size).split())


_INFINITY = "\x00infinity"


@dataclass(frozen=True)
class _Column:
    name: str
    header: str
    is_number: bool
    is_whole: bool  # never folded
    width: int


def _columns(table: pa.Table, *, stack_headers: bool, whole: Sequence[str] = ()) -> list[_Column]:
    columns = []
    for field in table.schema:
        is_number = (
            pa.types.is_integer(field.type) or pa.types.is_floating(field.type) or pa.types.is_decimal(field.type)
        )
        header = plain(field.name.replace(" ", "\n") if stack_headers else field.name)
        texts = [header, *(_cell(value) for value in table[field.name].to_pylist())]
        width = max((cell_len(line) for text in texts for line in text.split("\n")), default=0)
        columns.append(_Column(field.name, header, is_number, is_number or field.name in whole, width))
    return columns


def _width(widths: Iterable[int]) -> int:
    """Of a table with columns this wide."""
    return sum(width + _GAP for width in widths) - _GAP


def _encoded(table: pa.Table, form: Format) -> bytes:
    if form == "parquet":
        import pyarrow.parquet

        sink = pa.BufferOutputStream()
        pyarrow.parquet.write_table(table, sink, compression="zstd")
        return bytes(sink.getvalue().to_pybytes())
    if form == "table":
        text = io.StringIO()
        Console(file=text, width=UNLIMITED).print(to_rich(table))
        return text.getvalue().encode()
    return to_text(table, form=form).encode()


def _why_not(path: Path, error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return f"there is no folder {path.parent}"
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return f"cannot be written: {reason}"


def _marked(value: Any) -> Any:
    """A value JSON can hold, with a mark for infinity and null for NaN."""
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else f"{'-' if value < 0 else ''}{_INFINITY}"
    return value


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    return plain(value).expandtabs(4)


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
