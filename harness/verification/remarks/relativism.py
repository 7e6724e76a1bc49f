"""How much of the discriminator's gradient is of real data, and what the IPM losses have to do with relativistic ones.

References:
  Jolicoeur-Martineau (2018), "The relativistic discriminator", arXiv:1807.00734, section 3; document 001 on it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from scipy.integrate import quad
from scipy.optimize import linprog
from scipy.special import expit
from torch import Generator, Tensor

from ...theory.losses import (
    CROSS_ENTROPY,
    HINGE,
    LOSSES,
    SYMMETRIC_LEAST_SQUARES,
    WASSERSTEIN,
    Comparison,
    Loss,
    Objective,
    relativistic,
)
from ...theory.transport import w1
from ..findings import Assessment, assess, at_least, at_most, close, holds

Array = NDArray[np.float64]

_COMPARISONS: tuple[Comparison, ...] = ("paired", "average")
_SURE = 40.0  # a logit whose sigmoid is 1 to rounding


def shares(
    *,
    means: Sequence[float] = (1.0, 2.0, 4.0, 6.0),
    standard: str = "minimax",
    balanced: Sequence[str] = (
        "wasserstein",
        "relativistic",
        "relativistic_average",
        "relativistic_average_least_squares",
        "relativistic_average_hinge",
    ),
    num_samples: int = 4000,
    seed: int = 0,
) -> Assessment:
    """A perfect standard discriminator learns from fakes alone; a relativistic or IPM one from both equally.

    The weight of real data in the discriminator's gradient is the sum of the loss's derivatives by their logits:
    ``E_r[1 - D]`` in the standard GAN, against ``E_g[D]`` for fakes. P_r = N(0, 1), P_g = N(mean, 1), D = D*; the
    harness's losses on evenly spaced quantiles, by autograd, against scipy's quadrature.

    001 says that at optimality "the gradient completely ignores real data". As stated that is false: at D* both
    weights are ``Int p_r p_g / (p_r + p_g)``, so they are equal where supports overlap and both vanish where they do
    not. True is: when D has been optimal and the generator moves its samples, here halfway to the data, while the
    real ones are still known with certainty, the share of real data is ``E_r[1 - D] / (E_r[1 - D] + E_g'[D])``, which
    goes to 0 as D becomes perfect. Losses of differences of logits are unmoved by a common shift, so their two
    weights are equal at any D.

    Args:
      means: Of P_g before it moves, rising.
      standard: The standard GAN's loss, by name.
      balanced: Losses in which both weights must be equal.
      num_samples: Quantiles of each distribution.
      seed: Of the order in which samples are paired.
    """
    draws = Generator().manual_seed(seed)
    quantiles = torch.from_numpy(stats.norm.ppf((np.arange(num_samples) + 0.5) / num_samples))
    fakes = quantiles[torch.randperm(num_samples, generator=draws)]
    at_optimum, after, errors, others = [], [], [], []
    for mean in means:
        at_rest, moved = (
            [mean**2 / 2 - mean * samples for samples in (quantiles, place + fakes)] for place in (mean, mean / 2)
        )
        on_real, on_fake = _weights(LOSSES[standard], *at_rest)
        overlap = _overlap(mean)
        errors += [abs(weight / overlap - 1) for weight in (on_real, on_fake)]
        at_optimum.append(on_real / (on_real + on_fake))
        on_real, on_fake = _weights(LOSSES[standard], *moved)
        after.append(on_real / (on_real + on_fake))
        errors.append(abs(after[-1] / _share_after(mean) - 1))
        for name in balanced:
            on_real, on_fake = _weights(LOSSES[name], *moved)
            others.append(on_real / (on_real + on_fake))
    furthest = max(others, key=lambda share: abs(share - 0.5))
    return assess(
        f"real data's share at D* {min(at_optimum):.3f} to {max(at_optimum):.3f}; after the fakes moved "
        f"{', '.join(f'{share:.2g}' for share in after)} (others {furthest:.6f}); weights within {max(errors):.1g}",
        "1/2 (not 0, as stated); -> 0 (1/2); relative, within 1e-3",
        *(close(share, 0.5, tolerance=1e-3) for share in at_optimum),
        *(holds(later < earlier) for earlier, later in pairwise(after)),
        at_most(after[-1], 0.05),
        at_most(max(errors), 1e-3),  # of quantiles in the tails, where D* errs
        close(furthest, 0.5, tolerance=1e-9),
    )


def integral_probability(
    *, base: Objective = WASSERSTEIN, num_real: int = 12, num_fake: int = 9, seed: int = 0
) -> Assessment:
    """IPM losses are relativistic losses of linear functions: ``f1(t) = g2(t) = -t, f2(t) = g1(t) = t``.

    The harness's construction of relativistic losses, paired and average, over its Wasserstein objective must have the
    discriminator's value ``mean f - mean r`` of numpy and of the harness's `wasserstein`, and the same gradients for
    both players; over any other objective it must not. So an IPM loss compares real with fake, as
    Jolicoeur-Martineau says. It is an IPM in truth: over functions that are 1-Lipschitz on the samples, the largest
    ``-L_D``, by scipy's linear programming, is the harness's exact W1 (Kantorovich and Rubinstein), and random
    1-Lipschitz functions stay below. The standard GAN's gradients become those of the IPM where D is certain and
    wrong: ``D(x_r) = 0`` and ``D(x_f) = 1`` for the discriminator, ``D(x_f) = 0`` for the generator under -log D.

    Args:
      base: Of the relativistic losses; the statement needs WASSERSTEIN.
      num_real, num_fake: Samples in the plane whose W1 is taken.
      seed: Of logits, samples and functions.
    """
    draws = Generator().manual_seed(seed)
    real, fake = (2 * torch.randn(7, generator=draws, dtype=torch.float64) for _ in range(2))
    plain = LOSSES["wasserstein"]
    linear = [relativistic("linear", base, comparison=comparison, formula="") for comparison in _COMPARISONS]
    curved = [
        relativistic("curved", other, comparison=comparison, formula="")
        for other in (CROSS_ENTROPY, HINGE, SYMMETRIC_LEAST_SQUARES)
        for comparison in _COMPARISONS
    ]
    expected = float(fake.numpy().mean() - real.numpy().mean())
    values = [float(loss.discriminator(real, fake)) for loss in (plain, *linear)]
    value_error = max(abs(value - expected) for value in values)
    gradient_error = max(_difference(loss, plain, real, fake) for loss in linear)
    others = min(_difference(loss, plain, real, fake) for loss in curved)

    points = [torch.randn(num, 2, generator=draws, dtype=torch.float64) for num in (num_real, num_fake)]
    distance = w1(*points)
    best = -float(plain.discriminator(*_best_critic(*points)))
    anchors = torch.randn(50, 2, generator=draws, dtype=torch.float64)
    feasible = [
        -float(plain.discriminator(*((samples - anchor).norm(dim=1) for samples in points))) for anchor in anchors
    ]

    sure = torch.full((7,), _SURE, dtype=torch.float64)
    standard = LOSSES["non_saturating"]
    wrong = float((_gradients(standard, -sure, sure)[0] - _gradients(plain, -sure, sure)[0]).abs().max())
    lost = float((_gradients(standard, sure, -sure)[1] - _gradients(plain, sure, -sure)[1]).abs().max())
    return assess(
        f"linear: values within {value_error:.1g}, gradients within {gradient_error:.1g} (others {others:.2g}); sup "
        f"{best:.9f}, at random <= {max(feasible):.3f}; standard GAN within {max(wrong, lost):.1g}",
        f"0, 0 (others: not); W1 = {distance:.9f}; 0 where D is certain and wrong",
        at_most(value_error, 1e-12),
        at_most(gradient_error, 1e-12),
        at_least(others, 0.01),
        close(best, distance, tolerance=1e-8),
        at_most(max(feasible), distance),
        at_most(max(wrong, lost), 1e-12),
    )


def _weights(loss: Loss, real: Tensor, fake: Tensor) -> tuple[float, float]:
    """How strongly the discriminator's gradient raises all real logits, and lowers all fake ones."""
    by_discriminator = _gradients(loss, real, fake)[0]
    on_real, on_fake = by_discriminator.split([len(real), len(fake)])
    return -float(on_real.sum()), float(on_fake.sum())


def _gradients(loss: Loss, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """Of the discriminator's loss by all logits ``[n + m]``, and of the generator's by the fake ones ``[m]``."""
    logits = [each.detach().clone().requires_grad_() for each in (real, fake)]
    by_discriminator = torch.autograd.grad(loss.discriminator(*logits), logits)
    (by_generator,) = torch.autograd.grad(loss.generator(*logits), logits[1])
    return torch.cat(by_discriminator), by_generator


def _difference(loss: Loss, other: Loss, real: Tensor, fake: Tensor) -> float:
    """Largest difference of two losses' gradients, for either player."""
    pairs = zip(_gradients(loss, real, fake), _gradients(other, real, fake), strict=True)
    return max(float((own - others).abs().max()) for own, others in pairs)


def _overlap(mean: float) -> float:
    """``Int p q / (p + q)`` of N(0, 1) and N(mean, 1)."""

    def integrand(x: float) -> float:
        return float(stats.norm.pdf(x) * expit(mean * x - mean**2 / 2))

    return float(quad(integrand, -12, mean + 12, points=[0.0, mean / 2, mean], epsabs=1e-14, limit=200)[0])


def _share_after(mean: float) -> float:
    """``E_r[1 - D] / (E_r[1 - D] + E_g'[D])`` with the D* of N(mean, 1) and fakes from N(mean / 2, 1)."""

    def integrand(x: float) -> float:
        return float(stats.norm.pdf(x, mean / 2) * expit(mean**2 / 2 - mean * x))

    on_fake = quad(integrand, mean / 2 - 12, mean / 2 + 12, points=[mean / 2], epsabs=1e-14, limit=200)[0]
    return float(_overlap(mean) / (_overlap(mean) + on_fake))


def _best_critic(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """Values at real ``[n, d]`` and fake ``[m, d]`` of the 1-Lipschitz function with the largest mean difference."""
    pooled = torch.cat([real, fake]).numpy()
    num, num_real = len(pooled), len(real)
    pairs = [(i, j) for i in range(num) for j in range(num) if i != j]
    rises = np.zeros((len(pairs), num))
    for row, (i, j) in enumerate(pairs):
        rises[row, i], rises[row, j] = 1.0, -1.0
    limits = [math.dist(pooled[i], pooled[j]) for i, j in pairs]
    objective = np.concatenate([np.full(num_real, -1 / num_real), np.full(num - num_real, 1 / (num - num_real))])
    answer = linprog(objective, A_ub=rises, b_ub=limits, bounds=[(0, 0)] + [(None, None)] * (num - 1))
    values = torch.from_numpy(np.asarray(answer.x))
    return values[:num_real], values[num_real:]
