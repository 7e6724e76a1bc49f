"""What gradient penalties are made of: norms of gradients, the points they are taken at, distances from a norm.

A strength is a number, or one per member ``[k]``.
"""

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
    return logits_and_squared_norms(discriminate, points)[1]


def logits_and_squared_norms(discriminate: Discriminate, points: Tensor) -> tuple[Tensor, Tensor]:
    """``D(x)`` and `squared_gradient_norms` at every sample: ``[k, b, *shape] -> [k, b], [k, b]``."""
    points = points.detach().requires_grad_()
    logits = discriminate(points)
    (gradient,) = torch.autograd.grad(logits.sum(), points, create_graph=True)
    return logits, gradient.flatten(2).square().sum(2)


def roth(real: tuple[Tensor, Tensor], fake: tuple[Tensor, Tensor], *, gamma: float | Tensor) -> Tensor:
    """``gamma/2 (mean (1 - s)^2 ||grad D||^2 on real + mean s^2 ||grad D||^2 on fake samples)``, s = sigmoid(D).

    The analytic counterpart of Gaussian instance noise of variance gamma. With p and q the densities of real and fake
    samples, L the cross-entropy and ``d = p (1 - s) - q s``, which is 0 at the optimal discriminator,

        L under noise = L + roth - gamma/2 int d (lap D + (1 - 2 s) ||grad D||^2) dx + O(gamma^2)

    So the two agree to second order in sigma at the optimum. Elsewhere they differ in the order of the term itself:
    the derivation drops the Laplacian of D, which is 0 under the integral at the optimum alone. Differentiated through
    s as well as through the gradient, as in the authors' code.

    Args:
      real, fake: Logits and squared norms of their gradients, ``[k, b]`` each (`logits_and_squared_norms`).
      gamma: Variance of the noise it stands for, data units.

    Returns:
      The term of each member's loss, ``[k]``.

    References:
      Roth et al. (2017), "Stabilizing training of generative adversarial networks through regularization",
      arXiv:1705.09367; code: github.com/rothk/Stabilizing_GANs.
    """
    (real_logits, on_real), (fake_logits, on_fake) = real, fake
    # 1 - sigmoid(t) without cancellation
    weighed = (-real_logits).sigmoid().square() * on_real, fake_logits.sigmoid().square() * on_fake
    return gamma / 2 * (weighed[0].mean(-1) + weighed[1].mean(-1))


def towards_one(squared_norms: Tensor, *, weight: float | Tensor, target: float = 1.0) -> Tensor:
    """``weight * mean (||grad|| - target)^2`` over the last axis: ``[k, b] -> [k]``."""
    # the square root has no gradient at 0; torch.norm's convention there is 0
    norms = squared_norms.clamp_min(1e-24).sqrt()
    return weight * (norms - target).square().mean(-1)


def towards_zero(squared_norms: Tensor, *, weight: float | Tensor) -> Tensor:
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
