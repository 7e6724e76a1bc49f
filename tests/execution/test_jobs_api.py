"""The Jobs API of real heads: one that asks for a token, and one that is lost."""

from __future__ import annotations

import contextlib
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

import harness
from harness.job.job import Job
from harness.job.reading import dump_job
from harness.storage.query import Results
from harness.storage.store import Store
from tests.execution.test_cluster import ENVIRONMENT, command, end_all, free_port, wait_for
from tests.execution.test_nodes import NUMBERS
from tests.searches import HEAD

pytestmark = [pytest.mark.ray, pytest.mark.slow]

JobMaker = Callable[..., Job]
WITHOUT_TOKEN = {name: value for name, value in ENVIRONMENT.items() if not name.startswith("RAY_A")}
RIGHT, WRONG = ({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)} for _ in range(2))
SEARCH = f"""\
{HEAD}
epochs: 1
space: {{schedule: {{constant: {{sigma: {{low: 0.01, high: 1}}}}}}}}
search: {{trials: 2, seeds: 1, pruner: none, finalists: 1, finalist_seeds: 0, confirmation_seeds: 1}}
evaluation: {{samples: 60, draws: 100, directions: 4}}
resources: {{gpus_per_actor: 0, actors: 1}}
"""


@dataclass(frozen=True)
class Head:
    """A head with two CPUs and a dashboard, and how its users' processes are started."""

    address: str
    process: subprocess.Popen[bytes]
    environment: Mapping[str, str]

    def harness(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """A command that is given the head's address; without a token unless `environment` has one."""
        return subprocess.run(
            command(*arguments, "--address", self.address),
            env={**WITHOUT_TOKEN, **self.environment, **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def end(self) -> None:
        """At once, as by a failure of the machine: its workers and the drivers of its jobs too."""
        with contextlib.suppress(psutil.NoSuchProcess):
            end_all([psutil.Process(self.process.pid), *psutil.Process(self.process.pid).children(recursive=True)])
        self.process.wait()


@contextlib.contextmanager
def head(home: Path, **environment: str) -> Iterator[Head]:
    """Another than any other of this machine: its own ports, and its own folder, where its jobs look for it."""
    dashboard = free_port()
    with tempfile.TemporaryDirectory(prefix="r", ignore_cleanup_errors=True) as folder:
        ray = [
            *(str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", "--num-cpus=2", "--num-gpus=0"),
            *(f"--temp-dir={folder}", f"--port={free_port()}", f"--dashboard-port={dashboard}"),
            *(f"--dashboard-agent-listen-port={free_port()}", f"--ray-client-server-port={free_port()}"),
        ]
        log = home / f"head-{dashboard}"
        with log.open("w") as output:
            process = subprocess.Popen(
                ray, env={**WITHOUT_TOKEN, "HOME": str(home), **environment}, stdout=output, stderr=output
            )
        started = Head(f"http://127.0.0.1:{dashboard}", process, {"HOME": str(home)})
        try:
            wait_for(lambda: "Ray runtime started" in log.read_text(), seconds=60, process=process)
            yield started
        finally:
            started.end()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Head]:
    """A head that asks for the token `RIGHT`."""
    with head(tmp_path_factory.mktemp("head"), **RIGHT) as started:
        yield started


# --- a token


def test_every_command_works_with_the_token_and_is_refused_without(
    cluster: Head, train_job: JobMaker, tmp_path: Path
) -> None:
    search, grid, root = tmp_path / "search.yaml", tmp_path / "grid.yaml", str(tmp_path / "results")
    search.write_text(SEARCH)
    grid.write_text(dump_job(train_job(training={"steps_per_epoch": 5000}, resources={"gpus_per_actor": 0})))
    study = tmp_path / "study.db"
    options = ("--results", root, "--submission-id")
    database = ("--storage", f"sqlite:///{study}")
    working_dir = ("--working-dir", str(tmp_path / "work"))
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / ".gitignore").write_text("*.yaml\nharness\n")  # of which ours travel nevertheless
    told = [cluster.harness("submit", str(search), *options, "one", *database, *working_dir, **RIGHT)]
    assert told[0].returncode == 0, told[0].stderr + told[0].stdout
    assert "search: 2 trials, 0 pruned" in told[0].stdout
    assert f"results go to the folder {root} on the cluster's machines" in told[0].stderr
    assert Results(root).table("trials").num_rows == 2
    assert study.is_file()
    assert not (tmp_path / "results" / "search" / "study.db").exists()
    told.append(cluster.harness("submit", str(grid), *options, "two", "--no-wait", **RIGHT))
    assert told[-1].stdout == "two\n", told[-1].stderr
    commands: dict[tuple[str, ...], Callable[[subprocess.CompletedProcess[str]], bool]] = {
        ("status",): lambda answer: {"one", "two", "SUCCEEDED"} <= set(answer.stdout.split()),
        ("status", "one", "--watch"): lambda answer: "one  search  SUCCEEDED" in answer.stdout,
        ("logs", "one"): lambda answer: "search: 2 trials, 0 pruned" in answer.stdout,
        ("logs", "one", "-f"): lambda answer: "search: 2 trials, 0 pruned" in answer.stdout,
        ("stop", "two"): lambda answer: answer.stdout == "two: STOPPED\n",
        ("submit", str(grid)): lambda answer: True,
    }

    def refused(arguments: tuple[str, ...]) -> list[subprocess.CompletedProcess[str]]:
        return [cluster.harness(*arguments, **token) for token in ({}, WRONG)]

    with ThreadPoolExecutor(2) as pool:
        for arguments, answers in zip(commands, pool.map(refused, commands), strict=True):
            for answer, text in zip(answers, ["asks for a token", "does not accept the token"], strict=True):
                assert answer.returncode == 2, (arguments, answer.stderr)
                assert answer.stdout == ""
                assert text in answer.stderr
                assert {"RAY_AUTH_MODE=token,", "RAY_AUTH_TOKEN", "get-auth-token'"} <= set(answer.stderr.split())
                assert "Traceback" not in answer.stderr
            told += answers
    for arguments, is_right in commands.items():
        if arguments[0] != "submit":
            told.append(cluster.harness(*arguments, **RIGHT))
            assert told[-1].returncode == 0, told[-1].stderr
            assert is_right(told[-1]), (arguments, told[-1].stdout)
    told.append(cluster.harness("status", "one", **RIGHT))
    assert f"python -m harness tune job.yaml --results {root}" in told[-1].stdout
    assert "sqlite" not in told[-1].stdout
    assert len(told) == 2 + 2 * 6 + 5 + 1
    for answer in told:
        assert not any(token["RAY_AUTH_TOKEN"] in answer.stdout + answer.stderr for token in (RIGHT, WRONG))


# --- a head that is lost


def rows(root: Path) -> list[dict[str, object]]:
    """Of every execution of every cell, also what a view would hide as superseded."""
    columns = ["cell_id", "attempt", "sequence", "part"]
    found: list[dict[str, object]] = Store(root).dataset("cells").to_table(columns=columns).to_pylist()
    return found


def test_a_job_submitted_again_after_its_head_was_lost_does_nothing_twice(
    cluster: Head, train_job: JobMaker, tmp_path: Path
) -> None:
    job = train_job(
        grid={"loss": ["minimax"], "epoch": [1, 20]},
        training={"steps_per_epoch": 80},
        resources={"pack": 1, "gpus_per_actor": 0},
    )
    job_file, root = tmp_path / "job.yaml", tmp_path / "results"
    job_file.write_text(dump_job(job))
    arguments = ("submit", str(job_file), "--results", str(root), "--submission-id")
    with head(tmp_path, **RIGHT) as lost, ThreadPoolExecutor(1) as pool:
        following = pool.submit(lost.harness, *arguments, "again", **RIGHT)
        wait_for(lambda: following.done() or any((root / "tiny" / "cells").glob("*.parquet")), seconds=90)
        lost.end()
        answer = following.result()
    assert answer.returncode == 2
    assert f"no Ray dashboard answers at {lost.address}" in answer.stderr
    assert "submit them again to go on" in answer.stderr
    assert "Traceback" not in answer.stderr
    before = rows(root)
    assert 0 < len(before) < 8
    assert cluster.address != lost.address
    answer = cluster.harness(*arguments, "anew", **RIGHT)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert f"{8 - len(before)} computed" in answer.stdout
    after = rows(root)
    assert len({row["cell_id"] for row in after}) == len(after) == 8
    assert {row["attempt"] for row in after} == {1}
    assert all(row in after for row in before)
    undisturbed = tmp_path / "undisturbed"
    harness.run(job, results=undisturbed, executor="serial")
    assert Results(root).query(NUMBERS).to_pylist() == Results(undisturbed).query(NUMBERS).to_pylist()
