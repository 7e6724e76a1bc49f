"""What a file of weights holds, seen without torch, and without running or importing anything that it names."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

_BEFORE_ZIP = 0x1950A86A20F9469CFC6C  # what files of torch.save began with until torch 1.6, and three pickles in all


def why_no_state_dict(path: Path, *, network: str, needed: str) -> str | None:
    """What keeps a file from holding the weights of a network by their names; None if nothing does.

    Args:
      path: Of the file: of safetensors by its ending, otherwise of ``torch.save``.
      network: Its name, for the message.
      needed: The name of a weight that the network has. The others are for torch to miss.
    """
    try:
        found = _read(path)
    except ValueError as error:
        return no_state_dict(path, network, str(error))
    if not isinstance(found, Mapping):
        return no_state_dict(path, network, f"it holds no dictionary but a {_kind(found)}")
    if needed in found:
        return None
    inner = [key for key, value in found.items() if isinstance(value, Mapping) and needed in value]
    if inner:
        return no_state_dict(path, network, f"its weights are under {inner[0]!r}, which is to be saved alone")
    return no_state_dict(path, network, f"it has no {needed!r} but {_first(found)}")


def no_state_dict(path: str | Path, network: str, reason: str) -> str:
    """What is wrong with a file of weights, and the way out."""
    return f"'{path}' is no state dict of {network}: {reason}; save one with torch.save(model.state_dict(), 'FILE')"


def _first(names: Iterable[Any]) -> str:
    """The first two of some names."""
    listed = list(names)
    return ", ".join([*map(repr, listed[:2]), *(["..."] if len(listed) > 2 else [])]) or "nothing"


def missing(names: Iterable[str]) -> str:
    """Weights that are not there, the first two by name: ``it lacks 'conv1.weight', 'bn1.weight' and 58 more``."""
    listed = list(names)
    more = f" and {len(listed) - 2} more" if len(listed) > 2 else ""
    return f"it lacks {', '.join(map(repr, listed[:2]))}{more}"


# --- readers


def _read(path: Path) -> Any:
    is_safe = path.suffix == ".safetensors"
    try:
        return _safetensors(path) if is_safe else _saved(path)
    except Exception as error:  # a file that is something else makes its readers raise anything
        raise ValueError(f"it is no file of {'safetensors' if is_safe else 'torch.save'}") from error


def _safetensors(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header: dict[str, Any] = json.loads(file.read(min(length, path.stat().st_size)))
    return {name: value for name, value in header.items() if name != "__metadata__"}


def _saved(path: Path) -> Any:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            (name,) = (name for name in archive.namelist() if name.rpartition("/")[2] == "data.pkl")
            return _Structure(io.BytesIO(archive.read(name))).load()
    with path.open("rb") as file:
        first = _Structure(file).load()
        if first != _BEFORE_ZIP:
            return first
        _, _, found = (_Structure(file).load() for _ in range(3))
        return found


class _Thing:
    """Stands for whatever a pickle makes of a class or a function."""

    def __new__(cls, *args: Any, **options: Any) -> _Thing:
        return super().__new__(cls)

    def __init__(self, *args: Any, **options: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass

    def extend(self, items: Any) -> None:
        """As of a list."""

    append = extend

    def __setitem__(self, key: Any, value: Any) -> None:
        pass


class _Structure(pickle.Unpickler):
    """Reads dictionaries and their keys; all else is a `_Thing`."""

    def find_class(self, module: str, name: str) -> Any:
        return OrderedDict if name == "OrderedDict" else type(name, (_Thing,), {"__module__": module})

    def persistent_load(self, pid: Any) -> None:
        """Of a tensor's storage nothing is read."""


def _kind(found: Any) -> str:
    kind = type(found)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
