"""Every snippet of docs/extending.md, as a reader would put it together: one file mine.py, and jobs that name parts."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

import harness
from harness.errors import JobError
from tests.conftest import TRAIN
from tests.searches import HEAD

PAGE = (Path(__file__).parents[1] / "docs" / "extending.md").read_text(encoding="utf-8")
KINDS = (
    *("penalty", "noise", "schedule", "etworks", "optimizer", "loss", "problem", "metric", "feature space", "sampler"),
    "executor",
)


def blocks(language: str) -> list[str]:
    """The fenced blocks with this word behind the fence."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def fragments() -> list[dict[str, Any]]:
    """What the page says a job file may say."""
    return [YAML(typ="safe").load(text) for text in blocks("yaml")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a reader who has put all snippets into one file."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / "mine.py").write_text("".join(blocks("python")), encoding="utf-8")
    (folder / "test_mine.py").write_text("".join(blocks("python test")))
    return folder


@pytest.fixture
def mine(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(folder)


def test_the_page_has_a_section_for_every_kind() -> None:
    headings = " ".join(re.findall(r"^## (.*)$", PAGE, re.MULTILINE)).lower()
    assert [kind for kind in KINDS if kind not in headings] == []


def test_each_fragment_is_a_part_of_a_valid_job(mine: None) -> None:
    for fragment in fragments():
        base = YAML(typ="safe").load(HEAD + SPACE) if "search" in fragment else TRAIN
        whole = ("problem", "networks")  # named anew, not added to
        parts = {name: {**base.get(name, {}), **part} for name, part in fragment.items() if name not in whole}
        harness.load_job({**base, **fragment, **parts})


SPACE = "\nepochs: 4\nspace:\n  schedule:\n    constant: {sigma: {low: 0.01, high: 1.0}}\n"


def test_a_job_of_all_of_them_runs(mine: None, tmp_path: Path) -> None:
    grid = {
        "loss": ["mine:squared_hinge"],
        "penalty": ["mine:LogitNorm"],
        "sigma": [{"schedule": "mine:Sawtooth", "start": 0.5, "noise": "mine:Laplace"}],
        "epoch": [1],
        "seed": [0],
    }
    job = {
        **TRAIN,
        "problem": {"name": "mine:Spiral"},
        "networks": {"name": "mine:Bilinear"},
        "training": {"batch": 32, "steps_per_epoch": 5, "optimizer": {"name": "mine:Momentum"}},
        "grid": grid,
        "evaluation": {
            "samples": 40,
            "draws": 50,
            "features": "mine:RandomNetwork",
            "metrics": ["mine:mean_shift", "mine:ShareBeyond", "coverage", {"name": "kid", "features": "mine:radii"}],
        },
    }
    assert harness.run(job, results=tmp_path, executor="serial").statuses == {"completed": 1}
    names = harness.open_results(tmp_path).query("SELECT name FROM metrics ORDER BY name")["name"].to_pylist()
    assert names == ["coverage[mine:RandomNetwork]", "kid[mine:radii]", "mine:ShareBeyond", "mine:mean_shift"]


@pytest.mark.parametrize("problem", [{"name": "mine:Lattice", "side": 9}, {"name": "mine:two_points"}])
def test_fixed_sets_run(mine: None, problem: dict[str, Any], tmp_path: Path) -> None:
    grid = {"loss": ["minimax"], "sigma": [0.1], "epoch": [1], "seed": [0]}
    training = {"batch": 8, "steps_per_epoch": 2}
    job = {**TRAIN, "problem": problem, "training": training, "grid": grid}
    assert harness.run(job, results=tmp_path, executor="serial").statuses == {"completed": 1}


def python(folder: Path, *arguments: str) -> str:
    """What ``python -m ...`` prints in the reader's folder."""
    answer = subprocess.run(
        [sys.executable, "-m", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout


def test_the_readers_own_test_passes(folder: Path) -> None:
    assert "1 passed" in python(folder, "pytest", "-q", "-p", "no:cacheprovider", "test_mine.py")


@pytest.mark.slow
def test_the_whole_job_runs_as_the_page_has_it(folder: Path) -> None:
    (text,) = blocks("yaml job")
    (folder / "mine.yaml").write_text(text, encoding="utf-8")
    python(folder, "harness", "run", "mine.yaml", "--executor", "serial", "-q")
    (query,) = re.findall(r'^harness query "(.*)"$', PAGE, re.MULTILINE)[:1]
    rows = python(folder, "harness", "query", query, "--format", "csv").splitlines()
    assert len(rows) == 1 + 4
    assert "mine:LogitNorm(weight=0.1)" in "".join(rows)


def test_penalties_with_draws_with_limits_and_on_the_dirac_gan_run(mine: None, tmp_path: Path) -> None:
    names = ["mine:Consistency", "mine:SoftClip", "mine:Ridge"]
    job = {**TRAIN, "grid": {**TRAIN["grid"], "penalty": ["none", *names]}}
    outcome = harness.run(job, results=tmp_path, executor="serial")
    assert set(outcome.statuses) == {"completed"}
    losses = harness.open_results(tmp_path).query("SELECT DISTINCT d_loss FROM cells")
    assert losses.num_rows > 3  # the penalties do something
    grid = {"loss": ["non_saturating"], "penalty": [{"name": "mine:Ridge", "weight": 5.0}, "r1"]}  # r1: gamma/2 = 5
    harness.run({"name": "d", "protocol": "dirac", "grid": grid}, results=tmp_path, executor="serial")
    moduli = harness.open_results(tmp_path).query("SELECT updates, predicted_modulus FROM cells WHERE job = 'd'")
    assert moduli.num_rows == 4
    assert len({(row["updates"], row["predicted_modulus"]) for row in moduli.to_pylist()}) == 2


def test_a_penalty_whose_strength_follows_a_schedule_runs_in_a_sum_and_refuses_a_loss(
    mine: None, tmp_path: Path
) -> None:
    fading = {"name": "mine:Undecided", "weight": {"schedule": "linear", "start": 1e3, "end": 0.0}}
    grid = {"loss": ["minimax"], "sigma": [0], "epoch": [1], "seed": [0], "penalty": ["r1", {"sum": ["r1", fading]}]}
    assert harness.run({**TRAIN, "grid": grid}, results=tmp_path, executor="serial").statuses == {"completed": 2}
    rows = harness.open_results(tmp_path).query("SELECT penalty, d_loss FROM cells ORDER BY penalty").to_pylist()
    assert rows[1]["penalty"] == "r1(gamma=10) + mine:Undecided(weight=linear(end=0, start=1000))"
    assert rows[0]["d_loss"] != rows[1]["d_loss"]
    with pytest.raises(JobError, match=r"loss hinge has none; losses that it goes with can have a grid"):
        harness.load_job({**TRAIN, "grid": {**grid, "loss": ["hinge"]}})
