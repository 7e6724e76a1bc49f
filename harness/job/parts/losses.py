"""Losses a job can name."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from pydantic import AfterValidator

from ...theory.losses import LOSSES, Loss
from ..extensions import resolve, source_digest


def find_loss(name: str) -> Loss:
    """The loss of this name, built in or ``package.module:name``."""
    loss = resolve(name, LOSSES, kind="loss")
    if not isinstance(loss, Loss):
        raise ValueError(f"'{name}' is a {type(loss).__name__}; a loss must be a harness.theory.losses.Loss")
    if name in LOSSES or any(loss.objective is known.objective for known in LOSSES.values()):
        return loss
    # losses share probes and packs by their objective's name: a user's own must not be taken for another
    return replace(loss, objective=replace(loss.objective, name=f"{name} {loss.objective.name}"))


def named_with_source(loss: str) -> str:
    """A loss's name, and for a user's own the hash of its source."""
    return f"{loss} {source_digest(loss)}".strip()


def _known_loss(name: str) -> str:
    find_loss(name)
    return name


LossName = Annotated[str, AfterValidator(_known_loss)]
