"""A problem's data on their way into the memory of a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ray
from ray import exceptions

from ...errors import ClusterError, HarnessError
from ...job.parts.problem import Problem
from .cluster import NO_ACTOR, WORKER_GONE

if TYPE_CHECKING:
    from ...problems.sources import Samples

_OPTIONS: dict[str, Any] = {"num_cpus": 0, "num_returns": 2, "max_retries": 3}


class Loading:
    """Samples that a task loads once, and Ray again if its process or, also later, all nodes with a copy are lost.

    Actors of a node share the object store's copy without copying it again.

    Attributes:
      samples: A reference; None where the problem has none.
      is_under_way: Whether they are not there yet.
    """

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self.samples: Any = None
        self._answer: Any = None  # another reference, answered when the samples are there
        self.is_under_way = problem.has_samples
        if self.is_under_way:
            load = ray.remote(_load).options(**_OPTIONS)
            self.samples, self._answer = load.remote(problem)

    def look(self) -> None:
        """Waits for about a second, or until the samples are there.

        Raises:
          HarnessError: If they cannot be loaded.
          ClusterError: If the cluster cannot run the task.
        """
        if not self.is_under_way:
            return
        ready, _ = ray.wait([self._answer], timeout=1.0)
        if not ready:
            return
        try:
            ray.get(self._answer)
        except exceptions.RayTaskError as error:
            raise HarnessError(f"problem {self._problem.name}: {error.cause}") from error
        except WORKER_GONE as error:
            text = f"problem {self._problem.name}: the process that loaded its data has ended"
            raise HarnessError(text) from error
        except NO_ACTOR as error:
            raise ClusterError(f"the cluster cannot load the data: {error}") from error
        else:
            self.is_under_way = False

    def cancel(self) -> None:
        """Ends the task, if it is under way."""
        if self.is_under_way:
            ray.cancel(self._answer, force=True)


def _load(problem: Problem) -> tuple[Samples | None, bool]:
    return problem.load(), True
