"""What a driver costs a cell, an event and an actor, and how many GPUs one can keep busy.

python benchmarks/scaling.py

Everything is measured on this machine, with real Ray and a real store; the rest is arithmetic. A worker says once a
second how far it is, and three things more a pack; all of it passes through one thread of the driver.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
ACTORS = (10, 100, 1_000, 3_000)
GPUS = (10, 100, 1_000, 10_000)
PACK_SECONDS = (3, 60, 600)
EVENTS_A_PACK = 3  # rows, snapshots, the end


def plan_seconds_a_cell(scratch: Path) -> float:
    """From the difference of two plans."""
    import harness

    text = (ROOT / "benchmarks" / "trivial_20000.yaml").read_text()
    start, stop = text.index("seed: ["), text.index("]", text.index("seed: ["))
    times = []
    for num in (2_000, 20_000):
        job = scratch / f"{num}.yaml"
        job.write_text(text[:start] + "seed: " + json.dumps(list(range(num // 10))) + text[stop + 1 :])
        started = time.perf_counter()
        plan = harness.plan(str(job), results=scratch / "none")
        assert len(plan.missing) == num
        assert plan.packs
        times.append(time.perf_counter() - started)
    return (times[1] - times[0]) / 18_000


def write_seconds(scratch: Path) -> tuple[float, float]:
    """Of a part, and of each row in it, on this disk."""
    from harness.storage.store import Store
    from harness.storage.writer import new_part

    store, times, sizes = Store(scratch / "store"), [], (10, 5_000)
    for num in sizes:
        rows: list[dict[str, Any]] = [{"cell_id": f"{index:020}", "status": "completed"} for index in range(num)]
        started = time.perf_counter()
        for _ in range(20):
            store.write_part("job", "cells", rows, part=new_part())
        times.append((time.perf_counter() - started) / 20)
    a_row = (times[1] - times[0]) / (sizes[1] - sizes[0])
    return times[0] - sizes[0] * a_row, a_row


def event_seconds() -> float:
    """The driver's own work for an event, without Ray."""
    from harness.execution.driver import Driver
    from harness.execution.executor import Executor
    from harness.execution.state import State
    from harness.job.parts.settings import Resources
    from harness.storage.store import Store
    from harness.training.progress import Progress
    from harness.worker.messages import PackDone, Task
    from harness.worker.provenance import Provenance

    num_packs, num_events = 500, 20

    class Pack:
        """As much of one as the driver looks at."""

        requires: frozenset[Any] = frozenset()
        member_steps = num_events
        training_seconds = 1.0

    class Immediate(Executor):
        """Every task reports some times, then ends."""

        num_slots, threads_per_slot, uses_gpus, description = 1, 1, False, ""
        num_free = 1

        def open(self, *_: Any, **__: Any) -> None: ...

        def close(self) -> None: ...

        def start(self, task: Task) -> None:
            self.num_free = 0
            self._task = task

        def wait(self) -> Sequence[tuple[Task, Any]]:
            self.num_free = 1
            return [(self._task, event) for event in [*[Progress(1)] * num_events, PackDone()]]

    with tempfile.TemporaryDirectory() as folder:
        driver = Driver(Store(folder), Immediate(Resources()), Provenance("{}", None), retries=0)
        packs: Any = [Pack() for _ in range(num_packs)]
        started = time.perf_counter()
        state = State(num_cells=0, statuses={}, work_total=1.0)
        driver.run("job", packs, state=state)
        assert abs(state.work_done - num_packs) < 1e-6
        return (time.perf_counter() - started) / num_packs / (num_events + 1)


def ray_seconds() -> tuple[float, dict[int, float]]:
    """Of taking one event from a stream, and of a wait for all of some number of actors."""
    import ray

    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)

    class Actor:
        def events(self, num: int) -> Any:
            for index in range(num):  # noqa: UP028 - Ray sends values into the stream, which a range does not take
                yield index

    def nothing() -> None: ...

    never: Any = ray.remote(num_cpus=1_000)(nothing)  # it never gets them
    actor, num = ray.remote(num_cpus=0)(Actor).remote(), 500
    stream = actor.events.options(num_returns="streaming").remote(num)
    ray.wait([stream])
    time.sleep(2.0)  # until all events are there: what is timed is taking them, not the actor
    started = time.perf_counter()
    for _ in range(num):
        ray.get(next(stream))
    an_event = (time.perf_counter() - started) / num
    waits: dict[int, float] = {}
    pending: list[Any] = []
    for size in ACTORS:
        pending += [never.remote() for _ in range(size - len(pending))]
        times = []
        for _ in range(20):
            started = time.perf_counter()
            ray.wait(pending, num_returns=len(pending), timeout=0, fetch_local=False)
            times.append(time.perf_counter() - started)
        waits[size] = float(np.median(times))
    ray.shutdown()
    return an_event, waits


def main() -> None:
    """Measures, and prints what follows."""
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        a_cell = plan_seconds_a_cell(scratch)
        a_part, a_row = write_seconds(scratch)
    own, (of_ray, waits) = event_seconds(), ray_seconds()
    an_event = own + of_ray
    slope = float(np.polyfit(list(waits), list(waits.values()), 1)[0])
    print(f"plan                     {1e6 * a_cell:8.0f} us a cell")
    print(f"part written by a worker {1e3 * a_part:8.1f} ms, and {1e6 * a_row:.0f} us a row of cells")
    print(f"event in the driver      {1e6 * an_event:8.0f} us, of which {1e6 * own:.0f} are its own and the rest Ray's")
    for size, value in waits.items():
        print(f"wait for {size:>6,} actors   {1e6 * value:8.0f} us")
    print("\nShare of its time for which the driver is busy, by GPUs and by seconds a pack takes:")
    print("GPUs    " + "".join(f"{f'{seconds} s':>10}" for seconds in PACK_SECONDS))
    for gpus in GPUS:
        shares = []
        for seconds in PACK_SECONDS:
            events = gpus * (1 + EVENTS_A_PACK / seconds)  # a second
            busy = events * an_event
            # waits fill what is left: each takes all events that have come since the last, so they never pile up
            shares.append("saturated" if busy >= 1 else f"{busy:.1%}")
        print(f"{gpus:<8,}" + "".join(f"{share:>10}" for share in shares))
    print("\nLatency of an event, from a worker to the driver's answer, once waits fill the driver's time:")
    for gpus in GPUS:
        busy = gpus * (1 + EVENTS_A_PACK / PACK_SECONDS[0]) * an_event
        delay = slope * gpus * 2 / (1 - busy) if busy < 1 else float("inf")
        print(f"{gpus:<8,}{1e3 * delay:8.1f} ms" + ("" if delay < 1 else "  (idle GPUs)"))
    print(f"\non {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
