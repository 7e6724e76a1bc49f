"""Under test, calls are checked against annotations that give the shapes of tensors; in production nothing is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jaxtyping
from beartype import BeartypeConf, FrozenDict, beartype

from harness.theory.noise import Noise

MODULES = [
    f"harness.theory.{name}"
    for name in ("bounds", "divergences", "features", "samples", "sliced", "statistics", "transport")
]
# as for mypy an int passes for a float; that classes of noise have the methods of their protocol is mypy's to say
_CONF = BeartypeConf(is_pep484_tower=True, hint_overrides=FrozenDict({Noise: object}))


def check_on_import() -> None:
    """Has every function and dataclass of `MODULES` checked, in modules that are imported from now on."""
    jaxtyping.install_import_hook(MODULES, f"{__name__}.type_checker")


def type_checker(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with its arguments and its result checked."""
    decorate: Callable[[Callable[..., Any]], Callable[..., Any]] = beartype(conf=_CONF)
    return decorate(function)


@contextmanager
def unchecked() -> Iterator[None]:
    """As in production: what a function itself refuses, with its own message."""
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)
