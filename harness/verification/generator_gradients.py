"""Theorems 2.4 and 2.5: what the generator's gradient becomes as the discriminator approaches the optimal one.

References:
  Arjovsky & Bottou (2017), section 2.2; arXiv:1701.04862.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.func import jacrev

from ..job.parts.networks import MLP
from ..stacking.module import StackedModule
from ..theory.losses import LOSSES
from .findings import Assessment, assess, at_least, at_most

_STEEPEST = 0.1875  # largest slope of the D* of Theorem 2.4, at x_1 = 10
_FREQUENCY = 20.0  # of the perturbations; the higher, the more of their norm is gradient


def theorem_2_4(
    *,
    epsilons: Sequence[float] = (0.3, 0.1, 0.01, 1e-4),
    loss: str = "minimax",
    constant: float = 1.0,
    num_perturbations: int = 8,
    seed: int = 0,
) -> Assessment:
    """``||grad_theta E log(1 - D(g(z)))|| <= M eps / (1 - eps)`` for ``||D - D*|| < eps``, ``M^2 = E ||J_theta g||^2``.

    ``D = D* + h`` where D* is 0 around the generator's samples and ``h(x) = a/2 (1 + sin(w.x + c)) - a D*(x)``, which
    keeps D in [0, 1] and has a norm ``sup |h| + ||grad h||`` of at most ``a/2 (1 + sqrt(1 + ||w||^2)) + a sup ||grad
    D*||``; a is chosen for this to be eps. The left side is autograd through the harness's loss; the Jacobian's
    spectral norm is by SVD. Generators: the harness's MLP under random w and c; and samples that move as one, on a
    piece so short that grad h hardly varies, where the bound is nearly attained. There the gradient must exceed half
    the bound as eps -> 0, or the check would not notice a constant that is wrong by 2. A small margin is natural: the
    bound is tight, and this case is meant to come close to it.

    Args:
      epsilons: Norms of the perturbation, < 1.
      loss: The generator's, by name; the theorem is about `minimax`.
      constant: Factor of the bound, 1 in the theorem.
      num_perturbations: Directions w and phases c, for the MLP.
      seed: Of all draws.
    """
    draws = Generator().manual_seed(seed)
    network, weights = _generator(latent=4, shape=(2,), draws=draws)
    latents = torch.randn(256, 4, generator=draws, dtype=torch.float64)
    waves = _random_waves(num_perturbations, draws)
    generated = _shares_of_bound(lambda theta: network(theta, latents), weights, waves, epsilons, loss=loss)
    pieces = torch.stack([torch.zeros(64), torch.linspace(0, 1e-3, 64)], 1).double()
    still = torch.zeros(2, dtype=torch.float64)
    east = _Wave(torch.tensor([_FREQUENCY, 0.0], dtype=torch.float64), torch.zeros(()).double())
    moving = _shares_of_bound(lambda theta: theta + pieces, still, [east], epsilons, loss=loss)
    of_networks, worst, tightest = (
        share / constant for share in (max(generated), max(*generated, *moving), moving[epsilons.index(min(epsilons))])
    )
    return assess(
        f"gradient / bound <= {worst:.3f} over eps {min(epsilons):g} .. {max(epsilons):g} (MLP: {of_networks:.3f})",
        "<= 1, and > 1/2 where the bound is nearly attained",
        at_most(worst, 1.0),
        at_least(tightest, 0.5),
    )


def theorem_2_5(
    *,
    theta: Sequence[float] = (0.4, -0.1),
    loss: str = "non_saturating",
    kl_weight: float = 1.0,
    jsd_weight: float = -2.0,
    grid: int = 20001,
) -> Assessment:
    """``E[-grad log D*(g(z))] = grad [KL(P_g||P_r) - 2 JSD]``, D* fixed at the present generator.

    P_r is a mixture of two Gaussians, ``g(z) = theta_1 + e^theta_2 z``. Left: autograd through the harness's loss,
    quadrature over z. Right: autograd of the divergences by their definition, quadrature over x.

    Args:
      theta: Of the generator.
      loss: By name; `minimax` has the weights 0 and 2 instead.
      kl_weight, jsd_weight: Of the divergences.
      grid: Points of the quadrature over x.
    """
    parameters = torch.tensor(theta, dtype=torch.float64, requires_grad=True)
    latents = torch.linspace(-12, 12, 4001, dtype=torch.float64)
    weights = torch.exp(_log_normal(latents, torch.zeros(()), torch.zeros(()))) * (latents[1] - latents[0])
    fixed = parameters.detach()
    samples = parameters[0] + parameters[1].exp() * latents
    logits = _log_real(samples) - _log_normal(samples, fixed[0], fixed[1])
    (left,) = torch.autograd.grad((LOSSES[loss].generator_fake(logits) * weights).sum(), parameters)

    x = torch.linspace(-25, 25, grid, dtype=torch.float64)
    log_real, log_fake = _log_real(x), _log_normal(x, parameters[0], parameters[1])
    log_middle = torch.logaddexp(log_real, log_fake) - math.log(2)
    step = x[1] - x[0]
    kl = (log_fake.exp() * (log_fake - log_real)).sum() * step
    jsd = (log_real.exp() * (log_real - log_middle) + log_fake.exp() * (log_fake - log_middle)).sum() * step / 2
    (right,) = torch.autograd.grad(kl_weight * kl + jsd_weight * jsd, parameters)
    return assess(
        f"[{left[0]:.10f}, {left[1]:.10f}]",
        f"[{right[0]:.10f}, {right[1]:.10f}]",
        # both quadratures are exact to rounding, which thousands of terms of size 1 add up to
        at_most(float((left - right).norm()), 1e-9),
    )


def _generator(
    *, latent: int, shape: tuple[int, ...], draws: Generator
) -> tuple[Callable[[Tensor, Tensor], Tensor], Tensor]:
    """The harness's MLP as a function of its weights ``[p]`` and latents ``[b, latent]``, and random weights."""
    module = StackedModule.generator(MLP(latent=latent, width=16), shape)
    weights = module.initial(draws).double()
    return lambda theta, latents: module(theta[None], latents[None])[0], weights


