"""Grids on a cluster whose parts are killed: does the table come out as if nothing had happened?

python benchmarks/faults.py sixty                 60 cells; an actor killed every 5 s, a node lost, another joins, ...
python benchmarks/faults.py sixty --s3            the same on an S3 server that fails every 10th request, and for 60 s
python benchmarks/faults.py random --minutes 30   grid after grid with a random fault every 10 s

Every node is a real raylet in a mount namespace of its own, where the driver's folder of results is an empty one: no
disk is shared (it needs the right to mount). The driver is a process of its own, started again when it was killed.
Exit code 0 if all tables are those of undisturbed runs, row by row.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import os
import random
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

import harness
from harness.job.reading import dump_job
from harness.storage.query import Results
from harness.storage.store import Store

ROOT = Path(__file__).parents[1]
os.environ.update(
    RAY_USAGE_STATS_ENABLED="0", PYTHONPATH=str(ROOT), RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32)
)
RAY = str(Path(sys.executable).with_name("ray"))
NUMBERS = """
    SELECT cell_id, status, loss, sigma, epoch, seed, d_loss, accuracy, grad_norm, jsd_mixture, tv, w1, bound_paper,
           bound_best, real_w1 FROM cells ORDER BY cell_id"""


def make_job(number: int) -> dict[str, Any]:
    """60 cells of 40 probes, after 5 reference runs, each in a pack of its own; others for each number."""
    return {
        "name": f"grid-{number}",
        "protocol": "probe",
        "problem": {"name": "digits"},
        "networks": {"name": "dcgan", "width": 8, "latent": 8, "batch_norm": "joint"},
        "training": {"steps_per_epoch": 150},
        "grid": {
            "loss": ["minimax", "non_saturating", "wasserstein"],
            "sigma": [0, 0.5],
            "epoch": [1, 3],
            "seed": [5 * number + seed for seed in range(5)],
        },
        "probe": {"iterations": 700, "batch": 32, "measurements": 4, "generator_batches": 2},
        "evaluation": {"samples": 200, "draws": 200, "sigmas": [0.1, 0.3]},
        "resources": {"pack": 1, "gpus_per_actor": 0, "retries": 100, "checkpoint_minutes": 0.05},
    }


def family(process: psutil.Process) -> list[psutil.Process]:
    """A process and all that it has started; none where it has gone."""
    try:
        return [*process.children(recursive=True), process]
    except psutil.NoSuchProcess:
        return []


def end(processes: list[psutil.Process]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=20)


class Cluster:
    """A head without CPUs, and nodes with one each that come and go."""

    def __init__(self, folder: Path, results: Path) -> None:
        self._folder, self._results, self._count = folder, results, 0
        self.nodes: list[psutil.Process] = []
        self._names: dict[int, str] = {}
        self.start()

    def start(self) -> None:
        """Starts a head and two nodes."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        options = ["--head", f"--port={self.address.partition(':')[2]}", "--num-cpus=0", "--include-dashboard=false"]
        self.head = self._started(options)
        try:
            for _ in range(2):
                self.add()
        except BaseException:
            self.close()
            raise

    def _started(self, options: list[str], *, before: tuple[str, ...] = ()) -> psutil.Process:
        self._count += 1
        log = self._folder / f"node-{self._count}.log"
        with log.open("w") as output:
            process = subprocess.Popen(
                [*before, RAY, "start", "--block", *options], stdout=output, stderr=output, cwd="/"
            )
        deadline = time.monotonic() + 60
        while "Ray runtime started" not in log.read_text():
            if time.monotonic() > deadline or process.poll() is not None:
                end(family(psutil.Process(process.pid)))
                raise SystemExit(f"a node does not start: {log.read_text()}")
            time.sleep(0.1)
        return psutil.Process(process.pid)

    def add(self) -> None:
        """Starts a node that does not see the results."""
        own = self._folder / f"own-{self._count}"
        own.mkdir()
        script = f'mount --bind "{own}" "{self._results}" && shift && exec "$@"'
        name = f"node-{self._count}"
        node = self._started(
            [f"--address={self.address}", "--num-cpus=1", f"--node-name={name}"],
            before=("unshare", "--mount", "sh", "-c", script, "sh", "sh"),
        )
        self.nodes.append(node)
        self._names[node.pid] = name

    def lose(self, node: psutil.Process) -> None:
        """Ends a node without grace."""
        self.nodes.remove(node)
        end(family(node))

    def announce(self, node: psutil.Process, *, seconds: int) -> None:
        """Tells the cluster that a node will be taken away."""
        import ray

        known = ray._raylet.GcsClient(address=self.address).get_all_node_info(timeout=10)
        (node_id,) = (key.hex() for key, info in known.items() if info.node_name == self._names[node.pid])
        reason = ["--reason=DRAIN_NODE_REASON_PREEMPTION", "--reason-message=spot"]
        options = [f"--address={self.address}", f"--node-id={node_id}", f"--deadline-remaining-seconds={seconds}"]
        subprocess.run([RAY, "drain-node", *options, *reason], check=True, capture_output=True)

    def actors(self, of: psutil.Process | None = None) -> list[psutil.Process]:
        """Those that are there now, of one node or of all."""
        found = []
        for node in self.nodes if of is None else [of]:
            for process in family(node):
                with contextlib.suppress(psutil.Error):
                    if "ray::Actor" in " ".join(process.cmdline()):
                        found.append(process)
        return found

    def close(self) -> None:
        for node in list(self.nodes):
            self.lose(node)
        end(family(self.head))


