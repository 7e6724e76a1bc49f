"""``import harness`` as a person explores it: what it shows, what it takes, and what it answers in short."""

from __future__ import annotations

import copy
import pydoc
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import harness
from harness.job.job import Grid, Job
from harness.job.parts.networks import DCGAN, MLP
from harness.job.parts.problems import Ring
from harness.job.parts.settings import Training
from tests.conftest import PROBE, TRAIN

JOBS = Path(__file__).parents[1] / "jobs"


def test_dir_shows_what_there_is_and_every_name_is_there() -> None:
    assert dir(harness) == sorted(harness.__all__)
    for name in harness.__all__:
        assert getattr(harness, name) is not None


def test_help_says_what_to_do() -> None:
    text = pydoc.plain(pydoc.render_doc(harness))
    for word in ("load_job", "plan", "run", "tune", "evaluate", "verify", "open_results"):
        assert word in text
        assert (getattr(harness, word).__doc__ or "").strip()


def test_looking_loads_nothing_heavy() -> None:
    code = "import sys, harness; dir(harness); harness.load_job; print({'torch', 'ray', 'optuna'} & set(sys.modules))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "set()"


@pytest.mark.parametrize("name", sorted(path.name for path in JOBS.glob("*.yaml") if path.name != "fashion.yaml"))
def test_a_dictionary_is_a_job_like_its_file(name: str) -> None:
    from ruamel.yaml import YAML

    if "fashion-mnist" in (JOBS / name).read_text() and not Path("/usr/share/datasets/fashion-mnist").is_dir():
        pytest.skip("Debian's dataset-fashion-mnist is not installed")
    content = YAML(typ="safe").load((JOBS / name).read_text())
    assert harness.load_job(content) == harness.load_job(JOBS / name)


def test_mistakes_of_a_dictionary_have_their_place_by_keys() -> None:
    content = copy.deepcopy(TRAIN)
    content["grid"]["loss"] = ["minimax", "hing"]
    content["networks"]["widht"] = 3
    with pytest.raises(harness.JobError) as caught:
        harness.load_job(content)
    lines = str(caught.value).splitlines()
    assert lines[0] == "job: grid.loss[1]: unknown loss 'hing'. Did you mean 'hinge'?"
    assert any(line.startswith("job: networks.widht: unknown key. Did you mean 'width'?") for line in lines)


def job_in_python(**changes: Any) -> Job:
    grid = Grid(loss=("minimax",), sigma=(0.1,), epoch=(1,), seed=(0,))  # type: ignore[arg-type]  # a number becomes noise
    parts: dict[str, Any] = {"name": "made", "problem": Ring(), "networks": MLP(width=8)}
    parts |= {"training": Training(steps_per_epoch=2)}
    return Job(protocol="train", grid=(grid,), **{**parts, **changes})


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"training": Training()}, "needs training.steps_per_epoch"),
        ({"networks": DCGAN()}, "dcgan needs square images"),
        ({"name": "snapshots"}, "the store's own folder"),
        ({"name": "reference"}, "the folder of the reference results"),
        ({"reference": {"loss": "minimax"}}, "protocol train has no reference"),
    ],
)
def test_a_job_made_in_python_is_checked_as_one_from_a_file(changes: dict[str, Any], says: str) -> None:
    assert job_in_python().name == "made"
    with pytest.raises(ValueError, match=says):
        job_in_python(**changes)


def test_a_dictionary_as_a_whole_is_called_what_it_is_once() -> None:
    with pytest.raises(harness.JobError) as caught:
        harness.load_job({name: part for name, part in TRAIN.items() if name != "networks"})
    assert str(caught.value) == "job: 'networks' is missing"


def test_short_answers() -> None:
    job = harness.load_job(TRAIN)
    assert repr(job) == "Job('tiny', protocol='train', problem='ring')"
    assert repr(harness.load_job(JOBS / "tune_ring.yaml")).startswith("TuneJob('tune_ring'")


def test_plan_run_and_results_from_a_path(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, root = tmp_path / "job.yaml", tmp_path / "results"
    path.write_text(harness.dump_job(harness.load_job({**TRAIN, "grid": {**TRAIN["grid"], "seed": [0]}})))
    assert repr(harness.plan(path, results=root)).startswith("Plan(tiny: 8 cells, 8 missing, ")
    seen: list[int] = []
    watch: dict[str, Any] = {"progress": True, "observer": lambda state: seen.append(state.num_ended)}
    outcome = harness.run(path, results=root, executor="serial", **watch)
    assert seen[-1] == 8
    assert repr(outcome).startswith("Outcome(tiny: 8 completed; 8 computed in ")
    assert "this process" in capsys.readouterr().err
    assert harness.plan(path, results=root).missing == ()
    results = harness.open_results(root)
    assert repr(results) == f"Results({str(root)!r}: jobs tiny)"
    assert results.cells("tiny").num_rows == 8
    frame = results.df("SELECT loss, count(*) AS n FROM cells GROUP BY loss ORDER BY loss")
    assert frame.to_dict("list") == {"loss": ["minimax", "non_saturating"], "n": [4, 4]}
    assert len(results.df("training")) == results.table("training").num_rows > 0


def test_a_search_is_no_grid_and_the_reverse(tmp_path: Path) -> None:
    with pytest.raises(harness.JobError, match="protocol tune is a search"):
        harness.run(JOBS / "tune_ring.yaml", results=tmp_path, executor="serial")
    with pytest.raises(harness.JobError, match="protocol probe is no search"):
        harness.tune(PROBE, results=tmp_path, executor="serial")


@pytest.mark.parametrize("make", [np.array, torch.tensor], ids=["numpy", "torch"])
def test_evaluate_takes_arrays_of_one_sample(make: Callable[[Any], Any]) -> None:
    table = harness.evaluate(make([[0.0, 0.0]]), make([[3.0, 4.0]]), sigmas=[1.0], num_draws=50)
    row = table.to_pylist()[0]
    assert row["w1"] == pytest.approx(5.0)
    assert row["bound_holds"]
    with pytest.raises(harness.HarnessError, match="fake: sample 1 holds a value that is NaN"):
        harness.evaluate(np.zeros((2, 2)), np.array([[0.0, 0.0], [np.nan, 0.0]]))


def test_verify_gives_findings() -> None:
    (finding,) = harness.verify(["2.5"])
    assert finding.passed
    assert finding.statement == "2.5"
