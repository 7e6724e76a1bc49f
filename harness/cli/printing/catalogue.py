"""What ``harness list``, ``show`` and ``info`` say."""

from __future__ import annotations

import json
import math
import os
import platform
import re
import shlex
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa

from ... import __version__
from ...errors import HarnessError, JobError, StoreError, counted, suggest
from ...execution.executors import executor_names
from ...job.dirac import DiracJob
from ...job.examples import PREFIX, example_names, example_text, introduction
from ...job.job import Job
from ...job.parts.features import FEATURES
from ...job.parts.metrics import METRICS
from ...job.parts.networks import NETWORKS
from ...job.parts.noise import NOISES
from ...job.parts.optimizers import OPTIMIZERS
from ...job.parts.part import Part
from ...job.parts.penalties import PENALTIES
from ...job.parts.problems import PROBLEMS
from ...job.parts.schedules import SCHEDULES
from ...job.reading import load_job, parse_job
from ...job.space import Range
from ...job.spec import Spec
from ...job.strategies import PRUNERS, SAMPLERS
from ...job.tune import TuneJob
from ...planning.grid import expand
from ...storage.query import Results, open_results
from ...storage.records import STATUSES, VIEWS
from ...theory.losses import LOSSES

PARTS: Mapping[str, Mapping[str, type[Part]]] = {
    "problems": PROBLEMS,
    "networks": NETWORKS,
    "optimizers": OPTIMIZERS,
    "penalties": PENALTIES,
    "schedules": SCHEDULES,
    "noises": NOISES,
    "metrics": METRICS,
    "features": FEATURES,
}
"""What a job file can name, by kind, and losses besides."""
_TEXTS: Mapping[str, Mapping[Any, str]] = {"samplers": SAMPLERS, "pruners": PRUNERS, "statuses": STATUSES}


def entries(kind: str) -> list[tuple[str, str]]:
    """Name and meaning of everything of a kind."""
    if kind in PARTS:
        return [(name, part.help()) for name, part in PARTS[kind].items()]
    if kind == "examples":
        return [(name, introduction(example_text(name))) for name in example_names()]
    if kind == "losses":
        return [(name, loss.formula) for name, loss in LOSSES.items()]
    if kind in _TEXTS:
        return [(str(name), meaning) for name, meaning in _TEXTS[kind].items()]
    if kind == "executors":
        return [(name, "built in" if name in ("ray", "serial") else "of a package") for name in executor_names()]
    return [(f"{table}.{field.name}", _column(field)) for table, schema in VIEWS.items() for field in schema]


def jobs(results: str) -> pa.Table:
    """The jobs of a store, one a row: what they are, how many cells have a row, and when the last was written."""
    opened = open_results(results)
    counted = opened.query(
        """SELECT job, any_value(problem) AS problem, count(*) FILTER (status = 'completed') AS done,
                  count(*) FILTER (status <> 'completed') AS failed, max(finished_at) AS changed
           FROM cells GROUP BY job"""
    ).to_pylist()
    rows = {row["job"]: row for row in counted}
    names = opened.store.jobs()
    files = {name: opened.store.place.content(f"{name}/job.yaml") or b"" for name in names}
    return pa.table(
        {
            "job": names,
            "protocol": [_told(files[name], "protocol") for name in names],
            "problem": [rows.get(name, {}).get("problem") for name in names],
            "cells done": pa.array([rows.get(name, {}).get("done", 0) for name in names], pa.int64()),
            "cells failed": pa.array([rows.get(name, {}).get("failed", 0) for name in names], pa.int64()),
            "last change": pa.array([rows.get(name, {}).get("changed") for name in names], pa.timestamp("us", "UTC")),
        }
    )


def _told(job_file: bytes, key: str) -> str | None:
    """What a job file says on a line of its own; a whole file need not be read for it."""
    found = re.search(rf"^{key}: (\w+)", job_file.decode(errors="replace"), re.MULTILINE)
    return found[1] if found else None


