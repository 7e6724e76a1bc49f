"""Names in a job file: a built-in one, or ``package.module:name`` for a user's own."""

from __future__ import annotations

import ast
import difflib
import functools
import hashlib
import importlib
import importlib.util
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import BaseModel

from .synonyms import name_hint

T = TypeVar("T")


def is_own(name: str) -> bool:
    """Whether a name is a user's own, ``package.module:name``."""
    return ":" in name


def resolve(name: str, builtin: Mapping[str, T], *, kind: str) -> T:
    """The object a name stands for.

    Raises:
      ValueError: If the name is neither built in nor importable; the text lists the valid names.
    """
    if name in builtin:
        return builtin[name]
    if not is_own(name):
        valid = ", ".join(sorted(builtin))
        raise ValueError(
            f"unknown {kind} '{name}'.{name_hint(kind, name, builtin)}\n  Valid: {valid}, or package.module:name"
        )
    module_name, _, attribute = name.partition(":")
    try:
        module = importlib.import_module(module_name)
        return cast(T, getattr(module, attribute))
    except (Exception, SystemExit) as error:  # a module may do anything when it is imported
        raise ValueError(f"{kind} '{name}' cannot be imported ({error}); {_way_out(name, error)}") from error


def _way_out(name: str, error: BaseException) -> str:
    module_name, _, attribute = name.partition(":")
    module = sys.modules.get(module_name)
    if module is not None:
        close = difflib.get_close_matches(attribute, [other for other in vars(module) if other[:1] != "_"], n=1)
        return f"did you mean '{module_name}:{close[0]}'?" if close else f"{module_name} has no such name"
    missing = getattr(error, "name", None)
    if isinstance(error, ModuleNotFoundError) and missing and f"{module_name}.".startswith(f"{missing}."):
        return "it must be package.module:name on the Python path"
    return f"importing {module_name} raises {type(error).__name__}: mend that module, or install what it needs"


@functools.cache
def source_digest(name: str) -> str:
    """A hash of the source a ``package.module:name`` comes from, as a change there changes numbers; else ``""``.

    The source is that of its module, and of the modules of the same package that this one imports, directly or not.
    """
    if not is_own(name):
        return ""
    sources = source_files(name.partition(":")[0])
    if len(sources) < 2:
        return "".join(_digest(path.read_bytes()) for path in sources.values())
    return _digest("".join(f"{module} {_digest(path.read_bytes())}\n" for module, path in sources.items()).encode())


def source_files(module_name: str) -> dict[str, Path]:
    """The files of a module and of those of its package that it imports, by their modules' names, sorted."""
    found: dict[str, Path] = {}
    todo = [module_name]
    while todo:
        name = todo.pop()
        path = _file_of(name)
        if path is not None and name not in found:
            found[name] = path
            todo += [other for other in _imported(name, path) if other.split(".")[0] == module_name.split(".")[0]]
    return dict(sorted(found.items()))


def own_packages(job: BaseModel) -> list[Path]:
    """Folders and files of the top-level packages that a job's own parts come from, the harness itself left out."""
    tops = {name.partition(":")[0].split(".")[0] for name in _own_names(job.model_dump(mode="json"))}
    found = [_package_of(top) for top in sorted(tops - {"harness"})]
    return [path for path in found if path is not None]


def _own_names(value: Any) -> Iterator[str]:
    """Every ``package.module:name`` in the values of a job, of which a wrong guess does no harm."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _own_names(str(key))
            yield from _own_names(item)
    elif isinstance(value, list):
        for item in value:
            yield from _own_names(item)
    elif isinstance(value, str) and re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", value):
        yield value


def _package_of(top: str) -> Path | None:
    path = _file_of(top)
    if path is not None:
        return path.parent if path.name == "__init__.py" else path
    module = sys.modules.get(top)  # a package without an __init__
    places = list(getattr(module, "__path__", ()))
    return Path(places[0]) if places else None


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:20]


def _file_of(module_name: str) -> Path | None:
    """The Python file of a module; None for packages without one, built-in and compiled modules."""
    module = sys.modules.get(module_name)
    origin = getattr(module, "__file__", None)
    if module is None:
        try:
            spec = importlib.util.find_spec(module_name)
        except (ImportError, ValueError, AttributeError):
            return None
        origin = spec.origin if spec else None
    path = Path(origin) if origin and origin.endswith(".py") else None
    return path if path is not None and path.is_file() else None


def _imported(module_name: str, path: Path) -> Iterator[str]:
    """Names of modules that a file imports, anywhere in it; of ``from a import b`` both ``a`` and ``a.b``."""
    package = module_name if path.name == "__init__.py" else module_name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - (node.level - 1)] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            if node.module:
                yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)
