"""What Ray reads from the environment, on machines where the home folder or the temporary one is odd."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.execution.ray import environment

NAMES = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_MODE")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home folder, and an environment without a token."""
    for name in NAMES:
        monkeypatch.setenv(name, "")  # so that what the test sets is taken back
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_a_new_token_is_its_owners_alone_and_is_kept(home: Path) -> None:
    before = os.umask(0)
    try:
        environment.prepare(None)
    finally:
        os.umask(before)
    path = home / ".ray" / "auth_token"
    assert path.stat().st_mode & 0o777 == 0o600
    token = path.read_text()
    assert len(token) == 64
    environment.prepare(None)
    assert path.read_text() == token
    assert "RAY_AUTH_TOKEN" not in os.environ


def test_without_a_home_that_can_be_written_to_the_token_is_this_processes(home: Path) -> None:
    home.write_text("no folder")
    environment.prepare(None)
    assert len(os.environ["RAY_AUTH_TOKEN"]) == 64


@pytest.mark.parametrize("address", ["10.0.0.1:6379", "http://127.0.0.1:8265"])
def test_for_a_cluster_that_is_there_no_token_is_made(address: str, home: Path) -> None:
    environment.prepare(address)
    assert not home.exists()
    assert "RAY_AUTH_TOKEN" not in os.environ
