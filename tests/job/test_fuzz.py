"""Mutated job files give a job or a `JobError`; and the search for others finds them."""

from __future__ import annotations

import time

import pytest

from harness.errors import JobError
from tests.job import fuzz
from tests.job.mutations import mutated, texts


def _told(found: list[fuzz.Finding]) -> str:
    return "\n".join(f"--only {finding.number}: {finding.what}" for finding in found)


def test_150_mutated_job_files_give_no_traceback_and_no_hang() -> None:
    found = list(fuzz.findings(150, seed=1))
    assert not found, _told(found)


@pytest.mark.slow
def test_10000_mutated_job_files_give_no_traceback_and_no_hang() -> None:
    found = list(fuzz.findings(10_000, seed=0))
    assert not found, _told(found)


def test_a_mutation_is_that_of_its_seed_and_number() -> None:
    corpus = texts()
    some = [mutated(3, number, corpus) for number in range(60)]
    assert some == [mutated(3, number, corpus) for number in range(60)]
    assert len(set(some)) > 50
    assert some[7] != mutated(4, 7, corpus)


def test_mutated_files_reach_every_stage_of_the_reading() -> None:
    answers = {"yaml": 0, "mistake": 0, "job": 0}
    corpus = texts()
    for number in range(100):
        try:
            fuzz.read(mutated(1, number, corpus))
        except JobError as error:
            answers["yaml" if "not YAML" in str(error) else "mistake"] += 1
        else:
            answers["job"] += 1
    assert min(answers.values()) >= 5, answers


def test_a_crash_a_hang_and_a_slow_reading_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(_: bytes) -> None:
        raise KeyError("a")

    def end(_: bytes) -> None:
        raise SystemExit

    def refuse(_: bytes) -> None:
        raise JobError("as it should be")

    monkeypatch.setattr(fuzz, "HANGS_AFTER", 0.2)
    monkeypatch.setattr(fuzz, "SLOW_AFTER", 0.05)
    kinds = [
        finding and finding.what.split(" ")[0]
        for finding in (
            fuzz.examine(0, b"", crash),
            fuzz.examine(0, b"", end),
            fuzz.examine(0, b"", lambda _: time.sleep(30)),
            fuzz.examine(0, b"", lambda _: time.sleep(0.1)),
            fuzz.examine(0, b"", refuse),
            fuzz.examine(0, b"", lambda _: None),
        )
    ]
    assert kinds == ["KeyError", "SystemExit", "TimeoutError", "slow", None, None]


def test_a_finding_is_shrunk_to_the_lines_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(content: bytes) -> None:
        if b"bad" in content:
            raise KeyError("bad")

    monkeypatch.setattr(fuzz, "read", crash)
    found = fuzz.examine(0, b"a: 1\nb: bad\nc: 2\n")
    assert found
    assert fuzz.shrunk(found) == b"b: bad\n"
