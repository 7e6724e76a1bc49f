"""A package from outside the harness, installed in a folder of its own: one part of each kind, by the same doors."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from noiselab.metrics import ShareBeyond
from noiselab.parts import StudentFamily
from scipy import stats

import harness
from tests.conftest import TRAIN

ROOT = Path(__file__).parents[1]
PLUGIN = ROOT / "tests" / "plugin"

GRID: dict[str, Any] = {
    "loss": ["hinge", "noiselab.parts:squared_hinge"],
    "penalty": [{"name": "noiselab.parts:LogitNorm", "weight": 0.2}],
    "sigma": [
        {"schedule": "noiselab.parts:Sawtooth", "start": 0.3},
        {"sigma": 0.2, "noise": {"name": "noiselab.parts:StudentT", "df": 4.0}},
    ],
    "epoch": [1, 2],
    "seed": [0, 1],
}
JOB: dict[str, Any] = {
    **TRAIN,
    "name": "brought",
    "problem": {"name": "noiselab.data:Spiral", "turns": 1.5},
    "networks": {"name": "noiselab.parts:Residual", "width": 8},
    "training": {
        "batch": 32,
        "steps_per_epoch": 5,
        "optimizer": {"name": "noiselab.parts:Momentum", "learning_rate": 0.001},
    },
    "grid": GRID,
    "evaluation": {
        "samples": 40,
        "draws": 50,
        "sigmas": [0.1],
        "metrics": ["noiselab.metrics:mean_shift", {"name": "noiselab.metrics:ShareBeyond", "radius": 0.5}],
    },
}
SEARCH: dict[str, Any] = {
    **{part: JOB[part] for part in ("problem", "networks", "training", "evaluation")},
    "name": "searched",
    "protocol": "tune",
    "epochs": 3,
    "space": {
        "schedule": {"noiselab.parts:Sawtooth": {"start": {"low": 0.1, "high": 1.0}}, "constant": {"sigma": 0.1}},
        "penalty": {"noiselab.parts:LogitNorm": {"weight": {"low": 0.01, "high": 1.0, "log": True}}},
    },
    "search": {
        "trials": 4,
        "seeds": 1,
        "sampler": "noiselab.searching:uniform",
        "pruner": {"name": "noiselab.searching:WorstHalf", "min_trials": 2},
        "finalists": 1,
        "finalist_seeds": 1,
        "confirmation_seeds": 1,
    },
}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as pip puts it somewhere else: a copy, from which its source folder cannot be reached."""
    source, target = (tmp_path_factory.mktemp(name) for name in ("source", "site"))
    shutil.copytree(PLUGIN, source / "noiselab", ignore=shutil.ignore_patterns("__pycache__", "build", "*.egg-info"))
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--target", str(target), str(source / "noiselab")], check=True, timeout=120)
    return target


def command(installed: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """``harness`` in a folder of its own, with nothing but the harness and the installed package on the path."""
    return subprocess.run(
        [sys.executable, "-m", "harness", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(installed)])},
        timeout=300,
    )


def written(folder: Path, job: dict[str, Any]) -> str:
    (folder / "job.yaml").write_text(json.dumps(job))  # JSON is YAML
    return "job.yaml"


def test_a_grid_of_everything_runs_on_an_executor_that_the_package_brings(installed: Path, tmp_path: Path) -> None:
    answer = command(installed, tmp_path, "run", written(tmp_path, JOB), "--executor", "counting")
    assert answer.returncode == 0, answer.stderr
    assert "this process, counting packs" in answer.stderr
    results = harness.open_results(tmp_path / "results")
    rows = results.cells().to_pylist()
    assert len(rows) == 16
    assert {row["loss"] for row in rows} == set(GRID["loss"])
    assert {row["penalty"] for row in rows} == {"noiselab.parts:LogitNorm(weight=0.2)"}
    assert {row["schedule"] for row in rows} == {
        "noiselab.parts:Sawtooth(start=0.3)",
        "0.2 noiselab.parts:StudentT(df=4)",
    }
    assert all(row["bound_holds"] for row in rows)
    metrics = results.query("SELECT DISTINCT name, standard_error IS NULL AS plain FROM metrics ORDER BY name")
    assert metrics.to_pylist() == [
        {"name": "noiselab.metrics:ShareBeyond(radius=0.5)", "plain": False},
        {"name": "noiselab.metrics:mean_shift", "plain": True},
    ]


@pytest.mark.slow
@pytest.mark.ray
def test_the_same_grid_on_real_actors_has_the_same_numbers(installed: Path, tmp_path: Path) -> None:
    tables = []
    for executor in ("serial", "ray"):
        folder = tmp_path / executor
        folder.mkdir()
        answer = command(installed, folder, "run", written(folder, JOB), "--executor", executor)
        assert answer.returncode == 0, answer.stderr
        results = harness.open_results(folder / "results")
        tables.append(results.query("SELECT cell_id, w1, jsd_mixture, d_loss FROM cells ORDER BY cell_id").to_pylist())
    assert len(tables[0]) == 16
    for here, there in zip(*tables, strict=True):
        assert here.pop("cell_id") == there.pop("cell_id")
        assert here == pytest.approx(there, rel=1e-4)  # packs differ in size, and with them rounding


