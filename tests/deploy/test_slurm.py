"""deploy/slurm.sbatch on nodes that stubs of srun and scontrol play: real Ray nodes, all of them on this machine."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from harness.job.job import Job
from harness.job.reading import dump_job
from harness.storage.query import Results
from tests.execution.test_cluster import ENVIRONMENT, end_all, wait_for
from tests.execution.test_trouble import alive

JobMaker = Callable[..., Job]
SCRIPT = Path(__file__).parents[2] / "deploy" / "slurm.sbatch"
NUMBERS = itertools.count()
RAY_COMMAND = str(Path(sys.executable).with_name("ray"))
SRUN = """#!/bin/bash
# Plays srun: the options slurm.sbatch uses, and no others. Hands standard input on, and answers a signal as srun does,
# by killing all of its step.
while [[ ${1:-} == --* ]]; do
  case $1 in
    --overlap | --nodes=1 | --ntasks=1 | --cpus-per-task=*) ;;
    --nodelist=*) export SLURMD_NODENAME=${1#*=} ;;
    *) echo "srun: unrecognized option '$1'" >&2; exit 1 ;;
  esac
  shift
done
[[ $SLURMD_NODENAME != "${BROKEN_NODE:-}" ]] || { echo "srun: error: Node failure on $SLURMD_NODENAME" >&2; exit 1; }
export SLURM_GPUS_ON_NODE=1
step() { for child in $(ps -o pid= --ppid "$1"); do step "$child"; done; echo "$1"; }
trap 'echo "srun: forcing job termination" >&2; kill -KILL $(step "$task")' TERM INT
"$@" <&0 &
task=$!
wait "$task"
wait "$task"
"""
SCONTROL = """#!/bin/bash
[[ "$1 $2 $3" == "show hostnames node[1-2]" ]] || exit 1
printf 'node1\\nnode2\\n'
"""


@dataclass
class Batch:
    """A batch script that runs, with what Slurm would say of it, and every process it was seen to have."""

    process: subprocess.Popen[str]
    folder: Path
    number: int
    family: dict[int, psutil.Process] = field(default_factory=dict)

    @property
    def said(self) -> str:
        return (self.folder / "slurm.log").read_text()

    @property
    def logs(self) -> Path:
        """The folder of the job."""
        (found,) = [path for path in self.folder.glob("slurm-*") if path.is_dir()]
        return found

    def look(self) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            self.family |= {child.pid: child for child in psutil.Process(self.process.pid).children(recursive=True)}

    def wait_for(self, condition: Callable[[], bool]) -> None:
        def looked() -> bool:
            self.look()
            return condition()

        wait_for(looked, seconds=120, process=self.process)

    def end(self, *, seconds: float = 120) -> int:
        """Waits until it ends; its exit code."""
        deadline = time.monotonic() + seconds
        while self.process.poll() is None:
            assert time.monotonic() < deadline, self.said
            self.look()
            time.sleep(0.1)
        return self.process.returncode

    def nodes(self) -> list[psutil.Process]:
        """The daemons of its cluster that run."""
        found = []
        for process in self.family.values():
            with contextlib.suppress(psutil.NoSuchProcess):
                if process.name() in ("raylet", "gcs_server"):
                    found.append(process)
        return found

    def left(self) -> list[str]:
        return alive(list(self.family.values()))

    def scratch(self) -> list[Path]:
        """What it has on its nodes' disks."""
        return list(Path("/tmp").glob(f"h{self.number}-*"))

    def num_rows(self) -> int:
        return len(Results(self.folder / "results").query("SELECT cell_id FROM cells"))


