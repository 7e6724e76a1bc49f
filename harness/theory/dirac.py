"""The Dirac-GAN: the smallest game on which training methods can be told apart, solved and simulated.

The data is delta_0, the generator delta_theta, the discriminator ``D(x) = psi x``. Instance noise N(0, sigma^2) is
added to both, and expectations over it are Gauss-Hermite sums, so nothing is random. In all losses the compared
logits are ``a = psi (s z - c theta)`` and ``b = psi (s z + theta)`` with z ~ N(0, 1):

    absolute   c = 0   s = sigma
    paired     c = 1   s = sqrt 2 sigma     (the difference of two independent noises)
    average    c = 1   s = sigma            (the other side's mean has no noise)

The equilibrium is (0, 0). As ``grad_x D = psi`` everywhere, a gradient penalty is a function R of psi alone, but for
Roth's, ``gamma/2 psi^2 E[s(-a)^2 + s(b)^2]`` with the sigmoid s, of which ``R''(0) = gamma/2``. The field
``v = (-dL_G/dtheta, -dL_D/dpsi)`` linearises there, with k the loss's scale, to

    v' = [[0, A], [B, -d]]                  A = -k (generator_fake'(0) - c generator_real'(0))
    eigenvalues -d/2 +- sqrt(d^2/4 + A B)   B = -k (fake'(0) - c real'(0))
                                            d = k s^2 (real''(0) + fake''(0)) + R''(0)

which for cross-entropy are Lemmas 2, 3.2 and 3.3 of the paper: ``A = -B = f'(0) = 1/2``, ``d = sigma^2/2 + gamma``.
Roth's penalty of strength sigma^2 damps as instance noise of sigma does.

References:
  Mescheder, Geiger & Nowozin (2018), "Which training methods for GANs do actually converge?", arXiv:1801.04406.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .losses import Loss, Scalar
from .penalties import towards_one, towards_zero

Array = NDArray[np.float64]
Updates = Literal["simultaneous", "alternating"]
Verdict = Literal["converges", "stalls", "cycles", "diverges"]
_Point = tuple[float, float]

_COMPARED = {"absolute": (0.0, 1.0), "paired": (1.0, math.sqrt(2)), "average": (1.0, 1.0)}  # (c, s / sigma)
_MARGIN = 1.1  # what ends further away than it began by less than a tenth is not called divergent


@dataclass(frozen=True)
class LinearPenalty:
    """What a regulariser is for the discriminator ``D(x) = psi x``; checks itself (ValueError).

    Attributes:
      weight, target: Of the term ``R(psi) = weight (|psi| - target)^2`` of the discriminator's loss.
      clip: Limit of ``|psi|`` after each discriminator step; None for none.
      roth: gamma of Roth's penalty, which is of the logits too: it is the game's (`DiracGAN`), not a part of R(psi).
    """

    weight: float = 0.0
    target: float = 0.0
    clip: float | None = None
    roth: float = 0.0

    def __post_init__(self) -> None:
        for name, value in (("weight", self.weight), ("target", self.target), ("roth", self.roth)):
            if not 0 <= value < math.inf:
                raise ValueError(f"{name} of a penalty must be finite and >= 0, got {value}")
        if self.clip is not None and not 0 < self.clip < math.inf:
            raise ValueError(f"clip must be finite and > 0, got {self.clip}")

    def __add__(self, other: LinearPenalty) -> LinearPenalty:
        """Both penalties at once, up to a constant: the sum of two parabolas in ``|psi|`` is one between them."""
        weight = self.weight + other.weight
        target = (self.weight * self.target + other.weight * other.target) / weight if weight else 0.0
        clips = [clip for clip in (self.clip, other.clip) if clip is not None]
        return LinearPenalty(weight, target, min(clips, default=None), self.roth + other.roth)

    def __call__(self, psi: Tensor) -> Tensor:
        """``R(psi)``, ``[] -> []``, differentiable."""
        squared_norms = psi.square()[None]
        if self.target > 0:
            return towards_one(squared_norms, weight=self.weight, target=self.target)
        return towards_zero(squared_norms, weight=self.weight)

    @property
    def curvature(self) -> float | None:
        """R''(0), gamma of r1; None where ``(|psi| - target)^2`` has a kink, so that the field jumps there."""
        return None if self.weight > 0 and self.target > 0 else 2 * self.weight + self.roth / 2

    def slope(self, psi: float) -> float:
        """``dR / dpsi``, Roth's penalty aside."""
        if self.target > 0:
            return 2 * self.weight * (psi - math.copysign(self.target, psi)) if psi else 0.0
        return 2 * self.weight * psi


