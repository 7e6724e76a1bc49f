"""A worker refuses a store that is not the driver's, and works in one that is, whatever its path."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from harness.errors import StoreError, UnseenStoreError
from harness.storage import place
from harness.storage.place import Place
from harness.storage.store import Store
from harness.worker.messages import WorkerSettings
from harness.worker.provenance import Provenance
from harness.worker.worker import Worker


def settings(results: Path | str, marker: str) -> WorkerSettings:
    return WorkerSettings(
        results=str(results),
        marker=marker,
        provenance=Provenance("{}", None),
        num_threads=1,
        allow_gpu=False,
        timeout_seconds=None,
        checkpoint_seconds=None,
    )


def test_a_worker_does_not_start_in_another_store(store: Store, tmp_path: Path) -> None:
    with (
        store.marked() as marker,
        pytest.raises(StoreError, match=rf"worker on {socket.gethostname()}: .*/elsewhere is not the driver's store"),
    ):
        Worker(settings(tmp_path / "elsewhere", marker), None)


def test_a_worker_does_not_start_for_a_driver_that_has_gone(store: Store) -> None:
    with store.marked() as marker:
        pass
    with pytest.raises(StoreError, match="give --results a folder that all nodes share"):
        Worker(settings(store.root, marker), None)


def test_the_same_folder_under_another_name_will_do(store: Store, tmp_path: Path) -> None:
    with store.marked() as marker:
        (tmp_path / "mount").symlink_to(store.root)
        Worker(settings(tmp_path / "mount", marker), None)


def test_a_folder_that_can_only_be_read_is_as_one_that_is_not_seen(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a mount that is read-only on one node; its files travel then."""
    with store.marked() as marker:
        monkeypatch.setattr(place, "_put_locally", refused)
        with pytest.raises(UnseenStoreError, match=rf"worker on {socket.gethostname()}: cannot write it: Read-only"):
            Worker(settings(store.root, marker), None)


def test_a_folder_that_may_not_be_looked_at_is_as_one_that_is_not_seen(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with store.marked() as marker:
        monkeypatch.setattr(Place, "_info", refused)
        with pytest.raises(UnseenStoreError, match="Read-only"):
            Worker(settings(store.root, marker), None)


def refused(*arguments: object, **options: object) -> None:
    raise StoreError("cannot write it: Read-only file system")