@contextlib.contextmanager
def submitted(folder: Path, *arguments: str, **environment: str) -> Iterator[Batch]:
    """As sbatch would start it: a copy of the script elsewhere, in the folder it was submitted from."""
    number = 10 * os.getpid() + next(NUMBERS) % 10  # not that of a test that runs beside this one
    stubs = folder / "bin"
    stubs.mkdir(parents=True, exist_ok=True)
    for name, text in {"srun": SRUN, "scontrol": SCONTROL}.items():
        (stubs / name).write_text(text)
        (stubs / name).chmod(0o755)
    copy = stubs / "slurm_script"
    shutil.copy(SCRIPT, copy)
    environment = {
        **ENVIRONMENT,
        "PATH": f"{stubs}{os.pathsep}{ENVIRONMENT['PATH']}",
        "PYTHONPATH": str(SCRIPT.parents[1]),
        "SLURM_JOB_ID": str(number),
        "SLURM_JOB_NODELIST": "node[1-2]",
        "SLURMD_NODENAME": "node1",
        "SLURM_SUBMIT_DIR": str(folder),
        "SLURM_CPUS_PER_TASK": "1",
        "SLURM_MEM_PER_NODE": "1000",
        **environment,
    }
    with (folder / "slurm.log").open("a") as log:
        process = subprocess.Popen(
            ["bash", str(copy), *arguments], cwd=folder, env=environment, stdout=log, stderr=log, text=True
        )
    batch = Batch(process, folder, number)
    try:
        yield batch
    finally:
        if process.poll() is None:
            end_all([*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)])
        for left in batch.scratch():
            shutil.rmtree(left)


RAY = """#!/bin/bash
# Plays `ray start --block`: says that it is in, and stays until it is told to end.
for option in "$@"; do
  [[ $option != --temp-dir=* ]] || folder=${option#*=}
done
echo "$SLURMD_NODENAME: $*" >>"$SLURM_SUBMIT_DIR/started"
mkdir -p "$folder/session_latest/logs"
echo 10.0.0.1:4321 >"$folder/ray_current_cluster"
echo kept >"$folder/session_latest/logs/raylet.out"
[[ -n ${SLOW:-} ]] || echo "Ray runtime started."
exec sleep 100
"""
PYTHON = """#!/bin/bash
# Plays the driver; what finds a free port is left as it is.
[[ $1 != -c ]] || exec /usr/bin/env -S python3 "$@"
printf '%s\\n' "$*" "$RAY_AUTH_MODE $(stat -c %a "$RAY_AUTH_TOKEN_PATH") $(<"$RAY_AUTH_TOKEN_PATH")" >driven
exit 7
"""


def played(folder: Path) -> dict[str, str]:
    """An environment without Ray: its commands are played, too."""
    (folder / "bin").mkdir()
    for name, text in {"ray": RAY, "python": PYTHON}.items():
        (folder / "bin" / name).write_text(text)
        (folder / "bin" / name).chmod(0o755)
    return {"PATH": f"{folder / 'bin'}{os.pathsep}/usr/bin{os.pathsep}/bin", "VENV": "none"}


# --- without Ray


def test_bash_can_read_it() -> None:
    subprocess.run(["bash", "-n", str(SCRIPT)], check=True)


def test_shellcheck_finds_nothing() -> None:
    beside = Path(sys.executable).with_name("shellcheck")
    checker = str(beside) if beside.exists() else shutil.which("shellcheck")
    if checker is None:
        pytest.skip("no shellcheck here; it is in the extra [dev]")
    answer = subprocess.run([checker, str(SCRIPT)], capture_output=True, text=True, check=False)
    assert (answer.returncode, answer.stdout + answer.stderr) == (0, "")


def test_it_asks_slurm_for_a_signal_in_time_and_for_another_try() -> None:
    options = re.findall(r"^#SBATCH (\S+)$", SCRIPT.read_text(), flags=re.MULTILINE)
    assert {"--requeue", "--open-mode=append"} <= set(options)
    (ahead,) = [int(option.rpartition("@")[2]) for option in options if option.startswith("--signal=B:TERM@")]
    (to_end,) = re.findall(r"^END_SECONDS=(\d+)", SCRIPT.read_text(), flags=re.MULTILINE)
    assert ahead >= 30 + 2 * int(to_end)  # for the driver; then for the nodes, and for the head after them


def test_every_ray_of_the_machine_but_its_own_is_left_alone() -> None:
    """`ray stop` ends all of a user's, and `ray symmetric-run` ends with it."""
    code = [line.partition("#")[0] for line in SCRIPT.read_text().splitlines()]
    forbidden = re.compile(r"\b(ray stop|symmetric-run|pkill|killall|scancel)\b")
    assert [line for line in code if forbidden.search(line)] == []


