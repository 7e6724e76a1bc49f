"""The wheel in an empty environment and an empty folder has something to run; nothing of the checkout is used."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from harness.job.examples import example_names

_OF_TESTS = ("PYTHONPATH", "HARNESS_NO_REPORT")
ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built of a copy, so that nothing is left in the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    shutil.copytree(ROOT / "harness", source / "harness", symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "jobs", source / "jobs", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--wheel-dir", str(folder)]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, str(source)], check=True)
    (built,) = folder.glob("*.whl")
    return built


class Installed:
    """The wheel in an environment of its own that borrows the dependencies of this one."""

    def __init__(self, wheel: Path, folder: Path) -> None:
        environment, self.folder = folder / "environment", folder / "empty"
        self.folder.mkdir(parents=True)
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
        self.python = environment / "bin" / "python"
        own = self.said("-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])").strip()
        install = ["install", "--no-deps", "--no-index", "--quiet", str(wheel)]
        subprocess.run([sys.executable, "-m", "pip", "--python", str(self.python), *install], check=True)
        # after its own packages; and .pth files there, by which the checkout is installed, are not read
        (Path(own) / "borrowed.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")

    def said(self, *words: str) -> str:
        environment = {name: value for name, value in os.environ.items() if name not in _OF_TESTS}
        done = subprocess.run(
            [str(self.python), *words], cwd=self.folder, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{words}\n{done.stdout}{done.stderr}"
        return done.stdout

    def harness(self, *arguments: str) -> str:
        return self.said("-m", "harness", *arguments)


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return Installed(wheel, tmp_path_factory.mktemp("installed"))


def test_it_has_the_shipped_jobs_and_no_second_copy(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    jobs = sorted(path for path in (ROOT / "jobs").iterdir() if path.is_file())
    assert sorted(name for name in names if "/examples/" in name) == [f"harness/examples/{path.name}" for path in jobs]
    for path in jobs:
        assert zipfile.ZipFile(wheel).read(f"harness/examples/{path.name}") == path.read_bytes()
    assert not [name for name in names if name.startswith(("jobs/", "tests/", "docs/"))]
    assert "harness/py.typed" in names


def test_what_runs_is_the_wheels(installed: Installed) -> None:
    where = installed.said("-c", "import harness, os; print(os.path.realpath(harness.__file__))").strip()
    assert installed.python.parents[1].resolve() in Path(where).parents


def test_it_has_a_way_in_and_something_to_run(installed: Installed) -> None:
    assert [line.split()[0] for line in installed.harness("list", "examples").splitlines()] == example_names()
    assert [line.split()[0] for line in installed.harness("list", "jobs").splitlines()] == example_names()
    text = installed.harness("init", "quickstart")
    assert "protocol: probe" in text
    assert "72" in installed.harness("plan", "example:quickstart")
    assert '"$defs"' in installed.harness("schema")
    installed.harness("init", "own", "-o", "mine.yaml")
    job = installed.folder / "mine.yaml"
    small = job.read_text().replace("steps_per_epoch: 100", "steps_per_epoch: 2").replace("[0, 1, 2]", "[0]")
    job.write_text(small)
    assert "4 completed" in installed.harness("run", "mine.yaml", "--executor", "serial", "-q")
    assert "12 completed" in installed.harness("run", "example:own", "--executor", "serial", "-q", "--results", "other")
    assert "12 completed" in installed.harness("show", "own", "--results", "other")
    assert sorted(path.name for path in installed.folder.iterdir() if path.suffix) == ["mine.yaml", "mine_parts.py"]
    (kept,) = installed.folder.glob("results/*/report.html")  # with which the run has ended
    name = kept.parent.name
    installed.harness("report", name, "-o", "again.html")
    for page in (kept, installed.folder / "again.html"):
        assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    for figure in ("samples", "lines"):
        assert f"Job {name}:" in installed.harness("figure", figure, "--job", name, "-o", f"{figure}.png")
        assert (installed.folder / f"{figure}.png").read_bytes().startswith(b"\x89PNG")
