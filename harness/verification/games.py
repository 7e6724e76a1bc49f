"""The optimal discriminator of the cross-entropy game, and the relativistic losses.

References:
  Goodfellow et al. (2014), "Generative adversarial nets"; Arjovsky & Bottou (2017), equations 1 and 2.
  Jolicoeur-Martineau (2018), "The relativistic discriminator", arXiv:1807.00734.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from scipy.integrate import quad
from torch import Generator, Tensor

from ..theory.divergences import noisy_divergences
from ..theory.losses import CROSS_ENTROPY, LOSSES, compare
from .findings import Assessment, assess, at_most, holds

Array = NDArray[np.float64]


def optimal_discriminator(
    *,
    cases: Sequence[tuple[float, float]] = ((0.5, 1.0), (1.0, 1.0), (2.0, 0.5)),
    offset: float = -2 * math.log(2),
    tilt: float = 0.0,
    num_draws: int = 20000,
    max_z: float = 4.0,
    seed: int = 0,
) -> Assessment:
    """``L(D) = E_r log D + E_g log(1 - D)`` is largest at ``D* = p_r / (p_r + p_g)``: ``L(D*) = 2 JSD - 2 log 2``.

    P_r = N(0, sigma^2), P_g = N(mean, sigma^2). L is the harness's cross-entropy at the logits ``log p_r - log p_g``,
    by the trapezoidal rule; the JSD is by scipy's quadrature of its definition. The harness's Monte Carlo JSD of two
    noisy points, which are these Gaussians up to the truncation, must agree within standard errors. D* changed by
    small multiples of 1, x and sin x in its logits must have a smaller L.

    Args:
      cases: Pairs (mean, sigma).
      offset: ``L(D*) - 2 JSD``, as stated.
      tilt: Added to the slope of the optimal logits, 0 for D*.
      num_draws: Of the Monte Carlo estimate, from either measure.
      max_z: In its standard errors.
      seed: Of the draws.
    """
    draws = Generator().manual_seed(seed)
    errors, deviations, is_maximal, values, expected = [], [], [], [], []
    for mean, sigma in cases:
        jsd = _jsd_by_definition(mean, sigma)
        x = torch.linspace(-12 * sigma, mean + 12 * sigma, 4001, dtype=torch.float64)
        p, q = (torch.from_numpy(stats.norm.pdf(x.numpy(), centre, sigma)) * (x[1] - x[0]) for centre in (0.0, mean))
        logits = (mean**2 - 2 * mean * x) / (2 * sigma**2) + tilt * x
        likelihood = _likelihood(logits, p, q)
        values.append(likelihood)
        expected.append(2 * jsd + offset)
        errors.append(abs(values[-1] - expected[-1]))
        others = [logits + size * change for change in (torch.ones_like(x), x, x.sin()) for size in (-0.1, 0.1)]
        is_maximal.append(all(_likelihood(other, p, q) < likelihood for other in others))
        points = [torch.tensor([[centre]], dtype=torch.float64) for centre in (0.0, mean)]
        (found,) = noisy_divergences(*points, sigmas=[sigma], num_draws=num_draws, generator=draws)
        deviations.append(abs(found.jsd.value - jsd) / max(found.jsd.standard_error, 1e-300))
    return assess(
        f"L(D*) = {', '.join(f'{value:.6f}' for value in values)}; JSD off by {max(deviations):.2f} standard errors",
        f"2 JSD - 2 log 2 = {', '.join(f'{value:.6f}' for value in expected)}; <= {max_z:g}",
        at_most(max(errors), 1e-8),  # the requested precision of scipy's quadrature
        at_most(max(deviations), max_z),
        holds(all(is_maximal)),
    )


def relativistic(*, paired: str = "relativistic", average: str = "relativistic_average", seed: int = 0) -> Assessment:
    """RSGAN and RaSGAN gradients, and the property they are made for: P(real is real) falls as fakes improve.

    Autograd of the harness's losses in all logits, of real and of fake samples and for both players, against central
    differences of the formulas in numpy (a mean that is detached shows). ``P_i = P(x_i is real)`` is read off the
    discriminator's loss, whose gradient in a real sample's logit is ``-(1 - P_i)`` through the sample's own term: every
    P_i must fall when all fakes' logits rise, and in the standard GAN none may move.

    Args:
      paired, average: The harness's losses that are checked, by name.
      seed: Of the logits.
    """
    draws = Generator().manual_seed(seed)
    real, fake = (torch.randn(7, generator=draws, dtype=torch.float64) for _ in range(2))
    references: dict[str, tuple[Callable[[Array, Array], float], Callable[[Array, Array], float]]] = {
        paired: (lambda r, f: _sp(f - r).mean(), lambda r, f: _sp(r - f).mean()),
        average: (
            lambda r, f: (_sp(f.mean() - r).mean() + _sp(f - r.mean()).mean()) / 2,
            lambda r, f: (_sp(r - f.mean()).mean() + _sp(r.mean() - f).mean()) / 2,
        ),
    }
    error = 0.0
    for name, functions in references.items():
        for player, function in zip((LOSSES[name].discriminator, LOSSES[name].generator), functions, strict=True):
            error = max(error, float(np.abs(_gradient(player, real, fake) - _differences(function, real, fake)).max()))
    levels = [-2.0, -1.0, 0.0, 1.0, 2.0]
    falls = [torch.stack([_real_is_real(name, real, fake + level) for level in levels]) for name in (paired, average)]
    standard = torch.stack([_real_is_real("minimax", real, fake + level) for level in levels])
    return assess(
        f"gradients within {error:.1g}; P(real) {float(falls[0][0].mean()):.3f} -> {float(falls[0][-1].mean()):.3f} "
        f"(standard GAN: {float(standard[0].mean()):.3f} -> {float(standard[-1].mean()):.3f})",
        "gradients within 1e-8; P(real) falls (standard GAN: unmoved)",
        at_most(error, 1e-8),  # of central differences with step 1e-5
        *(holds(bool((values.diff(dim=0) < 0).all())) for values in falls),
        holds(bool((standard == standard[0]).all())),
    )


def _likelihood(logits: Tensor, p: Tensor, q: Tensor) -> float:
    """``E_p log D + E_q log(1 - D)`` with the harness's cross-entropy and weights p, q of the points."""
    return -float((CROSS_ENTROPY.real(logits) * p).sum() + (CROSS_ENTROPY.fake(logits) * q).sum())


