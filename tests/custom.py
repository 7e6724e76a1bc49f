"""A user's own loss that raises: it shares the cross-entropy discriminator, so it shares packs with minimax."""

from __future__ import annotations

from torch import Tensor

from harness.theory.losses import CROSS_ENTROPY, Loss


def _explode(logits: Tensor) -> Tensor:
    raise RuntimeError("this loss always fails")


exploding = Loss("exploding", CROSS_ENTROPY, generator_fake=_explode)
