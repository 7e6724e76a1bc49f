"""Regularisers of the discriminator that act on its parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def clip_weights(parameters: Tensor, *, limit: float) -> Tensor:
    """Parameters clamped to ``[-limit, limit]``; applied *after* the optimiser's step.

    References:
      Arjovsky, Chintala & Bottou (2017), "Wasserstein GAN", algorithm 1 (limit 0.01).
    """
    return parameters.clamp(min=-limit, max=limit)


PENALTIES: dict[str, str] = {
    "none": "no regulariser",
    "weight_clip": "clamp every discriminator parameter to [-limit, limit] after each step (limit 0.01)",
}
