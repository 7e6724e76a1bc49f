"""Whole processes and a real cluster: a driver killed in the middle, and jobs through Ray Jobs."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness.job.job import Job
from harness.job.reading import dump_job
from harness.storage.query import Results
from harness.storage.store import Store

pytestmark = [pytest.mark.ray, pytest.mark.slow]

JobMaker = Callable[..., Job]
# as in an activated environment: a cluster runs a submitted job with the `python` of its PATH
PATH = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
ENVIRONMENT = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "PATH": PATH}
NUMBERS = "cell_id, status, d_loss, accuracy, grad_norm, jsd_mixture, tv, w1, bound_paper, bound_best, real_w1"


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "harness", *arguments]


def numbers(root: Path | str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = Results(root).query(f"SELECT {NUMBERS} FROM cells ORDER BY cell_id").to_pylist()
    return rows


def wait_for(condition: Callable[[], bool], *, seconds: float, process: subprocess.Popen[Any] | None = None) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        assert process is None or process.poll() is None, "the process ended too early"
        time.sleep(0.1)


def end_all(processes: list[psutil.Process]) -> None:
    for process in processes:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(processes, timeout=20)


def test_a_killed_driver_loses_nothing_and_doubles_nothing(probe_job: JobMaker, tmp_path: Path) -> None:
    job_file, root = tmp_path / "job.yaml", tmp_path / "results"
    job_file.write_text(dump_job(probe_job(probe={"iterations": 150}, resources={"pack": 4, "actors": 2})))
    start = command("run", str(job_file), "--results", str(root))
    driver = subprocess.Popen(start, env=ENVIRONMENT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    cells = root / "probed" / "cells"
    wait_for(lambda: cells.is_dir() and any(cells.glob("*.parquet")), seconds=120, process=driver)
    family = psutil.Process(driver.pid).children(recursive=True)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    end_all(family)
    done_before = len(numbers(root))
    assert 0 < done_before < 24
    again = subprocess.run(start, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert f"{24 - done_before} computed" in again.stdout
    undisturbed = tmp_path / "undisturbed"
    subprocess.run(command("run", str(job_file), "--results", str(undisturbed)), env=ENVIRONMENT, check=True)
    assert numbers(root) == numbers(undisturbed)
    assert len(Store(root).dataset("cells").to_table()) == 24


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def dashboard() -> Iterator[str]:
    """A head with four logical GPUs, ended by its process id."""
    port = free_port()
    ray = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", "--num-gpus=4", "--port=0"]
    head = subprocess.Popen(
        [*ray, f"--dashboard-port={port}"], env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )

    def answers() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    wait_for(answers, seconds=60, process=head)
    family = psutil.Process(head.pid).children(recursive=True)
    yield f"http://127.0.0.1:{port}"
    head.terminate()
    head.wait(timeout=30)
    end_all(family)


def harness(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), env=ENVIRONMENT, capture_output=True, text=True, check=False)


def test_a_submitted_job_streams_its_progress_and_fills_the_store(
    train_job: JobMaker, tmp_path: Path, dashboard: str
) -> None:
    job_file, root = tmp_path / "job.yaml", tmp_path / "results"
    job_file.write_text(dump_job(train_job(resources={"pack": 2})))
    answer = harness("submit", str(job_file), "--address", dashboard, "--results", str(root), "--submission-id", "one")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "4 Ray actors, 1 GPU and" in answer.stdout
    assert "16/16 cells done" in answer.stdout
    assert "tiny: 16 completed" in answer.stdout
    assert len(numbers(root)) == 16
    assert "16/16 cells done" in harness("logs", "one", "--address", dashboard).stdout
    assert "SUCCEEDED" in harness("status", "one", "--address", dashboard).stdout
    assert "SUCCEEDED" in harness("status", "--address", dashboard).stdout
    taken = harness("submit", str(job_file), "--address", dashboard, "--results", str(root), "--submission-id", "one")
    assert taken.returncode == 2
    assert "already has a job of this id" in taken.stderr


def test_a_submitted_job_ends_with_its_exit_code(train_job: JobMaker, tmp_path: Path, dashboard: str) -> None:
    job_file, root = tmp_path / "job.yaml", tmp_path / "results"
    job_file.write_text(dump_job(train_job(grid={"learning_rate": [1e3], "epoch": [1]})))
    answer = harness("submit", str(job_file), "--address", dashboard, "--results", str(root))
    assert answer.returncode == 1
    assert "8 diverged" in answer.stdout


def test_a_stopped_job_leaves_a_store_that_a_second_submission_completes(
    train_job: JobMaker, tmp_path: Path, dashboard: str
) -> None:
    job_file, root = tmp_path / "job.yaml", tmp_path / "results"
    job_file.write_text(
        dump_job(train_job(grid={"epoch": [1, 30]}, training={"steps_per_epoch": 150}, resources={"pack": 2}))
    )
    arguments = ("submit", str(job_file), "--address", dashboard, "--results", str(root))
    assert harness(*arguments, "--no-wait", "--submission-id", "two").stdout == "two\n"
    cells = root / "tiny" / "cells"
    wait_for(lambda: cells.is_dir() and any(cells.glob("*.parquet")), seconds=120)
    stopped = harness("stop", "two", "--address", dashboard)
    assert stopped.stdout == "two: STOPPED\n"
    done_before = len(numbers(root))
    assert 0 < done_before < 16
    assert "Interrupted. What was written stays" in harness("logs", "two", "--address", dashboard).stdout
    completed = harness(*arguments)
    assert completed.returncode == 0, completed.stdout
    assert f"{16 - done_before} computed" in completed.stdout
    assert len(Store(root).dataset("cells").to_table()) == 16


def test_run_connects_to_an_existing_cluster(train_job: JobMaker, tmp_path: Path, dashboard: str) -> None:
    job_file, root = tmp_path / "job.yaml", tmp_path / "results"
    job_file.write_text(dump_job(train_job(resources={"pack": 2})))
    answer = harness("run", str(job_file), "--results", str(root), "--address", "auto")
    assert answer.returncode == 0, answer.stderr
    assert "4 Ray actors, 1 GPU and" in answer.stderr


def test_an_unknown_submission_lists_the_known_ones(dashboard: str) -> None:
    answer = harness("logs", "nosuch", "--address", dashboard)
    assert answer.returncode == 2
    assert "has no job 'nosuch'" in answer.stderr
    assert "Traceback" not in answer.stderr
