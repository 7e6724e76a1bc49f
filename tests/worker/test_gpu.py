"""On a real GPU: what logical ones cannot show. Skipped where there is none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import harness
from harness.evaluation.sets import SetPair
from harness.job.job import Job
from harness.storage.query import Results
from harness.storage.store import Store
from harness.theory.sliced import random_directions

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here"),
]

JobMaker = Callable[..., Job]
NUMBERS = "SELECT * EXCLUDE (seconds, peak_memory_bytes, started_at, finished_at, part, sequence, attempt) FROM cells"


@pytest.fixture
def little_memory() -> Iterator[None]:
    """Leaves this process about half a GB of the GPU."""
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(5e8 / total)
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)


def test_cells_are_computed_on_the_gpu_and_twice_the_same(
    train_job: JobMaker, probe_job: JobMaker, tmp_path: Path
) -> None:
    for job in (train_job(), probe_job()):
        tables = []
        for root in (tmp_path / f"{job.name}-one", tmp_path / f"{job.name}-two"):
            assert harness.run(job, results=root, executor="serial").is_complete
            tables.append(Results(root).query(f"{NUMBERS} ORDER BY cell_id").to_pylist())
        assert {row["device"] for row in tables[0]} == {torch.cuda.get_device_name(0)}
        assert tables[0] == tables[1]


def test_two_sample_sets_measure_the_same_on_both_devices() -> None:
    """Exact transport to rounding, Monte Carlo estimates to their standard errors: the draws differ."""
    random = np.random.default_rng(5)
    real, fake = (torch.tensor(random.normal(at, 1, (300, 2)), dtype=torch.float32) for at in (0.0, 0.7))
    found = {}
    for name in ("cpu", "cuda"):
        pair = SetPair(
            real.to(name),
            fake.to(name),
            grid=[0.1, 0.5],
            num_draws=20_000,
            directions=random_directions(2000, 2, generator=torch.Generator(name).manual_seed(4)),
            generator=torch.Generator(name).manual_seed(3),
        )
        found[name] = pair.columns([0.3])[0.3]
    cpu, gpu = found["cpu"], found["cuda"]
    assert gpu["w1"] == pytest.approx(cpu["w1"], rel=1e-5)
    assert gpu["w1_sliced"] == pytest.approx(cpu["w1_sliced"], rel=0.05)  # other directions
    assert gpu["bound_sharp"] == pytest.approx(cpu["bound_sharp"], rel=0.02)
    assert abs(gpu["jsd_mixture"] - cpu["jsd_mixture"]) < 5 * (gpu["jsd_mixture_se"] + cpu["jsd_mixture_se"])


@pytest.mark.usefixtures("little_memory")
def test_a_pack_that_does_not_fit_is_halved_until_it_does(train_job: JobMaker, store: Store) -> None:
    """A hundred and twenty-eight members of which a dozen or two fit; all are there in the end."""
    changes: dict[str, Any] = {
        "problem": {"name": "digits"},
        "networks": {"name": "dcgan", "width": 32, "latent": 8, "batch_norm": "joint"},
        "training": {"batch": 128, "steps_per_epoch": 2},
        "grid": {"loss": ["minimax"], "sigma": [0], "epoch": [1], "seed": list(range(128))},
        "resources": {"pack": 128, "retries": 0},
    }
    assert harness.run(train_job(**changes), results=store.root, executor="serial").statuses == {"completed": 128}
    parts = Results(store.root).query("SELECT count(DISTINCT part) AS num FROM cells").to_pylist()
    assert parts[0]["num"] > 1


@pytest.mark.ray
def test_a_process_whose_gpu_context_is_lost_is_replaced(train_job: JobMaker, store: Store) -> None:
    """An assertion in a kernel makes every later call of its process fail."""
    grid = {"loss": ["minimax", "tests.custom:asserting"], "epoch": [1], "sigma": [0]}
    outcome = harness.run(train_job(grid=grid, resources={"pack": 4, "retries": 0}), results=store.root)
    assert outcome.statuses == {"completed": 2, "failed": 2}
    assert "1 Ray actor, 1 GPU" in outcome.executor
    found = Results(store.root).query("SELECT DISTINCT loss, error FROM cells WHERE status = 'failed'").to_pylist()
    assert {row["loss"] for row in found} == {"tests.custom:asserting"}
    assert all("device-side assert" in row["error"] for row in found)


@pytest.mark.ray
def test_two_actors_share_a_gpu(train_job: JobMaker, store: Store, tmp_path: Path) -> None:
    job = train_job(resources={"gpus_per_actor": 0.5, "pack": 2})
    outcome = harness.run(job, results=store.root)
    assert outcome.is_complete
    assert "2 Ray actors, 0.5 GPU" in outcome.executor
    harness.run(job, results=tmp_path, executor="serial")
    one, two = (Results(root).query(f"{NUMBERS} ORDER BY cell_id").to_pylist() for root in (store.root, tmp_path))
    assert one == two
