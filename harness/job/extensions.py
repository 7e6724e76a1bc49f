"""Names in a job file: a built-in one, or ``package.module:name`` for a user's own."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar, cast

from ..errors import suggest

T = TypeVar("T")


def source_digest(name: str) -> str:
    """A hash of the file a ``package.module:name`` comes from, as a change there changes numbers; else ``""``."""
    if ":" not in name:
        return ""
    module = importlib.import_module(name.partition(":")[0])
    path = getattr(module, "__file__", None)
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:20] if path else ""


def resolve(name: str, builtin: Mapping[str, T], *, kind: str) -> T:
    """The object a name stands for.

    Raises:
      ValueError: If the name is neither built in nor importable; the text lists the valid names.
    """
    if name in builtin:
        return builtin[name]
    if ":" not in name:
        raise ValueError(f"unknown {kind} '{name}'.{suggest(name, builtin)}, or package.module:name")
    module_name, _, attribute = name.partition(":")
    try:
        return cast(T, getattr(importlib.import_module(module_name), attribute))
    except Exception as error:
        raise ValueError(
            f"{kind} '{name}' cannot be imported ({error}); it must be package.module:name on the Python path"
        ) from error
