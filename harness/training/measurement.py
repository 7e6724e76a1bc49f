"""What is measured of a pack of discriminators, and of the gradients they give the generators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..job.parts.losses import find_loss
from ..theory.losses import LOSSES, Loss


@dataclass(frozen=True)
class Measurement:
    """A pack over several fresh batches; lists have one value per member.

    Attributes:
      iteration: Updates done.
      d_loss, accuracy: Means over the batches.
      grad_norm: By loss, mean norm of the generator's gradient.
      grad_norm_std: By loss, standard deviation of the norm over batches.
      grad_variance: By loss, total variance of the gradient over batches, ``E||g - E g||^2``.
      grad_tail_index, grad_cauchy_advantage: By loss, of the gradient's coordinates over batches (Theorem 2.6); NaN
        for fewer than `MIN_BATCHES_FOR_TAILS`.
      diverged_at: Update at which a member ceased to be finite, or -1; the numbers of such a member are those of its
        last finite weights.
      last_d_loss: The last sound loss in training.
    """

    iteration: list[int]
    d_loss: list[float]
    accuracy: list[float]
    grad_norm: Mapping[str, list[float]]
    grad_norm_std: Mapping[str, list[float]]
    grad_variance: Mapping[str, list[float]]
    grad_tail_index: Mapping[str, list[float]]
    grad_cauchy_advantage: Mapping[str, list[float]]
    diverged_at: list[int]
    last_d_loss: list[float]


def measured_losses(names: Sequence[str]) -> dict[str, Loss]:
    """Losses whose generator gradient is measured: the given ones, and the two named ones under cross-entropy."""
    own = {name: find_loss(name) for name in names}
    if not all(loss.objective.is_cross_entropy for loss in own.values()):
        return own
    return {"minimax": LOSSES["minimax"], "non_saturating": LOSSES["non_saturating"], **own}