@dataclass(frozen=True)
class _Wave:
    """The perturbation ``sin(w.x + phase)`` of a discriminator in the plane, w ``[2]``."""

    w: Tensor
    phase: Tensor


def _random_waves(num: int, draws: Generator) -> list[_Wave]:
    directions = torch.randn(num, 2, generator=draws, dtype=torch.float64)
    phases = 2 * math.pi * torch.rand(num, generator=draws, dtype=torch.float64)
    frequencies = _FREQUENCY * torch.nn.functional.normalize(directions, dim=1)
    return [_Wave(w, phase) for w, phase in zip(frequencies, phases, strict=True)]


def _shares_of_bound(
    sample: Callable[[Tensor], Tensor], theta: Tensor, waves: Sequence[_Wave], epsilons: Sequence[float], *, loss: str
) -> list[float]:
    """The gradient's norm in units of ``M eps / (1 - eps)``, for every wave and every epsilon."""
    m = _root_mean_square_norm(sample, theta)
    return [
        float(_generator_gradient(sample, theta, loss=loss, discriminator=_nearly_optimal(wave, epsilon)).norm())
        / (m * epsilon / (1 - epsilon))
        for wave in waves
        for epsilon in epsilons
    ]


def _jacobians(sample: Callable[[Tensor], Tensor], theta: Tensor) -> Tensor:
    """``J_theta g(z)`` of every sample: ``[b, d, p]``."""
    jacobians: Tensor = jacrev(sample)(theta)
    return jacobians


def _root_mean_square_norm(sample: Callable[[Tensor], Tensor], theta: Tensor) -> float:
    """``M = sqrt(E ||J_theta g(z)||^2)``, spectral norms."""
    return float(torch.linalg.matrix_norm(_jacobians(sample, theta), ord=2).square().mean().sqrt())


def _nearly_optimal(wave: _Wave, epsilon: float) -> Callable[[Tensor], Tensor]:
    """``D = D* + h``, ``||h|| < epsilon``, as a function ``[b, 2] -> [b]``.

    D* rises smoothly from 0 to 1 between x_1 = 5 and 15, where there are no samples.
    """
    amplitude = epsilon * (1 - 1e-9) / ((1 + math.sqrt(1 + float(wave.w.square().sum()))) / 2 + _STEEPEST)

    def discriminate(x: Tensor) -> Tensor:
        t = ((x[:, 0] - 5) / 10).clamp(0, 1)
        optimal = t**3 * (10 - 15 * t + 6 * t**2)
        return (1 - amplitude) * optimal + amplitude / 2 * (1 + (x @ wave.w + wave.phase).sin())

    return discriminate


def _generator_gradient(
    sample: Callable[[Tensor], Tensor], theta: Tensor, *, loss: str, discriminator: Callable[[Tensor], Tensor]
) -> Tensor:
    """The gradient of the generator's loss in theta ``[p]``."""
    theta = theta.detach().requires_grad_()
    probability = discriminator(sample(theta))
    value = LOSSES[loss].generator(None, probability.log() - (-probability).log1p())
    (gradient,) = torch.autograd.grad(value, theta)
    return gradient


def _log_normal(x: Tensor, mean: Tensor, log_deviation: Tensor) -> Tensor:
    return -((x - mean) / log_deviation.exp()).square() / 2 - log_deviation - math.log(2 * math.pi) / 2


def _log_real(x: Tensor) -> Tensor:
    """Log density of 0.3 N(-1, 0.7^2) + 0.7 N(1.5, 1.1^2)."""
    parts = [
        math.log(weight) + _log_normal(x, torch.tensor(mean), torch.tensor(deviation).log())
        for weight, mean, deviation in ((0.3, -1.0, 0.7), (0.7, 1.5, 1.1))
    ]
    return torch.logaddexp(parts[0], parts[1])
