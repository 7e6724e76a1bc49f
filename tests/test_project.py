"""What stands beside the code: one version, and pages that speak of what is there."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from typing import Any

import pytest
from ruamel.yaml import YAML

import harness
from tests.conftest import group_of
from tests.test_architecture import LAYERS, PACKAGE

ROOT = PACKAGE.parent
TOUR = (ROOT / "docs" / "tour.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def citation() -> dict[str, Any]:
    content: dict[str, Any] = YAML(typ="safe").load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    return content


def test_there_is_one_source_of_the_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "harness.__version__"}
    assert citation()["version"] == harness.__version__


def test_the_version_of_a_checkout_that_is_not_installed_loads_nothing_else() -> None:
    """-S and -E: no site-packages, no environment, so nothing but the checkout and the standard library."""
    check = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); import harness; "
        "print(harness.__version__, [name for name in sys.modules if name.startswith('harness.')])"
    )
    answer = subprocess.run([sys.executable, "-I", "-S", "-c", check], capture_output=True, text=True, check=True)
    assert answer.stdout == f"{harness.__version__} []\n"


def test_the_citation_names_the_licences_holder_and_the_paper() -> None:
    found = citation()
    assert {"cff-version", "message", "title", "authors"} <= set(found)  # what CFF 1.2.0 requires
    assert found["authors"][0]["name"] in (ROOT / "LICENSE").read_text(encoding="utf-8")
    (paper,) = [entry for entry in found["references"] if "1701.04862" in entry["url"]]
    assert [author["family-names"] for author in paper["authors"]] == ["Arjovsky", "Bottou"]


def test_the_guide_lists_the_folders_in_the_order_of_the_layers() -> None:
    listed = re.findall(r"^\| `(\w+)` \|", CONTRIBUTING, flags=re.MULTILINE)
    assert listed == [name for name in LAYERS if (PACKAGE / name).is_dir()]


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`([\w/]+\.py)`", TOUR))))
def test_the_tour_walks_through_files_that_exist(path: str) -> None:
    assert (ROOT / path).exists() or (PACKAGE / path).exists()


def test_no_walk_returns_to_a_file_more_than_twice() -> None:
    walks = re.split(r"^## ", TOUR, flags=re.MULTILINE)[1:4]
    for walk in walks:
        files = re.findall(r"`([\w/]+\.py)`", walk)
        visits = [name for before, name in zip([None, *files], files, strict=False) if name != before]
        assert max(visits.count(name) for name in visits) <= 3, walk[:30]  # once, and two returns


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`((?:harness|tests|jobs|results)/[\w/.]+)`", CONTRIBUTING))))
def test_the_guide_names_files_that_exist(path: str) -> None:
    assert (ROOT / path).exists()


def test_modules_that_start_ray_share_a_process() -> None:
    alone = "tests/theory/test_losses.py::test_one"
    assert group_of(alone) == alone
    files = ("execution/test_executors.py", "execution/test_cluster.py", "search/test_killed_search.py")
    assert {group_of(f"tests/{file}::test_one[a::b]") for file in files} == {"ray"}