def _jsd_by_definition(mean: float, sigma: float) -> float:
    """``KL(P_r||m)/2 + KL(P_g||m)/2`` by adaptive quadrature, nats."""

    def integrand(x: float) -> float:
        log_p, log_q = (float(stats.norm.logpdf(x, centre, sigma)) for centre in (0.0, mean))
        log_middle = np.logaddexp(log_p, log_q) - math.log(2)
        return float(math.exp(log_p) * (log_p - log_middle) + math.exp(log_q) * (log_q - log_middle)) / 2

    low, high = -12 * sigma, mean + 12 * sigma
    return float(quad(integrand, low, high, points=[0.0, mean / 2, mean], epsabs=1e-10, limit=200)[0])


def _sp(t: Array) -> Array:
    return np.logaddexp(0.0, t)


def _gradient(function: Callable[[Tensor, Tensor], Tensor], real: Tensor, fake: Tensor) -> Array:
    """Derivatives in the logits of both kinds, end to end: ``[2 b]``."""
    both = [logits.detach().clone().requires_grad_() for logits in (real, fake)]
    parts = torch.autograd.grad(function(*both), both, allow_unused=True, materialize_grads=True)
    return np.asarray(torch.cat(parts).numpy(), dtype=np.float64)


def _differences(function: Callable[[Array, Array], float], real: Tensor, fake: Tensor, *, step: float = 1e-5) -> Array:
    at = np.concatenate([real.numpy(), fake.numpy()])
    moves = step * np.eye(len(at))
    values = [[function(*np.split(at + sign * move, 2)) for sign in (1, -1)] for move in moves]
    return np.array([(up - down) / (2 * step) for up, down in values])


def _real_is_real(name: str, real: Tensor, fake: Tensor) -> Tensor:
    """``P_i = 1 + d/dr_i E real(a)``, as ``real'(a) = -(1 - sigmoid(a))`` for cross-entropy: ``[b]``.

    The expectation of a real sample's own term is over all fakes, for pairs as for the average.
    """
    objective = LOSSES[name].objective
    logits = real.detach().clone().requires_grad_()
    each_with_all = logits[:, None].expand(-1, len(fake)), fake.expand(len(real), -1)
    compared, _ = compare(*each_with_all, comparison=objective.comparison)
    (gradient,) = torch.autograd.grad(objective.real(compared).mean(1).sum(), logits)
    return 1 + gradient
