"""Where a run is, in words: at work, ended in each way, killed, not understood."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from harness.storage.live import Ending, Live, Seen, Standing
from harness.watch.strip import Strip, strip

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
AGAIN = "harness run results/ring/job.yaml"
PACK = {
    "what": "training 4 runs, the first minimax",
    "attempt": 1,
    "host": "node7",
    "pid": 17,
    "device": "cpu",
    "started_at": "2026-03-01T11:58:00+00:00",
    "heard_at": "2026-03-01T11:58:50+00:00",
    "is_silent": False,
}
STATE: dict[str, Any] = {
    "phase": "",
    "machine": "2 actors",
    "time": "2026-03-01T11:59:00+00:00",
    "seconds": 60.0,
    "seconds_left": 100.0,
    "cells": 72,
    "ended": 30,
    "cells_per_second": 0.5,
    "share_of_work": 0.4,
    "awaited": None,
    "num_packs": 1,
    "packs": [PACK],
    "num_failed": 1,
    "failures": [{"cell_id": "c", "cell": "hinge, sigma 0", "status": "failed", "error": "<b>no</b>"}],
    "headline": "w1",
    "least": {"value": 0.123456, "cell_id": "a", "cell": "minimax, sigma 0.1"},
    "greatest": {"value": 4.0, "cell_id": "b", "cell": "hinge, sigma 0"},
    "search": None,
}
SEARCH = {
    "done": 12,
    "wanted": 40,
    "pruned": 3,
    "objective": "bound_best",
    "best": 0.5,
    "best_trial": 7,
    "best_schedule": "linear",
}


def seen(
    standing: Standing = "running",
    *,
    how: Ending | None = None,
    error: str = "",
    unchanged: float = 0.0,
    **state: Any,
) -> Seen:
    """A run that told of itself at 11:59, as it is seen at noon."""
    live = Live(
        "r",
        "ring",
        "node1",
        3,
        "2026-03-01T11:58:00+00:00",
        "2026-03-01T11:59:00+00:00",
        how,
        error,
        {**STATE, **state},
    )
    return Seen(live, standing, unchanged)


def of(run: Seen | None, *, num_rows: int | None = None) -> Strip:
    return strip("ring", run, num_rows=num_rows, again=AGAIN, now=NOW)


def test_a_run_at_work_has_its_pace_packs_and_failures() -> None:
    found = of(seen(unchanged=5.0), num_rows=18)  # rows as they were counted when the report was made
    assert (found.standing, found.num_done, found.num_total, found.share) == ("running", 30, 72, 0.4)
    assert (found.sentence, found.again) == ("The run is at work.", "")
    assert dict(found.facts) == {
        "running for": "1 min 5 s",
        "time left": "about 1 min 35 s",
        "rate": "30 cells a minute",
        "on": "node1: 2 actors",
        "best so far": "W1 0.1235 (minimax, sigma 0.1)",
        "worst so far": "W1 4 (hinge, sigma 0)",
    }
    (pack,) = found.packs
    assert pack == {
        "what": PACK["what"],
        "where": "process 17 on node7, cpu",
        "since": "1 min 5 s",
        "heard": "15 s",
        "is_silent": False,
    }
    assert found.failures == ({"cell": "hinge, sigma 0", "status": "failed", "error": "<b>no</b>"},)
    assert (found.num_packs, found.num_failed) == (1, 1)


@pytest.mark.parametrize(
    ("run", "num_rows", "sentence", "again"),
    [
        (seen("killed"), 31, "The run was killed at 11:59:00, 31 of 72 cells are there; run it again:", AGAIN),
        (seen("killed"), None, "The run was killed at 11:59:00, 30 of 72 cells are there; run it again:", AGAIN),
        (seen("killed"), 1, "The run was killed at 11:59:00, 1 of 72 cells is there; run it again:", AGAIN),
        (
            seen("ended", how="interrupted"),
            31,
            "The run was interrupted at 11:59:00, 31 of 72 cells are there; run it again:",
            AGAIN,
        ),
        (
            seen("ended", how="failed", error="the store is full.\nmore"),
            31,
            "The run failed at 11:59:00, 31 of 72 cells are there: the store is full. Run it again:",
            AGAIN,
        ),
        (
            seen("ended", how="complete", num_failed=2),
            72,
            "The run ended at 11:59:00 in 1 min 0 s, 72 of 72 cells are there, 2 of which did not complete.",
            "",
        ),
        (seen(awaited="a node with 1 GPU"), None, "The run waits for a node with 1 GPU.", ""),
        (None, 5, "No run has told of itself. 5 cells are there.", ""),
        (None, None, "No run has told of itself.", ""),
    ],
)
def test_how_it_stands_is_a_sentence(run: Seen | None, num_rows: int | None, sentence: str, again: str) -> None:
    found = of(run, num_rows=num_rows)
    assert (found.sentence, found.again) == (sentence, again)
    if run is None or run.standing != "running":
        assert found.packs == ()


def test_a_run_of_another_day_has_its_date() -> None:
    run = seen("killed")
    run = replace(run, live=replace(run.live, updated="2026-02-03T04:05:06+00:00"))
    assert of(run, num_rows=31).sentence.startswith("The run was killed at 2026-02-03 04:05, ")


@pytest.mark.parametrize(
    ("standing", "sentence"),
    [
        ("running", "The run has begun at 11:58:00: its workers start."),
        ("killed", "The run was killed at 11:59:00, 4 cells are there; run it again:"),
    ],
)
def test_a_run_that_has_not_begun_has_no_numbers(standing: Standing, sentence: str) -> None:
    run = seen(standing)
    found = of(replace(run, live=replace(run.live, state={})), num_rows=4)
    assert (found.sentence, found.num_done, found.num_total, found.share) == (sentence, 4, None, None)


def test_silent_packs_come_first_and_a_worker_keeps_its_row() -> None:
    packs = [{**PACK, "pid": pid, "is_silent": pid == 9} for pid in (8, 9, 7)]
    for told in (packs, packs[::-1]):
        assert [pack["where"] for pack in of(seen(packs=told)).packs] == [
            f"process {pid} on node7, cpu" for pid in (9, 7, 8)
        ]


def test_of_a_search_trials_are_counted() -> None:
    found = of(seen(search=SEARCH, phase="trials", cells=0, ended=0), num_rows=99)
    assert (found.num_done, found.num_total, found.noun, found.sentence) == (
        12,
        40,
        "trial",
        "The run is at work: trials.",
    )
    assert dict(found.facts)["best so far"] == "bound_best 0.5, trial 7: linear"
    assert dict(found.facts)["pruned"] == "3 of 12 trials"
    killed = of(seen("killed", search=SEARCH, phase="trials", cells=0, ended=0), num_rows=99)
    assert killed.sentence == "The run was killed at 11:59:00, 12 of 40 trials are there; run it again:"
    later = of(seen("killed", phase="3 finalists", cells=9, ended=4), num_rows=99)  # whose job has cells of all phases
    assert (later.num_done, later.num_total) == (4, 9)


@pytest.mark.parametrize(
    ("rate", "text"), [(12.34, "12.3 cells a second"), (0.02, "1.2 cells a minute"), (0.001, "3.6 cells an hour")]
)
def test_a_rate_is_in_a_unit_that_suits(rate: float, text: str) -> None:
    assert dict(of(seen(cells_per_second=rate)).facts)["rate"] == text


def test_what_is_not_known_is_left_out() -> None:
    found = of(
        seen(cells_per_second=None, least=None, greatest={"value": None, "cell": ""}, packs=[{**PACK, "host": None}])
    )
    assert [name for name, _ in found.facts] == ["running for", "time left", "on"]
    assert found.packs[0]["where"] == "on its way"


@pytest.mark.parametrize("state", [{"cells": "many", "share_of_work": "much"}, {"packs": 7}, {"time": "noon"}])
def test_another_version_is_an_error_of_known_kind(state: dict[str, Any]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        of(seen(**state))
