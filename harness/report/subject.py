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
from ..storage.query import Results

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Subject:
    """A job in a store.

    Attributes:
      job: As it was computed; None where its file is not there, or is not of this version.
    """

    results: Results
    name: str
    job: AnyJob | TuneJob | None

    @staticmethod
    def of(results: Results, name: str) -> Subject:
        """The job of this name."""
        text = results.store.place.content(f"{name}/job.yaml")
        try:
            return Subject(results, name, None if text is None else parse_job(text.decode()))
        except JobError:
            return Subject(results, name, None)

    @property
    def where(self) -> str:
        """SQL: the job's rows."""
        return f"job = '{self.name.replace(chr(39), 2 * chr(39))}'"

    @functools.cached_property
    def distance(self) -> Headline:
        """By what a generator is judged: of images, where the full distance says little, the sliced one."""
        is_image = isinstance(self.job, Job | TuneJob) and len(self.job.problem.info().shape) == 3
        return SLICED_DISTANCE if is_image else DISTANCE

    def ask(self, select: str, *, where: str = "true", rest: str = "") -> list[Row]:
        """Rows of a statement over the job's cells."""
        found: list[Row] = self.results.query(
            f"{select} FROM cells WHERE {self.where} AND ({where}) {rest}"
        ).to_pylist()
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
