"""Submitting to a cluster that is not quite there yet."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

import harness
from harness.execution.submission import Cluster, Submission
from harness.job.job import Job
from tests.conftest import TRAIN


class Head:
    """A Jobs API that refuses a number of times."""

    def __init__(self, refusals: int, text: str) -> None:
        self.refusals, self.text = refusals, text
        self.files: set[str] = set()

    def submit_job(self, **request: Any) -> str:
        if self.refusals:
            self.refusals -= 1
            raise RuntimeError(f"Request failed with status code 500: {self.text}")
        if "runtime_env" in request:
            folder = Path(request["runtime_env"]["working_dir"])
            self.files = {path.relative_to(folder).as_posix() for path in folder.rglob("*.py")}
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


def test_the_packages_that_the_jobs_own_parts_come_from_travel_along(monkeypatch: pytest.MonkeyPatch) -> None:
    head = Head(0, "")
    job = harness.load_job({**TRAIN, "grid": {**TRAIN["grid"], "penalty": ["noiselab.parts:LogitNorm"]}})
    assert isinstance(job, Job)
    made = cluster(head, monkeypatch)
    assert made.submit(job, results="r", arguments=[], submission=Submission(submission_id="one")) == "one"
    wanted = {"noiselab/parts.py", "noiselab/constants.py", "harness/__init__.py", "harness/job/parts/penalties.py"}
    assert wanted <= head.files
    assert not any(name.startswith("pydantic") for name in head.files)
