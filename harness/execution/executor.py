"""The interface between the driver and whatever runs packs."""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from pathlib import Path

from ..job.parts.problem import Problem
from ..job.parts.settings import Resources
from ..worker.messages import Event, Task, WorkerSettings


class Executor(abc.ABC):
    """Runs tasks, one per slot. The driver owns queue, attempts and failures; an executor owns workers.

    Attributes:
      num_slots: Tasks that can run at once.
      threads_per_slot: CPU threads of one.
      uses_gpus: Whether a slot owns a GPU or a share of one.
      announce: Takes a sentence for whoever watches.
    """

    num_slots: int
    threads_per_slot: int
    uses_gpus: bool
    announce: Callable[[str], None]

    def __init__(self, resources: Resources, *, address: str | None = None, packages: Sequence[Path] = ()) -> None:
        """An executor that is not open yet.

        Args:
          resources: What one slot holds, and how many there may be.
          address: Of an existing cluster; of no meaning to executors of this machine.
          packages: Folders and files of top-level packages that the job's own parts come from. Workers that cannot
            import them from where the driver does need them sent.
        """
        self.resources, self.address, self.packages = resources, address, packages
        self.announce = lambda text: None

    @property
    @abc.abstractmethod
    def description(self) -> str:
        """What the slots are, for a person: ``2 actors, one CPU each``."""

    @property
    @abc.abstractmethod
    def num_free(self) -> int:
        """Workers that are ready and have nothing to do; a worker that is still waiting for resources is neither."""

    @property
    def awaited(self) -> str:
        """What tasks wait for while no worker is at work: ``a node with 1 GPU and 1 CPU``."""
        return "a worker"

    @abc.abstractmethod
    def open(self, settings: WorkerSettings, problem: Problem, *, num_tasks: int) -> None:
        """Makes the problem's data ready, and starts the workers, no more than there are tasks.

        Raises:
          HarnessError: If the data cannot be loaded.
        """

    def provide(self, num_tasks: int) -> None:  # noqa: B027 - the number of workers may be fixed
        """Sees to workers for so many tasks besides those under way; called whenever something has happened."""

    @abc.abstractmethod
    def start(self, task: Task) -> None:
        """Gives a task to a free worker."""

    @abc.abstractmethod
    def wait(self) -> Sequence[tuple[Task, Event]]:
        """Blocks until something happens or about a second has passed; the last event of a task is a `Last`."""

    @abc.abstractmethod
    def close(self) -> None:
        """Ends the workers."""
