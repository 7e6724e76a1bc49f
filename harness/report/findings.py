"""What was seen, in plain sentences made of a job's numbers: what a terminal and a report say first.

No sentence says more than an interval does: a mean is called a mean with its number of seeds, and a difference a
difference where the paired t test, corrected by Holm for all contrasts that are told together, excludes none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..contrasts.contrast import Contrast
from ..job.tune import TuneJob
from ..storage.query import Results
from . import of_games, of_probes, of_searches, of_training
from .sentences import Finding, Topic, failures
from .subject import Subject


@dataclass(frozen=True)
class Findings:
    """Sentences on a job, the most useful first.

    Attributes:
      found: In order; the first two say most of the job.
      contrasts: Those that the sentences on differences are of.
    """

    found: tuple[Finding, ...]
    contrasts: tuple[Contrast, ...] = ()

    @property
    def sentences(self) -> tuple[str, ...]:
        """All of them."""
        return tuple(finding.text for finding in self.found)

    def on(self, topic: Topic) -> tuple[str, ...]:
        """Those on a topic, in order."""
        return tuple(finding.text for finding in self.found if finding.topic == topic)


def findings(results: Results, job_name: str) -> Findings:
    """What the rows of a job say.

    It costs some aggregates in SQL, and contrasts of a limited number of rows: of larger jobs it says what it left out.

    Args:
      results: The store.
      job_name: Of a job in it, of any protocol; one without rows has a sentence that says so.
    """
    subject = Subject.of(results, job_name)
    if isinstance(subject.job, TuneJob):
        return _findings(subject, of_searches.findings)
    (counts,) = subject.ask(
        "SELECT count(*) AS rows, count(*) FILTER (status = 'completed') AS completed, any_value(protocol) AS protocol"
    )
    if not counts["rows"]:
        return Findings((Finding("best", "No cell has a row yet."),))
    if not counts["completed"]:
        nothing = Finding("best", f"None of the {counts['rows']} cells completed.")
        return Findings((nothing, *failures(subject)))
    return _findings(subject, _OF[counts["protocol"] or "train"])


_Made = Callable[[Subject], tuple[list[Finding], list[Contrast]]]
_OF: Mapping[str, _Made] = {
    "train": of_training.findings,
    "probe": of_probes.findings,
    "dirac": of_games.findings,
}


def _findings(subject: Subject, made: _Made) -> Findings:
    found, contrasts = made(subject)
    return Findings(tuple(found), tuple(contrasts))
