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
        self.last_d_loss = torch.where(not_dead_before & is_finite(d_loss), d_loss, self.last_d_loss)
        self.diverged_at = torch.where(~self.active & not_dead_before, step, self.diverged_at)


def is_finite(loss: Tensor) -> Tensor:
    """Whether a loss is finite and below `OVERFLOW`."""
    return loss.abs() < OVERFLOW  # False for NaN


def descend(
    weights: Tensor,
    loss: Tensor,
    penalty: Tensor | float,
    update: Callable[[Tensor, Tensor], Tensor],
    monitor: DivergenceMonitor,
    *,
    constrain: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """One update of every living member: new weights ``[k, p]``; members that cease to be sound keep the old ones.

    `loss` and `penalty` are ``[k]``; only their sum is differentiated, and only the loss is judged for soundness.
    The gradient of the sum over members is every member's own, since no loss depends on another member's weights.
    """
    (gradient,) = torch.autograd.grad((loss + penalty).sum(), weights)
    with torch.no_grad():
        weights = weights.detach()
        updated = update(weights, gradient)
        if constrain is not None:
            updated = constrain(updated)
        weights, monitor.active = keep_finite(weights, updated, monitor.active & is_finite(loss))
    return weights


def keep_finite(old: Tensor, new: Tensor, active: Tensor) -> tuple[Tensor, Tensor]:
    """New parameters where they and the member are sound, else the last finite ones.

    Args:
      old, new: Parameters before and after an update, ``[k, p]``.
      active: Members whose values have been finite so far, ``[k]``.

    Returns:
      Parameters ``[k, p]`` and the members still active ``[k]``. Nothing is read back from the device.
    """
    active = active & torch.isfinite(new).all(dim=1)
    return torch.where(active[:, None], new, old), active
