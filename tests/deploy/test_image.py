"""deploy/Dockerfile, as far as it can be checked without a builder: what it is made of, and that this is enough."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
FILE = ROOT / "deploy" / "Dockerfile"


def instructions() -> list[tuple[str, str]]:
    """Instruction and arguments, without comments and with continued lines in one."""
    text = re.sub(r"\\\n", " ", re.sub(r"^\s*#.*\n", "", FILE.read_text(), flags=re.MULTILINE))
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in text.splitlines() if line.strip()]


def of(name: str) -> list[str]:
    return [arguments for instruction, arguments in instructions() if instruction == name]


def sources() -> list[str]:
    return [word for line in of("COPY") for word in line.split()[:-1] if not word.startswith("--")]


def test_its_base_is_the_image_of_the_cluster_files() -> None:
    arguments = dict(argument.split("=") for argument in of("ARG") if "=" in argument)
    (base,) = of("FROM")
    for name, value in arguments.items():
        base = base.replace(f"${{{name}}}", value)
    assert base == YAML(typ="safe").load((ROOT / "cluster.yaml").read_text())["docker"]["image"]


def test_it_does_not_run_as_root() -> None:
    names = [instruction for instruction, _ in instructions()]
    assert of("USER") == ["ray"]
    assert names.index("USER") < min(names.index("RUN"), names.index("COPY"))


def test_it_holds_no_secret() -> None:
    names = re.findall(r"\b(\w+)=", " ".join([*of("ENV"), *of("ARG")]))
    assert set(names) == {"RAY_VERSION", "DEVICE", "RAY_USAGE_STATS_ENABLED"}
    assert of("ADD") == []


def test_what_is_copied_exists_and_nothing_else_reaches_the_builder() -> None:
    assert [source for source in sources() if not (ROOT / source).exists()] == []
    lines = [line for line in FILE.with_name("Dockerfile.dockerignore").read_text().splitlines() if line[:1] != "#"]
    assert lines[0] == "*"
    assert sorted(line[1:] for line in lines if line.startswith("!")) == sorted(sources())


@pytest.mark.skipif(importlib.util.find_spec("setuptools") is None, reason="needs setuptools, which builds the package")
def test_what_is_copied_makes_the_package(tmp_path: Path) -> None:
    for source in sources():
        if (ROOT / source).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / source, tmp_path / source, symlinks=True, ignore=ignored)  # as COPY does
        else:
            shutil.copy(ROOT / source, tmp_path)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--wheel-dir", str(tmp_path / "made"), str(tmp_path)], check=True, capture_output=True)
    (wheel,) = (tmp_path / "made").glob("*.whl")
    with zipfile.ZipFile(wheel) as made:
        names = set(made.namelist())
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "harness").rglob("*.py")}
    assert modules <= names
    assert {f"harness/examples/{path.name}" for path in (ROOT / "jobs").glob("*.yaml")} <= names
    assert any(name.endswith("entry_points.txt") for name in names)
