"""The commit in rows and logs: of the checkout the package runs from, with a mark where its files differ."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from harness.worker import provenance


def git(*arguments: str, folder: Path) -> str:
    settings = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    return subprocess.run(["git", *settings, *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


def test_a_checkout_with_changes_is_marked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "harness"
    (package / "worker").mkdir(parents=True)
    file = package / "worker" / "provenance.py"
    file.write_text("one")
    monkeypatch.setattr(provenance, "__file__", str(file))
    assert provenance.git_commit() is None
    git("init", folder=tmp_path)
    assert provenance.git_commit() is None
    git("add", ".", folder=tmp_path)
    git("commit", "-m", "one", folder=tmp_path)
    commit = git("rev-parse", "HEAD", folder=tmp_path).strip()
    assert provenance.git_commit() == commit
    (tmp_path / "README.md").write_text("beside the package")
    assert provenance.git_commit() == commit
    file.write_text("two")
    assert provenance.git_commit() == f"{commit}-dirty"
