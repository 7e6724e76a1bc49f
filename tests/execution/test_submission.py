"""Submitting to a cluster that is not quite there yet."""

from __future__ import annotations

import time
from typing import Any

import pytest

from harness.execution.submission import Cluster


class Head:
    """A Jobs API that refuses a number of times."""

    def __init__(self, refusals: int, text: str) -> None:
        self.refusals, self.text = refusals, text

    def submit_job(self, **request: Any) -> str:
        if self.refusals:
            self.refusals -= 1
            raise RuntimeError(f"Request failed with status code 500: {self.text}")
        return str(request["submission_id"])


def cluster(head: Head, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    made = object.__new__(Cluster)
    made._client = head
    return made


def test_a_head_that_has_just_started_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    head = Head(3, "No available agent to submit job, please try again later.")
    assert cluster(head, monkeypatch)._submit_when_ready(submission_id="one") == "one"


def test_any_other_refusal_is_an_error_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    head = Head(1, "Job with submission_id one already exists.")
    with pytest.raises(RuntimeError, match="already exists"):
        cluster(head, monkeypatch)._submit_when_ready(submission_id="one")
    assert head.refusals == 0
