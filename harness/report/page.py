"""The report: one HTML file that needs nothing else, or the parts that a live page swaps in."""

from __future__ import annotations

import functools
import importlib.resources
import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from ..errors import HarnessError, suggest
from ..figures.picture import harmless, theme_config, vega_script
from ..storage.query import Results
from .job import JobReport, job_report

REPORT = "report.html"
"""Name of a job's report beside its results."""
_FONT_SIZE = 12.0  # px of text in pictures


@dataclass(frozen=True)
class Parts:
    """A report without its frame.

    Attributes:
      title: For a person.
      body: HTML of what is in ``<main>``.
      data: JSON of rows and pictures.
    """

    title: str
    body: str
    data: str

    def page(self, *, above: str = "") -> str:
        """The whole page: no request is made for anything, all scripts and styles are in it.

        Args:
          above: HTML that a live page has above the report.
        """
        return (
            _environment()
            .get_template("page.html")
            .render(
                title=self.title,
                body=Markup(self.body),
                data=Markup(self.data.replace("<", "\\u003c")),
                above=Markup(above),
                css=Markup(_text("report.css")),
                script=Markup(_text("report.js")),
                table_css=Markup(_itables("dt_bundle.css")),
                datatables=Markup(_datatables()),
                vega=Markup(vega_script()),
            )
        )


def parts(results: Results, jobs: Sequence[str] = ()) -> Parts:
    """What a report says of jobs of a store.

    Args:
      results: The store.
      jobs: Names; all jobs if empty.

    Raises:
      HarnessError: If there is no such job.
    """
    known = results.store.jobs()
    for name in jobs:
        if name not in known:
            raise HarnessError(f"no job '{name}' in {results.store.root}.{suggest(name, known)}")
    reports = [job_report(results, name) for name in jobs or known]
    title = " and ".join(jobs) if 0 < len(jobs) <= 2 else f"{len(reports)} jobs of {results.store.root}"
    body = (
        _environment()
        .get_template("body.html")
        .render(
            title=title,
            subtitle=f"{results.store.root}, read {datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
            jobs=reports,
        )
    )
    data = {
        "jobs": [_data(report) for report in reports],
        "themes": {mode: theme_config(mode, _FONT_SIZE) for mode in ("light", "dark")},
    }
    return Parts(title, body, json.dumps(data, allow_nan=False, separators=(",", ":")))


def write_report(results: Results, jobs: Sequence[str], path: Path) -> None:
    """Writes a report of jobs, complete or not at all.

    Raises:
      HarnessError: If there is no such job, or the file cannot be written.
    """
    page = parts(results, jobs).page()
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}") as folder:
            written = Path(folder) / path.name
            written.write_text(page, encoding="utf-8")
            written.replace(path)
    except OSError as error:
        raise HarnessError(f"--output {path}: cannot be written: {error}") from error


def keep_report(results: Results, job: str) -> str:
    """Writes the report of a job beside its results, as ``report.html``; where it is."""
    return results.store.write_text(job, REPORT, parts(results, [job]).page())


def _data(report: JobReport) -> dict[str, Any]:
    """What the page's script needs of a job: rows as lists, in the order of their names, which are there once."""
    table = report.table
    names = list(table.details) if table else []
    return {
        "name": report.name,
        "options": {
            control.name: [{"key": option.key, "value": option.value} for option in control.options]
            for control in report.controls
        },
        "tables": {name: packed(rows) for name, rows in report.tables.items()},
        "pictures": [
            {
                "name": picture.name,
                "description": picture.description,
                "follows": picture.follows,
                "aspect": picture.aspect,
                "height": picture.height,
                "columns": picture.num_columns,
                "specs": picture.specs,
            }
            for picture in report.pictures
        ],
        "key": table.key if table else "",
        "details": names,
        "columns": [
            {"name": column.name, "label": column.label, "number": column.is_number}
            for column in (table.shown if table else ())
        ],
        "rows": [[row.get(name) for name in names] for row in (table.rows if table else ())],
    }


def packed(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Rows by column, of texts each one once: ``{"loss": {"of": ["hinge"], "at": [0, 0]}, "w1": [0.1, 0.2]}``.

    A row without a column has -1 there in `at`; the script of the page unpacks it.
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns: dict[str, Any] = {}
    for name in names:
        if all(name in row and not isinstance(row[name], str) for row in rows):
            columns[name] = [row[name] for row in rows]
            continue
        of: dict[str, int] = {}
        at = [of.setdefault(json.dumps(row[name]), len(of)) if name in row else -1 for row in rows]
        columns[name] = {"of": [json.loads(text) for text in of], "at": at}
    return {"length": len(rows), "columns": columns}


@functools.cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("harness.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _text(name: str) -> str:
    return (importlib.resources.files("harness.report") / "templates" / name).read_text(encoding="utf-8")


def _itables(name: str) -> str:
    return (importlib.resources.files("itables") / "html" / name).read_text(encoding="utf-8")


@functools.cache
def _datatables() -> str:
    """The script of tables, a module, with its default export as a name of the window."""
    module = _itables("dt_bundle.js")
    export = re.search(r"export\{[^}]*?([\w$]+) as default", module)
    if export is None:
        raise HarnessError(
            "the installed itables has no table script as this version knows it: pip install 'itables<3'"
        )
    return harmless(f"{module}\nwindow.DataTable = {export[1]};")
