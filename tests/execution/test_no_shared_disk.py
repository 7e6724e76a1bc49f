"""Nodes that do not see the driver's folder: their results travel to it, and nothing is written on their own disks."""

from __future__ import annotations

import contextlib
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

import harness
from harness.errors import StoreError
from harness.job.job import Job
from harness.job.reading import dump_job
from harness.storage.place import Place
from harness.storage.query import Results
from tests.execution.test_cluster import ENVIRONMENT, command, end_all, wait_for
from tests.execution.test_nodes import NUMBERS
from tests.execution.test_trouble import head

JobMaker = Callable[..., Job]
TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}  # as `ray start` needs it beside a ~/.ray


def test_no_name_leads_out_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("")
    place = Place(tmp_path / "results", patience_seconds=0)
    for name in ("../outside", "job/../../outside", "/etc/hostname"):
        with pytest.raises(StoreError, match="is no place in it"):
            place.content(name)
        with pytest.raises(StoreError, match="is no place in it"):
            place.put(name, b"")
    assert (tmp_path / "outside").read_text() == ""


@contextlib.contextmanager
def node_without(folder: Path, address: str, *, cpus: int, own: Path) -> Iterator[list[psutil.Process]]:
    """A node of a cluster that has an empty folder of its own where the driver's is; needs the right to mount.

    Args:
      folder: The driver's, a mount point in the node's own mount namespace.
      own: What the node sees there instead.
    """
    own.mkdir()
    ray = Path(sys.executable).with_name("ray")
    script = (
        f'mount --bind "{own}" "{folder}" && cd / && exec "{ray}" start --block --address={address} --num-cpus={cpus}'
    )
    log = own.with_suffix(".log")
    process = subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", script],
        env={**ENVIRONMENT, **TOKEN},
        stdout=log.open("w"),
        stderr=subprocess.STDOUT,
    )
    family = [psutil.Process(process.pid)]
    try:
        wait_for(lambda: "Ray runtime started" in log.read_text(), seconds=60, process=process)
        family += family[0].children(recursive=True)
        yield family
    finally:
        end_all([*family[0].children(recursive=True), *family] if family[0].is_running() else family)


@pytest.fixture
def may_mount() -> None:
    """Skips where no mount namespace can be had."""
    try:
        tried = subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True)
    except FileNotFoundError:
        pytest.skip("no unshare here, which gives a node a disk of its own")
    if tried.returncode:
        pytest.skip(f"no mount namespaces here: {tried.stderr.decode().strip()}")


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.usefixtures("may_mount")
@pytest.mark.parametrize("protocol", ["train", "probe"])
def test_what_a_node_without_the_folder_computes_is_in_the_folder(
    protocol: str, train_job: JobMaker, probe_job: JobMaker, tmp_path: Path
) -> None:
    """The head has no CPU, so every pack, every snapshot and every state is one of the other node."""
    resources = {"pack": 2, "gpus_per_actor": 0, "checkpoint_minutes": 1e-4}
    job = train_job(resources=resources) if protocol == "train" else probe_job(resources=resources)
    (tmp_path / "job.yaml").write_text(dump_job(job))
    results, own = tmp_path / "results", tmp_path / "own"
    results.mkdir()
    with head(tmp_path, cpus=0, **TOKEN) as (address, _), node_without(results, address, cpus=2, own=own):
        run = [*command("run", "job.yaml", "--results", str(results), "--address", address)]
        done = subprocess.run(
            run, env={**ENVIRONMENT, **TOKEN}, cwd=tmp_path, capture_output=True, text=True, timeout=240
        )
    assert done.returncode == 0, done.stderr
    assert f"does not see {results}: its results travel through Ray to this node" in done.stderr
    assert not list(own.rglob("*"))
    undisturbed = tmp_path / "undisturbed"
    harness.run(job, results=undisturbed, executor="serial")
    mine, theirs = (Results(root).query(NUMBERS).to_pylist() for root in (results, undisturbed))
    assert mine
    assert mine == theirs
    for table in ("cells", "training", "curves"):
        count = f"SELECT count(*) AS num FROM {table}"
        assert Results(results).query(count).to_pylist() == Results(undisturbed).query(count).to_pylist()
