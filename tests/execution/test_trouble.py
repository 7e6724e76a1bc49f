"""Whole processes in trouble: each ends in a sentence, soon, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from harness.job.job import Job
from harness.job.reading import dump_job
from harness.storage.query import Results
from tests.execution.test_cluster import ENVIRONMENT, command, end_all, free_port, wait_for
from tests.execution.test_nodes import NUMBERS

pytestmark = [pytest.mark.ray, pytest.mark.slow]

JobMaker = Callable[..., Job]

HANGING = '''
import time
from harness.job.parts.problem import DataSet, ProblemInfo

class Hanging(DataSet):
    """Samples that never come"""
    def find_info(self):
        return ProblemInfo((2,), 100, 100)
    def samples(self):
        raise NotImplementedError
    def load(self):
        time.sleep(3600)
'''
HANGING_JOB = """
name: hanging
protocol: train
problem: {name: "hanging_data:Hanging"}
networks: {name: mlp, width: 8, depth: 1, latent: 2}
training: {batch: 16, steps_per_epoch: 2}
grid: {loss: [minimax], sigma: [0], epoch: [1], seed: [0]}
evaluation: {samples: 20, draws: 20, sigmas: [0.5]}
"""


@contextlib.contextmanager
def started(*arguments: str, folder: Path, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A command of ours in a folder, with its output in ``output``; whatever it leaves is ended."""
    output = (folder / "output").open("w")
    process = subprocess.Popen(
        command(*arguments), env={**ENVIRONMENT, **environment}, cwd=folder, stdout=output, stderr=output, text=True
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            end_all([*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)])


def said(folder: Path) -> str:
    return (folder / "output").read_text()


def alive(family: list[psutil.Process]) -> list[str]:
    """What is left of some processes."""
    _, left = psutil.wait_procs(family, timeout=15)
    return [process.name() for process in left if process.is_running()]


# --- data that never come


def test_a_loader_that_hangs_is_named_and_ends_with_a_signal(tmp_path: Path) -> None:
    (tmp_path / "hanging_data.py").write_text(HANGING)
    (tmp_path / "job.yaml").write_text(HANGING_JOB)
    with started("run", "job.yaml", folder=tmp_path) as run:
        wait_for(
            lambda: "loading the data of problem hanging_data:Hanging, " in said(tmp_path), seconds=60, process=run
        )
        family = psutil.Process(run.pid).children(recursive=True)
        run.send_signal(signal.SIGTERM)
        assert run.wait(timeout=30) == 130
    assert "Interrupted. What was written stays" in said(tmp_path)
    assert alive(family) == []


def test_a_loader_that_hangs_is_ended_after_the_time_the_job_allows(tmp_path: Path) -> None:
    (tmp_path / "hanging_data.py").write_text(HANGING)
    (tmp_path / "job.yaml").write_text(HANGING_JOB + "resources: {timeout_seconds: 5}\n")
    with started("run", "job.yaml", folder=tmp_path) as run:
        assert run.wait(timeout=60) == 2
    assert "loading the data takes longer than resources.timeout_seconds = 5" in said(tmp_path)
    assert "Traceback" not in said(tmp_path)


def test_a_loader_that_ends_its_process_is_said(tmp_path: Path) -> None:
    (tmp_path / "hanging_data.py").write_text(HANGING.replace("time.sleep(3600)", "import os; os._exit(7)"))
    (tmp_path / "job.yaml").write_text(HANGING_JOB)
    with started("run", "job.yaml", folder=tmp_path) as run:
        assert run.wait(timeout=60) == 2
    assert said(tmp_path).strip() == "problem hanging_data:Hanging: the process that loaded its data has ended"


def test_a_loader_whose_process_is_killed_is_started_again(tmp_path: Path) -> None:
    """As when its node is lost. The first kills itself, the second finds that it has been here."""
    (tmp_path / "hanging_data.py").write_text(
        HANGING.replace("raise NotImplementedError", "import numpy as np; return np.zeros((150, 2))").replace(
            "time.sleep(3600)",
            f"""import os, pathlib, signal
        been_here = pathlib.Path({str(tmp_path / "been-here")!r})
        if not been_here.exists():
            been_here.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().load()""",
        )
    )
    (tmp_path / "job.yaml").write_text(HANGING_JOB)
    with started("run", "job.yaml", folder=tmp_path) as run:
        assert run.wait(timeout=90) == 0, said(tmp_path)
    assert (tmp_path / "been-here").exists()


# --- odd machines


