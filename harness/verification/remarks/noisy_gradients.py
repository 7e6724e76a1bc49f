"""What becomes of the gradient under noise: where its two terms cancel, and why the generator's samples need noise too.

References:
  Arjovsky & Bottou (2017), section 3: the two paragraphs after Theorem 3.2; arXiv:1701.04862.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from scipy.optimize import brentq, minimize_scalar
from torch import Generator, Tensor

from ...job.parts.networks import MLP
from ...stacking.module import StackedModule
from ...theory.losses import CROSS_ENTROPY, LOSSES
from ...theory.noise import Gaussian
from ...training.streams import add_noise
from ..findings import Assessment, assess, at_least, at_most, close, holds
from .quadrature import divergences, log_mixture

Array = NDArray[np.float64]


def cancellation(*, sigma: float = 0.3, weight: float = 1.0, num_latents: int = 24, seed: int = 0) -> Assessment:
    """The two terms of Theorem 3.2 cancel wherever P_{r+eps} = P_{g+eps} in an area, and neither vanishes by itself.

    At a sample g the gradient is ``a I_r - b I_g`` with ``I = Int P_eps(g - y) grad ||g - y||^2``. By autograd through
    the harness's ``log(1 - D*)``, against the formula with scipy's normal density, in three places: everywhere for
    P_r = P_g, also in the weights of the harness's MLP; in a cluster that P_r and P_g share, while in another one, ten
    sigma away, they differ; and at a point where the densities merely cross, so that a = b. There the terms do not
    cancel: the paper's "area around x" is needed, equal densities at x are not enough.

    Args:
      sigma: Of the noise, data units.
      weight: Factor of b, 1 in the theorem.
      num_latents: P_g is uniform on their samples.
      seed: Of the generator's weights and the latents.
    """
    draws = Generator().manual_seed(seed)
    module = StackedModule.generator(MLP(latent=3, width=8), (2,))
    weights = module.initial(draws).double().requires_grad_()
    latents = 3 * torch.randn(1, num_latents, 3, generator=draws, dtype=torch.float64)
    samples = module(weights[None], latents)[0]
    shared = samples.detach()
    away = torch.tensor([10 * sigma + float(shared[:, 0].max() - shared[:, 0].min()), 0.0], dtype=torch.float64)
    crossing = torch.tensor([[0.0, 0.0], [sigma, 0.0]], dtype=torch.float64)

    places = {
        "equal": (shared, shared),
        "near": (torch.cat([shared, shared + away]), torch.cat([shared, 0.7 * shared + away])),
        "crossing": (crossing, crossing * torch.tensor([-1.0, 1.0])),
    }
    errors, remainders = [], {}
    for name, (fake, real) in places.items():
        attraction, repulsion = _terms(fake, real, sigma=sigma)
        repulsion = weight * repulsion
        by_autograd = _pull(fake, real, fake, sigma=sigma)
        size = attraction.norm(dim=1)
        errors.append(float((attraction - repulsion - by_autograd).norm() / size.norm()))
        remainders[name] = (attraction - repulsion).norm(dim=1) / size
    in_weights, of_one_term = (
        torch.autograd.grad(samples, weights, pull, retain_graph=True)[0].norm()
        for pull in (_pull(shared, shared, shared, sigma=sigma), _terms(shared, shared, sigma=sigma)[0])
    )
    near, far = remainders["near"].chunk(2)
    return assess(
        f"left over, as a share of one term: {float(remainders['equal'].max()):.1g} (P_r = P_g), "
        f"{float(near.max()):.1g} (shared cluster; the other: {float(far.mean()):.2g}), "
        f"{float(remainders['crossing'][0]):.2g} (crossing); gradient within {max(errors):.1g}",
        "0, 0 (the other: not), not 0; within 1e-10",
        at_most(max(errors), 1e-10),
        at_most(float(remainders["equal"].max()), 1e-10),
        at_most(float(in_weights / of_one_term), 1e-10),
        at_most(float(near.max()), 1e-8),  # exp(-10^2 / 2) and less of the other cluster
        at_least(float(far.mean()), 0.1),
        at_least(float(remainders["crossing"][0]), 0.1),
    )


def adversarial(
    *,
    sigma: float = 0.5,
    widths: Sequence[float] = (0.1, 0.03, 0.01),
    height: float = 3.0,
    clean_sigma: float = 0.0,
) -> Assessment:
    """Without noise in its own step the generator learns from D where D learns nothing (after Theorem 3.2).

    On a line, with D* of noisy samples and their quadrature. First, the paper's argument: "D will disregard errors
    that lie exactly in g(Z), since this is a set of measure 0". D's logits are raised in a tube around each clean
    sample, ``h = A (1 + t) exp(-t^2 / 2)`` at a distance of t widths. As the tube narrows, D's loss rises by less and
    less (as the width), and so does the error of the gradient through noisy samples; the gradient at clean samples
    becomes entirely h's, and the generator's cost there is as low as A makes it.

    Second, with D* exact, and D* following every step: the gradient at clean samples is that of no cost at all - its
    Jacobian in the samples is not symmetric - while through noisy samples it is symmetric, as a Hessian (of 2 JSD).
    Third, where the generator cannot match the data, here two samples for a normal distribution, what it comes to
    rest at has too little spread; through noisy samples it is the minimum of the JSD, by scipy.

    D* exact and a generator that can match the data are not enough for harm: at P_g = P_r the clean step too is
    locally stable. The paper's warning is about the other cases.

    Args:
      sigma: Of the noise, data units.
      widths: Of the tubes, falling, data units.
      height: A, in units of the logit.
      clean_sigma: Of noise in the generator's step where the statement says it has none.
    """
    real, fake = (torch.tensor(values, dtype=torch.float64) for values in ([-1.2, 0.1, 1.0], [-0.7, 0.3, 1.4]))
    x = torch.linspace(-6, 6, 40001, dtype=torch.float64)
    p, q = (
        torch.from_numpy(np.exp(log_mixture(x.numpy(), centres.numpy(), sigma))) * (x[1] - x[0])
        for centres in (real, fake)
    )
    clean, noisy = _Nodes.of(clean_sigma, 40001), _Nodes.of(sigma, 40001)

    def logits(points: Tensor, width: float | None) -> Tensor:
        optimal = _logits(points, real, fake, sigma=sigma)
        if width is None:
            return optimal
        t = (points[:, None] - fake) / width
        return optimal + (height * (1 + t) * (-t.square() / 2).exp()).sum(1)

    def discriminator_loss(width: float | None) -> float:
        at_x = logits(x, width)
        return float((CROSS_ENTROPY.real(at_x) * p + CROSS_ENTROPY.fake(at_x) * q).sum())

    def cost_and_gradient(nodes: _Nodes, width: float | None) -> tuple[float, Tensor]:
        return _generator_step(fake, nodes, lambda points: logits(points, width))

    excess = [discriminator_loss(width) - discriminator_loss(None) for width in widths]
    errors: dict[str, list[float]] = {}
    for name, nodes in (("clean", clean), ("noisy", noisy)):
        right = cost_and_gradient(nodes, None)[1]
        errors[name] = [float((cost_and_gradient(nodes, width)[1] - right).norm() / right.norm()) for width in widths]
    lowered = [cost_and_gradient(clean, width)[0] - cost_and_gradient(clean, None)[0] for width in widths]
    pace = math.log(excess[-2] / excess[-1]) / math.log(widths[-2] / widths[-1])

    coarse = _Nodes.of(clean_sigma, 801), _Nodes.of(sigma, 801)
    jacobians = [_jacobian(fake, real, nodes, sigma=sigma) for nodes in coarse]
    skew = [float((jacobian - jacobian.mT).norm() / jacobian.norm()) for jacobian in jacobians]
    at_equality = _jacobian(real, real, coarse[0], sigma=sigma)
    slowest = float(torch.linalg.eigvals(at_equality).real.min())

    data = torch.from_numpy(stats.norm.ppf((np.arange(41) + 0.5) / 41))
    spreads = [_spread_at_rest(data, nodes, sigma=sigma) for nodes in coarse]
    least = minimize_scalar(lambda spread: _jsd_of_two(data, spread, sigma=sigma), bounds=(0.1, 2.0), method="bounded")
    return assess(
        f"in a tube: loss of D + {excess[0]:.2g} -> {excess[-1]:.2g} ~ width^{pace:.2f}, gradient off by "
        f"{errors['noisy'][0]:.2g} -> {errors['noisy'][-1]:.2g} (clean: {errors['clean'][0]:.2g} -> "
        f"{errors['clean'][-1]:.2g}); skew {skew[1]:.1g} (clean: {skew[0]:.2g}); spread {spreads[1]:.4f} (clean: "
        f"{spreads[0]:.4f})",
        f"~ width^1, -> 0 (clean: -> inf); 0 (clean: not); {float(least.x):.4f} (clean: less)",
        close(pace, 1.0, tolerance=0.1),
        at_most(errors["noisy"][-1], 1.5 * errors["noisy"][0] * widths[-1] / widths[0]),
        at_least(errors["clean"][-1], 0.7 * errors["clean"][0] * widths[0] / widths[-1]),
        *(at_least(-change, 1.0) for change in lowered),
        at_most(skew[1], 1e-9),
        at_least(skew[0], 0.01),
        holds(slowest > 0),
        close(spreads[1], float(least.x), tolerance=1e-4),
        at_most(spreads[0], 0.9 * spreads[1]),
    )


@dataclass(frozen=True)
class _Nodes:
    """A quadrature over N(0, sigma^2): unit noise and weights, ``[n]`` each; one node without noise."""

    sigma: float
    unit: Tensor
    weights: Tensor

    @staticmethod
    def of(sigma: float, num: int) -> _Nodes:
        if sigma == 0:
            return _Nodes(0.0, torch.zeros(1, dtype=torch.float64), torch.ones(1, dtype=torch.float64))
        unit = torch.linspace(-8, 8, num, dtype=torch.float64)
        weights = torch.from_numpy(stats.norm.pdf(unit.numpy()))
        return _Nodes(sigma, unit, weights / weights.sum())


def _log_density(points: Tensor, centres: Tensor, *, sigma: float) -> Tensor:
    """Unnormalised log density of noisy centres ``[n, d]`` at points ``[b, d]``, by the harness's kernel: ``[b]``."""
    squared = (points[:, None] - centres).square().sum(2) / sigma**2
    return Gaussian().log_kernel(squared, dimension=points.shape[1]).logsumexp(1) - math.log(len(centres))


