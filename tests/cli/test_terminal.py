"""A real run in a real terminal of 80 columns: how it looks, how it ends, and what it leaves when killed."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.job.job import Job
from harness.job.reading import dump_job

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="there is no tmux here")

JobMaker = Callable[..., Job]
PATIENCE = 90.0


class Terminal:
    """A shell in tmux, 80 columns wide."""

    def __init__(self, folder: Path) -> None:
        self._socket = str(folder / "tmux")
        home = {"PS1": "$ ", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "TERM": "xterm-256color"}
        environment = {**os.environ, **home, "PYTHONPATH": str(Path(__file__).parents[2])}
        # a shell without a file of its user's
        self._tmux("new-session", "-d", "-x", "80", "-y", "50", "-c", str(folder), "sh", env=environment)

    def type(self, *keys: str) -> None:
        self._tmux("send-keys", *keys)

    def text(self) -> str:
        """All lines, those that the terminal has broken as one."""
        return self._tmux("capture-pane", "-p", "-J", "-S", "-")

    def has_cursor(self) -> bool:
        return self._tmux("display-message", "-p", "#{cursor_flag}").strip() == "1"

    def wait(self, condition: Callable[[], bool]) -> None:
        started = time.monotonic()
        while not condition():
            assert time.monotonic() - started < PATIENCE, self.text()
            time.sleep(0.1)

    def close(self) -> None:
        self._tmux("kill-server")

    def _tmux(self, *words: str, env: dict[str, str] | None = None) -> str:
        asked = ["tmux", "-S", self._socket, "-f", "/dev/null", *words]
        return subprocess.run(asked, capture_output=True, text=True, check=True, env=env).stdout


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    made = Terminal(tmp_path)
    yield made
    made.close()


def run(*options: str) -> str:
    return shlex.join([sys.executable, "-m", "harness", "run", "job.yaml", "--executor", "serial", *options])


def test_a_run_in_a_terminal_of_80_columns_breaks_no_line_and_a_killed_one_leaves_the_cursor(
    terminal: Terminal, tmp_path: Path, train_job: JobMaker
) -> None:
    (tmp_path / "job.yaml").write_text(dump_job(train_job()))
    terminal.type(f"clear; {run()}; echo ended $?", "Enter")
    terminal.wait(lambda: "ended 0" in terminal.text())
    lines = [line.rstrip() for line in terminal.text().splitlines()]
    ending = lines[next(index for index, line in enumerate(lines) if line.startswith("tiny: 16 completed")) :]
    assert max(map(len, ending)) <= 80
    start = next(index for index, line in enumerate(ending) if line.startswith("──"))
    assert [line.split()[:2] for line in ending[start + 1 : start + 5]] == [
        [loss, sigma] for loss in ("minimax", "non_saturating") for sigma in ("0", "0.2")
    ]
    assert terminal.has_cursor()

    (tmp_path / "job.yaml").write_text(dump_job(train_job(name="long", training={"steps_per_epoch": 1_000_000})))
    terminal.type(f"clear; {run()} & echo $! > pid; fg; echo ended $?", "Enter")
    terminal.wait(lambda: "0/16 cells done" in terminal.text())
    assert not terminal.has_cursor()
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGTERM)
    terminal.wait(lambda: "ended 130" in terminal.text())
    assert "Interrupted. What was written stays" in terminal.text()
    assert "cells done" not in terminal.text()  # the bar is gone
    assert terminal.has_cursor()