@pytest.mark.parametrize("variable", ["TMPDIR", "RAY_TMPDIR", "HOME"])
def test_a_long_temporary_folder_and_a_home_that_is_none_will_do(
    variable: str, train_job: JobMaker, tmp_path: Path
) -> None:
    (tmp_path / "job.yaml").write_text(dump_job(train_job(grid={"epoch": [1]})))
    place = tmp_path / ("long-" * 25)  # the path of a socket may have 107 bytes
    place.write_text("no folder") if variable == "HOME" else place.mkdir()
    with started("run", "job.yaml", folder=tmp_path, **{variable: str(place)}) as run:
        assert run.wait(timeout=100) == 0, said(tmp_path)


# --- impatience


def test_two_interrupts_at_once_end_as_one_does(train_job: JobMaker, tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(dump_job(train_job(training={"steps_per_epoch": 5000})))
    with started("run", "job.yaml", folder=tmp_path) as run:
        wait_for(lambda: "running" in said(tmp_path), seconds=60, process=run)
        family = psutil.Process(run.pid).children(recursive=True)
        for _ in range(3):
            run.send_signal(signal.SIGINT)
            time.sleep(0.1)
        assert run.wait(timeout=30) == 130
    assert said(tmp_path).count("Interrupted. What was written stays") == 1
    assert "Traceback" not in said(tmp_path)
    assert alive(family) == []


# --- clusters


def test_an_address_where_nothing_answers_is_said_soon(train_job: JobMaker, tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(dump_job(train_job()))
    begun = time.monotonic()
    with started("run", "job.yaml", "--address", f"127.0.0.1:{free_port()}", folder=tmp_path) as run:
        assert run.wait(timeout=60) == 2
    assert time.monotonic() - begun < 20
    assert "nothing answers at 127.0.0.1:" in said(tmp_path)
    assert "Traceback" not in said(tmp_path)


@contextlib.contextmanager
def head(folder: Path, *, cpus: int = 2, **environment: str) -> Iterator[tuple[str, list[psutil.Process]]]:
    """The address of a head, and its processes."""
    port = free_port()
    ray = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", f"--port={port}"]
    log = (folder / "head").open("w")
    process = subprocess.Popen(
        [*ray, f"--num-cpus={cpus}", "--include-dashboard=false"],
        env={**ENVIRONMENT, **environment},
        stdout=log,
        stderr=log,
    )
    wait_for(lambda: "Ray runtime started" in (folder / "head").read_text(), seconds=60, process=process)
    family = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
    try:
        yield f"127.0.0.1:{port}", family
    finally:
        end_all(family)


def test_a_wrong_token_is_named(train_job: JobMaker, tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(dump_job(train_job()))
    right, wrong = secrets.token_hex(32), secrets.token_hex(32)
    with head(tmp_path, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=right) as (address, _):
        begun = time.monotonic()
        with started(
            "run", "job.yaml", "--address", address, folder=tmp_path, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=wrong
        ) as run:
            assert run.wait(timeout=120) == 2
        assert time.monotonic() - begun < 30
        assert "does not accept the token" in said(tmp_path)
        assert "Traceback" not in said(tmp_path)
        assert wrong not in said(tmp_path)
        with started(
            "run", "job.yaml", "--address", address, folder=tmp_path, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=right
        ) as run:
            assert run.wait(timeout=120) == 0, said(tmp_path)


def test_a_head_that_dies_ends_the_run_with_a_sentence_and_nothing_is_lost(train_job: JobMaker, tmp_path: Path) -> None:
    job = train_job(training={"steps_per_epoch": 300}, resources={"pack": 1, "gpus_per_actor": 0})
    (tmp_path / "job.yaml").write_text(dump_job(job))
    cells = tmp_path / "results" / "tiny" / "cells"
    with (
        head(tmp_path) as (address, family),
        started("run", "job.yaml", "--address", address, folder=tmp_path) as run,
    ):
        wait_for(lambda: cells.is_dir() and any(cells.glob("*.parquet")), seconds=90, process=run)
        next(process for process in family if process.name() == "gcs_server").kill()
        begun = time.monotonic()
        assert run.wait(timeout=120) == 2, said(tmp_path)
        assert time.monotonic() - begun < 45
    assert "the head of the Ray cluster has not answered for" in said(tmp_path)
    assert "Traceback" not in said(tmp_path)
    with started("run", "job.yaml", folder=tmp_path) as run:
        assert run.wait(timeout=120) == 0, said(tmp_path)
    with started("run", "job.yaml", "--results", "undisturbed", folder=tmp_path) as run:
        assert run.wait(timeout=120) == 0
    first, second = (Results(tmp_path / name).query(NUMBERS).to_pylist() for name in ("results", "undisturbed"))
    assert first == second
