"""An executor, found by its entry point: the serial one, which counts the packs it is given."""

from __future__ import annotations

from harness.execution.serial import SerialExecutor
from harness.worker.messages import Task


class Counting(SerialExecutor):
    """Runs packs in this process and counts them."""

    num_started = 0

    @property
    def description(self) -> str:
        return "this process, counting packs"

    def start(self, task: Task) -> None:
        Counting.num_started += 1
        super().start(task)