def _pull(samples: Tensor, real: Tensor, fake: Tensor, *, sigma: float) -> Tensor:
    """``grad_x log(1 - D*(x))`` at samples ``[b, d]``, by autograd of the harness's loss, D* frozen: ``[b, d]``."""
    points = samples.detach().requires_grad_()
    logits = _log_density(points, real, sigma=sigma) - _log_density(points, fake, sigma=sigma)
    (gradient,) = torch.autograd.grad(LOSSES["minimax"].generator_fake(logits).sum(), points)
    return gradient


def _terms(fake: Tensor, real: Tensor, *, sigma: float) -> tuple[Tensor, Tensor]:
    """``a I_r`` and ``b I_g`` of Theorem 3.2 at every fake sample ``[b, 2]``, by scipy's density: ``[b, 2]`` each."""
    normal = stats.multivariate_normal(np.zeros(2), sigma**2 * np.eye(2))
    densities, integrals = [], []
    for centres in (real, fake):
        between = (fake[:, None] - centres).numpy()  # [b, n, 2]
        kernel = normal.pdf(between)
        densities.append(kernel.mean(1)[:, None])
        integrals.append((kernel[..., None] * 2 * between).mean(1))
    a = 1 / (2 * sigma**2 * (densities[0] + densities[1]))
    b = a * densities[0] / densities[1]
    return torch.from_numpy(a * integrals[0]), torch.from_numpy(b * integrals[1])


