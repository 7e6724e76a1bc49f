"""What stands above the report: where a job's run is, in words and numbers for the page's script."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ..errors import counted
from ..execution.durations import duration
from ..planning.naming import ACCURACY, DISTANCE, MODULUS, SLICED_DISTANCE, Headline
from ..storage.live import Seen

_HEADLINES = {headline.column: headline for headline in (ACCURACY, DISTANCE, MODULUS, SLICED_DISTANCE)}


@dataclass(frozen=True)
class Strip:
    """Where a job is.

    Attributes:
      standing: ``running``, ``ended`` or ``killed``; ``unknown`` where no run has told of itself.
      sentence: That in words.
      again: The command that goes on with it; empty where there is none to say.
      num_done, num_total: Cells with a row, and of the job; trials of a search. None where that is not known.
      noun: What these are.
      share: Of the work, in [0, 1]; None where that is not known.
      facts: Names and values.
      packs: Under way: ``what``, ``where``, ``since``, ``heard``, and whether it ``is_silent``.
      num_packs: All, of which `packs` may have only the first.
      failures: ``cell``, ``status`` and ``error`` of the first of this run.
      num_failed: All of this run.
    """

    job: str
    standing: str
    sentence: str
    again: str
    num_done: int | None
    num_total: int | None
    share: float | None
    noun: str = "cell"
    facts: tuple[tuple[str, str], ...] = ()
    packs: tuple[Mapping[str, Any], ...] = ()
    num_packs: int = 0
    failures: tuple[Mapping[str, Any], ...] = ()
    num_failed: int = 0


def strip(job: str, seen: Seen | None, *, num_rows: int | None, again: str, now: datetime) -> Strip:
    """Where a job is.

    Args:
      job: Its name.
      seen: Its latest run.
      num_rows: Its cells in the store, at their places in the grid; None before they were counted.
      again: The command that goes on with it.
      now: With the time zone in which times are told.

    Raises:
      KeyError, TypeError, ValueError: If the run has told of itself in a way that is not known here.
    """
    if seen is None:
        there = "" if num_rows is None else f" {counted(num_rows, 'cell')} {_is(num_rows)} there."
        return Strip(job, "unknown", f"No run has told of itself.{there}", "", num_rows, None, None)
    state = seen.live.state
    again = "" if seen.standing == "running" or seen.live.ended == "complete" else again
    if not state:  # it had not begun
        return Strip(job, seen.standing, _sentence(seen, num_rows, None, now), again, num_rows, None, None)
    search = state["search"]
    if search is not None:
        num_done, num_total = search["done"], search["wanted"]
    else:
        # the store knows better, of a run that is gone; but it has all cells of a search, whose phase this may be
        is_counted = num_rows is not None and seen.standing != "running" and not state["phase"]
        num_done, num_total = num_rows if is_counted else state["ended"], state["cells"]
    noun = "cell" if search is None else "trial"
    is_whole = num_done == num_total and seen.standing != "running"
    common = {
        "job": job,
        "standing": seen.standing,
        "sentence": _sentence(seen, num_done, num_total, now, noun=noun),
        "again": again,
        "num_done": num_done,
        "num_total": num_total,
        "share": 1.0 if is_whole else min(1.0, max(0.0, float(state["share_of_work"]))),
        "noun": noun,
        "failures": tuple(
            {name: str(found[name]) for name in ("cell", "status", "error")} for found in state["failures"]
        ),
        "num_failed": int(state["num_failed"]),
    }
    if seen.standing != "running":
        return Strip(**common, facts=_found(state))
    told_at = datetime.fromisoformat(state["time"])
    age = timedelta(seconds=seen.unchanged_seconds)  # by one clock each, as the run's and ours may differ

    def since(text: str) -> str:
        return duration(max(0.0, (told_at - datetime.fromisoformat(text) + age).total_seconds()))

    packs = tuple(
        {
            "what": str(pack["what"]) + (f", attempt {pack['attempt']}" if pack["attempt"] != 1 else ""),
            "where": _where(pack),
            "since": since(pack["started_at"]),
            "heard": since(pack["heard_at"]),
            "is_silent": bool(pack["is_silent"]),
        }
        for pack in sorted(state["packs"], key=_row)
    )
    return Strip(**common, facts=(*_pace(state, seen), *_found(state)), packs=packs, num_packs=int(state["num_packs"]))


def _sentence(seen: Seen, num_done: int | None, num_total: int | None, now: datetime, *, noun: str = "cell") -> str:
    live, state = seen.live, seen.live.state
    if num_total:
        there = f"{num_done or 0} of {counted(num_total, noun)} {_is(num_done or 0)} there"
    else:
        there = "no cell is there" if not num_done else f"{counted(num_done, noun)} {_is(num_done)} there"
    at = _moment(live.updated, now)
    if seen.standing == "killed":
        return f"The run was killed at {at}, {there}; run it again:"
    if live.ended == "interrupted":
        return f"The run was interrupted at {at}, {there}; run it again:"
    if live.ended == "failed":
        error = (live.error.splitlines() or ["for no reason that it knew"])[0].rstrip(".")
        return f"The run failed at {at}, {there}: {error}. Run it again:"
    if live.ended == "complete":
        took = f" in {duration(float(state['seconds']))}" if state else ""
        failed = f", {state['num_failed']} of which did not complete" if state and state["num_failed"] else ""
        return f"The run ended at {at}{took}, {there}{failed}."
    if not state:
        return f"The run has begun at {_moment(live.started, now)}: its workers start."
    phase = f": {state['phase']}" if state["phase"] else ""
    if state["awaited"]:
        return f"The run waits for {state['awaited']}{phase}."
    return f"The run is at work{phase}."


def _pace(state: Mapping[str, Any], seen: Seen) -> tuple[tuple[str, str], ...]:
    """What is told of a run at work alone."""
    rate = state["cells_per_second"]
    left = max(0.0, float(state["seconds_left"]) - seen.unchanged_seconds)
    facts = [
        ("running for", duration(float(state["seconds"]) + seen.unchanged_seconds)),
        ("time left", f"about {duration(left)}"),
        ("rate", "" if rate is None else _rate(float(rate))),
        ("on", f"{seen.live.host}: {state['machine']}" if state["machine"] else seen.live.host),
    ]
    return tuple((name, value) for name, value in facts if value)


def _found(state: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """The extreme cells of the run, or a search's best trial."""
    search = state["search"]
    if search is not None:
        pruned = (("pruned", f"{search['pruned']} of {counted(search['done'], 'trial')}"),) if search["pruned"] else ()
        if search["best"] is None:
            return pruned
        best = f"{search['objective']} {search['best']:.4g}, trial {search['best_trial']}: {search['best_schedule']}"
        return (("best so far", best), *pruned)
    headline = _HEADLINES.get(state["headline"] or "", Headline(str(state["headline"]), str(state["headline"])))
    extremes = ((headline.least, state["least"]), (headline.greatest, state["greatest"]))
    return tuple(
        (f"{name} so far", f"{headline.name} {found['value']:.4g} ({found['cell']})")
        for name, found in extremes
        if found is not None and found["value"] is not None
    )


