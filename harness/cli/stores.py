"""Commands for whole stores: ``harness compact``, ``merge``, ``publish`` and ``gc``; and the log of one cell."""

from __future__ import annotations

import contextlib
import json
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import HarnessError, suggest
from .options import Results, err, say

if TYPE_CHECKING:
    from ..storage.query import Results as Opened
    from ..storage.store import Store

app = typer.Typer()

JobName = Annotated[str, typer.Argument(metavar="JOB", help="Name of a job with results.")]


@app.command()
def compact(job: JobName, results: Results = "results") -> None:
    """Merge a job's many small files into few; queries answer the same, and sooner. It can be interrupted."""
    store = _opened(results, job).store
    with store.locked(job):
        for table, (before, after) in store.compact(job).items():
            say(f"{table:<12} {before} files -> {after}")


@app.command()
def merge(
    stores: Annotated[list[str], typer.Argument(metavar="STORE...", help="Folders or URIs, in the order they count.")],
    into: Annotated[str, typer.Option("--into", metavar="STORE", help="Where it goes; it need not be there yet.")],
) -> None:
    """Copy what a store lacks of others. A completed cell counts before one that failed, then the order."""
    from ..storage.merging import merge as merge_stores
    from ..storage.query import open_results
    from ..storage.store import Store

    opened = [open_results(root) for root in stores]
    target = Store(into)
    if target.absolute_root in [source.store.absolute_root for source in opened]:
        raise HarnessError(f"--into {into}: is one of the stores to be merged; leave it out of these")
    for merged in merge_stores(opened, target):
        trials = {None: "", True: ", its trials", False: "; its trials stay apart: there are some of another study"}
        other = f", {merged.num_other} left out: there with other settings" if merged.num_other else ""
        say(
            f"{merged.job}: {merged.num_taken} cells from {merged.source}{trials[merged.took_trials]}, "
            f"{merged.num_there} there already{other}"
        )


@app.command()
def publish(
    job: JobName,
    results: Results = "results",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A new folder; the job's name without it.")
    ] = None,
) -> None:
    """Write a job's tables, its file, checksums and a citation to a new folder: what one attaches to a paper."""
    from ..storage.publication import CHECKSUMS
    from ..storage.publication import publish as publish_job

    folder = output or Path(job)
    counts = publish_job(_opened(results, job), job, folder)
    tables = ", ".join(f"{count} rows of {table}" for table, count in counts.items())
    say(f"{folder}: {tables}; checksums in {CHECKSUMS}")
    say(f"fill in the authors in {folder / 'CITATION.cff'}", to=err)


@app.command()
def gc(
    results: Results = "results",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete what no job of the store needs any more: generators, states of training, scraps. It asks first."""
    from ..planning.unneeded import find_unneeded
    from ..storage.query import open_results

    opened = open_results(results)
    with contextlib.ExitStack() as stack:
        for job in opened.store.jobs():
            stack.enter_context(opened.store.locked(job))
        found = find_unneeded(opened)
        for kind in found:
            num = len(kind.names)
            say(f"{num:>6} {'file' if num == 1 else 'files'}, {_size(kind.num_bytes)}: {kind.what}")
        if not found:
            say(f"{results}: everything is needed")
            return
        if not yes and not sys.stdin.isatty():
            raise HarnessError("nothing is deleted: --yes does without asking")
        if yes or typer.confirm(f"Delete these of {results}?"):
            for kind in found:
                opened.store.place.delete(kind.names)
            say("deleted")


def _opened(results: str, job: str) -> Opened:
    """A store with results of a job."""
    from ..storage.query import open_results

    opened = open_results(results)
    if job not in opened.store.jobs():
        raise HarnessError(f"no job '{job}' in {results}.{suggest(job, opened.store.jobs())}")
    return opened


def _size(num_bytes: int) -> str:
    for unit in ("B", "kB", "MB"):
        if num_bytes < 1000:
            return f"{num_bytes:.3g} {unit}"
        num_bytes = round(num_bytes / 1000)
    return f"{num_bytes} GB"


# --- the log of one cell

_Line = dict[str, Any]


def print_cell_log(results: str, job: str, cell: str, *, as_json: bool) -> None:
    """Prints the events of every execution of the packs that a cell was in.

    Args:
      cell: Its id, or the beginning of it.

    Raises:
      HarnessError: If there is no such job, or no log of such a cell.
    """
    store = _opened(results, job).store
    executions = list(_executions(store, job, cell))
    if not executions:
        raise HarnessError(
            f"{job} has no log of a cell '{cell}'; its cells:\n  harness query "
            f"\"SELECT cell_id, status FROM cells WHERE job = '{job}' ORDER BY ALL\" --results {shlex.quote(results)}"
        )
    found = {cell_id for cell_id, _ in executions}
    if len(found) > 1:
        raise HarnessError(f"{len(found)} cells of {job} begin with '{cell}': {', '.join(sorted(found)[:5])}")
    for _, lines in executions:
        for line in lines:
            if as_json:
                sys.stdout.write(f"{json.dumps(line)}\n")
            else:
                say(_sentence(line))


def _executions(store: Store, job: str, cell: str) -> Iterator[tuple[str, list[_Line]]]:
    """The cell's id and what concerns it, of each execution of a pack that it was in."""
    for lines in store.logs(job):
        for cell_id in lines[0]["cells"] if lines else ():
            if cell_id.startswith(cell):
                yield cell_id, [line for line in (_of_cell(line, cell_id) for line in lines) if line is not None]


def _of_cell(line: _Line, cell_id: str) -> _Line | None:
    """A line without what it says of other cells; None where it is about these alone."""
    if "cells" in line:
        return {**line, "cells": [cell_id], "num_cells": len(line["cells"])}
    if "statuses" in line:
        status = line["statuses"].get(cell_id)
        return None if status is None else {**line, "statuses": {cell_id: status}}
    return line


def _sentence(line: _Line) -> str:
    parts = [f"{line['time'][:19].replace('T', ' ')}  {line['event']}"]
    if "attempt" in line:
        where = f" on {line['hostname']}, process {line['pid']}, {line['device']}" if "hostname" in line else ""
        what = f", {line['pack']}" if "pack" in line else ""
        parts.append(
            f"attempt {line['attempt']}, execution {line['sequence']}{what} with {line['num_cells']} cells{where}"
        )
    if line.get("git_commit"):
        parts.append(f"harness {line['versions'].get('harness')}, commit {line['git_commit']}")
    parts += [str(status) for status in line.get("statuses", {}).values()]
    if line.get("peak_memory_bytes"):
        parts.append(f"{line['seconds']:g} s, at most {line['peak_memory_bytes'] / 1e6:.0f} MB")
    error = "".join(f"\n  {text}" for text in line.get("error", "").splitlines())
    return "; ".join(parts) + error
