"""What was seen, in plain sentences made of a job's numbers: what a terminal and a report say first.

No sentence says more than an interval does: a mean is called a mean with its number of seeds, and a difference a
difference where the paired t test, corrected by Holm for all contrasts that are told together, excludes none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..errors import counted
from ..job.tune import TuneJob
from ..storage.query import Results
from . import of_games, of_probes, of_searches, of_training
from .sentences import Finding, Findings, Topic, failures
from .subject import Subject

__all__ = ["Finding", "Findings", "Topic", "findings"]


def findings(results: Results, job_name: str) -> Findings:
    """What the rows of a job say.

    It costs some aggregates in SQL, and contrasts of a limited number of rows: of larger jobs it says what it left out.

    Args:
      results: The store.
      job_name: Of a job in it, of any protocol; one without rows has a sentence that says so.
    """
    subject = Subject.of(results, job_name)
    if isinstance(subject.job, TuneJob):
        return of_searches.findings(subject)
    (counts,) = subject.ask(
        "SELECT count(*) AS rows, count(*) FILTER (status = 'completed') AS completed, any_value(protocol) AS protocol"
    )
    if not counts["rows"]:
        return Findings((Finding("best", "No cell has a row yet."),))
    if not counts["completed"]:
        nothing = Finding("best", f"None of {counted(counts['rows'], 'cell')} completed.")
        return Findings((nothing, *failures(subject)))
    return _OF[counts["protocol"] or "train"](subject)


_OF: Mapping[str, Callable[[Subject], Findings]] = {
    "train": of_training.findings,
    "probe": of_probes.findings,
    "dirac": of_games.findings,
}