def test_the_driver_ends_with_its_own_exit_code_and_gets_the_options_after_the_job(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").touch()
    with submitted(tmp_path, "job.yaml", "--retry", "failed", RESULTS="s3://b/p", **played(tmp_path)) as job:
        assert job.end(seconds=18) == 7, job.said  # Ray is killed after 20 s, if it does not listen
        assert job.scratch() == []
    arguments, access = (tmp_path / "driven").read_text().splitlines()
    assert arguments == "-m harness run job.yaml --address 10.0.0.1:4321 --results s3://b/p --retry failed"
    assert re.fullmatch(r"token 600 [0-9a-f]{64}", access)
    assert access.split()[-1] not in job.said + (tmp_path / "started").read_text()
    assert stat.S_IMODE(job.logs.stat().st_mode) == 0o700
    kept = {str(path.relative_to(job.logs)) for path in job.logs.rglob("*") if path.is_file()}
    assert kept == {f"node-{number}{end}" for number in (0, 1) for end in (".log", "/raylet.out")}


def test_no_port_is_one_that_another_ray_may_have(tmp_path: Path) -> None:
    """Every port that `ray start --help` knows is given: 0, or one that was free."""
    (tmp_path / "job.yaml").touch()
    with submitted(tmp_path, "job.yaml", **played(tmp_path)) as job:
        job.end()
    head, worker = (tmp_path / "started").read_text().splitlines()
    ports = dict(re.findall(r"--([\w-]*port)=(\d+)", head))
    known = subprocess.run(
        [RAY_COMMAND, "start", "--help"], capture_output=True, text=True, check=True, env=ENVIRONMENT
    )
    assert set(ports) == set(re.findall(r"^ +--([\w-]*port) INTEGER", known.stdout, re.MULTILINE)) - {"dashboard-port"}
    assert "--include-dashboard=false" in head
    (fixed,) = {name: int(port) for name, port in ports.items() if port != "0"}.items()
    any_from, _ = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
    assert fixed[0] == "ray-client-server-port"  # which cannot be 0
    assert 19999 < fixed[1] < max(int(any_from), 30000)  # above Ray's own, below what the system gives to who asks
    assert "--address=10.0.0.1:4321" in worker
    for_heads = {"port", "ray-client-server-port"}
    assert dict(re.findall(r"--([\w-]*port)=(\d+)", worker)).keys() == ports.keys() - for_heads
    folders = [re.findall(r"--temp-dir=(\S+)", line)[0] for line in (head, worker)]
    assert len(set(folders)) == 2
    longest = f"{folders[0]}/session_2026-11-28_04-25-22_384740_4194304/sockets/plasma_store"  # pids have 7 digits
    assert len(longest) <= 107
    assert f"--object-store-memory={1000 * 2**20 // 5}" in head
    assert "--num-gpus=1" in head
    assert "--num-cpus=1" in head


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"SLURM_JOB_ID": ""}, "not in a Slurm job; submit it: sbatch deploy/slurm.sbatch JOB"),
        ({"NODE_TMP": "/a/folder/with/a/long/name/here"}, "too long for Ray's sockets, whose paths have 107 bytes"),
        ({"PATH": "/usr/bin:/bin", "VENV": "none"}, "no ray on the PATH and no environment in none; set VENV"),
    ],
)
def test_what_cannot_work_is_said_before_anything_starts(change: dict[str, str], text: str, tmp_path: Path) -> None:
    (tmp_path / "job.yaml").touch()
    with submitted(tmp_path, "job.yaml", **change) as job:
        assert job.end() == 2
    assert text in job.said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bin", "job.yaml", "slurm.log"]


@pytest.mark.parametrize(("arguments", "text"), [((), "no job file; name one"), (("a.yaml",), "a.yaml: no such job")])
def test_a_job_file_that_is_not_there_is_said(arguments: tuple[str, ...], text: str, tmp_path: Path) -> None:
    with submitted(tmp_path, *arguments) as job:
        assert job.end() == 2
    assert text in job.said


