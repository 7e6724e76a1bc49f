"""The serial executor: one slot, in this process, without Ray. Slow, and easy to debug."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from ..errors import HarnessError
from ..job.parts.problem import Problem
from ..job.parts.settings import Resources
from ..worker.messages import Event, Last, Task, WorkerSettings
from ..worker.worker import Worker
from .executor import Executor


class SerialExecutor(Executor):
    """Runs one pack at a time in the calling process."""

    num_slots = 1

    def __init__(self, resources: Resources, *, address: str | None = None, packages: Sequence[Path] = ()) -> None:
        super().__init__(resources, address=address, packages=packages)
        cpus = resources.cpus_per_actor
        self.threads_per_slot = 1 if cpus == "auto" else max(1, int(cpus))
        self.uses_gpus = resources.gpus_per_actor > 0
        self._worker: Worker | None = None
        self._current: tuple[Task, Iterator[Event]] | None = None

    @property
    def description(self) -> str:
        return "this process"

    @property
    def num_free(self) -> int:
        return 0 if self._current else 1

    def open(self, settings: WorkerSettings, problem: Problem, *, num_tasks: int) -> None:
        try:
            samples = problem.load()
        except (ValueError, OSError, RuntimeError) as error:
            raise HarnessError(f"problem {problem.name}: {error}") from error
        except SystemExit as error:  # of a user's own code, which must not end ours without a word
            raise HarnessError(f"problem {problem.name}: SystemExit: {error}") from error
        self._worker = Worker(settings, samples)

    def start(self, task: Task) -> None:
        assert self._worker is not None, "open() comes first"
        assert self._current is None, "one task at a time"
        self._current = task, self._worker.execute(task)

    def wait(self) -> Sequence[tuple[Task, Event]]:
        assert self._current is not None, "nothing to wait for"
        task, events = self._current
        event = next(events)
        if isinstance(event, Last):
            self._current = None
        return [(task, event)]

    def close(self) -> None:
        self._current = None