def machine() -> dict[str, Any]:
    """Versions, CPUs and GPUs of this machine."""
    import torch

    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {
        "harness": __version__,
        "python": platform.python_version(),
        **{name: _version(name) for name in ("torch", "torchvision", "ray", "optuna", "pyarrow", "duckdb", "POT")},
        "cpus": os.cpu_count(),
        "gpus": gpus or "none: jobs run on CPU slots",
    }


def _column(field: Any) -> str:
    metadata = {key.decode(): value.decode() for key, value in field.metadata.items()}
    unit = f" [{metadata['unit']}]" if "unit" in metadata else ""
    return f"{field.type}{unit}  {metadata['meaning']}"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


# --- one job

_AnyJob: TypeAlias = Job | DiracJob | TuneJob
_LISTED = 8  # values of an axis that are shown one by one, where they are consecutive numbers
_WORDS = {
    "probe": "fresh discriminators of each loss, sigma and penalty against kept generators",
    "train": "a GAN trained with each loss, sigma and penalty, and its generators measured",
    "dirac": "games of two parameters (Dirac-GANs): which methods converge?",
    "tune": "a search for the noise schedule whose generator has the least bound",
}


def portrait(name: str, *, results: str, width: int) -> Iterator[str]:
    """What a job is, how far it is in a store, where its files are, and the next commands, in lines of a width.

    Args:
      name: Of a job with results; or a job file, or ``example:NAME``, which need not have any.

    Raises:
      HarnessError: If it is none of these.
    """
    is_file = name.startswith(PREFIX) or Path(name).suffix in (".yaml", ".yml")
    opened = _opened(results, needed=not is_file)
    kept = [] if opened is None else opened.store.jobs()
    if not is_file and name not in kept:
        known = [*kept, *(f"{PREFIX}{example}" for example in example_names())]
        raise HarnessError(f"no job '{name}' in {results}.{suggest(name, known)}, or a job file")
    job: _AnyJob | None = None
    facts: list[tuple[str, str]] = []
    if is_file:
        job = load_job(name)
    elif opened is not None:
        try:
            job = parse_job((opened.store.place.content(f"{name}/job.yaml") or b"").decode(), source=f"{name}/job.yaml")
        except JobError as error:  # parts that are not here, or a grammar of another version
            facts.append(("job file", f"cannot be read here: {str(error).splitlines()[0]}"))
    if job is not None:
        yield from textwrap.wrap(f"{job.name}: {_WORDS[job.protocol]} (protocol {job.protocol})", width)
        facts += _settings(job)
    job_name = name if job is None else job.name
    has_rows = opened is not None and job_name in kept
    facts += _progress(opened, job_name) if opened is not None and has_rows else [("in the store", "nothing yet")]
    file = name if is_file else f"{results}/{job_name}/job.yaml"
    commands = list(_next_commands(job, job_name, file, has_rows=has_rows, results=results))
    room = max(len(label) for label, _ in facts) + 2
    for label, text in facts:
        yield from _wrapped(label, text, room=room, width=width)
    for label, command in zip(["next", *[""] * len(commands)], commands, strict=False):
        yield f"{label:<{room}}{command}"


def _opened(results: str, *, needed: bool) -> Results | None:
    try:
        return open_results(results)
    except StoreError:
        if needed:
            raise
        return None


def _wrapped(label: str, text: str, *, room: int, width: int) -> list[str]:
    """A label, and beside it a text on lines of a width; what has no spaces stays whole."""
    first, below = f"{label:<{room}}", " " * room
    return textwrap.wrap(
        text, width, initial_indent=first, subsequent_indent=below, break_on_hyphens=False, break_long_words=False
    )


