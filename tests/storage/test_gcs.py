"""A store on a Google Cloud Storage server (a package emulates it), over HTTP: what holds in a folder holds there."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import harness
from harness.errors import StoreError
from harness.job.job import Job
from harness.storage import lease
from harness.storage.merging import merge
from harness.storage.query import Results
from harness.storage.store import Store
from tests.execution.test_cluster import end_all, free_port, wait_for

JobMaker = Callable[..., Job]
NUMBERS = "SELECT cell_id, status, d_loss, w1, bound_best FROM cells ORDER BY cell_id"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Its address; it has a bucket."""
    import psutil

    log, port = tmp_path_factory.mktemp("gcs") / "log", free_port()
    options = ["start", "--host=127.0.0.1", f"--port={port}", "--in-memory", "--default-bucket=bucket"]
    command = [str(Path(sys.executable).with_name("gcp-storage-emulator")), *options]
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        wait_for(lambda: "All services started" in log.read_text(), seconds=30, process=process)
        yield f"127.0.0.1:{port}"
    finally:
        end_all([psutil.Process(process.pid)])


@pytest.fixture
def remote(server: str, request: pytest.FixtureRequest) -> str:
    """The URI of an empty store."""
    prefix = request.node.name.replace("[", "-").rstrip("]")
    return f"gs://anonymous@bucket/{prefix}?endpoint_override={server}&scheme=http&retry_limit_seconds=5"


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in {"_RENEWED_SECONDS": 0.3, "_WATCHED_SECONDS": 5.0, "_SETTLED_SECONDS": 0.2}.items():
        monkeypatch.setattr(lease, name, seconds)


def rows(root: str | Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = Results(root).query(NUMBERS).to_pylist()
    return found


def test_a_run_goes_on_where_it_was_and_leaves_the_rows_of_a_folder(
    probe_job: JobMaker, remote: str, tmp_path: Path
) -> None:
    part = probe_job(grid={"loss": ["minimax"], "epoch": [1], "seed": [0, 1]}, resources={"pack": 1})
    whole = probe_job(grid={"epoch": [1], "seed": [0, 1]}, resources={"pack": 1})
    assert harness.run(part, results=remote, executor="serial").num_computed == 4
    assert harness.run(whole, results=remote, executor="serial").num_computed == 8
    assert not harness.plan(whole, results=remote).missing
    harness.run(whole, results=tmp_path, executor="serial")
    assert rows(remote) == rows(tmp_path)
    store = Store(remote)
    assert store.compact("probed")["cells"][1] == 1
    assert rows(remote) == rows(tmp_path)
    list(merge([Results(remote)], Store(tmp_path / "copy")))
    assert rows(tmp_path / "copy") == rows(tmp_path)


def test_a_second_driver_is_told_that_another_works(remote: str) -> None:
    store = Store(remote)
    with store.locked("j"), pytest.raises(StoreError, match=r"j in .* works on it; wait for it, or end it"):
        store.locked("j").__enter__()
    with store.locked("j"):
        pass


def test_a_bucket_that_is_not_there_is_a_sentence(remote: str) -> None:
    with pytest.raises(StoreError, match=r"--results gs://anonymous@nobody/.*: there is no such bucket or place"):
        Store(remote.replace("@bucket", "@nobody")).write_job("j", "name: j")
