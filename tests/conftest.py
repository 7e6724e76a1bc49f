"""What tests share: small jobs that take about a second, and a store in a temporary folder."""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.job.job import Job
from harness.job.reading import AnyJob, parse_job
from harness.job.tune import TuneJob
from harness.storage.store import Store
from tests import shapes


def pytest_configure() -> None:
    """One thread: our matrices are tiny, and threads that wait for each other make the theory six times slower."""
    torch.set_num_threads(1)
    os.environ.setdefault("HARNESS_NO_REPORT", "1")  # a report takes seconds, and is tested where it is the matter


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Under ``--dist loadgroup`` modules that start Ray stay in one process: two clusters are too much for two cores.

    The mark `xdist_group` would say the same, but has no effect with pytest 9.2 (pytest-xdist issue 1386).
    """
    if config.getvalue("dist") != "loadgroup":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid)

    return Scheduling(config, log)


def group_of(nodeid: str) -> str:
    """Tests of one group run in one process: those of all modules that start Ray; any other test is its own group."""
    return "ray" if _starts_ray(nodeid.split("::")[0]) else nodeid


@functools.cache
def _starts_ray(file: str) -> bool:
    return "mark.ray" in (Path(__file__).parents[1] / file).read_text(encoding="utf-8")


DATA = Path(__file__).parent / "data"
sys.path.append(str(Path(__file__).parent / "plugin"))  # noiselab, a package as a user would bring one
shapes.check_on_import()  # none of the imports above has loaded such a module; tests/theory/test_shapes.py would fail


def oracle(name: str) -> Any:
    """Reference values from an independent numpy/scipy program."""
    return json.loads((DATA / f"{name}.json").read_text())


@pytest.fixture
def one_thread() -> Iterator[None]:
    """For tiny matrices: threads that wait for each other slow them down a hundred times on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


TRAIN: dict[str, Any] = {
    "name": "tiny",
    "protocol": "train",
    "problem": {"name": "ring"},
    "networks": {"name": "mlp", "width": 16, "depth": 2, "latent": 4},
    "training": {"batch": 32, "steps_per_epoch": 10},
    "grid": {"loss": ["minimax", "non_saturating"], "sigma": [0, 0.2], "epoch": [1, 3], "seed": [0, 1]},
    "evaluation": {"samples": 60, "draws": 100, "sigmas": [0.1, 0.3]},
    "resources": {"pack": 4},
}

PROBE: dict[str, Any] = {
    "name": "probed",
    "protocol": "probe",
    "problem": {"name": "digits"},
    "networks": {"name": "dcgan", "width": 4, "latent": 8, "batch_norm": "joint"},
    "training": {"steps_per_epoch": 4},
    "grid": {
        "loss": ["minimax", "non_saturating", "wasserstein"],
        "sigma": [0, 0.5],
        "epoch": [1, 2],
        "seed": [0, 1],
    },
    "probe": {"iterations": 12, "batch": 32, "measurements": 4, "generator_batches": 2},
    "evaluation": {"samples": 60, "draws": 100, "sigmas": [0.1, 0.3]},
    "resources": {"pack": 4},
}


def near(expected: float | None, *, rel: float | None = None) -> Any:
    """`pytest.approx` as a part of an object that is compared as a whole; a part that is None is to be None."""
    return pytest.approx(expected, rel=rel)


def make_job(base: dict[str, Any], **changes: Any) -> Job:
    """A job from one of the dictionaries above; a mapping among the changes is merged into its part."""
    content = dict(base)
    for name, value in changes.items():
        content[name] = {**content.get(name, {}), **value} if isinstance(value, dict) else value
    return as_job(parse_job(json.dumps(content)))  # JSON is YAML


def as_job(job: AnyJob | TuneJob) -> Job:
    """A job that was read, which is to be one of protocol train or probe."""
    assert isinstance(job, Job)
    return job


@pytest.fixture
def train_job() -> Callable[..., Job]:
    return lambda **changes: make_job(TRAIN, **changes)


@pytest.fixture
def probe_job() -> Callable[..., Job]:
    return lambda **changes: make_job(PROBE, **changes)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")