def _row(pack: Mapping[str, Any]) -> tuple[bool, str, int]:
    """Silent packs first, then by where they are: a worker keeps its row from one pack to the next."""
    return not pack["is_silent"], str(pack["host"] or ""), int(pack["pid"] or 0)


def _where(pack: Mapping[str, Any]) -> str:
    if pack["host"] is None:
        return "on its way"
    return f"process {pack['pid']} on {pack['host']}, {pack['device']}"


def _rate(cells_per_second: float) -> str:
    for unit, seconds in (("second", 1), ("minute", 60)):
        if cells_per_second * seconds >= 1:
            return f"{cells_per_second * seconds:.3g} cells a {unit}"
    return f"{cells_per_second * 3600:.3g} cells an hour"


def _moment(text: str, now: datetime) -> str:
    """A time as one says it on that day, in the time zone of `now`."""
    at = datetime.fromisoformat(text).astimezone(now.tzinfo)
    return f"{at:%H:%M:%S}" if at.date() == now.date() else f"{at:%Y-%m-%d %H:%M}"


def _is(number: int) -> str:
    return "is" if number == 1 else "are"


def command_again(job_file: str, *, is_search: bool, root: str) -> str:
    """The command that goes on with a job whose file is kept in a store.

    >>> command_again("results/ring/job.yaml", is_search=False, root="results")
    'harness run results/ring/job.yaml'
    >>> command_again("s3://b/x/job.yaml", is_search=True, root="s3://b")
    'harness tune JOB --results s3://b'
    """
    file = "JOB" if "://" in job_file else shlex.quote(job_file)
    option = "" if root == "results" else f" --results {shlex.quote(root)}"
    return f"harness {'tune' if is_search else 'run'} {file}{option}"
