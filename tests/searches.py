"""Searches for tests: a job file of protocol tune, and that file with words replaced."""

from __future__ import annotations

from harness.job.reading import parse_job
from harness.job.tune import TuneJob

HEAD = """\
name: search
protocol: tune
problem: {name: ring}
networks: {name: mlp, width: 8, depth: 1, latent: 2}
training: {batch: 16, steps_per_epoch: 5}
"""
"""What the small searches of the tests have in common."""


def changed(text: str, *pairs: tuple[str, str]) -> str:
    """The text with each first of a pair, which must be there, replaced by the second."""
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    return text


def search_of(text: str, *pairs: tuple[str, str]) -> TuneJob:
    """The search that such a text describes."""
    job = parse_job(changed(text, *pairs))
    assert isinstance(job, TuneJob)
    return job
