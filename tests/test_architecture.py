"""What the layout promises: who may import what, and that light commands stay light."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "harness"
MODULES = sorted(PACKAGE.rglob("*.py"))


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """Every imported module with its relative level, at the top of a file or inside a function."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, 0) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or "", node.level


def importers_of(package: str) -> set[str]:
    return {
        str(path.relative_to(PACKAGE))
        for path in MODULES
        if any(name.split(".")[0] == package and level == 0 for name, level in imports(path))
    }


def test_ray_is_imported_in_the_executor_and_the_submission_module_alone() -> None:
    assert importers_of("ray") == {"execution/ray.py", "execution/submission.py"}


def test_optuna_is_imported_in_one_module() -> None:
    assert importers_of("optuna") == {"search/study.py"}


def test_the_theory_imports_nothing_else_of_the_package() -> None:
    for path in (PACKAGE / "theory").glob("*.py"):
        assert all(level <= 1 and not name.startswith("harness") for name, level in imports(path)), path


def test_training_and_probing_know_neither_files_nor_ray() -> None:
    for name in ("train.py", "probe.py", "players.py", "stacking.py", "streams.py", "members.py"):
        used = {module for module, _ in imports(PACKAGE / "training" / name)}
        assert used.isdisjoint({"store", "pathlib", "os", "pyarrow", "ray"}), name


def test_nothing_is_pickled_or_run_through_a_shell() -> None:
    assert importers_of("pickle") == set()
    for path in MODULES:
        assert not re.search(r"(?<!safetensors\.)torch\.load\(", path.read_text())
        assert "shell=True" not in path.read_text()


@pytest.mark.parametrize(
    "command",
    [["--help"], ["plan", "jobs/quickstart.yaml"], ["query", "SELECT 1"], ["list", "losses"], ["run", "nowhere.yaml"]],
    ids=lambda command: command[0],
)
def test_light_commands_load_neither_torch_nor_ray(command: list[str]) -> None:
    check = (
        "import sys, atexit; sys.argv = ['harness', *sys.argv[1:]]\n"
        "atexit.register(lambda: print('LOADED', sorted({'torch', 'ray', 'optuna', 'sklearn'} & set(sys.modules))))\n"
        "from harness.cli.app import main; main()"
    )
    answer = subprocess.run(
        [sys.executable, "-c", check, *command], capture_output=True, text=True, check=False, cwd=PACKAGE.parent
    )
    assert "LOADED []" in answer.stdout, answer.stderr


def test_no_module_is_longer_than_a_head_can_hold() -> None:
    lengths = {str(path.relative_to(PACKAGE)): len(path.read_text().splitlines()) for path in MODULES}
    assert {name: length for name, length in lengths.items() if length > 420} == {}