def test_a_head_that_never_starts_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").touch()
    with submitted(tmp_path, "job.yaml", BROKEN_NODE="node1", **played(tmp_path)) as job:
        assert job.end() == 2
    assert "the head does not start; " in job.said
    assert "Node failure on node1" in (job.logs / "node-0.log").read_text()
    assert not (tmp_path / "driven").exists()
    assert not (job.logs / "token").exists()


def test_a_signal_before_the_cluster_is_there_ends_what_has_started(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").touch()
    with submitted(tmp_path, "job.yaml", SLOW="yes", **played(tmp_path)) as job:
        job.wait_for(lambda: (tmp_path / "started").exists() and bool(job.scratch()))
        job.process.send_signal(signal.SIGTERM)
        assert job.end(seconds=18) == 130, job.said
        assert job.scratch() == []  # at once: it has waited for its nodes
        assert job.left() == []
    assert not (tmp_path / "driven").exists()
    assert not (job.logs / "token").exists()


# --- with Ray


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    """A process that `ray stop` would take for a raylet."""
    process = subprocess.Popen(["bash", "-c", "exec -a /opt/ray/core/src/ray/raylet/raylet sleep 300"])
    yield process
    process.kill()
    process.wait()


@pytest.mark.ray
@pytest.mark.slow
def test_two_jobs_on_the_same_nodes_do_not_touch_each_other(
    train_job: JobMaker, tmp_path: Path, bystander: subprocess.Popen[bytes]
) -> None:
    short = train_job(resources={"pack": 8})
    long = train_job(training={"steps_per_epoch": 800}, resources={"pack": 2})
    for name, job in (("short", short), ("long", long)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "job.yaml").write_text(dump_job(job))
    tokens = set()
    with (
        submitted(tmp_path / "short", "job.yaml") as first,
        submitted(tmp_path / "long", "job.yaml") as second,
    ):
        for batch in (first, second):
            batch.wait_for(lambda batch=batch: "Ray actors" in batch.said)  # type: ignore[misc]
            assert sorted(process.name() for process in batch.nodes()) == ["gcs_server", "raylet", "raylet"]
            for process in batch.nodes():
                assert process.environ()["RAY_AUTH_MODE"] == "token"
                assert process.environ()["RAY_AUTH_TOKEN_PATH"] == str(batch.logs / "token")
            tokens.add((batch.logs / "token").read_text())
        assert first.end() == 0, first.said
        assert second.process.poll() is None
        assert [process.name() for process in second.nodes()].count("raylet") == 2
        assert first.left() == []
        assert second.end() == 0, second.said
        assert second.left() == []
        assert first.scratch() + second.scratch() == []
    assert bystander.poll() is None
    assert len(tokens) == 2
    for batch in (first, second):
        assert "2 Ray actors, 1 GPU and" in batch.said  # a GPU on either node, as SLURM_GPUS_ON_NODE says
        assert batch.num_rows() == 16


@pytest.mark.ray
@pytest.mark.slow
def test_a_job_that_is_preempted_leaves_nothing_and_goes_on_when_it_is_requeued(
    train_job: JobMaker, tmp_path: Path
) -> None:
    job = train_job(training={"steps_per_epoch": 400}, resources={"pack": 2})
    (tmp_path / "job.yaml").write_text(dump_job(job))
    cells = tmp_path / "results" / "tiny" / "cells"
    with submitted(tmp_path, "job.yaml") as batch:
        batch.wait_for(lambda: cells.is_dir() and any(cells.glob("*.parquet")))
        batch.process.send_signal(signal.SIGTERM)
        assert batch.end() == 130, batch.said
        assert "Interrupted. What was written stays" in batch.said
        assert batch.left() == []
        assert batch.scratch() == []
        before = batch.num_rows()
        assert 0 < before < 16
    with submitted(tmp_path, "job.yaml", SLURM_RESTART_COUNT="1", BROKEN_NODE="node2") as again:
        assert again.end() == 0, again.said
        assert again.left() == []
    assert "going on without node 1" in again.said
    assert f"{16 - before} computed" in again.said
    assert again.num_rows() == 16
    assert (tmp_path / f"slurm-{again.number}-1" / "node-0" / "raylet.out").exists()
