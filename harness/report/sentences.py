"""Sentences that several protocols share: on failures, on bounds, on differences."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from ..contrasts.compare import AXES, compared
from ..contrasts.contrast import Contrast, seeds_needed
from ..errors import HarnessError, counted, printable
from ..planning.naming import axis_word
from .subject import Subject

Topic = Literal["best", "noise", "differs", "undecided", "bounds", "failed", "search"]

MAX_ROWS = 30_000
"""Cells of a job whose contrasts are told; of larger ones ``harness compare`` tells them."""
MAX_CONTRASTS = 60
"""Of one axis and metric."""
_MAX_NAMED = 4
"""Differences that are told one by one, the surest first."""
_MAX_REASONS = 5
_MANY_SEEDS = 1_000
_AXIS = re.compile(rf"(?:(?<=^)|(?<=, ))(?:{'|'.join(AXES)})(?= )")


@dataclass(frozen=True)
class Finding:
    """A sentence, and what it is on."""

    topic: Topic
    text: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", printable(self.text))  # names and errors are the user's


@dataclass(frozen=True)
class Findings:
    """Sentences on a job, the most useful first.

    Attributes:
      found: In order; the first two say most of the job.
      contrasts: Those that the sentences on differences are of.
      axes: Along which ``harness compare`` has something to compare.
    """

    found: tuple[Finding, ...]
    contrasts: tuple[Contrast, ...] = ()
    axes: tuple[str, ...] = ()

    @property
    def sentences(self) -> tuple[str, ...]:
        """All of them."""
        return tuple(finding.text for finding in self.found)

    def on(self, topic: Topic) -> tuple[str, ...]:
        """Those on a topic, in order."""
        return tuple(finding.text for finding in self.found if finding.topic == topic)


def failures(subject: Subject) -> list[Finding]:
    """What did not complete, and why: one sentence for each reason, the most frequent first."""
    rows = subject.ask(
        "SELECT status, error, count(*) AS cells",
        where="status <> 'completed'",
        rest="GROUP BY status, error ORDER BY cells DESC, status, error",
    )
    found = [
        Finding("failed", f"{counted(row['cells'], 'cell')} {row['status']}: {row['error'] or 'no reason'}")
        for row in rows[:_MAX_REASONS]
    ]
    if others := rows[_MAX_REASONS:]:
        number = counted(sum(row["cells"] for row in others), "more cell")
        found.append(Finding("failed", f"{number} did not complete, for {counted(len(others), 'other reason')}."))
    return found


def bounds(subject: Subject) -> list[Finding]:
    """Whether the bounds hold, and where they say nothing."""
    sliced = subject.distance.column == "w1_sliced"
    (row,) = subject.ask(
        """SELECT count(*) FILTER (bound_best IS NOT NULL) AS cells,
                  count(*) FILTER (bound_best > data_diameter) AS vacuous,
                  count(bound_holds) AS checked, count(*) FILTER (NOT bound_holds) AS broken""",
        where="status = 'completed'",
    )
    found = []
    if row["broken"]:
        found.append(
            Finding(
                "bounds",
                f"In {row['broken']} of {counted(row['checked'], 'cell')} a bound does not hold: its upper 95 % limit "
                "is below the distance that it bounds. Limits of 95 % are missed now and then; proofs are not.",
            )
        )
    elif row["checked"]:
        found.append(Finding("bounds", f"Every bound holds in {_all(row['checked'])}."))
    if row["vacuous"]:
        way_out = "; the sliced bound is the one to look at" if sliced else ""
        share = _all(row["cells"]) if row["vacuous"] == row["cells"] else f"{row['vacuous']} of {row['cells']} cells"
        found.append(
            Finding(
                "bounds", f"In {share} even the best full bound is vacuous: it exceeds the data's diameter{way_out}."
            )
        )
    return found


def differences(subject: Subject, axes: Iterable[str], metric: str, *, name: str) -> Findings:
    """What differs in a metric along each axis, against the axis's first value, and what that leaves undecided.

    Args:
      subject: The job.
      axes: Of `contrasts.compare.AXES`.
      metric: A column of ``cells``.
      name: Of it, for a person.
    """
    (size,) = subject.ask(f"SELECT count(*) AS cells, count({metric}) AS valued")
    found: list[Finding] = []
    all_contrasts: list[Contrast] = []
    contrasted: list[str] = []
    if not size["valued"]:
        return Findings(())
    for axis in axes:
        if size["cells"] > MAX_ROWS:
            found.append(_too_many(subject, axis, f"{size['cells']} cells"))
            continue
        try:
            contrasts = compared(subject.results, subject.name, by=axis, metrics=[metric]).contrasts
        except HarnessError:  # nothing that differs in this axis alone
            continue
        if not all(math.isnan(one.t_p) for one in contrasts):
            contrasted.append(axis)
        if len(contrasts) > MAX_CONTRASTS:
            found.append(_too_many(subject, axis, f"{len(contrasts)} contrasts"))
            continue
        all_contrasts += contrasts
        found += _in_words(contrasts, axis, name)
    # what is decided, along all axes, before what is not
    ordered = sorted(found, key=lambda finding: finding.topic == "undecided")
    return Findings(tuple(ordered), tuple(all_contrasts), tuple(contrasted))


def difference(found: Contrast) -> str:
    """``-0.31 [-0.5, -0.1], p 0.002 on 40 pairs of seeds``, and what collapsed on both sides if that is known."""
    pairs = f"{counted(found.num_pairs, 'pair')} of seeds" if found.is_paired else "seeds that are not the same"
    low, high = found.interval
    collapsed = ""
    if found.shares is not None:
        (ours, of), (theirs, others) = found.shares.ours, found.shares.theirs
        collapsed = f", collapsed {ours} of {of} against {theirs} of {others}"
    return f"{found.difference.mean:+.3g} [{low:+.3g}, {high:+.3g}], p {p_value(found.p)} on {pairs}{collapsed}"


def p_value(value: float) -> str:
    """To two digits; the smallest ones as a limit."""
    return "< 0.0001" if value < 1e-4 else f"{value:.2g}"


def _in_words(contrasts: Sequence[Contrast], axis: str, name: str) -> list[Finding]:
    decided = sorted((one for one in contrasts if one.verdict != "undecided"), key=lambda one: one.p)
    undecided = [one for one in contrasts if one.verdict == "undecided"]
    found = [
        Finding("differs", f"{_sides(one, axis)}: {one.verdict} in {name}, by {difference(one)}{_of(contrasts)}.")
        for one in decided[:_MAX_NAMED]
    ]
    if rest := decided[_MAX_NAMED:]:
        more = f"{counted(len(rest), 'more contrast')} of {axis_word(axis)}"
        found.append(Finding("differs", f"{more} {'has' if len(rest) == 1 else 'have'} a verdict in {name}."))
    if undecided:
        found.append(Finding("undecided", _undecided(undecided, len(contrasts), axis, name)))
    return found


def _undecided(undecided: Sequence[Contrast], num: int, axis: str, name: str) -> str:
    against = undecided[0].theirs
    of = f"{len(undecided)} of {num} contrasts" if num > 1 else "The contrast"
    are = "are" if num > 1 else "is"
    head = f"{of} of {axis_word(axis)} against {against} in {name} {are} undecided"
    tested = [one for one in undecided if not math.isnan(one.t_p)]
    if not tested:
        return f"{head}: fewer than 2 pairs of seeds tell nothing of chance."
    surest = min(tested, key=lambda one: one.t_p)
    which = f"{_sides(surest, axis)} by {difference(surest)}"
    needed = seeds_needed(surest, num_contrasts=num)
    nearest = "; nearest to a verdict is" if num > 1 else ":"
    if needed is None:
        return f"{head}{nearest} {which}."
    many = f"about {needed}" if needed <= _MANY_SEEDS else f"more than {_MANY_SEEDS}"
    return f"{head}{nearest} {which}. If the difference is what it looks like, {many} pairs would show it."


def _sides(found: Contrast, axis: str) -> str:
    within = f" ({_AXIS.sub(lambda name: axis_word(name[0]), found.within)})" if found.within else ""
    return f"{axis_word(axis)} {found.ours} against {found.theirs}{within}"


def _of(contrasts: Sequence[Contrast]) -> str:
    return f" (Holm over {len(contrasts)})" if len(contrasts) > 1 else ""


def _too_many(subject: Subject, axis: str, what: str) -> Finding:
    command = f"harness compare {shlex.quote(subject.name)} --by {axis}"
    return Finding("undecided", f"{what[0].upper()}{what[1:]} are too many to contrast here; see {command}.")


def _all(number: int) -> str:
    return "the one cell" if number == 1 else f"all {number} cells"
