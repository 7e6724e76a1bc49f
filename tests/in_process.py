"""The ``harness`` command inside the test's own process: seconds faster than a new one that imports torch."""

from __future__ import annotations

import io
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from unittest import mock

from harness.cli.app import main


@dataclass(frozen=True)
class Answer:
    returncode: int
    stdout: str
    stderr: str


def harness(*arguments: str) -> Answer:
    """Runs the entry point with these arguments; what it raises besides SystemExit fails the test."""
    stdout, stderr = io.StringIO(), io.StringIO()
    code: object = 0
    with (
        mock.patch.object(sys, "argv", ["harness", *arguments]),
        mock.patch.object(sys, "path", [*sys.path]),
        mock.patch("signal.signal"),  # the handlers are a process's, and this one is pytest's
        redirect_stdout(stdout),
        redirect_stderr(stderr),
    ):
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
    assert isinstance(code, int)
    return Answer(code, stdout.getvalue(), stderr.getvalue())
