"""What happened to one cell: ``harness logs JOB --cell ID``."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator
from typing import Any

from ..errors import HarnessError, suggest
from ..storage.query import open_results
from ..storage.store import Store
from .options import say

Line = dict[str, Any]


def print_cell_log(results: str, job: str, cell: str, *, as_json: bool) -> None:
    """Prints the events of every execution of the packs that a cell was in.

    Args:
      cell: Its id, or the beginning of it.

    Raises:
      HarnessError: If there is no such job, or no log of such a cell.
    """
    store = open_results(results).store
    if job not in store.jobs():
        raise HarnessError(f"no job '{job}' in {results}.{suggest(job, store.jobs())}")
    executions = list(_executions(store, job, cell))
    if not executions:
        raise HarnessError(
            f"{job} has no log of a cell '{cell}'; its cells:\n  harness query "
            f"\"SELECT cell_id, status FROM cells WHERE job = '{job}'\" --results {shlex.quote(results)}"
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


def _executions(store: Store, job: str, cell: str) -> Iterator[tuple[str, list[Line]]]:
    """The cell's id and what concerns it, of each execution of a pack that it was in."""
    for lines in store.logs(job):
        for cell_id in lines[0]["cells"] if lines else ():
            if cell_id.startswith(cell):
                yield cell_id, [line for line in (_of_cell(line, cell_id) for line in lines) if line is not None]


def _of_cell(line: Line, cell_id: str) -> Line | None:
    """A line without what it says of other cells; None where it is about these alone."""
    if "cells" in line:
        return {**line, "cells": [cell_id], "num_cells": len(line["cells"])}
    if "statuses" in line:
        status = line["statuses"].get(cell_id)
        return None if status is None else {**line, "statuses": {cell_id: status}}
    return line


def _sentence(line: Line) -> str:
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