def test_a_search_of_everything_runs(installed: Path, tmp_path: Path) -> None:
    answer = command(installed, tmp_path, "tune", written(tmp_path, SEARCH), "--executor", "serial")
    assert answer.returncode == 0, answer.stderr
    trials = harness.open_results(tmp_path / "results").table("trials").to_pylist()
    assert len(trials) == 4
    assert {row["family"] for row in trials} <= {"noiselab.parts:Sawtooth", "constant"}
    weights = [json.loads(row["parameters"])["noiselab.parts:LogitNorm.weight"] for row in trials]
    assert all(0.01 <= weight <= 1.0 for weight in weights)
    assert len(set(weights)) == 4


@pytest.mark.parametrize(
    ("part", "value", "says"),
    [
        (
            "grid",
            {"penalty": [{"name": "noiselab.parts:LogitNorm", "wieght": 1}]},
            "grid.penalty[0].wieght: unknown",
        ),
        (
            "grid",
            {"penalty": ["noiselab.parts:LogitNrm"]},
            "penalty 'noiselab.parts:LogitNrm' cannot be imported",
        ),
        ("grid", {"penalty": ["noiselab.parts:Momentum"]}, "is no penalty; it must be a class derived from"),
        ("grid", {"sigma": [{"schedule": "noiselab.parts:Sawtooth"}]}, "takes start and may have teeth; got nothing"),
        (
            "networks",
            {"name": "noiselab.parts:Residual", "width": 0},
            "networks.width: must be greater than or equal",
        ),
        (
            "evaluation",
            {"metrics": [{"name": "noiselab.metrics:ShareBeyond", "radius": -1}]},
            "metrics[0].radius: must",
        ),
    ],
)
def test_mistakes_get_the_same_messages_as_those_of_built_in_parts(part: str, value: dict[str, Any], says: str) -> None:
    changed = value if part == "networks" else {**JOB[part], **value}
    with pytest.raises(harness.JobError) as caught:
        harness.load_job({**JOB, part: changed})
    assert says in str(caught.value)


def test_a_change_in_a_module_that_the_part_imports_is_another_cell(installed: Path, tmp_path: Path) -> None:
    job = {**JOB, "grid": {**GRID, "seed": [0]}}
    assert command(installed, tmp_path, "run", written(tmp_path, job), "--executor", "serial").returncode == 0
    again = command(installed, tmp_path, "plan", "job.yaml", "--json")
    assert json.loads(again.stdout)["stale"] == 0
    other = tmp_path / "site"
    shutil.copytree(installed, other)
    constants = other / "noiselab" / "constants.py"
    constants.write_text(constants.read_text().replace("HALF = 0.5", "HALF = 0.25"))
    plan = json.loads(command(other, tmp_path, "plan", "job.yaml", "--json").stdout)
    assert plan["stale"] == plan["cells"] == 8
    assert any("penalty.source" in reason for reason in plan["stale_because"])


def test_an_executor_that_nobody_brings_is_a_clear_message(tmp_path: Path) -> None:
    with pytest.raises(harness.HarnessError, match=r"unknown executor 'cuonting'\..*\n  Valid: .*ray, serial"):
        harness.run(JOB, results=tmp_path, executor="cuonting")


def test_the_noise_of_the_package_has_the_variance_and_the_density_it_says() -> None:
    family = StudentFamily("t", 5.0)
    draws = family.unit(40_000, 3, generator=torch.Generator().manual_seed(0))
    assert family.variance(sigma=1.0, dimension=3) == pytest.approx(float(draws.square().sum(1).mean()), rel=0.05)
    assert stats.kstest(draws[:, 0].numpy(), stats.t(5).cdf).pvalue > 1e-3
    points = np.array([[0.0, 0.0, 0.0], [1.0, -2.0, 0.5]])
    exact = stats.multivariate_t(np.zeros(3), np.eye(3), df=5).logpdf(points)
    kernel = family.log_kernel(torch.from_numpy((points**2).sum(1)), dimension=3)
    assert float(kernel[1] - kernel[0]) == pytest.approx(exact[1] - exact[0])


def test_the_metric_of_the_package_counts() -> None:
    fake = torch.tensor([[3.0, 0.0], [0.0, 0.5], [0.0, 0.0], [0.0, 2.0]])
    share, error = ShareBeyond(radius=1.0)(fake, fake, generator=torch.Generator())
    assert (share, error) == (0.5, 0.25)  # sqrt(1/2 * 1/2 / 4)
