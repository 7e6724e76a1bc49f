"""A search whose driver is killed at trial 20 of 48, by both kinds of storage: nothing lost, nothing twice."""

from __future__ import annotations

import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import optuna
import psutil
import pytest

from harness.storage.query import Results
from harness.storage.store import Store
from tests.execution.test_cluster import ENVIRONMENT, command, end_all, wait_for
from tests.postgres import has_postgres, postgres_server

pytestmark = [pytest.mark.ray, pytest.mark.slow]

JOB = """\
name: search
protocol: tune
problem: {name: ring}
networks: {name: mlp, width: 16, depth: 1, latent: 2}
training: {batch: 16, steps_per_epoch: 60}
epochs: 6
space:
  schedule:
    constant: {sigma: {low: 0.01, high: 1, log: true}}
    linear: {start: {low: 0.05, high: 2}, end: 0.0, fraction: {low: 0.3, high: 1}}
search: {trials: 48, seeds: 2, pruner: median, finalists: 2, finalist_seeds: 1, confirmation_seeds: 1}
evaluation: {samples: 60, draws: 100, directions: 4}
resources: {pack: 4}
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def storage(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "sqlite":
        with tempfile.TemporaryDirectory() as folder:
            yield f"sqlite:///{folder}/study.db"
        return
    pytest.importorskip("psycopg", reason="needs psycopg: pip install 'psycopg[binary]'")
    if not has_postgres():
        pytest.skip("needs a PostgreSQL server: apt-get install postgresql")
    with postgres_server() as url:
        yield url


def num_trials(root: Path) -> int:
    return Results(root).table("trials").num_rows if (root / "search" / "trials").is_dir() else 0


def computed(root: Path) -> list[str]:
    """Every row there is, also what a view would hide as superseded."""
    return [str(cell_id) for cell_id in Store(root).dataset("cells").to_table()["cell_id"].to_pylist()]


def test_a_search_killed_at_trial_20_finishes_48_distinct_trials(storage: str, tmp_path: Path) -> None:
    job_file, root = tmp_path / "job.yaml", tmp_path / "results"
    job_file.write_text(JOB)
    start = command("tune", str(job_file), "--results", str(root), "--storage", storage)
    driver = subprocess.Popen(start, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    children: list[psutil.Process] = []
    try:
        wait_for(lambda: num_trials(root) >= 20, seconds=240, process=driver)
        children = psutil.Process(driver.pid).children(recursive=True)
    finally:
        driver.send_signal(signal.SIGKILL)
        driver.wait()
        end_all(children)  # what Ray leaves behind when its driver is killed
    before = computed(root)
    asked = {trial.number: trial.params for trial in optuna.load_study(study_name="search", storage=storage).trials}
    assert 20 <= num_trials(root) < 48

    again = subprocess.run(start, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=300)
    assert again.returncode == 0, again.stderr
    study = optuna.load_study(study_name="search", storage=storage)
    assert len(study.trials) == 48
    assert all(trial.state.is_finished() for trial in study.trials)
    assert not any(trial.state == optuna.trial.TrialState.FAIL for trial in study.trials)
    # what had been asked for kept its parameters (the kill may fall between two of a trial's), and no suggestion came
    # a second time
    for number, parameters in asked.items():
        assert parameters.items() <= study.trials[number].params.items()
    assert len({str(sorted(trial.params.items())) for trial in study.trials}) == 48
    rows = Results(root).query("SELECT trial, parameters FROM trials").to_pydict()
    assert sorted(rows["trial"]) == list(range(48))
    # no cell was computed twice
    after = computed(root)
    assert len(after) == len(set(after))
    assert set(before) <= set(after)
