"""Ray's own autoscaler with nodes that are processes of this machine: GPU workers from none, and down again."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness.job.job import Job
from harness.job.reading import dump_job
from harness.storage.query import Results
from tests.execution.test_cluster import ENVIRONMENT, command, end_all, wait_for

pytestmark = [pytest.mark.ray, pytest.mark.slow]

JobMaker = Callable[..., Job]
PORT = 6379  # the fake provider knows no other
ADDRESS = f"127.0.0.1:{PORT}"
MAX_WORKERS = 2


def is_taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def config() -> dict[str, Any]:
    worker = {"resources": {"CPU": 1, "GPU": 1}, "node_config": {}, "min_workers": 0, "max_workers": MAX_WORKERS}
    head = {"resources": {"CPU": 1}, "node_config": {}, "max_workers": 0}
    lists = ("initialization_commands", "setup_commands", "head_setup_commands", "worker_setup_commands")
    return {
        "cluster_name": "fake",
        "max_workers": MAX_WORKERS,
        "idle_timeout_minutes": 0.2,
        "upscaling_speed": 20,
        "provider": {
            "type": "fake_multinode",
            "use_node_id_as_ip": True,
            "disable_node_updaters": True,
            "disable_launch_config_check": True,
        },
        "auth": {"ssh_user": "nobody"},
        "head_node_type": "ray.head.default",
        "available_node_types": {"ray.head.default": head, "ray.worker.gpu": worker},
        "docker": {},
        "file_mounts": {},
        "cluster_synced_files": [],
        "file_mounts_sync_continuously": False,
        "rsync_exclude": [],
        "rsync_filter": [],
        "head_start_ray_commands": [],
        "worker_start_ray_commands": [],
        **{name: [] for name in lists},
    }


@pytest.fixture
def head(tmp_path: Path) -> Iterator[int]:
    """The process of a head with one CPU, whose autoscaler may start two nodes of a CPU and a GPU each."""
    if is_taken(PORT):
        pytest.skip(f"port {PORT} is taken, and the fake provider of nodes knows no other")
    file = tmp_path / "cluster.json"
    file.write_text(json.dumps(config()))
    environment = {
        **ENVIRONMENT,
        "RAY_FAKE_CLUSTER": "1",
        "AUTOSCALER_UPDATE_INTERVAL_S": "1",
        "RAY_OVERRIDE_NODE_ID_FOR_TESTING": "f" * 51 + "00000",
    }
    ray = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", f"--port={PORT}", "--num-cpus=1"]
    process = subprocess.Popen(
        [*ray, "--num-gpus=0", "--include-dashboard=false", f"--autoscaling-config={file}"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_for(lambda: is_taken(PORT), seconds=60, process=process)
    time.sleep(3)  # its parts come up one after another
    family = psutil.Process(process.pid).children(recursive=True)
    yield process.pid
    family += psutil.Process(process.pid).children(recursive=True)
    process.terminate()
    process.wait(timeout=30)
    end_all(family)
    wait_for(lambda: not is_taken(PORT), seconds=30)


def num_workers(head: int) -> int:
    """Nodes besides the head, by their processes; a driver that asks would keep them busy."""
    names = [process.name() for process in psutil.Process(head).children(recursive=True)]
    return names.count("raylet") - 1


def test_gpu_workers_are_started_for_the_actors_and_end_when_idle(
    train_job: JobMaker, tmp_path: Path, head: int
) -> None:
    job_file, root = tmp_path / "job.yaml", tmp_path / "results"
    resources = {"pack": 1, "gpus": "required"}
    job_file.write_text(dump_job(train_job(training={"steps_per_epoch": 600}, resources=resources)))
    run = subprocess.Popen(
        command("run", str(job_file), "--results", str(root), "--address", ADDRESS),
        env={**ENVIRONMENT, "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    most = 0
    while run.poll() is None:
        most = max(most, num_workers(head))
        time.sleep(0.5)
    assert run.stdout is not None
    output = run.stdout.read()
    assert run.returncode == 0, output
    assert most == MAX_WORKERS
    assert "Ray actors, 1 GPU and 1 CPU each" in output
    assert "2 packs running" in output
    rows = Results(root).query("SELECT status, count(*) AS cells FROM cells GROUP BY status").to_pylist()
    assert rows == [{"status": "completed", "cells": 16}]
    wait_for(lambda: num_workers(head) == 0, seconds=120)


@pytest.mark.usefixtures("head")
def test_a_job_that_no_node_could_hold_is_refused(train_job: JobMaker, tmp_path: Path) -> None:
    job_file = tmp_path / "job.yaml"
    job_file.write_text(dump_job(train_job(resources={"gpus_per_actor": 4, "gpus": "required"})))
    answer = subprocess.run(
        command("run", str(job_file), "--results", str(tmp_path / "results"), "--address", ADDRESS),
        env=os.environ | ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 2
    assert "room for 0 actors of 4 GPU and 1 CPU" in answer.stderr