@dataclass(frozen=True)
class DiracGAN:
    """The game of one loss, one penalty and one noise; checks itself (ValueError).

    Attributes:
      sigma: Standard deviation of the instance noise, data units, >= 0.
      num_nodes: Of the quadrature. With 64 a smooth loss errs by 1e-10 while ``|psi| sigma <= 2``; the hinge by some
        1e-3 once the noise reaches its kink, ``|psi| sigma`` about 1.
    """

    loss: Loss
    penalty: LinearPenalty = LinearPenalty()
    sigma: float = 0.0
    num_nodes: int = 64

    def __post_init__(self) -> None:
        if not 0 <= self.sigma < math.inf:
            raise ValueError(f"sigma must be finite and >= 0, got {self.sigma}")
        if self.num_nodes < 2:
            raise ValueError(f"num_nodes must be >= 2, got {self.num_nodes}")
        if self.penalty.roth > 0 and not self.loss.objective.is_cross_entropy:
            raise ValueError(f"Roth's penalty belongs to cross-entropy, got the objective {self.loss.objective.name}")

    def losses(self, theta: Tensor | float, psi: Tensor | float) -> tuple[Tensor, Tensor]:
        """The generator's and the discriminator's loss at a point: two float64 scalars ``[]``, differentiable."""
        theta, psi = (torch.as_tensor(value, dtype=torch.float64) for value in (theta, psi))
        (noise, weights), coupling = _quadrature(self), _COMPARED[self.loss.objective.comparison][0]
        a, b = psi * (noise - coupling * theta), psi * (noise + theta)
        objective, generator = self.loss.objective, self.loss.generator_fake(b)
        if self.loss.generator_real is not None:
            generator = generator + self.loss.generator_real(a)
        discriminator = objective.real(a) + objective.fake(b)
        scale, penalty = objective.scale, self.penalty(psi)
        if self.penalty.roth > 0:
            penalty = penalty + self.penalty.roth / 2 * psi.square() * (weights @ _uncertainty(a, b))
        return scale * (weights @ generator), scale * (weights @ discriminator) + penalty

    def field(self, theta: Tensor | float, psi: Tensor | float) -> Tensor:
        """``(-dL_G/dtheta, -dL_D/dpsi)`` by autograd, clipping aside: float64 ``[2]``, differentiable."""
        with torch.enable_grad():
            theta, psi = (torch.as_tensor(value, dtype=torch.float64) for value in (theta, psi))
            theta, psi = (value if value.requires_grad else value.clone().requires_grad_() for value in (theta, psi))
            generator, discriminator = self.losses(theta, psi)
            (by_theta,) = torch.autograd.grad(generator, theta, create_graph=True)
            (by_psi,) = torch.autograd.grad(discriminator, psi, create_graph=True)
            return -torch.stack([by_theta, by_psi])

    def jacobian(self) -> Array | None:
        """The field's derivative at (0, 0) by automatic differentiation, ``[2, 2]``; None at a kink of the penalty."""
        if self.penalty.curvature is None:
            return None
        at_equilibrium = torch.zeros(2, dtype=torch.float64)
        matrix = torch.autograd.functional.jacobian(lambda point: self.field(point[0], point[1]), at_equilibrium)
        return np.asarray(matrix.numpy(), dtype=np.float64)


