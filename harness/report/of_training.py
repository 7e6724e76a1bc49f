"""What is said of a job of protocol ``train``: which row is best, and whether more than chance says so."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..contrasts.compare import AXES
from ..contrasts.contrast import Contrast, Seed, contrast, corrected
from ..errors import counted
from ..planning.naming import brief
from .sentences import Finding, Findings, bounds, difference, differences, failures
from .subject import Subject

MAX_RIVALS = 10
"""Rows that the best one is tested against, the nearest first."""


@dataclass(frozen=True)
class Group:
    """The cells that differ in nothing but their seeds.

    Attributes:
      axes: Values of all axes.
      mean, spread: Of the distance over the seeds that have one; the spread is their standard deviation, None of one.
      floor: Mean distance of other real samples, where it is known.
      num, num_without, num_diverged: Seeds with a distance, without one, and those that diverged.
    """

    axes: Mapping[str, Any]
    mean: float
    spread: float | None
    floor: float | None
    num: int
    num_without: int
    num_diverged: int


def findings(subject: Subject) -> Findings:
    """The best row, what differs, what the bounds say, what failed."""
    epoch = subject.last_epoch()
    at_epoch = f"epoch IS NOT DISTINCT FROM {'NULL' if epoch is None else epoch}"
    groups, num_groups = _groups(subject, at_epoch)
    if not groups:
        nothing = Finding("best", f"No cell at epoch {epoch} has a {subject.distance.name}.")
        return Findings((nothing, *bounds(subject), *failures(subject)))
    axes = subject.varying(where=at_epoch)
    rivals = _against_rivals(subject, groups, at_epoch, axes)
    told = differences(subject, axes, subject.distance.column, name=subject.distance.name)
    best = [_best(subject, groups[0], num_groups, epoch, axes), *_not_there(subject, num_groups, epoch)]
    best += [_rivalry(rivals, groups, num_groups, axes)] if rivals else []
    found = (*best, *told.found, *bounds(subject), *failures(subject))
    return Findings(found, (*rivals, *told.contrasts), told.axes)


def _not_there(subject: Subject, num_groups: int, epoch: int | None) -> list[Finding]:
    """Combinations that a run at work, or one that failed, has not brought to this epoch."""
    keys = ", ".join(AXES)
    (row,) = subject.ask(f"SELECT count(*) AS num FROM (SELECT DISTINCT {keys}", rest=")")
    missing = row["num"] - num_groups
    if missing <= 0:
        return []
    have = "has" if missing == 1 else "have"
    at = "" if epoch is None else f" at epoch {epoch}"
    return [Finding("failed", f"{counted(missing, 'more combination')} {have} no {subject.distance.name}{at}.")]


def _groups(subject: Subject, at_epoch: str) -> tuple[list[Group], int]:
    """The best groups at an epoch, and how many there are in all; what diverged counts with its last finite values.

    Sums are compensated: groups of equal values are to have equal means.
    """
    value, floor = subject.distance.column, subject.distance.floor
    rows = subject.ask(
        f"""SELECT {", ".join(AXES)}, favg({value}) AS mean, stddev_samp({value}) AS spread, avg({floor}) AS floor,
                   count({value}) AS num, count(*) - count({value}) AS num_without,
                   count(*) FILTER (status = 'diverged' AND {value} IS NOT NULL) AS num_diverged,
                   count(*) OVER () AS num_groups""",
        where=at_epoch,
        rest=f"GROUP BY ALL HAVING count({value}) > 0 ORDER BY mean, {', '.join(AXES)} LIMIT {MAX_RIVALS + 1}",
    )
    names = ("mean", "spread", "floor", "num", "num_without", "num_diverged")
    groups = [Group({axis: row[axis] for axis in AXES}, **{name: row[name] for name in names}) for row in rows]
    return groups, rows[0]["num_groups"] if rows else 0


def _best(subject: Subject, group: Group, num_groups: int, epoch: int | None, axes: Sequence[str]) -> Finding:
    distance = subject.distance.name
    at = "" if epoch is None else f" at epoch {epoch}"
    spread = "" if group.spread is None else f"sd {group.spread:.2g} "
    over = f"over {counted(group.num, 'seed')}" if group.num > 1 else "on one seed"
    floor = "" if group.floor is None else f"; other real samples have {group.floor:.3g}, the floor"
    lacking = [f"{group.num_diverged} diverged"] if group.num_diverged else []
    lacking += [f"{counted(group.num_without, 'more seed')} without a value"] if group.num_without else []
    value = f"{group.mean:.3g} ({', '.join([spread + over, *lacking])}){floor}"
    if num_groups == 1:
        return Finding(
            "best", f"{brief(group.axes, axes)} has {'a mean ' if group.num > 1 else 'a '}{distance}{at} of {value}."
        )
    mean = "mean " if group.num > 1 else ""
    return Finding(
        "best", f"Best of {num_groups} rows{at}, by {mean}{distance}: {brief(group.axes, axes)}, with {value}."
    )


def _against_rivals(subject: Subject, groups: Sequence[Group], at_epoch: str, axes: Sequence[str]) -> list[Contrast]:
    """The best group against each of the next, by the seeds of both, corrected together."""
    best, *others = groups
    if not others:
        return []
    value = subject.distance.column
    keys = ", ".join(AXES)
    ranked = f"""WITH wanted AS (SELECT {keys}, favg({value}) AS mean FROM cells WHERE {at_epoch}
        GROUP BY ALL HAVING count({value}) > 0 ORDER BY mean, {keys} LIMIT {len(groups)})"""
    same = " AND ".join(f"c.{axis} IS NOT DISTINCT FROM wanted.{axis}" for axis in AXES)
    rows = subject.cells.query(
        f"""{ranked} SELECT {", ".join(f"c.{axis}" for axis in AXES)}, c.seed, c.status, c.{value} AS value
            FROM cells c JOIN wanted ON {same} WHERE c.{at_epoch}"""
    ).to_pylist()
    seeds: dict[tuple[Any, ...], dict[int, Seed]] = {}
    for row in rows:
        seeds.setdefault(tuple(row[axis] for axis in AXES), {})[row["seed"]] = Seed(row["value"], row["status"])

    def of(group: Group) -> dict[int, Seed]:
        return seeds[tuple(group.axes[axis] for axis in AXES)]

    def name(group: Group) -> str:
        return brief(group.axes, axes)

    return corrected([contrast(of(best), of(other), metric=value, names=(name(best), name(other))) for other in others])


def _rivalry(rivals: Sequence[Contrast], groups: Sequence[Group], num_groups: int, axes: Sequence[str]) -> Finding:
    """Whether the best row is better than others by more than chance; it was picked on the seeds that test it."""
    nearest, second = rivals[0], groups[1]
    num, others = len(rivals), num_groups - 1
    all_of_them = "the other" if others == 1 else f"each of the {others} others"
    of = f"the {num} others" if num == others else f"the next {num} of the {others} others"
    test = "paired t test" if all(one.is_paired for one in rivals) else "t test"
    tested = f"{test}{f', Holm over {num}' if num > 1 else ''}"
    gap = f"{brief(second.axes, axes)} ({second.mean:.3g})"
    if all(math.isnan(one.t_p) for one in rivals):
        return Finding("best", f"One pair of seeds cannot tell it from the next, {gap}: 2 pairs are the least.")
    worse = next((one for one in rivals if one.verdict == "worse"), None)
    if worse is not None:  # where a mean is over other seeds
        return Finding(
            "best", f"On the seeds that both have, {worse.theirs} is better ({tested}): {difference(worse)}."
        )
    undecided = [one for one in rivals if one.verdict != "better"]
    if not undecided:
        whom = all_of_them if num == others else f"each of {of}"
        return Finding(
            "best",
            f"It is better than {whom} ({tested}), though it was picked on the seeds that test it; the next, {gap}: "
            f"{difference(nearest)}.",
        )
    first = next((one for one in undecided if not math.isnan(one.t_p)), undecided[0])
    which = "the other" if others == 1 else f"{'any' if len(undecided) == num else len(undecided)} of {of}"
    rest = f"; it is better than the {num - len(undecided)} remaining" if len(undecided) < num else ""
    told = f": {difference(first)}" if not math.isnan(first.t_p) else ""
    such = first.theirs if others == 1 else f"such as {first.theirs}"
    return Finding("best", f"It cannot be told from {which} ({tested}), {such}{told}{rest}.")
