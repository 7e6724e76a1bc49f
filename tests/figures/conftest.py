"""A small store with results of each protocol, computed once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import harness
from harness.storage.query import Results
from tests.conftest import PROBE, TRAIN

DIRAC: dict[str, Any] = {
    "name": "dirac",
    "protocol": "dirac",
    "grid": {"loss": ["minimax"], "sigma": [0, 1.0], "updates": ["simultaneous", "alternating"]},
    "dynamics": {"steps": 200, "start": [0.1, 0.1]},
}


@pytest.fixture(scope="session")
def real_root(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of a store with the jobs ``tiny`` (train), ``probed`` and ``dirac``."""
    root: Path = tmp_path_factory.mktemp("figures") / "results"
    evaluation = {"samples": 40, "draws": 50, "sigmas": [0.3], "directions": 10}
    train = {**TRAIN, "evaluation": {**evaluation, "metrics": ["modes"]}}
    probe = {
        **PROBE,
        "evaluation": evaluation,
        "networks": {"name": "mlp", "width": 8, "depth": 1, "latent": 4},
        "grid": {**PROBE["grid"], "loss": ["minimax", "non_saturating"]},
        "probe": {"iterations": 8, "batch": 16, "measurements": 3, "generator_batches": 16},
    }
    for job in (train, probe, DIRAC):
        harness.run(job, results=root, executor="serial", progress=False)
    return str(root)


@pytest.fixture(scope="session")
def real(real_root: str) -> Results:
    return Results(real_root)