@dataclass(frozen=True)
class Descent:
    """How the players move, both by `step_size`; checks itself (ValueError).

    SimGD (simultaneous) moves both from the same point, AltGD (alternating) the discriminator first, and as often as
    `discriminator_steps` says.
    """

    step_size: float
    updates: Updates = "simultaneous"
    discriminator_steps: int = 1

    def __post_init__(self) -> None:
        if self.updates not in ("simultaneous", "alternating"):
            raise ValueError(f"unknown updates {self.updates!r}. Valid: alternating, simultaneous")
        if not 0 < self.step_size < math.inf:
            raise ValueError(f"step_size must be finite and > 0, got {self.step_size}")
        if self.discriminator_steps < 1:
            raise ValueError(f"discriminator_steps must be >= 1, got {self.discriminator_steps}")
        if self.updates == "simultaneous" and self.discriminator_steps > 1:
            raise ValueError(
                f"simultaneous updates have one discriminator step, got {self.discriminator_steps}; use alternating"
            )


@dataclass(frozen=True)
class Linearisation:
    """``v'(0, 0) = [[0, generator], [discriminator, -damping]]``: A, B and d of the module's formulas."""

    generator: float
    discriminator: float
    damping: float

    @property
    def eigenvalues(self) -> tuple[complex, complex]:
        """``-d/2 +- sqrt(d^2/4 + A B)``, the smaller first by real, then by imaginary part."""
        root = cmath.sqrt(self.damping**2 / 4 + self.generator * self.discriminator)
        return -self.damping / 2 - root, -self.damping / 2 + root

    def modulus(self, descent: Descent) -> float:
        """Factor by which one iteration asymptotically multiplies the distance to the equilibrium.

        The spectral radius of ``I + h v'`` (SimGD) or of the product ``G D^n`` of the triangular maps
        ``D = [[1, 0], [h B, 1 - h d]]`` and ``G = [[1, h A], [0, 1]]`` (AltGD with n discriminator steps).
        """
        h = descent.step_size
        if descent.updates == "simultaneous":
            return max(abs(1 + h * eigenvalue) for eigenvalue in self.eigenvalues)
        discriminate = np.array([[1, 0], [h * self.discriminator, 1 - h * self.damping]])
        generate = np.array([[1, h * self.generator], [0, 1]])
        iteration = generate @ np.linalg.matrix_power(discriminate, descent.discriminator_steps)
        return float(np.abs(np.linalg.eigvals(iteration)).max())


def linearise(game: DiracGAN) -> Linearisation | None:
    """The field's derivative at (0, 0) from the module's formulas; None at a kink of the penalty.

    It needs two derivatives at 0 of the loss's elementwise functions, and neither quadrature nor the game's losses.
    """
    if game.penalty.curvature is None:
        return None
    objective = game.loss.objective
    coupling, noise_scale = _COMPARED[objective.comparison]
    real, fake, generator = (
        _slope_and_curvature(function) for function in (objective.real, objective.fake, game.loss.generator_fake)
    )
    generator_real = _slope_and_curvature(game.loss.generator_real)[0] if game.loss.generator_real else 0.0
    return Linearisation(
        generator=-objective.scale * (generator[0] - coupling * generator_real),
        discriminator=-objective.scale * (fake[0] - coupling * real[0]),
        damping=objective.scale * (noise_scale * game.sigma) ** 2 * (real[1] + fake[1]) + game.penalty.curvature,
    )


def critical_gamma(loss: Loss) -> float | None:
    """gamma of R1 or R2 from which, without noise, nothing rotates: ``2 sqrt(-A B)``; None if nothing ever does."""
    linear = linearise(DiracGAN(loss))
    rotation = -linear.generator * linear.discriminator if linear else 0.0
    return 2 * math.sqrt(rotation) if rotation > 0 else None


