"""Tables for people and for programs."""

from __future__ import annotations

import csv
import io
import json
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
from rich.console import Console
from rich.table import Table
from rich.text import Text

Format = Literal["table", "json", "csv", "parquet"]


def to_text(table: pa.Table, *, form: Literal["json", "csv"]) -> str:
    """An Arrow table as JSON (a list of objects) or CSV with a header."""
    rows = table.to_pylist()
    if form == "json":
        return json.dumps(rows, indent=2, default=_plain) + "\n"
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=table.column_names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def to_json(table: pa.Table) -> str:
    """An Arrow table as JSON, a list of objects; infinities as 1e999, which JSON's readers take for one."""
    return to_text(table, form="json").replace(": Infinity", ": 1e999").replace(": -Infinity", ": -1e999")


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
