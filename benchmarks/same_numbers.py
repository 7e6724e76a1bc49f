"""Are the numbers of two stores the same? Bit for bit, in every table and column but times and provenance.

usage: python benchmarks/same_numbers.py STORE OTHER [JOB ...]

A change that is said to change no number is shown to by running the same jobs before and after, into two stores.
"""

from __future__ import annotations

import math
import struct
import sys
from typing import Any

import pyarrow as pa

from harness import open_results

NOT_NUMBERS = {
    *(
        "part",
        "sequence",
        "seconds",
        "peak_memory_bytes",
        "started_at",
        "finished_at",
        "versions",
        "git_commit",
        "hostname",
    ),
}
KEYS = {
    "cells": ("cell_id",),
    "curves": ("cell_id", "iteration"),
    "training": ("run_id", "step"),
    "metrics": ("cell_id", "name"),
    "trajectories": ("cell_id", "iteration"),
    "trials": ("trial",),
}


def bits(value: Any) -> Any:
    """A value whose equality is that of its bits: NaN equals itself, and -0.0 is not 0.0."""
    if isinstance(value, list):
        return tuple(map(bits, value))
    return struct.pack("d", value) if isinstance(value, float) and not math.isnan(value) else str(value)


def rows_of(table: pa.Table, keys: tuple[str, ...]) -> dict[tuple[Any, ...], dict[str, Any]]:
    """Rows by their keys."""
    return {tuple(row[key] for key in keys): row for row in table.to_pylist()}


def differences(store: str, other: str, job: str) -> tuple[int, list[str]]:
    """How many values of a job were compared, and what differs."""
    found, compared = [], 0
    for name, keys in KEYS.items():
        here, there = (rows_of(open_results(root).table(name, job=job), keys) for root in (store, other))
        if here.keys() != there.keys():
            found.append(
                f"{job} {name}: {len(here)} and {len(there)} rows, {len(here.keys() ^ there.keys())} in one only"
            )
        for key in here.keys() & there.keys():
            for column in sorted((here[key].keys() | there[key].keys()) - NOT_NUMBERS):
                compared += 1
                before, after = here[key].get(column), there[key].get(column)
                if bits(before) != bits(after):
                    found.append(f"{job} {name} {key} {column}: {before!r} and {after!r}")
    return compared, found


def main(store: str, other: str, *jobs: str) -> int:
    failed = False
    for job in jobs or open_results(store).store.jobs():
        compared, found = differences(store, other, job)
        print(f"{job}: {compared} values compared, {len(found)} differ")
        print("".join(f"  {line}\n" for line in found[:20]), end="")
        failed = failed or bool(found) or not compared
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
