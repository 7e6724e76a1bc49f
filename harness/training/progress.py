"""Reports of work done, and when they are due."""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """Work done since the last report, in member steps."""

    member_steps: int


class ProgressThrottle:
    """Decides by the clock when to report progress, so that short steps do not drown in messages."""

    def __init__(self, num_members: int, *, interval_seconds: float = 1.0) -> None:
        self._num_members, self._interval = num_members, interval_seconds
        self._last, self._steps = time.monotonic(), 0

    def step(self) -> Progress | None:
        """Counts one step of the pack; a report if one is due."""
        self._steps += 1
        return self.flush() if time.monotonic() - self._last >= self._interval else None

    def flush(self) -> Progress:
        """Everything not yet reported."""
        progress = Progress(self._steps * self._num_members)
        self._last, self._steps = time.monotonic(), 0
        return progress
