"""Files of generators, of runs that are to go on, and of feature spaces. Their content is no matter of the store.

snapshots/<sha256>.safetensors                       generators of a pack at one epoch; its metadata says whose
.states/state-<run_id>-<epoch>-<sha256>.safetensors  of a search's run that is to go on, while it is
.features/<identity>-<sha256>.safetensors            of a network that was trained for its features
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor

from ..errors import SnapshotsLostError, StateLostError, StoreError
from ..identity import SnapshotKey
from .files import Files
from .place import PRIVATE, warn

FOLDER = "snapshots"
_READS_AT_ONCE = 16
_STATE = re.compile(PRIVATE + r"(\w+)-(\d+)-[0-9a-f]{64}\.safetensors")


class Snapshots:
    """Generators by run and epoch, several to a file. A file's name is its content's hash, which tells damage."""

    def __init__(self, files: Files) -> None:
        self._place = files
        self._files: dict[SnapshotKey, list[str]] = {}  # known so far; a second training makes a second one
        self._known: set[str] = set()  # files

    def write(self, content: bytes) -> str:
        """Keeps generators: a safetensors file whose metadata name them (`training/snapshots.py`); the file's name."""
        self._place.put(f"{FOLDER}/{_name(content)}", content)
        return _name(content)

    def among(self, keys: Collection[SnapshotKey]) -> frozenset[SnapshotKey]:
        """Those of the generators that are there.

        It costs at most a listing, and a look at each file that is new since the last.
        """
        if not all(key in self._files for key in keys):
            names = sorted(self._place.names(FOLDER))  # of two files with a generator all take the same
            new = [name for name in names if name.endswith(".safetensors") and name not in self._known]
            with ThreadPoolExecutor(_READS_AT_ONCE) as pool:
                for name, found in zip(new, pool.map(self._keys_in, new), strict=True):
                    self._known.add(name)
                    for key in found:
                        self._files.setdefault(key, []).append(name)
        return frozenset(key for key in keys if key in self._files)

    def files(self, keys: Collection[SnapshotKey]) -> dict[SnapshotKey, tuple[str, ...]]:
        """The files that hold each generator, of those that are there; several where it was trained several times."""
        return {key: tuple(self._files[key]) for key in self.among(keys)}

    def contents(self) -> dict[str, list[SnapshotKey]]:
        """Which generators each file holds, by the files' names; a look at each file."""
        names = sorted(name for name in self._place.names(FOLDER) if name.endswith(".safetensors"))
        with ThreadPoolExecutor(_READS_AT_ONCE) as pool:
            return dict(zip(names, pool.map(self._keys_in, names), strict=True))

    def chosen(self, keys: Collection[SnapshotKey]) -> dict[SnapshotKey, str]:
        """A file that holds each generator; of several all take the same.

        Raises:
          SnapshotsLostError: If one is not there.
        """
        missing = set(keys) - self.among(keys)
        if missing:
            run_id, epoch = min(missing)
            raise SnapshotsLostError(
                f"{self._place.root}: no snapshot of run {run_id} at epoch {epoch}", frozenset(missing)
            )
        return {key: self._files[key][0] for key in keys}

    def read(self, files: Mapping[SnapshotKey, str]) -> dict[str, bytes]:
        """The files of generators, each once, by name.

        Raises:
          SnapshotsLostError: If one is not there, or its content is not what was written; it is deleted then.
        """
        return {name: self._read(name, [key for key in files if files[key] == name]) for name in set(files.values())}

    def forget(self, keys: Collection[SnapshotKey]) -> None:
        """Told that generators are not there, whatever was seen before."""
        for key in keys:
            self._known.difference_update(self._files.pop(key, ()))

    def _read(self, name: str, keys: Collection[SnapshotKey]) -> bytes:
        path = self._place.path(f"{FOLDER}/{name}")
        content = self._place.content(f"{FOLDER}/{name}")
        if content is not None and name == _name(content):
            return content
        lost = frozenset(keys) | {key for key, files in self._files.items() if name in files}
        self.forget(lost)
        if content is None:
            raise SnapshotsLostError(f"{path}: is gone", lost)
        self._place.delete([f"{FOLDER}/{name}"])
        raise SnapshotsLostError(f"{path}: was damaged, and is deleted", lost)

    def _keys_in(self, name: str) -> list[SnapshotKey]:
        """Which generators a file holds, from its header."""
        content = self._place.header(f"{FOLDER}/{name}")
        if content is None:
            return []
        try:
            return [(run_id, epoch) for run_id, epoch in json.loads(json.loads(content)["__metadata__"]["snapshots"])]
        except (ValueError, KeyError, TypeError):
            path = self._place.path(f"{FOLDER}/{name}")
            warn(f"{path}: holds no snapshots. It is passed over; delete it. What it should hold is trained again")
            return []


