"""The driver's folder for workers of nodes that do not see it: their files travel through an actor on its node.

Every call is answered when it is done: a file that was put is on the driver's disk. A worker puts one file at a time,
and the actor does no more than `_AT_ONCE` things at once. It is started again if its process ends, and what it was
asked is asked again, which is safe: a file is complete or absent.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

import ray
from ray import exceptions
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from ...errors import StoreError
from ...storage.place import Place

T = TypeVar("T")
_AT_ONCE = 16  # calls


class Relay:
    """The files of a folder of the driver's node, from any node.

    Args:
      root: The folder.
      keeper: From `start_keeper`.
    """

    def __init__(self, root: str, keeper: Any) -> None:
        self.root, self._keeper = root, keeper

    def path(self, name: str) -> str:
        """Of a file, for a person."""
        return f"{self.root}/{name}"

    def put(self, name: str, content: bytes) -> None:
        """Writes a file complete or not at all; it is on the driver's disk when this returns."""
        self._ask("put", name, content)

    def content(self, name: str) -> bytes | None:
        """Of a file; None where there is none."""
        content: bytes | None = self._ask("content", name)
        return content

    def header(self, name: str) -> bytes | None:
        """Of a safetensors file: its metadata and shapes as JSON; None where there is no file."""
        content: bytes | None = self._ask("header", name)
        return content

    def has(self, name: str) -> bool:
        """Whether there is such a file."""
        return bool(self._ask("has", name))

    def names(self, folder: str) -> list[str]:
        """Names of what is in a folder; none where there is no such folder."""
        return list(self._ask("names", folder))

    def delete(self, names: Iterable[str]) -> None:
        """Deletes files, if they are there."""
        self._ask("delete", list(names))

    def _ask(self, act: str, *arguments: Any) -> Any:
        try:
            return ray.get(getattr(self._keeper, act).remote(*arguments))
        except exceptions.RayTaskError as error:
            if isinstance(error.cause, StoreError):
                raise error.cause from error
            raise
        except exceptions.RayError as error:
            reason = str(error).splitlines()[0]
            raise StoreError(f"{self.root}: the driver's node, where it is, does not answer: {reason}") from error


def start_keeper(root: str) -> Any:
    """An actor on this node that does with the files of a folder what a `Relay` asks."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return (
        ray.remote(Place)
        .options(
            num_cpus=0,
            max_restarts=-1,
            max_task_retries=-1,
            max_concurrency=_AT_ONCE,
            scheduling_strategy=here,
        )
        .remote(root, patience_seconds=0.0)
    )
