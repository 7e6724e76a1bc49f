"""Every command that is printed works when it is pasted, whatever the folders are called."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.job.job import Job
from harness.job.reading import dump_job
from tests.in_process import Answer, harness
from tests.searches import HEAD

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="commands are those of a POSIX shell")

JobMaker = Callable[..., Job]
RESULTS = "it's my & $HOME results"
JOB = "my job's.yaml"
SEARCH = f"""\
{HEAD}epochs: 1
space: {{schedule: {{linear: {{start: {{low: 0.1, high: 0.5}}, end: 0.05}}}}, loss: [minimax]}}
search: {{trials: 2, seeds: 1, pruner: none, finalists: 1, finalist_seeds: 1, confirmation_seeds: 2}}
evaluation: {{samples: 20, draws: 20, sigmas: [0.5]}}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder of whoever pastes, with our command on the PATH."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))  # for parts of a user's own
    return tmp_path


def printed(answer: Answer) -> list[str]:
    """The commands in an output: each is the end of its line."""
    names = "run|plan|query|list|figure|tune|logs|compare"
    return re.findall(rf"(?:^|:|\s)\s\s?(harness (?:{names}) .*)$", f"{answer.stdout}{answer.stderr}", re.MULTILINE)


def pasted(command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)


def test_those_of_a_run_that_failed_in_part(folder: Path, train_job: JobMaker) -> None:
    grid = {"loss": ["minimax", "tests.custom:exploding"], "epoch": [1], "sigma": [0], "seed": [0]}
    (folder / JOB).write_text(dump_job(train_job(grid=grid)))
    commands = printed(harness("run", JOB, "--results", RESULTS, "--executor", "serial"))
    assert [command.split()[1] for command in commands] == ["query", "run", "query", "figure"]
    for command in commands:
        done = pasted(command)
        # what fails again says so, and did what it was told
        assert done.returncode == (1 if " run " in command else 0), f"{command}\n{done.stderr}"
        assert done.stdout.strip()
        assert RESULTS in command or "list" in command or "it'\"'\"'s my" in command


def test_those_of_a_log_that_is_not_there(folder: Path, train_job: JobMaker) -> None:
    (folder / JOB).write_text(dump_job(train_job(grid={"epoch": [1], "sigma": [0], "seed": [0]})))
    harness("run", JOB, "--results", RESULTS, "--executor", "serial")
    (command,) = printed(harness("logs", "tiny", "--cell", "zz", "--results", RESULTS))
    done = pasted(command)
    assert done.returncode == 0, f"{command}\n{done.stderr}"
    assert done.stdout.count("completed") == 2


def test_those_of_a_search(folder: Path) -> None:
    (folder / "search.yaml").write_text(SEARCH)
    answer = harness("tune", "search.yaml", "--results", RESULTS, "--executor", "serial")
    assert answer.returncode == 0, answer.stderr
    commands = printed(answer)
    assert {command.split()[1] for command in commands} == {"run", "figure", "query"}
    for command in commands:
        if " run " in command:
            command = f"{command} --executor serial"
        done = pasted(command)
        assert done.returncode == 0, f"{command}\n{done.stderr}"