def _logits(points: Tensor, real: Tensor, fake: Tensor, *, sigma: float) -> Tensor:
    """Those of D*, on a line: ``[b], [n], [m] -> [b]``."""
    at = points[:, None]
    return _log_density(at, real[:, None], sigma=sigma) - _log_density(at, fake[:, None], sigma=sigma)


def _cost(samples: Tensor, nodes: _Nodes, logits: Callable[[Tensor], Tensor]) -> Tensor:
    """``E log(1 - D(g + eps'))`` of samples ``[m]``, noise added as the harness does: ``[]``."""
    each = samples.repeat_interleave(len(nodes.unit))
    sigma, unit = torch.tensor([nodes.sigma], dtype=torch.float64), nodes.unit.repeat(len(samples))
    noisy = add_noise(each[None, :, None], sigma, unit[None, :, None])
    values = LOSSES["minimax"].generator_fake(logits(noisy[0, :, 0]))
    return (values.view(len(samples), -1) @ nodes.weights).mean()


def _generator_step(fake: Tensor, nodes: _Nodes, logits: Callable[[Tensor], Tensor]) -> tuple[float, Tensor]:
    """The generator's cost and its gradient in the samples ``[m]``, D frozen."""
    samples = fake.clone().requires_grad_()
    cost = _cost(samples, nodes, logits)
    (gradient,) = torch.autograd.grad(cost, samples)
    return float(cost.detach()), gradient


def _jacobian(fake: Tensor, real: Tensor, nodes: _Nodes, *, sigma: float) -> Tensor:
    """Derivative of the generator's gradient in all samples, D* following them: ``[m, m]``."""

    def field(samples: Tensor) -> Tensor:
        moved = samples + 0.0  # what is differentiated once; D* depends on `samples`
        cost = _cost(moved, nodes, lambda points: _logits(points, real, samples, sigma=sigma))
        return torch.autograd.grad(cost, moved, create_graph=True)[0]

    jacobian: Tensor = torch.autograd.functional.jacobian(field, fake)
    return jacobian


def _spread_at_rest(data: Tensor, nodes: _Nodes, *, sigma: float) -> float:
    """s at which the generator of two samples -s and s has no gradient, D* following it."""

    def outwards(spread: float) -> float:
        fake = torch.tensor([-spread, spread], dtype=torch.float64)
        _, gradient = _generator_step(fake, nodes, lambda points: _logits(points, data, fake, sigma=sigma))
        return float(gradient[1])

    return float(brentq(outwards, 0.05, 2.0, xtol=1e-8))


def _jsd_of_two(data: Tensor, spread: float, *, sigma: float) -> float:
    x = np.linspace(-7, 7, 2001)
    log_p, log_q = (log_mixture(x, centres, sigma) for centres in (data.numpy(), [-spread, spread]))
    return divergences(log_p, log_q, float(x[1] - x[0])).jsd
