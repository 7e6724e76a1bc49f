"""Files below the root of a store, as who writes results needs them: on a disk, an object store, or another node."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol


class Files(Protocol):
    """Files that are named by their paths below a root: ``job/cells/part-1.parquet``.

    Attributes:
      root: As it was given.

    Raises:
      StoreError: From every method, if the place does not answer.
    """

    root: str

    def path(self, name: str) -> str:
        """Of a file, for a person."""
        ...

    def put(self, name: str, content: bytes) -> None:
        """Writes a file complete or not at all; it is there for everybody when this returns."""
        ...

    def content(self, name: str) -> bytes | None:
        """Of a file; None where there is none."""
        ...

    def header(self, name: str) -> bytes | None:
        """Of a safetensors file: its metadata and shapes as JSON; None where there is no file."""
        ...

    def has(self, name: str) -> bool:
        """Whether there is such a file."""
        ...

    def names(self, folder: str) -> list[str]:
        """Names of what is in a folder; none where there is no such folder."""
        ...

    def delete(self, names: Iterable[str]) -> None:
        """Deletes files, if they are there."""
        ...
