"""A worker refuses a store that is not the driver's, and works in one that is, whatever its path."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from harness.errors import StoreError
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