class Driver:
    """``harness run``, started again whenever it has ended without having done its job."""

    def __init__(self, cluster: Cluster, folder: Path, results: str) -> None:
        self._cluster, self._folder, self._results = cluster, folder, results
        self.num_starts = 0

    def begin(self, job: dict[str, Any]) -> None:
        self._file = self._folder / f"{job['name']}.yaml"
        self._file.write_text(dump_job(harness.load_job(job)))
        self._start()

    def _start(self) -> None:
        self.num_starts += 1
        command = [sys.executable, "-m", "harness", "run", str(self._file), "--results", self._results]
        with (self._folder / "driver.log").open("a") as log:
            self.process = subprocess.Popen(
                [*command, "--address", self._cluster.address],
                cwd=self._folder,
                stdout=log,
                stderr=log,
            )

    @property
    def has_done(self) -> bool:
        """Whether the job is complete; a driver that ended otherwise is started again."""
        code = self.process.poll()
        if code not in (None, 0):
            self._start()
        return code == 0

    def end(self, signum: signal.Signals) -> None:
        self.process.send_signal(signum)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=40)


def matches(results: str, jobs: list[dict[str, Any]], folder: Path) -> bool:
    """Whether every job's table is that of an undisturbed run, and no row that counts is there twice."""
    undisturbed, sound = folder / "undisturbed", True
    for job in jobs:
        harness.run(job, results=undisturbed, executor="serial")
    query = NUMBERS.replace("FROM cells", "FROM cells WHERE job = '{}'")
    for job in jobs:
        mine, theirs = (Results(root).query(query.format(job["name"])).to_pylist() for root in (results, undisturbed))
        store = Store(results)
        rows = store.read("cells", store.parts("cells", job=job["name"]), columns=["attempt"])
        attempts = collections.Counter(rows["attempt"].to_pylist())
        is_equal = mine == theirs and len(mine) == 60
        sound &= is_equal
        print(
            f"{job['name']}: {len(mine)} cells, {'equal to' if is_equal else 'NOT equal to'} the undisturbed run's; "
            f"{len(rows)} rows, by attempt {dict(sorted(attempts.items()))}"
        )
    return sound


@contextlib.contextmanager
def place(folder: Path, *, s3: bool) -> Iterator[tuple[str, Any]]:
    """Where results go, and the server's proxy where there is one."""
    if not s3:
        yield str(folder / "results"), None
        return
    sys.path.insert(0, str(ROOT))
    os.environ.update(AWS_ACCESS_KEY_ID="k", AWS_SECRET_ACCESS_KEY="s", AWS_EC2_METADATA_DISABLED="true")
    from tests.storage.s3 import served

    with served() as proxy:
        yield proxy.uri("results"), proxy


def sixty(folder: Path, *, s3: bool) -> bool:
    """One grid; an actor killed every 5 s, a node lost, another that joins, the driver killed twice."""
    (folder / "results").mkdir()
    with place(folder, s3=s3) as (results, proxy):
        if proxy:
            proxy.fails_every = 10
        cluster = Cluster(folder, folder / "results")
        driver = Driver(cluster, folder, results)
        job, faults, began, done = make_job(0), collections.Counter[str](), time.monotonic(), set[str]()
        is_used = False

        def once(name: str, after: float, act: Callable[[], Any]) -> None:
            if name not in done and time.monotonic() - began > after:
                done.add(name)
                faults[name.partition(" (")[0]] += 1
                act()

        def outage() -> None:
            proxy.is_down = True
            threading.Timer(60, lambda: setattr(proxy, "is_down", False)).start()

        try:
            driver.begin(job)
            killed = time.monotonic()
            while not driver.has_done:
                time.sleep(0.2)
                if time.monotonic() - killed > 5 and (actors := cluster.actors()):
                    killed = time.monotonic()
                    end([random.choice(actors)])
                    faults["actor killed"] += 1
                is_used |= len(cluster.nodes) == 2 and "node joined" in done and bool(cluster.actors(cluster.nodes[-1]))
                once("node lost", 25, lambda: cluster.lose(cluster.nodes[0]))
                once("node joined", 35, cluster.add)
                once("driver killed (1)", 50, lambda: driver.end(signal.SIGKILL))
                once("driver killed (2)", 80, lambda: driver.end(signal.SIGKILL))
                if proxy:
                    once("store down for 60 s", 60, outage)
            print(f"{time.monotonic() - began:.0f} s; {dict(faults)}; driver started {driver.num_starts} times")
            if proxy:
                print(f"{proxy.num_failed} of {proxy.num_requests} requests failed")
                proxy.fails_every = 0
            joined = {path.name for path in folder.glob("own-*") if any(path.rglob("*"))}
            print(
                f"files on the nodes' own disks: {sorted(joined) or 'none'}; actors on the node that joined: {is_used}"
            )
        finally:
            cluster.close()
        return matches(results, [job], folder) and is_used and not joined and len(done) == (5 if proxy else 4)


