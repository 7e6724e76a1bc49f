"""docs/clusters.md names every file of deploy/, and each file says in its head how it is used."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "clusters.md").read_text(encoding="utf-8")
FILES = sorted(path.name for path in (ROOT / "deploy").iterdir() if not path.name.endswith(".dockerignore"))


@pytest.mark.parametrize("name", FILES)
def test_the_page_names_each_file(name: str) -> None:
    assert f"deploy/{name}" in PAGE


def test_its_links_within_the_page_lead_to_headings() -> None:
    headings = re.findall(r"^#+ (.+)$", PAGE, flags=re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\]\(#([^)]+)\)", PAGE)) <= anchors


@pytest.mark.parametrize("name", FILES)
def test_each_file_says_in_its_head_how_it_is_used(name: str) -> None:
    text = (ROOT / "deploy" / name).read_text(encoding="utf-8")
    head = re.match(r"(?:#.*\n)+", text)
    assert head is not None
    assert f"deploy/{name}" in head.group()
