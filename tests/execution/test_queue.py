"""The queue of a driver: order, and tasks that wait for snapshots."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from harness.execution.queue import PackQueue
from harness.job.job import Job
from harness.planning.packs import ProbePack, TrainingPack
from harness.planning.plan import make_plan
from harness.storage.store import Store
from harness.worker.messages import Task


@pytest.fixture
def tasks(probe_job: Callable[..., Job], store: Store) -> tuple[list[Task], list[Task]]:
    """Those that train and those that probe."""
    tasks = [Task("job", pack, attempt=1, sequence=1) for pack in make_plan(probe_job(), store, slots=2).packs]
    training = [task for task in tasks if isinstance(task.pack, TrainingPack)]
    return training, [task for task in tasks if isinstance(task.pack, ProbePack)]


def test_tasks_start_in_order_and_the_first_before_all_others(tasks: tuple[list[Task], list[Task]]) -> None:
    (first, *_), probing = tasks
    everything = [key for task in probing for key in task.pack.requires]
    queue = PackQueue(everything)
    for task in probing:
        queue.append(task)
    queue.append_first(first)
    assert len(queue) == len(probing) + 1
    assert [queue.pop() for _ in range(len(queue))] == [first, *probing]
    assert queue.pop() is None


def test_a_task_waits_for_every_snapshot_it_needs(tasks: tuple[list[Task], list[Task]]) -> None:
    _, (task, *_) = tasks
    first, *others = task.pack.requires
    queue = PackQueue(others)
    queue.append(task)
    assert queue.pop() is None
    assert len(queue) == 1
    queue.note_snapshots([("another", 1)])
    assert queue.pop() is None
    queue.note_snapshots([first])
    assert queue.pop() is task
    assert len(queue) == 0


def test_tasks_that_wait_for_what_will_never_be_are_taken_out(tasks: tuple[list[Task], list[Task]]) -> None:
    _, probing = tasks
    queue = PackQueue([])
    for task in probing:
        queue.append(task)
    key = next(iter(probing[0].pack.requires))
    taken = queue.take_waiting_for(key)
    assert taken == [task for task in probing if key in task.pack.requires]
    assert len(queue) == len(probing) - len(taken)
    assert queue.take_waiting_for(key) == []
    queue.note_snapshots({other for task in probing for other in task.pack.requires})
    left = [queue.pop() for _ in range(len(queue))]
    assert set(left) == set(probing) - set(taken)
