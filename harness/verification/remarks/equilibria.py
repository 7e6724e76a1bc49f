"""Convergence beyond the smallest example: penalties for a GAN in the plane, momentum for the WGAN.

References:
  Mescheder, Geiger & Nowozin (2018), "Which training methods for GANs do actually converge?", arXiv:1801.04406,
  section 4; Gidel et al. (2019), "Negative momentum for improved game dynamics", arXiv:1807.04740.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...job.parts.optimizers import SGD, Adam, Optimizer, RMSprop
from ...job.parts.penalties import R1, R2, NoPenalty, Penalty, WeightClip
from ...theory.losses import LOSSES
from ...training.optimizers import StackedOptimizer
from ...training.streams import add_noise
from ..findings import Assessment, assess, at_least, at_most, close, holds

Array = NDArray[np.float64]

_ROUNDING = 1e-7  # of eigenvalues: the square root of float64's precision, since they may coincide
_STEP_SIZE = 0.2
_STILL = 1 - 2.0**-53  # largest beta2: a second moment that does not move


def plane(
    *,
    gammas: Sequence[float] = (0.1, 1.0, 5.0),
    sigma: float = 0.5,
    loss: str = "minimax",
    slope: float = 0.5,
    num_steps: int = 200,
) -> Assessment:
    """R1, R2 and instance noise make a GAN on a line in the plane converge, which without them does not.

    The data is uniform on points of a segment, ``x = (z, 0)``; the generator ``g(z) = (a_1 + s_1 z, a_2 + s_2 z)`` can
    match it, at a = 0, s = (1, 0); the discriminator is ``b + w.x + q_1 x_1^2 + q_2 x_1 x_2``, 0 at the equilibrium.
    The Jacobian of the field there, by autograd of the harness's loss, penalty and way of adding noise, against
    ``[[0, f' G], [-f' G^T, -(E phi phi^T / 2 + gamma E grad phi grad phi^T)]]`` from the features' moments. What the
    discriminator sees along the line is damped by the data's own width. Across the line it is not: without help two
    pairs of eigenvalues are ``+- i f'`` times 1 and E z^2, as on the Dirac-GAN, and all others have negative real
    parts. With R1, R2 or noise all have. Descent by the harness's SGD, without help and with every penalty and the
    noise, must then do what the Jacobian predicts: end further from the equilibrium than it began, and nearer to it.

    Args:
      gammas: Of R1 and R2, > 0.
      sigma: Of the noise, > 0, data units.
      loss: By name; the formula is that of cross-entropy.
      slope: f' as stated.
      num_steps: Of SimGD.
    """
    bare = _PlaneGAN(loss)
    damped = [_PlaneGAN(loss, penalty=kind(gamma=gamma)) for gamma in gammas for kind in (R1, R2)]
    damped.append(_PlaneGAN(loss, sigma=sigma))
    found = {game: _jacobian(game) for game in (bare, *damped)}
    error = max(float(np.abs(matrix - _by_moments(game, slope=slope)).max()) for game, matrix in found.items())
    eigenvalues = {game: np.linalg.eigvals(matrix) for game, matrix in found.items()}
    across = eigenvalues[bare][np.abs(eigenvalues[bare].real) < _ROUNDING]
    along = eigenvalues[bare][np.abs(eigenvalues[bare].real) >= _ROUNDING]
    least_damped = float(along.real.max(initial=-math.inf))
    turns = np.sort(np.abs(across.imag))
    expected = np.sort(slope * np.array([1.0, 1.0, _SQUARE, _SQUARE]))
    slowest = max(float(eigenvalues[game].real.max()) for game in damped)
    misses, factors = zip(*(_descend(game, found[game], num_steps=num_steps) for game in (bare, *damped)), strict=True)
    apart, nearer = factors[0], factors[1:]
    return assess(
        f"Jacobians within {error:.1g}; real parts 0 ({len(across)}) and <= {least_damped:.3f}, damped "
        f"<= {slowest:.4f}; descent off by {max(misses):.1g}, distance x {apart:.2f}, damped x {min(nearer):.1g} to "
        f"{max(nearer):.2f}",
        "0; 0 (4) and < 0, damped < 0; as predicted, > 1, < 1",
        at_most(error, 1e-9),
        holds(len(across) == len(expected) and bool(np.abs(turns - expected).max() < _ROUNDING)),
        at_least(-least_damped, 1e-3),
        at_least(-slowest, 1e-3),
        at_most(max(misses), 1e-3),
        at_least(apart, 1.0),
        *(at_most(factor, 1.0) for factor in nearer),
    )


def momentum(
    *,
    betas: Sequence[float] = (-0.5, 0.0, 0.5, 0.9),
    loss: str = "wasserstein",
    num_steps: int = 1000,
    learning_rate: float = 0.05,
) -> Assessment:
    """Momentum keeps a WGAN from its equilibrium; so does Adam's beta1, and only that of Adam.

    004, of the WGAN: no optimiser with momentum, "including momentum and Adam"; RMSProp is recommended, SGD possible.
    On the Dirac-GAN with the harness's `wasserstein`, the discriminator first. With momentum
    ``m <- beta m + (1 - beta) grad`` an iteration is a linear map, whose spectral radius is 1 for beta = 0 (SGD: it
    cycles, and converges no more than with momentum), greater for every beta > 0, and smaller for a negative one
    (Gidel et al. 2019). Next to 1 it is ``1 + h^2 beta / (1 - beta)``, which a small step must show. The harness's
    Adam, with a second moment held still, and its SGD must follow the map exactly.

    Adaptive steps are not linear. With clipped weights, and a second moment as short as 0.9, RMSprop and Adam without
    beta1 alike come within two steps' lengths of the equilibrium and stay there; with beta1 = 1/2, Adam is at least
    five times further away, and with the usual second moment no nearer than at the start. So the advice holds for this
    game, is about beta1 and not about Adam, and does not make the WGAN converge.

    Args:
      betas: Of the linear map: negative, 0 and positive ones.
      loss: By name; the statement is about `wasserstein`.
      num_steps: Of the adaptive optimisers.
      learning_rate: Of the adaptive optimisers.
    """
    h = _STEP_SIZE
    radii = [float(np.abs(np.linalg.eigvals(_momentum_map(beta, h))).max()) for beta in betas]
    small = 1e-3
    paces = [float(np.abs(np.linalg.eigvals(_momentum_map(beta, small))).max() - 1) / small**2 for beta in betas]
    pace_error = max(abs(pace - beta / (1 - beta)) for pace, beta in zip(paces, betas, strict=True))
    start = np.array([0.6, 0.8, 0.0, 0.0])
    errors = []
    for beta in betas:
        end = _play(_linear(beta, h), loss=loss, start=start, num_steps=100)[-1]
        expected = (np.linalg.matrix_power(_momentum_map(beta, h), 100) @ start)[:2]
        errors.append(float(np.linalg.norm(end - expected) / np.linalg.norm(expected)))

    rules: dict[str, Optimizer] = {
        "RMSprop": RMSprop(learning_rate=learning_rate, alpha=0.9),
        "Adam 0, .9": Adam(learning_rate=learning_rate, betas=(0.0, 0.9)),
        "Adam .5, .9": Adam(learning_rate=learning_rate, betas=(0.5, 0.9)),
        "Adam .5, .999": Adam(learning_rate=learning_rate, betas=(0.5, 0.999)),
    }
    ends = {
        name: _largest_at_end(_play(rule, loss=loss, start=start, num_steps=num_steps, limit=1.0))
        for name, rule in rules.items()
    }
    return assess(
        f"{', '.join(f'{radius:.4f} ({beta:g})' for radius, beta in zip(radii, betas, strict=True))}, descent within "
        f"{max(errors):.1g}; at the end {', '.join(f'{end:.3f} ({name})' for name, end in ends.items())}",
        f"radius < 1 (beta < 0), 1 (0), > 1; <= {2 * learning_rate:g} without beta1, 5 times more with it, then >= 1",
        *(
            close(radius, 1.0, tolerance=_ROUNDING)
            if beta == 0
            else at_least((radius - 1) * math.copysign(1, beta), 1e-3)
            for radius, beta in zip(radii, betas, strict=True)
        ),
        at_most(pace_error, 0.01),
        at_most(max(errors), 1e-6),
        *(at_most(ends[name], 2 * learning_rate) for name in ("RMSprop", "Adam 0, .9")),
        *(at_least(ends[name], learning_rate / 2) for name in ("RMSprop", "Adam 0, .9")),
        at_least(ends["Adam .5, .9"], 5 * ends["Adam 0, .9"]),
        at_least(ends["Adam .5, .999"], 1.0),
    )


# --- the plane ---------------------------------------------------------------------------------------------------

_ALONG = torch.linspace(-1, 1, 8, dtype=torch.float64)
_SQUARE = float(_ALONG.square().mean())
_EQUILIBRIUM = torch.tensor([0.0, 0.0, 1.0, 0.0, *[0.0] * 5], dtype=torch.float64)  # a, s; b, w, q


_NO_PENALTY = NoPenalty()


@dataclass(frozen=True)
class _PlaneGAN:
    """The GAN of `plane`, with one penalty and one noise."""

    loss: str
    penalty: Penalty = _NO_PENALTY
    sigma: float = 0.0

    def field(self, point: Tensor) -> Tensor:
        """``(-dL_G/dtheta, -dL_D/dpsi)`` by autograd, differentiable: ``[9] -> [9]``."""
        theta, psi = point[:4], point[4:]
        real, fake = (self._noisy(samples) for samples in (_generate(_EQUILIBRIUM[:4]), _generate(theta)))

        def discriminate(samples: Tensor) -> Tensor:
            x, y = samples.unbind(-1)
            return torch.stack([torch.ones_like(x), x, y, x.square(), x * y], -1) @ psi

        on_real, on_fake = discriminate(real), discriminate(fake)
        loss = LOSSES[self.loss]
        d_loss = loss.discriminator(on_real, on_fake) + self.penalty(discriminate, real, fake, {})
        (by_theta,) = torch.autograd.grad(loss.generator(None, on_fake).sum(), theta, create_graph=True)
        (by_psi,) = torch.autograd.grad(d_loss.sum(), psi, create_graph=True)
        return -torch.cat([by_theta, by_psi])

    def _noisy(self, samples: Tensor) -> Tensor:
        """Every sample ``[1, n, 2]`` with the nodes of a product quadrature that is exact for the moments needed."""
        if self.sigma == 0:
            return samples
        roots = torch.tensor([-math.sqrt(3), 0.0, math.sqrt(3)], dtype=torch.float64)
        roots = roots[[0, 1, 1, 1, 1, 2]]  # of weights 1/6, 4/6, 1/6
        nodes = torch.cartesian_prod(roots, roots)
        noise = nodes.repeat(samples.shape[1], 1)[None]
        sigma = torch.tensor([self.sigma], dtype=torch.float64)
        return add_noise(samples.repeat_interleave(len(nodes), 1), sigma, noise)


def _generate(theta: Tensor) -> Tensor:
    """``(a_1 + s_1 z, a_2 + s_2 z)``: ``[4] -> [1, n, 2]``."""
    shift, scale = theta[:2], theta[2:]
    return (shift + _ALONG[:, None] * scale)[None]


def _jacobian(game: _PlaneGAN) -> Array:
    matrix = torch.autograd.functional.jacobian(game.field, _EQUILIBRIUM)
    return np.asarray(matrix.numpy(), dtype=np.float64)


def _by_moments(game: _PlaneGAN, *, slope: float) -> Array:
    """The Jacobian of `plane` from moments: of z, and of normal noise."""
    z = _ALONG.numpy()
    m2, m4, s2 = float((z**2).mean()), float((z**4).mean()), game.sigma**2
    x2, x4 = m2 + s2, m4 + 6 * m2 * s2 + 3 * s2**2  # of the noisy first coordinate; s2 is that of the second
    coupling = np.zeros((4, 5))  # d E phi / d (a_1, a_2, s_1, s_2), phi = (1, x, y, x^2, x y)
    coupling[0, 1] = coupling[1, 2] = 1.0
    coupling[2, 3], coupling[3, 4] = 2 * m2, m2
    features = np.diag([1.0, x2, s2, x4, x2 * s2])
    features[0, 3] = features[3, 0] = x2
    gamma = game.penalty.gamma if isinstance(game.penalty, R1 | R2) else 0.0
    gradients = np.diag([0.0, 1.0, 1.0, 4 * x2, x2 + s2])
    damping = features / 2 + gamma * gradients
    return np.block([[np.zeros((4, 4)), slope * coupling], [-slope * coupling.T, -damping]])


def _descend(game: _PlaneGAN, jacobian: Array, *, num_steps: int) -> tuple[float, float]:
    """SimGD from next to the equilibrium: its distance from the linear prediction, and by what factor that grew."""
    push = np.array([0.3, 1.0, -0.5, 0.6, 0.2, -0.4, 0.1, 0.5, -0.3]) * 1e-5
    update = StackedOptimizer([SGD(learning_rate=_STEP_SIZE)], _EQUILIBRIUM[None])
    point = (_EQUILIBRIUM + torch.from_numpy(push))[None]
    for _ in range(num_steps):
        gradient = -game.field(point[0].requires_grad_()).detach()[None]
        point = update(point.detach(), gradient)
    moved = (point[0] - _EQUILIBRIUM).numpy()
    predicted = np.linalg.matrix_power(np.eye(9) + _STEP_SIZE * jacobian, num_steps) @ push
    growth = np.linalg.norm(moved) / np.linalg.norm(push)
    return float(np.linalg.norm(moved - predicted) / np.linalg.norm(predicted)), float(growth)


# --- momentum ----------------------------------------------------------------------------------------------------


def _momentum_map(beta: float, h: float) -> Array:
    """One iteration of ``(theta, psi, m_theta, m_psi)``: ``psi' = psi + h m_psi``, then ``theta' = theta + h m_theta``.

    The field of the WGAN is ``(psi, -theta)``.
    """
    discriminate, generate = np.eye(4), np.eye(4)
    discriminate[3] = [-(1 - beta), 0, 0, beta]
    discriminate[1] += h * discriminate[3]
    generate[2] = [0, 1 - beta, beta, 0]
    generate[0] += h * generate[2]
    return generate @ discriminate


def _linear(beta: float, h: float) -> Optimizer:
    """The harness's optimiser that is the linear map."""
    if beta == 0:
        return SGD(learning_rate=h)
    return Adam(learning_rate=h).model_copy(update={"betas": (beta, _STILL)})  # jobs refuse negative betas


def _play(rule: Optimizer, *, loss: str, start: Array, num_steps: int, limit: float = math.inf) -> Array:
    """The path of the Dirac-GAN's (theta, psi), the discriminator first: ``[num_steps, 2]``."""
    places = [torch.tensor([[value]], dtype=torch.float64) for value in start[:2]]
    updates = [StackedOptimizer([rule], place) for place in places]
    for update in updates:
        if isinstance(rule, Adam) and rule.betas[1] == _STILL:
            update.state["square"].fill_(1.0)
            update.state["num_updates"].fill_(1e18)
    clip = WeightClip(limit=limit) if limit < math.inf else _NO_PENALTY
    path = []
    for _ in range(num_steps):
        theta, psi = places
        own = psi.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(LOSSES[loss].discriminator(0 * own, own * theta).sum(), own)
        psi = clip.constrain(updates[1](psi, gradient))
        own = theta.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(LOSSES[loss].generator(None, psi * own).sum(), own)
        places = [updates[0](theta, gradient), psi]
        path.append([float(place) for place in places])
    return np.array(path)


def _largest_at_end(path: Array) -> float:
    """Largest distance to the equilibrium over the last tenth."""
    return float(np.hypot(*path[-len(path) // 10 :].T).max())
