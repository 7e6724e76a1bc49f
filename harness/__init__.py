"""A distributed benchmarking harness for GAN losses under instance noise.

A job says which cells (loss, sigma, epoch, seed) to compute; results become Parquet, queried in SQL:

    import harness

    job = harness.load_job("example:quickstart")        # a file, one that comes with the package, or a dictionary
    print(harness.plan(job))                            # what a run would do
    outcome = harness.run(job, progress=True)           # does what is missing
    results = harness.open_results()
    results.query("SELECT loss, sigma, avg(w1) FROM cells GROUP BY ALL ORDER BY ALL")
    results.df("cells")                                 # a pandas table, if pandas is there
    harness.compare("quickstart", by="sigma")           # contrasts of seeds, with intervals and verdicts

Searches have the same doors: ``harness.tune("jobs/tune_ring.yaml")``. Any two sample sets are measured by
``harness.evaluate(real, fake)``, the theorems checked by ``harness.verify()``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .contrasts.compare import compare
    from .contrasts.contrast import Contrast
    from .errors import ClusterError, HarnessError, JobError, QueryError, StoreError, TuneError
    from .evaluation.compare import evaluate
    from .execution.run import Outcome, plan, run
    from .job.dirac import DiracJob
    from .job.job import Grid, Job
    from .job.reading import dump_job, load_job
    from .job.tune import TuneJob
    from .planning.plan import Plan
    from .search.tune import Tuned, tune
    from .storage.query import Results, open_results
    from .verification import Finding, verify

__version__ = "0.1.0"

_HOMES = {
    "ClusterError": "errors",
    "Contrast": "contrasts.contrast",
    "DiracJob": "job.dirac",
    "Finding": "verification",
    "Grid": "job.job",
    "HarnessError": "errors",
    "Job": "job.job",
    "JobError": "errors",
    "Outcome": "execution.run",
    "Plan": "planning.plan",
    "QueryError": "errors",
    "Results": "storage.query",
    "StoreError": "errors",
    "TuneError": "errors",
    "TuneJob": "job.tune",
    "Tuned": "search.tune",
    "compare": "contrasts.compare",
    "dump_job": "job.reading",
    "evaluate": "evaluation.compare",
    "load_job": "job.reading",
    "open_results": "storage.query",
    "plan": "execution.run",
    "run": "execution.run",
    "tune": "search.tune",
    "verify": "verification",
}
"""Where each public name lives; it is loaded when it is first used, so that light commands stay light."""

__all__ = [
    "ClusterError",
    "Contrast",
    "DiracJob",
    "Finding",
    "Grid",
    "HarnessError",
    "Job",
    "JobError",
    "Outcome",
    "Plan",
    "QueryError",
    "Results",
    "StoreError",
    "TuneError",
    "TuneJob",
    "Tuned",
    "__version__",
    "compare",
    "dump_job",
    "evaluate",
    "load_job",
    "open_results",
    "plan",
    "run",
    "tune",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'harness' has no attribute '{name}'")
    value = getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
