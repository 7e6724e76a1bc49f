"""Markers: by them a worker tells that its store is the driver's."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from harness.errors import StoreError
from harness.storage.store import Store
from harness.storage.writer import MARKERS


def test_a_marker_is_there_for_the_time_of_the_session_alone(store: Store) -> None:
    with store.marked() as marker:
        Store(store.root).check_marker(marker)
    with pytest.raises(StoreError):
        store.check_marker(marker)
    assert not list((Path(store.root) / MARKERS).iterdir())


def test_a_marker_is_removed_after_an_error_too(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), store.marked():
        raise ZeroDivisionError
    assert not list((Path(store.root) / MARKERS).iterdir())


def test_another_folder_is_refused_with_host_and_way_out(store: Store, tmp_path: Path) -> None:
    elsewhere = Store(tmp_path / "elsewhere")
    with store.marked() as marker, pytest.raises(StoreError) as refused:
        elsewhere.check_marker(marker)
    text = str(refused.value)
    assert f"worker on {socket.gethostname()}: {elsewhere.root} is not the driver's store" in text
    assert "give --results a folder that all nodes share, or a URI" in text


def test_two_sessions_have_two_markers(store: Store) -> None:
    with store.marked() as one, store.marked() as two:
        assert one != two
        store.check_marker(one)
        store.check_marker(two)


def test_markers_are_no_job(store: Store) -> None:
    with store.marked():
        assert (Path(store.root) / MARKERS).is_dir()
        assert store.jobs() == []
