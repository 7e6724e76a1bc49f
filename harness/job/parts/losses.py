"""Losses a job can name, and the settings that usually go with one.

A loss is a `theory.losses.Loss`, built in or a user's own.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from pydantic import AfterValidator

from ...theory.losses import LOSSES, Loss
from ..extensions import resolve, source_digest
from .optimizers import Adam, Optimizer, RMSprop
from .penalties import NoPenalty, Penalty, WeightClip


def find_loss(name: str) -> Loss:
    """The loss of this name, built in or ``package.module:name``.

    Raises:
      ValueError: If there is none.
    """
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


def default_optimizer(loss: str) -> Optimizer:
    """RMSprop for wasserstein (Arjovsky et al. 2017), Adam for all others (Radford et al. 2016)."""
    return RMSprop() if _is_wasserstein(loss) else Adam()


def default_penalty(loss: str) -> Penalty:
    """Weight clipping at 0.01 for wasserstein, none for all others."""
    return WeightClip() if _is_wasserstein(loss) else NoPenalty()


def default_discriminator_steps(loss: str) -> int:
    """5 for wasserstein, 1 for all others."""
    return 5 if _is_wasserstein(loss) else 1


def _is_wasserstein(loss: str) -> bool:
    return find_loss(loss).objective.name == "wasserstein"


def _known_loss(name: str) -> str:
    find_loss(name)
    return name


LossName = Annotated[str, AfterValidator(_known_loss)]
