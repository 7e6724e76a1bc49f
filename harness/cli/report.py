"""``harness report``: jobs of a store as one page that needs nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import HarnessError
from .options import Results, err, say

app = typer.Typer()

OUTPUT = Path("report.html")


def kept_report(results: str, job: str, *, has_changed: bool) -> str | None:
    """Writes the report that ``run`` and ``tune`` end with, where there is none or there are new rows; where it is.

    A report that cannot be written is no failure of a run: its cells are there, and a line says why.
    """
    from ..report.page import REPORT, keep_report
    from ..storage.query import open_results

    opened = open_results(results)
    place = opened.store.place
    if not has_changed and place.has(f"{job}/{REPORT}"):
        return place.address(f"{job}/{REPORT}")
    try:
        return keep_report(opened, job)
    except HarnessError as error:
        say(f"no report: {error}", to=err)
        return None


@app.command()
def report(
    jobs: Annotated[
        list[str] | None, typer.Argument(metavar="[JOB]...", help="Names of jobs with results; all without any.")
    ] = None,
    results: Results = "results",
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Ends in .html.")] = OUTPUT,
) -> None:
    """Write what came out of jobs as one page: words, pictures, samples, contrasts, cells. It needs no network."""
    if output.suffix.lower() not in (".html", ".htm"):
        raise HarnessError(f"--output {output}: a report's name must end in .html")
    if not output.parent.is_dir():
        raise HarnessError(f"--output {output}: there is no folder {output.parent}")

    from ..report.page import write_report
    from ..storage.query import open_results

    write_report(open_results(results), tuple(dict.fromkeys(jobs or ())), output)
    say(f"{output}: {output.stat().st_size / 1e6:.1f} MB, open it in a browser")
