"""Where a store is: files below a root, written complete or not at all, on a disk or an object store."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import time
import uuid
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.fs

from ..errors import StoreError, StoreWarning, printable

PATIENCE_SECONDS = 300.0
"""How long a run waits for a remote store that does not answer."""
_FINAL = ("ACCESS_DENIED", "NO_SUCH_BUCKET", "INVALID_", "SIGNATURE_DOES_NOT_MATCH", "UNRECOGNIZED_CLIENT", "403")
"""In errors of remote stores that no waiting mends."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 10.0

PRIVATE = "state-"
"""What the names of files begin with that are for their owner alone: they hold all that a training is."""
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)

T = TypeVar("T")


class Place:
    """Files below a root, which are named by their paths from there: ``job/cells/part-1.parquet``.

    Args:
      root: A folder, or any URI pyarrow.fs knows (``s3://``, ``gs://``).
      patience_seconds: How long a remote store that does not answer is asked again.

    Raises:
      StoreError: If there is no such place. So does whatever is asked of it, if it cannot be had.
    """

    def __init__(self, root: str | Path, *, patience_seconds: float) -> None:
        self.root, self.patience_seconds = str(root), patience_seconds
        if not self.root:
            raise StoreError("--results: '' is no place; name a folder or a URI such as s3://bucket/prefix")
        if "://" in self.root and urlsplit(self.root).password:
            masked = re.sub(r"//[^@]*@", "//...@", self.root)
            raise StoreError(
                f"--results {masked}: a password in the address would be in every message; keys belong in the "
                "environment, or are the role of the machine"
            )
        try:
            if "://" in self.root:
                self.files, self._base = pyarrow.fs.FileSystem.from_uri(_in_one_put(self.root))
            else:
                self.files, self._base = pyarrow.fs.LocalFileSystem(), str(Path(self.root).absolute())
        except (pa.ArrowException, OSError) as error:
            raise StoreError(f"--results {self.root}: cannot be opened: {error}") from error
        if self._info("").type == pyarrow.fs.FileType.File:
            raise StoreError(f"--results {self.root}: is a file; name a folder or a URI such as s3://bucket/prefix")

    @property
    def folder(self) -> Path | None:
        """The root as a folder; None where it is none."""
        return Path(self._base) if isinstance(self.files, pyarrow.fs.LocalFileSystem) else None

    @property
    def absolute_root(self) -> str:
        """The root under a name that holds in any working directory of this machine."""
        return self.root if "://" in self.root else self._base

    def address(self, name: str) -> str:
        """Of a file, as its user would call it."""
        root, question, options = self.root.partition("?")
        return f"{root}/{name}{question}{options}"

    def path(self, name: str) -> str:
        """As the file system knows a file.

        Raises:
          StoreError: If it would not be below the root.
        """
        if ".." in name.split("/") or name.startswith("/"):
            raise StoreError(f"--results {self.root}: '{name}' is no place in it")
        return f"{self._base}/{name}".rstrip("/")

    def name(self, path: str) -> str:
        """Of the file at such a path."""
        return path.removeprefix(f"{self._base}/")

    def put(self, name: str, content: bytes) -> None:
        """Writes a file complete or not at all, and overwrites nothing half way."""

        def write() -> None:
            if self.folder is not None:
                _put_locally(Path(self.path(name)), content, is_private=name.split("/")[-1].startswith(PRIVATE))
                return
            with self.files.open_output_stream(self.path(name)) as file:
                file.write(content)

        try:
            self.patiently(write, f"cannot write {name}")
        except FileNotFoundError as error:
            raise StoreError(f"--results {self.root}: cannot write {name}: there is no such bucket or place") from error

    def content(self, name: str) -> bytes | None:
        """Of a file; None where there is none."""

        def read() -> bytes:
            with self.files.open_input_stream(self.path(name)) as file:
                return bytes(file.read())

        return self._if_there(read, name)

    def header(self, name: str) -> bytes | None:
        """Of a safetensors file: its metadata and shapes as JSON; None where there is no file."""

        def read() -> bytes:
            with self.files.open_input_file(self.path(name)) as file:
                length = int.from_bytes(file.read(8), "little")
                return bytes(file.read(min(length, file.size())))

        return self._if_there(read, name)

    def has(self, name: str) -> bool:
        """Whether there is such a file."""
        return bool(self._info(name).type == pyarrow.fs.FileType.File)

    def names(self, folder: str) -> list[str]:
        """Names of what is in a folder; none where there is no such folder."""
        return [info.base_name for info in self.listing(folder)]

    def folders(self) -> list[str]:
        """Names of the folders in the root."""
        if self.files.type_name != "gcs":
            return [info.base_name for info in self.listing("") if info.type == pyarrow.fs.FileType.Directory]
        # pyarrow lists objects there and no prefixes, so all files are listed, a thousand to a request
        selector = pyarrow.fs.FileSelector(self.path(""), allow_not_found=True, recursive=True)
        infos = self.patiently(lambda: self.files.get_file_info(selector), "cannot be read")
        return sorted({parts[0] for info in infos if len(parts := self.name(info.path).split("/")) > 1})

    def listing(self, folder: str) -> list[pyarrow.fs.FileInfo]:
        """What is in a folder; nothing where there is no such folder."""
        selector = pyarrow.fs.FileSelector(self.path(folder), allow_not_found=True)
        return self.patiently(lambda: list(self.files.get_file_info(selector)), "cannot be read")

    def delete(self, names: Iterable[str]) -> None:
        """Deletes files, if they are there."""
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                self.patiently(functools.partial(self.files.delete_file, self.path(name)), f"cannot delete {name}")

    def patiently(self, ask: Callable[[], T], problem: str) -> T:
        """What the store answers, which is asked again for a while if it does not; a missing file is an answer."""
        pause, deadline = _FIRST_PAUSE, time.monotonic() + self.patience_seconds
        while True:
            try:
                return ask()
            except FileNotFoundError:
                raise
            except (pa.ArrowException, OSError) as error:
                reason = (str(error).splitlines() or [type(error).__name__])[0]
                is_over = time.monotonic() + pause > deadline or any(word in str(error) for word in _FINAL)
                if self.folder is not None or is_over:
                    raise StoreError(f"--results {self.root}: {problem}: {reason}") from error
                if pause == _FIRST_PAUSE:
                    warn(f"{self.root} does not answer, and is asked again: {reason}")
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _if_there(self, read: Callable[[], bytes], name: str) -> bytes | None:
        try:
            return self.patiently(read, f"cannot read {name}")
        except FileNotFoundError:
            return None

    def _info(self, name: str) -> pyarrow.fs.FileInfo:
        return self.patiently(lambda: self.files.get_file_info(self.path(name)), "cannot be read")


def _in_one_put(root: str) -> str:
    """The URI that has a small file written by one request to S3 instead of three."""
    if not root.startswith("s3://"):
        return root
    return f"{root}{'&' if '?' in root else '?'}allow_delayed_open=true"


def warn(text: str) -> None:
    """Says something of a store that its user should know."""
    warnings.warn(printable(text), StoreWarning, stacklevel=2)


def _put_locally(path: Path, content: bytes, *, is_private: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with os.fdopen(os.open(temporary, _NEW_FILE, 0o600 if is_private else 0o666), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
