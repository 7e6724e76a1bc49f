"""A distributed benchmarking harness for GAN losses under instance noise.

import harness

job = harness.load_job("jobs/quickstart.yaml")
outcome = harness.run(job)
table = harness.open_results().query("SELECT loss, sigma, avg(w1) FROM cells GROUP BY ALL")
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .errors import HarnessError, JobError
    from .execution.run import Outcome, run
    from .job.job import Job
    from .job.reading import load_job
    from .storage.query import Results, open_results

__version__ = "0.1.0"
__all__ = ["HarnessError", "Job", "JobError", "Outcome", "Results", "load_job", "open_results", "run"]

_HOMES = {
    "HarnessError": "errors",
    "Job": "job.job",
    "JobError": "errors",
    "Outcome": "execution.run",
    "Results": "storage.query",
    "load_job": "job.reading",
    "open_results": "storage.query",
    "run": "execution.run",
}


def __getattr__(name: str) -> Any:
    """Loads a public name when it is first used, so that light commands stay light."""
    if name not in _HOMES:
        raise AttributeError(f"module 'harness' has no attribute '{name}'")
    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