class States:
    """All that runs need to go on from an epoch, as if they had not been interrupted; by run and epoch.

    Args:
      files: Where they are kept.
      folder: Below it.
    """

    def __init__(self, files: Files, folder: str) -> None:
        self._place, self._folder = files, folder

    def write(self, run_id: str, epoch: int, content: bytes) -> None:
        """Keeps where a run stands."""
        self._place.put(f"{self._folder}/{PRIVATE}{run_id}-{epoch}-{_name(content)}", content)

    def kept(self) -> frozenset[SnapshotKey]:
        """Those that are there."""
        return frozenset(self._files())

    def read(self, run_id: str, epoch: int) -> bytes:
        """Where a run stood.

        Raises:
          StateLostError: If it is not there, or not what was written; it is deleted then.
        """
        name = self._files().get((run_id, epoch), "")
        try:
            content = self._place.content(name) if name else None
        except StoreError as error:
            if isinstance(error.__cause__, PermissionError):
                raise StateLostError(f"{self._place.path(name)}: is another user's") from error
            raise
        if content is None:
            raise StateLostError(f"{self._place.root}: no state of run {run_id} at epoch {epoch}")
        if not name.endswith(_name(content)):
            self._place.delete([name])
            raise StateLostError(f"{self._place.path(name)}: was damaged, and is deleted")
        return content

    def delete(self, keys: Collection[SnapshotKey]) -> None:
        """Forgets where runs stood, which no training will go on from; those of other users are theirs to forget."""
        for name in [name for key, name in self._files().items() if key in keys]:
            try:
                self._place.delete([name])
            except StoreError as error:
                if not isinstance(error.__cause__, PermissionError):
                    raise

    def _files(self) -> dict[SnapshotKey, str]:
        names = self._place.names(self._folder)
        matches = [match for match in map(_STATE.fullmatch, names) if match]
        return {(match[1], int(match[2])): f"{self._folder}/{match[0]}" for match in matches}


class Networks:
    """Networks that were trained for their features, by a hash of what determines them.

    Several workers may want one at once. Each keeps what it made, and then takes what `read` gives: the same for all
    that look later.

    Args:
      files: Where they are kept.
      folder: Below it.
    """

    def __init__(self, files: Files, folder: str) -> None:
        self._place, self._folder = files, folder

    def write(self, identity: str, content: bytes) -> None:
        """Keeps a network."""
        self._place.put(f"{self._folder}/{identity}-{_name(content)}", content)

    def read(self, identity: str) -> bytes | None:
        """A network, of several the first by name; None where there is none. What is damaged is deleted."""
        for name in sorted(self._place.names(self._folder)):
            if name.startswith(f"{identity}-") and name.endswith(".safetensors"):
                content = self._place.content(f"{self._folder}/{name}")
                if content is not None and name == f"{identity}-{_name(content)}":
                    return content
                self._place.delete([f"{self._folder}/{name}"])
        return None


def _name(content: bytes) -> str:
    return f"{hashlib.sha256(content).hexdigest()}.safetensors"
