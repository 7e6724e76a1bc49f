"""A store on a real S3 server, over HTTP: the same rows as in a folder, whatever the server does meanwhile."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import harness
from harness.errors import StoreError, StoreWarning
from harness.job.job import Job
from harness.storage import lease
from harness.storage.query import Results
from harness.storage.store import Store
from tests.storage import s3

JobMaker = Callable[..., Job]
NUMBERS = "SELECT cell_id, status, d_loss, w1, bound_best FROM cells ORDER BY cell_id"
HOLD = (
    "import sys; from harness.storage.store import Store\n"
    "with Store(sys.argv[1]).locked('j'):\n"
    "    print('held', flush=True); sys.stdin.read()"
)


@pytest.fixture(scope="module")
def credentials() -> Iterator[None]:
    patch = pytest.MonkeyPatch()
    patch.setenv("AWS_ACCESS_KEY_ID", "somebody")
    patch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret-of-theirs")
    patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    yield
    patch.undo()


@pytest.fixture(scope="module")
def server(credentials: None) -> Iterator[s3.Proxy]:
    with s3.served() as proxy:
        yield proxy


@pytest.fixture
def remote(server: s3.Proxy, request: pytest.FixtureRequest) -> Iterator[str]:
    """The URI of an empty store."""
    yield server.uri(request.node.name.replace("[", "-").rstrip("]"))
    server.fails_every, server.is_down, server.forbids = 0, False, False


def rows(root: str | Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = Results(root).query(NUMBERS).to_pylist()
    return found


@pytest.mark.slow
def test_a_run_gives_the_rows_it_gives_in_a_folder_though_every_third_request_fails(
    probe_job: JobMaker, server: s3.Proxy, remote: str, tmp_path: Path
) -> None:
    server.fails_every = 3
    outcome = harness.run(probe_job(), results=remote, executor="serial")
    assert outcome.statuses == {"completed": 24}
    assert server.num_failed > 10
    harness.run(probe_job(), results=tmp_path, executor="serial")
    assert rows(remote) == rows(tmp_path)
    assert len(Store(remote).dataset("cells").to_table()) == 24
    assert harness.run(probe_job(), results=remote, executor="serial").num_computed == 0


@pytest.mark.slow
def test_a_run_waits_for_a_store_that_does_not_answer(
    train_job: JobMaker, server: s3.Proxy, remote: str, tmp_path: Path
) -> None:
    down: list[float] = []

    def pull_the_plug(state: Any) -> None:
        if state.num_ended and not down:
            down.append(time.monotonic())
            server.is_down = True
            threading.Timer(15.0, lambda: setattr(server, "is_down", False)).start()

    with pytest.warns(StoreWarning, match="does not answer, and is asked again"):
        outcome = harness.run(train_job(), results=remote, executor="serial", observer=pull_the_plug)
    assert time.monotonic() - down[0] > 15
    assert outcome.statuses == {"completed": 16}
    harness.run(train_job(), results=tmp_path, executor="serial")
    assert rows(remote) == rows(tmp_path)


@pytest.mark.slow
def test_patience_ends_with_a_sentence(
    train_job: JobMaker, server: s3.Proxy, remote: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.execution.run.PATIENCE_SECONDS", 3.0)
    monkeypatch.setattr("harness.worker.worker.PATIENCE_SECONDS", 3.0)

    def pull_the_plug(state: Any) -> None:
        server.is_down = bool(state.num_ended)

    with pytest.raises(StoreError, match=r"--results s3://.*: cannot \w+"):
        harness.run(train_job(), results=remote, executor="serial", observer=pull_the_plug)
    server.is_down = False
    outcome = harness.run(train_job(), results=remote, executor="serial")
    assert outcome.is_complete


def test_a_refusal_is_a_sentence_without_the_secret(server: s3.Proxy, remote: str, train_job: JobMaker) -> None:
    server.forbids = True
    with pytest.raises(StoreError, match=r"--results s3://.*: cannot be read: .*") as refused:
        harness.run(train_job(), results=remote, executor="serial")
    assert "a-secret-of-theirs" not in str(refused.value)
    assert "\n" not in str(refused.value)


# --- one driver


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "_WATCHED_SECONDS", 4.0)


def holding(root: str) -> subprocess.Popen[str]:
    """Another process that holds the lease of job ``j`` until its input ends, and renews it every second."""
    pipe: Any = subprocess.PIPE
    program = "from harness.storage import lease; lease._RENEWED_SECONDS = 1.0\n" + HOLD
    process = subprocess.Popen([sys.executable, "-c", program, root], stdin=pipe, stdout=pipe, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


@pytest.mark.usefixtures("hurried")
def test_a_second_driver_is_told_which_one_works(remote: str) -> None:
    with (
        holding(remote) as other,
        pytest.warns(StoreWarning, match="looking whether it still does"),
        pytest.raises(StoreError, match=rf"process {other.pid} on .* works on it; wait for it"),
        Store(remote).locked("j"),
    ):
        pytest.fail("two at a time")
    with Store(remote).locked("j"):  # it has ended, and left nothing
        pass


@pytest.mark.usefixtures("hurried")
def test_what_a_killed_driver_held_is_taken_over(remote: str) -> None:
    with holding(remote) as other:
        other.kill()
    with pytest.warns(StoreWarning, match=rf"process {other.pid} on .* has worked on it"), Store(remote).locked("j"):
        pass
