"""README.md: its Python names and its job; tests/test_docs.py has what all pages have in common."""

from __future__ import annotations

import ast
from typing import Any

from ruamel.yaml import YAML

import harness
from tests import documents

BLOCKS = documents.blocks("README.md", documents.pages()["README.md"])


def text(language: str) -> str:
    (block,) = [block for block in BLOCKS if block.info == language]
    return block.text


def test_the_python_names_are_public() -> None:
    used = {
        node.attr
        for node in ast.walk(ast.parse(text("python")))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "harness"
    }
    assert used == {"run", "open_results", "compare", "tune"}
    assert used <= set(harness.__all__)


def test_the_grid_of_the_readme_is_a_job() -> None:
    job: Any = harness.load_job(YAML(typ="safe").load(text("yaml")))
    assert job.name == "mine"
    assert len(harness.plan(job, results="nowhere").cells) == 2 * 3 * 2 * 3 * 3  # loss, sigma, penalty, epoch, seed