def at_random(folder: Path, *, minutes: float, every: float, seed: int) -> bool:
    """Grid after grid, and every few seconds one of all the faults."""
    chance = random.Random(seed)
    results = folder / "results"
    results.mkdir()
    cluster = Cluster(folder, results)
    driver = Driver(cluster, folder, str(results))
    faults = collections.Counter[str]()

    def an_actor() -> psutil.Process | None:
        actors = cluster.actors()
        return chance.choice(actors) if actors else None

    def signalled(signum: signal.Signals) -> bool:
        actor = an_actor()
        if actor is not None:
            actor.send_signal(signum)
        return actor is not None

    def stopped() -> bool:
        actor = an_actor()
        if actor is not None:
            actor.suspend()
            threading.Timer(4, resume, [actor]).start()
        return actor is not None

    def resume(process: psutil.Process) -> None:
        with contextlib.suppress(psutil.Error):
            process.resume()

    def lost() -> bool:
        cluster.lose(chance.choice(cluster.nodes))
        cluster.add()
        return True

    def taken_away() -> bool:
        node = chance.choice(cluster.nodes)
        cluster.announce(node, seconds=8)
        cluster.add()
        time.sleep(8)
        cluster.lose(node)
        return True

    def damaged(pattern: str, how: Callable[[bytes], bytes]) -> bool:
        paths = sorted(results.glob(pattern))
        if not paths:
            return False
        path = chance.choice(paths)
        path.write_bytes(how(path.read_bytes()))
        return True

    def flipped(content: bytes) -> bytes:
        at = chance.randrange(len(content))
        return content[:at] + bytes([content[at] ^ 1 << chance.randrange(8)]) + content[at + 1 :]

    def headless() -> bool:
        cluster.close()
        driver.end(signal.SIGCONT)  # it says that the head is gone, and ends
        cluster.start()
        return True

    def killed(signum: signal.Signals) -> bool:
        driver.end(signum)
        return True

    kinds: dict[str, Callable[[], bool]] = {
        "actor killed": lambda: signalled(signal.SIGKILL),
        "actor terminated": lambda: signalled(signal.SIGTERM),
        "actor stopped for 4 s": stopped,
        "node lost": lost,
        "node taken away with notice": taken_away,
        "driver killed": lambda: killed(signal.SIGKILL),
        "driver terminated": lambda: killed(signal.SIGTERM),
        "driver interrupted": lambda: killed(signal.SIGINT),
        "part cut short": lambda: damaged("grid-*/cells/*.parquet", lambda content: content[: len(content) // 2]),
        "part with a flipped bit": lambda: damaged("grid-*/*/*.parquet", flipped),
        "generators with a flipped bit": lambda: damaged("snapshots/*.safetensors", flipped),
        "head lost": headless,
    }
    jobs: list[dict[str, Any]] = []
    ends, struck = time.monotonic() + 60 * minutes, time.monotonic()
    try:
        while not jobs or time.monotonic() < ends:
            jobs.append(make_job(len(jobs)))
            driver.begin(jobs[-1])
            while not driver.has_done:
                time.sleep(0.2)
                if time.monotonic() - struck > every and time.monotonic() < ends:
                    name = chance.choice(list(kinds))
                    if kinds[name]():
                        faults[name] += 1
                    struck = time.monotonic()
        for job in jobs:  # parts of jobs that were done were damaged later
            driver.begin(job)
            while not driver.has_done:
                time.sleep(0.2)
    finally:
        cluster.close()
    print(f"{minutes:g} minutes, seed {seed}: {sum(faults.values())} faults, driver started {driver.num_starts} times")
    for name in kinds:
        print(f"  {faults[name]:>4}  {name}")
    return matches(str(results), jobs, folder)


def main() -> None:
    """Runs a scenario in a folder of its own; see the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenario", choices=["sixty", "random"])
    parser.add_argument("--s3", action="store_true", help="sixty: on an S3 server that fails")
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--every", type=float, default=10.0, help="seconds between faults")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="to look at afterwards; by default a temporary one")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = options.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        if options.scenario == "sixty":
            sound = sixty(folder.resolve(), s3=options.s3)
        else:
            sound = at_random(folder.resolve(), minutes=options.minutes, every=options.every, seed=options.seed)
    sys.exit(0 if sound else 1)


if __name__ == "__main__":
    main()