def critical_sigma(loss: Loss) -> float | None:
    """Noise (data units) from which, without penalty, nothing rotates: ``sqrt(2 sqrt(-A B) / (d / sigma^2))``.

    None if nothing ever rotates, or noise cannot damp for want of curvature at 0 (wasserstein, hinge).
    """
    gamma, unit = critical_gamma(loss), linearise(DiracGAN(loss, sigma=1.0))
    return math.sqrt(gamma / unit.damping) if gamma and unit and unit.damping > 0 else None


def simulate(game: DiracGAN, descent: Descent, *, num_steps: int, start: _Point = (1.0, 1.0)) -> Array:
    """The path (theta, psi) of gradient descent, float64 ``[num_steps + 1, 2]``; it may end in infinities and NaN.

    Raises:
      ValueError: If num_steps is not positive.
    """
    if num_steps < 1:
        raise ValueError(f"num_steps must be >= 1, got {num_steps}")
    iterate, path = _iteration(game, descent), [(float(start[0]), float(start[1]))]
    with torch.no_grad():
        for _ in range(num_steps):
            path.append(iterate(path[-1]))
    return np.array(path)


def measured_modulus(game: DiracGAN, descent: Descent, *, num_steps: int = 4000, radius: float = 1e-8) -> float | None:
    """Factor an iteration multiplies the distance by, simulated next to the equilibrium.

    The distance is set back to `radius` after every iteration and its factor kept, so that neither growth leaves the
    linear range nor decay drowns in rounding. The slope of the summed logarithms over the second half is the answer;
    at a double eigenvalue its relative error is about ``4/3 / num_steps``.

    Returns:
      The modulus; 0 if the equilibrium is hit exactly; None where the field has no derivative there.
    """
    if game.penalty.curvature is None:
        return None
    iterate, logs = _iteration(game, descent), []
    point = radius * math.cos(1.0), radius * math.sin(1.0)
    for _ in range(num_steps):
        theta, psi = iterate(point)
        factor = math.hypot(theta, psi) / radius
        if factor == 0:
            return 0.0
        point = theta / factor, psi / factor
        logs.append(math.log(factor))
    second_half = np.cumsum(logs)[num_steps // 2 :]
    return math.exp(np.polyfit(np.arange(len(second_half)), second_half, 1)[0])


def steps_to_tolerance(trajectory: Array, tolerance: float) -> int | None:
    """First step from which the distance to (0, 0) stays within the tolerance: of ``[t, 2]``; None if it does not."""
    outside = np.flatnonzero(~(_distances(trajectory, tolerance) <= tolerance))  # NaN is outside
    first = int(outside[-1]) + 1 if len(outside) else 0
    return first if first < len(trajectory) else None


def verdict(trajectory: Array, tolerance: float) -> Verdict:
    """What a path ``[t, 2]`` did, judged by its last tenth against the tolerance and against its first tenth.

    In this order, with r the distance to the equilibrium (0, 0):

      converges  r <= tolerance throughout the last tenth
      diverges   a value is not finite
      stalls     theta and psi vary by at most the tolerance over the last tenth: at rest, in another place
      diverges   the largest r of the last tenth exceeds that of the first by more than a tenth
      cycles     none of these: it keeps moving, and neither arrives nor leaves

    So "diverges" means ending further from the equilibrium than it began, even on a larger limit cycle, and "cycles"
    includes a spiral too slow to arrive in the given steps. A tenth should be several revolutions long
    (``2 pi / (h |f'(0)|)`` iterations each), and the start outside the tolerance.

    Raises:
      ValueError: If the tolerance is not positive or the path is not ``[t, 2]`` with t >= 20.
    """
    distances, tenth = _distances(trajectory, tolerance), len(trajectory) // 10
    if tenth < 2:
        raise ValueError(f"a verdict needs a path of at least 20 points, got {len(trajectory)}")
    if (distances[-tenth:] <= tolerance).all():
        return "converges"
    if not np.isfinite(distances).all():
        return "diverges"
    if (np.ptp(trajectory[-tenth:], axis=0) <= tolerance).all():
        return "stalls"
    return "diverges" if distances[-tenth:].max() > _MARGIN * distances[:tenth].max() else "cycles"


def _distances(trajectory: Array, tolerance: float) -> Array:
    if not tolerance > 0:
        raise ValueError(f"tolerance must be > 0, got {tolerance}")
    if trajectory.ndim != 2 or trajectory.shape[1] != 2:
        raise ValueError(f"a trajectory has shape [t, 2], got {list(trajectory.shape)}")
    return np.asarray(np.hypot(trajectory[:, 0], trajectory[:, 1]))


@lru_cache(maxsize=128)
def _quadrature(game: DiracGAN) -> tuple[Tensor, Tensor]:
    """Noise ``s z`` at the nodes and their weights, ``[num_nodes]`` each; one node without noise."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(game.num_nodes if game.sigma > 0 else 1)
    scale = _COMPARED[game.loss.objective.comparison][1] * game.sigma
    return torch.from_numpy(scale * nodes), torch.from_numpy(weights / weights.sum())


def _uncertainty(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """``(1 - s(a))^2 + s(b)^2`` with the sigmoid s, elementwise."""
    return (-real_logits).sigmoid().square() + fake_logits.sigmoid().square()


def _slope_and_curvature(function: Scalar) -> tuple[float, float]:
    slope, zero = torch.func.grad(function), torch.zeros((), dtype=torch.float64)
    return float(slope(zero)), float(torch.func.grad(slope)(zero))


@lru_cache(maxsize=128)
def _derivative(function: Scalar, num_nodes: int) -> Scalar:
    """f' on ``[num_nodes]``, traced once: small tensors spend most of autograd's time on building graphs."""
    import torch
    from torch.fx.experimental.proxy_tensor import make_fx

    traced = make_fx(torch.func.vmap(torch.func.grad(function)))(torch.zeros(num_nodes, dtype=torch.float64))
    traced.graph.eliminate_dead_code()
    traced.recompile()
    forward: Scalar = traced.forward
    return forward


def _iteration(game: DiracGAN, descent: Descent) -> Callable[[_Point], _Point]:
    """One iteration as a function of the point, by the chain rule from the derivatives of the elementwise functions."""
    objective, limit = game.loss.objective, game.penalty.clip
    (noise, weights), coupling = _quadrature(game), _COMPARED[objective.comparison][0]
    num_nodes = len(noise)
    real, fake, generator_fake = (
        _derivative(function, num_nodes) for function in (objective.real, objective.fake, game.loss.generator_fake)
    )
    generator_real = _derivative(game.loss.generator_real, num_nodes) if game.loss.generator_real else None
    step = descent.step_size * objective.scale

    def discriminator_step(theta: float, psi: float) -> float:
        x_real, x_fake = noise - coupling * theta, noise + theta
        slope = weights @ (x_real * real(psi * x_real) + x_fake * fake(psi * x_fake))
        of_penalty = game.penalty.slope(psi)
        if game.penalty.roth > 0:
            a, b = psi * x_real, psi * x_fake
            # d/dt s(t)^2 = 2 s(t)^2 s(-t)
            moved = b.sigmoid().square() * (-b).sigmoid() * x_fake - (-a).sigmoid().square() * a.sigmoid() * x_real
            of_penalty += game.penalty.roth * float(weights @ (psi * _uncertainty(a, b) + psi**2 * moved))
        psi -= step * float(slope) + descent.step_size * of_penalty
        return psi if limit is None else min(max(psi, -limit), limit)

    def generator_step(theta: float, psi: float) -> float:
        slope = weights @ generator_fake(psi * (noise + theta))
        if generator_real is not None and coupling:
            slope = slope - coupling * (weights @ generator_real(psi * (noise - coupling * theta)))
        return theta - step * psi * float(slope)

    def iterate(point: _Point) -> _Point:
        theta, psi = point
        for _ in range(descent.discriminator_steps):
            psi = discriminator_step(theta, psi)
        return generator_step(theta, psi if descent.updates == "alternating" else point[1]), psi

    return iterate
