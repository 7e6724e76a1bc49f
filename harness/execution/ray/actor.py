"""What runs on a cluster's nodes: an actor, and the task that loads a problem's data."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import ray

from ...worker.messages import Event, Task, WorkerSettings
from . import cluster
from .calls import Location

if TYPE_CHECKING:
    from ...problems.sources import Samples
    from ...storage.files import Files

LOOK_SECONDS = 5.0
"""Between looks at the cluster's nodes."""


class Actor:
    """A worker in a process of its own. It alone imports torch, and does while the data load."""

    def __init__(self) -> None:
        from ...worker.devices import limit_memory
        from ...worker.worker import Worker

        self._make, self._limit_memory = Worker, limit_memory

    def prepare(self, settings: WorkerSettings, samples: Samples | None, files: Files | None) -> Location:
        """Makes the worker here, where an error reaches the driver as what it is; says where it is."""
        self._limit_memory(settings.memory_bytes)
        self._worker = self._make(settings, samples, files)
        return Location(ray.get_runtime_context().get_node_id(), socket.gethostname(), os.getpid())

    def execute(self, task: Task) -> Iterator[Event]:
        """Works through a task's pack, and looks now and then whether this node is about to be taken away."""
        node, looked = ray.get_runtime_context().get_node_id(), time.monotonic()
        for event in self._worker.execute(task):
            yield event
            if time.monotonic() - looked > LOOK_SECONDS:
                looked = time.monotonic()
                if node in cluster.draining_nodes():
                    self._worker.leave()
