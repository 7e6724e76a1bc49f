"""Samples of stored generators: those the evaluation measured, and a density by scipy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from scipy import stats

import harness
from harness.errors import HarnessError
from harness.evaluation.samples import bounds_over_sigma, noisy_density, samples_of
from harness.identity import stream_seed
from harness.job.job import Job
from harness.stacking.module import StackedModule
from harness.storage.query import Results
from harness.storage.store import Store
from harness.training.snapshots import decode
from tests.conftest import TRAIN, make_job


@pytest.fixture(scope="module")
def job() -> Job:
    grid = {"loss": ["minimax"], "sigma": [0.2], "epoch": [1, 2], "seed": [0, 1]}
    evaluation = {"samples": 40, "draws": 50, "sigmas": [0.3], "directions": 10}
    return make_job({**TRAIN, "grid": grid, "evaluation": evaluation})


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, job: Job) -> str:
    place: Path = tmp_path_factory.mktemp("samples") / "results"
    harness.run(job, results=place, executor="serial", progress=False)
    return str(place)


def rows(root: str) -> list[dict[str, Any]]:
    return list(Results(root).query("SELECT * FROM cells ORDER BY epoch, seed").to_pylist())


def test_each_cell_has_the_samples_of_its_own_generator(root: str, job: Job) -> None:
    """By the weights of its snapshot in a plain module, called on the same latents."""
    cells, store = rows(root), Store(root)
    found = samples_of(store, job, cells, num=7, num_real=20)
    assert found.generated.shape == (4, 7, 2)
    assert found.real.shape == (20, 2)
    again = samples_of(store, job, cells[:1], num=7, num_real=1).generated[0]
    assert torch.equal(found.generated[0], again)  # whatever is beside it
    stacked = StackedModule.generator(job.networks, (2,))
    module = job.networks.generator((2,))
    generator = torch.Generator().manual_seed(stream_seed("figure", "latents"))
    latents = torch.randn(1, 32, 4, generator=generator)[0]  # a batch of the training's size
    for cell, samples in zip(cells, found.generated, strict=True):
        content = store.place.content(f"snapshots/{cell['snapshot']}")
        assert content is not None
        weights = decode(stacked, content)[cell["run_id"], cell["epoch"]]
        parts = zip(weights.split(stacked.sizes), stacked.shapes, strict=True)
        named = dict(zip(stacked.names, (part.reshape(shape) for part, shape in parts), strict=True))
        module.load_state_dict(named)
        with torch.no_grad():
            assert torch.allclose(module(latents)[:7], samples, atol=1e-5)


def test_rows_that_name_no_file_are_found_by_their_run(root: str, job: Job) -> None:
    cells = rows(root)
    by_file = samples_of(Store(root), job, cells, num=3, num_real=3).generated
    unnamed = [{**cell, "snapshot": None} for cell in cells]
    assert torch.equal(samples_of(Store(root), job, unnamed, num=3, num_real=3).generated, by_file)


def test_a_store_without_generators_says_why_and_what_to_do(root: str, job: Job, tmp_path: Path) -> None:
    unnamed = [{**cell, "snapshot": None, "run_id": "elsewhere"} for cell in rows(root)]
    with pytest.raises(HarnessError, match=r"no generators of job 'tiny'.*searches keep none.*'harness run'"):
        samples_of(Store(root), job, unnamed, num=3, num_real=3)
    with pytest.raises(HarnessError, match=r"no generators of job 'tiny'"):
        samples_of(Store(tmp_path), job, rows(root), num=3, num_real=3)


def test_a_damaged_file_is_told_and_left_where_it_is(root: str, job: Job, tmp_path: Path) -> None:
    cells = rows(root)
    name = tmp_path / "snapshots" / cells[0]["snapshot"]
    name.parent.mkdir()
    name.write_bytes(b"what was written")
    with pytest.raises(HarnessError, match="is damaged; 'harness run' makes it again"):
        samples_of(Store(tmp_path), job, cells[:1], num=3, num_real=3)
    assert name.exists()


def test_the_noisy_density_is_scipys_mixture() -> None:
    generator = torch.Generator().manual_seed(0)
    real, points = torch.randn(5, 2, generator=generator), torch.randn(4, 2, generator=generator)
    expected = [
        sum(stats.multivariate_normal.pdf(point, mean=centre, cov=0.09) for centre in real.numpy()) / 5
        for point in points.numpy()
    ]
    assert noisy_density(real, points, sigma=0.3).tolist() == pytest.approx(expected)


def test_bounds_at_other_sigmas_are_of_the_samples_the_rows_are_of(root: str, job: Job) -> None:
    cells = rows(root)[:2]
    for cell, found in zip(cells, bounds_over_sigma(Store(root), job, cells), strict=True):
        assert list(found) == [0.3]
        assert found[0.3]["w1"] == pytest.approx(cell["w1"], rel=1e-6)
        assert min(columns["bound_paper"] for columns in found.values()) == pytest.approx(cell["bound_best"])
