"""Executors by name: built in, or of a package that brings one by the entry point ``harness.executors``."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from ..errors import HarnessError, suggest
from ..job.parts.settings import Resources
from .executor import Executor

GROUP = "harness.executors"


def executor_names() -> list[str]:
    """What can be asked for: the built-in executors, then those of installed packages."""
    return [*_BUILT_IN, *sorted(_brought())]


def check_executor(name: str) -> None:
    """Refuses an executor that is not there.

    Raises:
      HarnessError: The text lists the valid names.
    """
    if name not in _BUILT_IN and name not in _brought():
        raise HarnessError(
            f"--executor: unknown executor '{name}'.{suggest(name, executor_names())}, or what a package installs "
            f"under the entry point {GROUP}"
        )


def make_executor(
    name: str, resources: Resources, *, address: str | None = None, packages: Sequence[Path] = ()
) -> Executor:
    """An executor by name; Ray is imported only if it is asked for.

    Args:
      name: One of `executor_names`.
      resources: Of the job.
      address: Of an existing cluster.
      packages: Folders and files of what the user brings, for workers elsewhere.

    Raises:
      HarnessError: If there is none of this name, or it cannot be loaded.
    """
    check_executor(name)
    if name in _BUILT_IN:
        return _BUILT_IN[name](resources, address, packages)
    entry = _brought()[name]
    try:
        executor = entry.load()(resources, address=address, packages=packages)
    except HarnessError:
        raise
    except Exception as error:  # another package's code may raise anything
        raise HarnessError(f"--executor {name} ({entry.value}): {type(error).__name__}: {error}") from error
    if not isinstance(executor, Executor):
        raise HarnessError(f"--executor {name} ({entry.value}) makes no harness.execution.executor.Executor")
    return executor


def _brought() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUP) if entry.name not in _BUILT_IN}


def _serial(resources: Resources, address: str | None, packages: Sequence[Path]) -> Executor:
    from .serial import SerialExecutor

    return SerialExecutor(resources, address=address, packages=packages)


def _ray(resources: Resources, address: str | None, packages: Sequence[Path]) -> Executor:
    from .ray import environment

    environment.prepare(address or os.environ.get("RAY_ADDRESS"))
    from .ray.executor import RayExecutor

    return RayExecutor(resources, address=address, packages=packages)


_BUILT_IN: Mapping[str, Callable[[Resources, str | None, Sequence[Path]], Executor]] = {"ray": _ray, "serial": _serial}
