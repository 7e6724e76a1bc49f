"""The examples in docstrings of the theory are true."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.shapes import MODULES


def test_the_examples_in_docstrings_are_true() -> None:
    """In a process of its own: doctest does not find the functions that the tests' shape checks have wrapped."""
    code = (
        "import doctest, importlib, json\n"
        f"results = {{name: doctest.testmod(importlib.import_module(name)) for name in {MODULES}}}\n"
        "print(json.dumps([[name, result.attempted, result.failed] for name, result in results.items()]))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *report, counts = answer.stdout.splitlines()
    for name, attempted, failed in json.loads(counts):
        assert attempted > 0, name
        assert failed == 0, "\n".join(report)
