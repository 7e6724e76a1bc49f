"""Regularisers of the discriminator: gradient penalties, and clipping of the weights.

Every gradient penalty is a function of the per-sample norms ``||grad_x D(x)||`` at some points; what differs is where
(on real samples, on fakes, on the segments between them, around real samples) and towards which norm.

References:
  Arjovsky, Chintala & Bottou (2017), "Wasserstein GAN" (weight_clip); Gulrajani et al. (2017), "Improved training of
  Wasserstein GANs" (gradient_penalty); Kodali et al. (2017), "On convergence and stability of GANs" (dragan);
  Mescheder et al. (2018), "Which training methods for GANs do actually converge?" (r1, r2, zero_centred).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

Discriminate = Callable[["Tensor"], "Tensor"]
"""From samples ``[k, b, *shape]`` to logits ``[k, b]``."""


def squared_gradient_norms(discriminate: Discriminate, points: Tensor) -> Tensor:
    """``||grad_x D(x)||^2`` at every sample, differentiable in D: ``[k, b, *shape] -> [k, b]``.

    Exact per sample as long as D treats samples apart; with batch normalisation it is the gradient of the batch's
    summed logits.
    """
    import torch

    points = points.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(discriminate(points).sum(), points, create_graph=True)
    squared: Tensor = gradient.flatten(2).square().sum(2)
    return squared


def towards_one(squared_norms: Tensor, *, weight: float) -> Tensor:
    """``weight * mean (||grad|| - 1)^2`` over the last axis: ``[k, b] -> [k]``."""
    # the square root has no gradient at 0; torch.norm's convention there is 0
    norms = squared_norms.clamp_min(1e-24).sqrt()
    return weight * (norms - 1).square().mean(-1)


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
      alpha: Uniform in [0, 1), one a sample, ``[k, b]``.
      unit: Uniform in [0, 1), ``[k, b, *shape]``.
      spread: In standard deviations of the batch.
    """
    alpha = alpha.view(*alpha.shape, *[1] * (real.ndim - 2))
    deviation = real.flatten(1).std(dim=1).view(-1, *[1] * (real.ndim - 1))
    return real + alpha * spread * deviation * unit


def clip_weights(weights: Tensor, *, limit: float) -> Tensor:
    """Weights clamped to ``[-limit, limit]``; applied *after* the optimiser's step."""
    return weights.clamp(min=-limit, max=limit)


PENALTIES: dict[str, str] = {
    "none": "no regulariser",
    "weight_clip": "clamp every discriminator parameter to [-limit, limit] after each step (limit 0.01)",
    "gradient_penalty": "weight (||grad D|| - 1)^2 on segments between real and fake samples (weight 10)",
    "dragan": "weight (||grad D|| - 1)^2 around real samples (weight 10, spread 0.5)",
    "r1": "gamma/2 ||grad D||^2 on real samples (gamma 10)",
    "r2": "gamma/2 ||grad D||^2 on fake samples (gamma 10)",
    "zero_centred": "weight ||grad D||^2 on segments between real and fake samples (weight 10)",
}
