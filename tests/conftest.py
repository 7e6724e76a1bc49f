"""What tests share: small jobs that take about a second, and a store in a temporary folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.job.job import Job
from harness.job.reading import parse_job
from harness.storage.store import Store
from tests import shapes


def pytest_configure(config: pytest.Config) -> None:
    """A process of pytest-xdist shares the cores with others, so it works with one thread."""
    if hasattr(config, "workerinput"):
        torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keeps modules that start Ray in one process: two clusters on two cores would wait for each other."""
    with_ray = {item.path for item in items if item.get_closest_marker("ray")}
    for item in items:
        if item.path in with_ray:
            item.add_marker(pytest.mark.xdist_group("ray"))


DATA = Path(__file__).parent / "data"
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


TRAIN = {
    "name": "tiny",
    "protocol": "train",
    "problem": {"name": "ring"},
    "networks": {"name": "mlp", "width": 16, "depth": 2, "latent": 4},
    "training": {"batch": 32, "steps_per_epoch": 10},
    "grid": {"loss": ["minimax", "non_saturating"], "sigma": [0, 0.2], "epoch": [1, 3], "seed": [0, 1]},
    "evaluation": {"samples": 60, "draws": 100, "sigmas": [0.1, 0.3]},
    "resources": {"pack": 4},
}

PROBE = {
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


def make_job(base: dict[str, Any], **changes: Any) -> Job:
    """A job from one of the dictionaries above; a mapping among the changes is merged into its part."""
    content = dict(base)
    for name, value in changes.items():
        content[name] = {**content.get(name, {}), **value} if isinstance(value, dict) else value
    job = parse_job(json.dumps(content))  # JSON is YAML
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
