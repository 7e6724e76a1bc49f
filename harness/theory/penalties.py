"""What gradient penalties are made of: norms of gradients, the points they are taken at, distances from a norm."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Discriminate = Callable[[Tensor], Tensor]
"""From samples ``[k, b, *shape]`` to logits ``[k, b]``."""


def squared_gradient_norms(discriminate: Discriminate, points: Tensor) -> Tensor:
    """``||grad_x D(x)||^2`` at every sample, differentiable in D: ``[k, b, *shape] -> [k, b]``.

    Exact per sample as long as D treats samples apart; with batch normalisation it is the gradient of the batch's
    summed logits.
    """
    points = points.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(discriminate(points).sum(), points, create_graph=True)
    squared: Tensor = gradient.flatten(2).square().sum(2)
    return squared


def towards_one(squared_norms: Tensor, *, weight: float, target: float = 1.0) -> Tensor:
    """``weight * mean (||grad|| - target)^2`` over the last axis: ``[k, b] -> [k]``."""
    # the square root has no gradient at 0; torch.norm's convention there is 0
    norms = squared_norms.clamp_min(1e-24).sqrt()
    return weight * (norms - target).square().mean(-1)


def towards_zero(squared_norms: Tensor, *, weight: float) -> Tensor:
    """``weight * mean ||grad||^2`` over the last axis: ``[k, b] -> [k]``."""
    return weight * squared_norms.mean(-1)


def on_segments(real: Tensor, fake: Tensor, alpha: Tensor) -> Tensor:
    """``alpha real + (1 - alpha) fake``, one alpha ``[k, b]`` a sample: ``[k, b, *shape]``."""
    alpha = alpha.view(*alpha.shape, *[1] * (real.ndim - 2))
    return alpha * real + (1 - alpha) * fake


def around(real: Tensor, alpha: Tensor, unit: Tensor, *, spread: float) -> Tensor:
    """Real samples moved by ``alpha * spread * std(real) * unit``, as DRAGAN does: ``[k, b, *shape]``.

    Args:
      alpha: Uniform in [0, 1), one per sample, ``[k, b]``.
      unit: Uniform in [0, 1), ``[k, b, *shape]``.
      spread: In standard deviations of the batch.
    """
    alpha = alpha.view(*alpha.shape, *[1] * (real.ndim - 2))
    deviation = real.flatten(1).std(dim=1).view(-1, *[1] * (real.ndim - 1))
    return real + alpha * spread * deviation * unit
