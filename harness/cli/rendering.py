"""Tables for people and for programs."""

from __future__ import annotations

import csv
import io
import json
import math
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
from rich.console import Console
from rich.table import Table
from rich.text import Text

Format = Literal["table", "json", "csv", "parquet"]


def to_text(table: pa.Table, *, form: Literal["json", "csv"]) -> str:
    """An Arrow table as JSON (a list of objects; infinity as 1e999, which readers of JSON take for it) or CSV."""
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


def write_parquet(table: pa.Table, path: Path) -> None:
    """An Arrow table as a Parquet file."""
    import pyarrow.parquet

    pyarrow.parquet.write_table(table, path, compression="zstd")


def to_rich(table: pa.Table, *, title: str | None = None, stack_headers: bool = False) -> Table:
    """An Arrow table for a terminal, numbers with four significant digits; stacked headers keep columns narrow."""
    shown = Table(title=title, title_justify="left", header_style="bold")
    for field in table.schema:
        numeric = pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
        name = field.name.replace(" ", "\n") if stack_headers else field.name
        shown.add_column(Text(name), justify="right" if numeric else "left", no_wrap=numeric)
    for row in table.to_pylist():
        shown.add_row(*(Text(_cell(value)) for value in row.values()))
    return shown


def results_console() -> Console:
    """Standard output: as wide as the terminal, or unlimited where it is not one, so that nothing is cut in a pipe."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=10_000)


_INFINITY = "\x00infinity"


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
    return str(value)


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
