"""The job whose rows are put into words."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..contrasts.compare import AXES
from ..errors import JobError
from ..job.job import Job
from ..job.reading import AnyJob, parse_job
from ..job.tune import TuneJob
from ..planning.naming import DISTANCE, SLICED_DISTANCE, Headline
from ..storage.held import HeldCells
from ..storage.query import Results

Row = Mapping[str, Any]

_NAMES = (
    *(*AXES, "updates", "noise", "sigma", "epoch", "seed", "status", "protocol"),
    *("w1", "real_w1", "w1_sliced", "real_w1_sliced", "bound_best", "data_diameter", "bound_holds"),
    *("accuracy", "grad_norm", "jsd_mixture", "jsd_mixture_se", "real_jsd_mixture"),
    *("verdict", "modulus", "predicted_modulus", "steps_to_tolerance"),
)
# a traceback begins alike whatever was raised, and ends with it
_COLUMNS = {name: name for name in _NAMES} | {"error": "regexp_extract(trim(error, chr(10)), '[^\\n]*$')"}


@dataclass(frozen=True)
class Subject:
    """A job in a store.

    Attributes:
      job: As it was computed; None where its file is not there, or is not of this version.
      cells: Its latest rows, with the last lines of their errors.
    """

    results: Results
    name: str
    job: AnyJob | TuneJob | None
    cells: HeldCells

    @staticmethod
    def of(results: Results, name: str) -> Subject:
        """The job of this name."""
        text = results.store.place.content(f"{name}/job.yaml")
        try:
            job = None if text is None else parse_job(text.decode())
        except JobError:
            job = None
        return Subject(results, name, job, HeldCells(results, name, _COLUMNS))

    @property
    def of_job(self) -> str:
        """SQL: the job's rows in a table of the store."""
        return f"job = '{self.name.replace(chr(39), 2 * chr(39))}'"

    @functools.cached_property
    def distance(self) -> Headline:
        """By what a generator is judged: of images, where the full distance says little, the sliced one."""
        is_image = isinstance(self.job, Job | TuneJob) and len(self.job.problem.info().shape) == 3
        return SLICED_DISTANCE if is_image else DISTANCE

    def ask(self, select: str, *, where: str = "true", rest: str = "") -> list[Row]:
        """Rows of a statement over the job's cells."""
        found: list[Row] = self.cells.query(f"{select} FROM cells WHERE {where} {rest}").to_pylist()
        return found

    def last_epoch(self) -> int | None:
        """The largest that a cell completed at."""
        (row,) = self.ask("SELECT max(epoch) AS epoch", where="status = 'completed'")
        return None if row["epoch"] is None else int(row["epoch"])

    def varying(self, axes: Sequence[str] = AXES, *, where: str = "true") -> tuple[str, ...]:
        """The axes that have several values, no value being one; those but the loss that have several of one loss."""
        own = [axis for axis in axes if axis != "loss"]
        counts = ", ".join(f"count(DISTINCT coalesce(CAST({axis} AS VARCHAR), '')) AS {axis}" for axis in own)
        rows = self.ask(f"SELECT loss, {counts}", where=where, rest="GROUP BY loss")
        several = {axis for axis in own if any(row[axis] > 1 for row in rows)}
        return tuple(axis for axis in axes if axis in several or (axis == "loss" and len(rows) > 1))
