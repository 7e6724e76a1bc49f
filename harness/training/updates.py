"""One guarded optimiser step of a pack, and which of its members are still finite."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

OVERFLOW = 1e6
"""A loss beyond this counts as overflow: logits that large have lost the resolution float32 needs to rank samples."""


class DivergenceMonitor:
    """Which members are still sound, and when the others ceased to be; kept on the device.

    Attributes:
      active: Members whose losses and weights have been finite so far, ``[k]``.
      diverged_at: Step at which a member died, or -1, ``[k]``.
      last_d_loss: The last sound loss of each discriminator, ``[k]``.
    """

    def __init__(self, num_members: int, device: torch.device) -> None:
        self.active = torch.ones(num_members, dtype=torch.bool, device=device)
        self.diverged_at = torch.full((num_members,), -1, device=device)
        self.last_d_loss = torch.full((num_members,), torch.nan, device=device)

    def note(self, step: int | Tensor, d_loss: Tensor) -> None:
        """Remembers the discriminators' losses ``[k]``, and `step` for the members that died since the last call."""
        not_dead_before = self.diverged_at < 0
        torch.where(not_dead_before & is_finite(d_loss), d_loss, self.last_d_loss, out=self.last_d_loss)
        self.diverged_at.copy_(torch.where(~self.active & not_dead_before, step, self.diverged_at))


def is_finite(loss: Tensor) -> Tensor:
    """Whether a loss is finite and below `OVERFLOW`."""
    return loss.abs() < OVERFLOW  # False for NaN


def descend(
    weights: Tensor,
    gradient: Tensor,
    loss: Tensor,
    update: Callable[[Tensor, Tensor], Tensor],
    monitor: DivergenceMonitor,
    *,
    constrain: Callable[[Tensor], Tensor] | None = None,
) -> None:
    """One update of every living member, in place; members that cease to be sound keep their weights.

    Args:
      weights: ``[k, p]``.
      gradient: Of what is descended, by the weights, ``[k, p]``.
      loss: ``[k]``; it alone is judged for soundness, without its penalty.
      update: From weights and gradient to new weights.
      constrain: What becomes of the new weights.
    """
    with torch.no_grad():
        updated = update(weights, gradient)
        if constrain is not None:
            updated = constrain(updated)
        monitor.active &= is_finite(loss)
        keep_finite(weights, updated, monitor.active)


def gradient_of(loss: Tensor, weights: Tensor) -> Tensor:
    """The gradient of each member's loss ``[k]`` by its own weights ``[k, p]``.

    It is that of the sum over members, since no loss depends on another member's weights.
    """
    (gradient,) = torch.autograd.grad(loss.sum(), weights)
    return gradient


def keep_finite(weights: Tensor, updated: Tensor, active: Tensor) -> None:
    """Moves members whose updated weights are finite there, in place; the others are active no more.

    Args:
      weights, updated: Before and after an update, ``[k, p]``.
      active: Members whose values have been finite so far, ``[k]``. Nothing is read back from the device.
    """
    active &= torch.isfinite(updated.sum(1))  # one pass; a sum that overflows has weights beyond all use
    torch.where(active[:, None], updated, weights, out=weights)