def _settings(job: _AnyJob) -> Iterator[tuple[str, str]]:
    """What it is made of: a label and a text each."""
    yield "problem", job.problem.label
    if not isinstance(job, DiracJob):
        yield "networks", job.networks.label
    if isinstance(job, TuneJob):
        yield "epochs", str(job.epochs)
        for family, parameters in job.space.schedule.items():
            yield "schedule", f"{family}({', '.join(f'{key} {_range(value)}' for key, value in parameters.items())})"
        yield "loss", ", ".join(job.space.loss)
        seeds = counted(job.search.seeds, "seed")
        yield "search", f"{counted(job.search.trials, 'trial')} of {seeds}, minimising {job.bound}"
        return
    yield "cells", _num_cells(job)
    for grid in job.grid:
        given = ((name, values) for name, values in grid if name in grid.model_fields_set and values is not None)
        yield from ((f"  {name}", _values(values)) for name, values in given)
    if isinstance(job, Job) and job.evaluation.metrics:
        yield "metrics", ", ".join(metric.label for metric in job.evaluation.metrics)


def _range(value: float | Range) -> str:
    return f"{value.low:g} to {value.high:g}" if isinstance(value, Range) else f"{value:g}"


def _num_cells(job: Job | DiracJob) -> str:
    if isinstance(job, Job) and len(job.grid) > 1:
        return f"{len(expand(job))}, of {len(job.grid)} grids"  # what several have is one
    return str(sum(math.prod(len(values or (None,)) for _, values in grid) for grid in job.grid))


def _values(values: Sequence[Any]) -> str:
    """``0, 0.1, linear(start=0.5, end=0)``, or ``0 to 39`` of numbers in a row."""
    if len(values) > _LISTED and list(values) == list(range(values[0], values[0] + len(values))):
        return f"{values[0]} to {values[-1]}"
    return ", ".join(value.description if isinstance(value, Spec) else str(value) for value in values)


def _progress(opened: Results, job: str) -> Iterator[tuple[str, str]]:
    """How far a job of a store is: a label and a text each."""
    where = "WHERE job = '" + job.replace("'", "''") + "'"
    by_status = opened.query(f"SELECT status, count(*) AS num FROM cells {where} GROUP BY status ORDER BY num DESC")
    yield "in the store", ", ".join(f"{row['num']} {row['status']}" for row in by_status.to_pylist()) or "no cells yet"
    trials = opened.query(f"SELECT state, count(*) AS num FROM trials {where} GROUP BY state ORDER BY num DESC")
    if len(trials):
        yield "  trials", ", ".join(f"{row['num']} {row['state']}" for row in trials.to_pylist())
    infos = [part.info for table in VIEWS for part in opened.store.parts(table, job=job)]
    yield (
        "  files",
        f"{opened.store.root}/{job}: {len(infos)} of tables, {sum(info.size for info in infos) / 1e6:.1f} MB",
    )
    made = opened.query(
        f"""SELECT min(started_at) AS first, max(finished_at) AS last, list(DISTINCT versions) AS versions,
                   list(DISTINCT git_commit) AS commits, list(DISTINCT device) AS devices FROM cells {where}"""
    ).to_pylist()[0]
    if made["last"]:
        yield "  computed", f"{_clock(made['first'] or made['last'])} to {_clock(made['last'])}"
    for versions in made["versions"] or ():
        if versions:
            yield "  with", ", ".join(f"{name} {number}" for name, number in json.loads(versions).items())
    for label, found in (("  commit", made["commits"]), ("  on", made["devices"])):
        if known := sorted(value for value in found or () if value):
            yield label, ", ".join(known)


def _clock(moment: datetime) -> str:
    """By the clock of this place."""
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S}"


def _next_commands(job: _AnyJob | None, name: str, file: str, *, has_rows: bool, results: str) -> Iterator[str]:
    option = "" if results == "results" else f" --results {shlex.quote(results)}"
    verb = "tune" if isinstance(job, TuneJob) else "run"
    yield f"harness {verb} {shlex.quote(file)}{option}"
    if not has_rows:
        if verb == "run":
            yield f"harness plan {shlex.quote(file)}{option}"
        return
    if isinstance(job, Job) and max(len(grid.seed) for grid in job.grid) > 1:
        yield f"harness compare {shlex.quote(name)}{option}"
    yield f"harness report {shlex.quote(name)}{option}"
