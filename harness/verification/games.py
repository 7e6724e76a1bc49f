"""The optimal discriminator of the cross-entropy game, and the relativistic losses.

References:
  Goodfellow et al. (2014), "Generative adversarial nets"; Arjovsky & Bottou (2017), equations 1 and 2.
  Jolicoeur-Martineau (2018), "The relativistic discriminator", arXiv:1807.00734.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

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


def relativistic(*, instead: Mapping[str, str] | None = None, seed: int = 0) -> Assessment:
    """The four relativistic losses, and the property they are made for: P(real is real) falls as fakes improve.

    Gradients: autograd of the harness's losses in all logits, of real and of fake samples and for both players, against
    central differences of the formulas in numpy (a mean that is detached shows).

    The property: how real a sample is judged to be is read off the discriminator's loss, by its derivative in the
    sample's logit through the sample's own term, which grows with the verdict. It is ``-(1 - P_i)``, with ``P_i =
    P(x_i is real)``, for cross-entropy; ``2 (a_i - 1)``, with the score ``a_i``, for least squares; and for the hinge 0
    where the sample is judged real with a margin, -1 elsewhere. When all fakes' logits rise, it must fall for every
    real sample (for the hinge from 0 to -1, at one point); in the standard losses none may move.

    Args:
      instead: Losses of the harness that are checked in the place of others, by name.
      seed: Of the logits.
    """
    draws = Generator().manual_seed(seed)
    real, fake = (torch.randn(7, generator=draws, dtype=torch.float64) for _ in range(2))
    names = {name: (instead or {}).get(name, name) for name in _RELATIVISTIC}
    error = 0.0
    for name, functions in _RELATIVISTIC.items():
        loss = LOSSES[names[name]]
        for player, function in zip((loss.discriminator, loss.generator), functions, strict=True):
            error = max(error, float(np.abs(_gradient(player, real, fake) - _differences(function, real, fake)).max()))
    moves = [float(level) for level in range(-4, 5)]
    verdicts = {name: _verdicts(name, real, fake, moves) for name in (*names.values(), *_STANDARD)}
    falls = [verdicts[name].diff(dim=0) for name in names.values()]
    of_pairs, of_standard = (1 + verdicts[name].mean(1) for name in (names["relativistic"], "minimax"))
    return assess(
        f"gradients within {error:.1g}; P(real) {of_pairs[0]:.3f} -> {of_pairs[-1]:.3f} "
        f"(standard GAN: {of_standard[0]:.3f} -> {of_standard[-1]:.3f})",
        f"gradients within 1e-8; P(real) falls, in all of {len(names)} losses (standard GAN: unmoved)",
        at_most(error, 1e-8),  # of central differences with step 1e-5
        *(holds(bool((steps <= 0).all() and (steps.sum(0) < 0).all())) for steps in falls),
        *(holds(bool((steps < 0).all())) for steps in falls[:3]),  # the hinge's verdict has two values
        *(holds(bool((verdicts[name] == verdicts[name][0]).all())) for name in _STANDARD),
    )


def _sp(t: Array) -> Array:
    return np.logaddexp(0.0, t)


def _relu(t: Array) -> Array:
    return np.maximum(t, 0.0)


_Formula = Callable[[Array, Array], float]
_STANDARD = ("minimax", "least_squares", "hinge")
_RELATIVISTIC: dict[str, tuple[_Formula, _Formula]] = {  # discriminator and generator, the hinge last
    "relativistic": (lambda r, f: _sp(f - r).mean(), lambda r, f: _sp(r - f).mean()),
    "relativistic_average": (
        lambda r, f: (_sp(f.mean() - r).mean() + _sp(f - r.mean()).mean()) / 2,
        lambda r, f: (_sp(r - f.mean()).mean() + _sp(r.mean() - f).mean()) / 2,
    ),
    "relativistic_average_least_squares": (
        lambda r, f: (((r - f.mean() - 1) ** 2).mean() + ((f - r.mean() + 1) ** 2).mean()) / 2,
        lambda r, f: (((r - f.mean() + 1) ** 2).mean() + ((f - r.mean() - 1) ** 2).mean()) / 2,
    ),
    "relativistic_average_hinge": (
        lambda r, f: (_relu(1 - r + f.mean()).mean() + _relu(1 + f - r.mean()).mean()) / 2,
        lambda r, f: (_relu(1 + r - f.mean()).mean() + _relu(1 - f + r.mean()).mean()) / 2,
    ),
}


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


def _verdicts(name: str, real: Tensor, fake: Tensor, moves: Sequence[float]) -> Tensor:
    """``d/dr_i`` of ``E real(a)`` of every real sample, for fakes moved by each of m amounts: ``[m, b]``.

    The expectation of a real sample's own term is over all fakes, for pairs as for the average.
    """
    objective = LOSSES[name].objective
    verdicts: list[Tensor] = []
    for move in moves:
        logits = real.detach().clone().requires_grad_()
        each_with_all = logits[:, None].expand(-1, len(fake)), (fake + move).expand(len(real), -1)
        compared, _ = compare(*each_with_all, comparison=objective.comparison)
        verdicts += torch.autograd.grad(objective.real(compared).mean(1).sum(), logits)
    return torch.stack(verdicts)
