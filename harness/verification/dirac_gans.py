"""The Dirac-GAN: Jacobians by autograd against the paper's formulas, moduli against simulated descent.

With ``f(t) = -log(1 + e^-t)``: ``f'(0) = 1/2``, ``f''(0) = -1/4``.

References:
  Mescheder, Geiger & Nowozin (2018), "Which training methods for GANs do actually converge?", arXiv:1801.04406.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.integrate import solve_ivp
from torch import Tensor

from ..job.parts.penalties import R1, R2, Dragan, GradientPenalty, Penalty, WeightClip
from ..theory.dirac import Descent, DiracGAN, critical_gamma, critical_sigma, measured_modulus, simulate, verdict
from ..theory.losses import LOSSES
from .findings import Assessment, assess, at_least, at_most, close, holds

Array = NDArray[np.float64]

_ROUNDING = 1e-7  # of eigenvalues: the square root of float64's precision, since they may coincide
_STEPS = 600  # of a simulation; the measured modulus errs by up to 4/3 of its reciprocal
_STEP_SIZE = 0.2


def lemma_2(*, loss: str = "minimax", slope: float = 0.5) -> Assessment:
    """The unique equilibrium is 0, with eigenvalues ``+- i f'(0)``; so SimGD diverges and AltGD goes round for ever.

    Eigenvalues of the harness's field by autograd, for the given loss and for WGAN, ``f(t) = t`` and f' = 1. The field
    vanishes at 0 and nowhere on a grid around it. Simulated: the distance to 0 grows by ``sqrt(1 + h^2 f'(0)^2)`` a
    step under SimGD, by 1 under AltGD.

    Args:
      loss: The paper's is `minimax`.
      slope: f'(0) as stated.
    """
    game = DiracGAN(LOSSES[loss])
    slopes = ((game, slope), (DiracGAN(LOSSES["wasserstein"]), 1.0))
    error = max(_distance(_eigenvalues(each), derivative, 0.0) for each, derivative in slopes)
    places = [(theta, psi) for theta in np.linspace(-2, 2, 5) for psi in np.linspace(-2, 2, 5) if theta or psi]
    elsewhere = min(float(game.field(theta, psi).detach().norm()) for theta, psi in places)
    expected = [math.sqrt(1 + (_STEP_SIZE * slope) ** 2), 1.0]
    moduli = _simulated(game)
    return assess(
        f"eigenvalues within {error:.1g}; moduli {moduli[0]:.5f}, {moduli[1]:.5f}; field elsewhere >= {elsewhere:.2g}",
        f"+- {slope:g} i; moduli {expected[0]:.5f} (SimGD), {expected[1]:.5f} (AltGD); field 0 at 0 alone",
        at_most(error, _ROUNDING),
        *(close(found, value, tolerance=2 / _STEPS) for found, value in zip(moduli, expected, strict=True)),
        at_least(moduli[0] - 1, (expected[0] - 1) / 2),
        at_least(elsewhere, 1e-3),
        at_most(float(game.field(0.0, 0.0).detach().norm()), 1e-15),
    )


def lemma_2_3(*, loss: str = "minimax", sigma: float = 0.0, gamma: float = 0.0, duration: float = 26.0) -> Assessment:
    """Integral curves keep ``theta^2 + psi^2``: the harness's field, integrated by scipy's DOP853.

    Args:
      loss: The paper's is `minimax`.
      sigma: Of instance noise, 0 in the lemma.
      gamma: Of R1, 0 in the lemma.
      duration: Of the curves; near 0 a revolution takes ``4 pi``.
    """
    game = _game(loss, sigma=sigma, gamma=gamma)
    changes = []
    for start in ((1.0, 1.0), (0.3, -0.4)):
        curve = solve_ivp(
            lambda _, point: game.field(point[0], point[1]).detach().numpy(),
            (0.0, duration),
            start,
            method="DOP853",
            rtol=1e-9,
            atol=1e-12,
        ).y
        squares = (curve**2).sum(0)
        changes.append(float(np.ptp(squares) / squares[0]))
    return assess(
        f"theta^2 + psi^2 changes by {max(changes):.1g} of itself",
        "0, here <= 1e-6",  # the integrator's tolerance of 1e-9 a step, over a few hundred steps
        at_most(max(changes), 1e-6),
    )


def lemma_3_2(
    *,
    sigmas: Sequence[float] = (0.5, 0.75, 1.0, math.sqrt(2), 2.0, 3.0),
    loss: str = "minimax",
    slope: float = 0.5,
    curvature: float = -0.25,
) -> Assessment:
    """With instance noise the eigenvalues are ``f''(0) s^2 +- sqrt(f''(0)^2 s^4 - f'(0)^2)``: it converges.

    Eigenvalues by autograd; the moduli of SimGD and AltGD that follow from the formula against simulations, all < 1;
    the critical noise ``sqrt|f'(0) / f''(0)|``, below which the eigenvalues are not real and from which they are.

    Args:
      sigmas: Of the noise: below, at and above the critical one, and not so small that SimGD would need a smaller step
        (``h < -2 f''(0) s^2 / f'(0)^2``, so that its modulus ``sqrt(1 + 2 h f''(0) s^2 + h^2 f'(0)^2)`` is below 1).
      loss: The paper's is `minimax`.
      slope, curvature: f'(0) and f''(0) as stated.
    """
    games = [(_game(loss, sigma=sigma), -2 * curvature * sigma**2) for sigma in sigmas]
    critical = critical_sigma(LOSSES[loss])
    return _damped(games, slope=slope, critical=critical, expected_critical=math.sqrt(abs(slope / curvature)))


def lemma_3_3(
    *,
    gammas: Sequence[float] = (0.1, 0.5, 1.0, 2.0),
    loss: str = "minimax",
    penalties: Sequence[Callable[[float], Penalty]] = (lambda gamma: R1(gamma=gamma), lambda gamma: R2(gamma=gamma)),
    slope: float = 0.5,
) -> Assessment:
    """With R1 or R2 the eigenvalues are ``-gamma/2 +- sqrt(gamma^2/4 - f'(0)^2)``: it converges.

    Checked as `lemma_3_2`, for both penalties; the critical gamma is ``2 |f'(0)|``. What a penalty says it is on the
    Dirac-GAN must be what it adds to the loss of a discriminator ``D(x) = psi x`` in training, on a batch of zeros and
    one of theta, and its derivative in psi. Simulated with either from afar, both players must arrive at the
    equilibrium where the modulus gives them the time. The contrary cases, WGAN with clipped weights, WGAN-GP and
    DRAGAN, must not converge.

    Args:
      gammas: Strengths of the penalty, > 0: below, at and above the critical one.
      loss: The paper's is `minimax`.
      penalties: R1 and R2 of a strength.
      slope: f'(0) as stated.
    """
    built = [(penalty(gamma), gamma) for penalty in penalties for gamma in gammas]
    games = [(DiracGAN(LOSSES[loss], penalty=penalty.on_linear()), gamma) for penalty, gamma in built]
    difference = max(_difference_in_training(penalty) for penalty, _ in built)
    steps = [Descent(_STEP_SIZE, updates) for updates in ("simultaneous", "alternating")]
    in_time = [game for game, gamma in games if max(_moduli(slope, gamma)) ** _STEPS < 1e-4]
    arriving = [simulate(game, step, num_steps=_STEPS) for game in in_time for step in steps]
    contrary = [
        DiracGAN(LOSSES["wasserstein"], penalty=WeightClip(limit=1.0).on_linear()),
        DiracGAN(LOSSES["wasserstein"], penalty=GradientPenalty(weight=1.0).on_linear()),
        DiracGAN(LOSSES["minimax"], penalty=Dragan(weight=1.0).on_linear()),
    ]
    paths = [simulate(game, Descent(_STEP_SIZE, "alternating"), num_steps=_STEPS) for game in contrary]
    return _damped(
        games,
        slope=slope,
        critical=critical_gamma(LOSSES[loss]),
        expected_critical=2 * abs(slope),
        further=(
            at_most(difference, 1e-12),
            holds(len(arriving) >= 2 * len(penalties)),
            *(holds(verdict(path, 1e-3) == "converges") for path in arriving),
            *(holds(verdict(path, 1e-3) != "converges") for path in paths),
        ),
    )


def _damped(
    games: Sequence[tuple[DiracGAN, float]],
    *,
    slope: float,
    critical: float | None,
    expected_critical: float,
    further: Sequence[float] = (),
) -> Assessment:
    """Assesses games with the damping the formula gives each: eigenvalues, moduli, and the critical strength.

    Args:
      further: Margins of other conditions.
    """
    error = max(_distance(_eigenvalues(game), slope, damping) for game, damping in games)
    moduli = [_simulated(game) for game, _ in games]
    expected = [_moduli(slope, damping) for _, damping in games]
    difference = max(float(np.abs(np.subtract(*pair)).max()) for pair in zip(moduli, expected, strict=True))
    largest = max(map(max, moduli))
    found = math.nan if critical is None else critical
    return assess(
        f"eigenvalues within {error:.1g}, moduli within {difference:.1g}, all <= {largest:.4f}; critical {found:.6f}",
        f"eigenvalues within {_ROUNDING:g}, moduli within {2 / _STEPS:g}, all < 1; critical {expected_critical:.6f}",
        at_most(error, _ROUNDING),
        at_most(difference, 2 / _STEPS),
        holds(largest < 1),
        close(found, expected_critical, tolerance=1e-9),
        holds(all(_rotates(game) == (damping < 2 * slope) for game, damping in games)),
        *further,
    )


def _game(loss: str, *, sigma: float = 0.0, gamma: float = 0.0) -> DiracGAN:
    return DiracGAN(LOSSES[loss], penalty=R1(gamma=gamma).on_linear(), sigma=sigma)


def _eigenvalues(game: DiracGAN) -> list[complex]:
    jacobian = game.jacobian()
    assert jacobian is not None
    return [complex(value) for value in np.linalg.eigvals(jacobian)]


def _rotates(game: DiracGAN) -> bool:
    """Whether the eigenvalues are not real; at the critical strength they coincide, up to the root of rounding."""
    return max(abs(value.imag) for value in _eigenvalues(game)) > _ROUNDING


def _difference_in_training(penalty: Penalty) -> float:
    """Between the term in the loss of ``D(x) = psi x`` and that on the Dirac-GAN: the largest, of value and slope."""
    worst = 0.0
    for theta, psi in ((0.7, -1.3), (-2.0, 0.4), (0.0, 1.0)):
        weight = torch.tensor([psi], dtype=torch.float64, requires_grad=True)  # [k], k = 1

        def discriminate(samples: Tensor, weight: Tensor = weight) -> Tensor:  # [k, b, 1] -> [k, b]
            return weight[:, None] * samples[..., 0]

        real, fake = (torch.full((1, 4, 1), place, dtype=torch.float64) for place in (0.0, theta))
        draws = {name: torch.full((1, *shape), 0.5) for name, shape in penalty.draws(4, (1,)).items()}
        value = torch.as_tensor(penalty(discriminate, real, fake, draws)).sum()
        (slope,) = torch.autograd.grad(value, weight)
        stated = penalty.on_linear()
        errors = value.detach() - stated(weight.detach()[0]), slope - stated.slope(psi)
        worst = max(worst, *(abs(float(error)) for error in errors))
    return worst


def _distance(eigenvalues: Sequence[complex], slope: float, damping: float) -> float:
    """Largest distance from ``-d/2 +- sqrt(d^2/4 - f'(0)^2)``, in the better of the two orders."""
    root = cmath.sqrt(damping**2 / 4 - slope**2)
    expected = (-damping / 2 + root, -damping / 2 - root)
    orders = (expected, expected[::-1])
    return min(max(abs(a - b) for a, b in zip(eigenvalues, order, strict=True)) for order in orders)


def _moduli(slope: float, damping: float) -> tuple[float, float]:
    """Spectral radii of one SimGD and one AltGD step (discriminator first) of ``[[0, f'], [-f', -d]]``."""
    h = _STEP_SIZE
    together = np.array([[1.0, h * slope], [-h * slope, 1 - h * damping]])
    first = np.array([[1.0, 0.0], [-h * slope, 1 - h * damping]])
    then = np.array([[1.0, h * slope], [0.0, 1.0]])
    simultaneous, alternating = (float(np.abs(np.linalg.eigvals(step)).max()) for step in (together, then @ first))
    return simultaneous, alternating


def _simulated(game: DiracGAN) -> tuple[float, float]:
    """Measured moduli of SimGD and AltGD."""
    simultaneous, alternating = (
        measured_modulus(game, Descent(_STEP_SIZE, updates), num_steps=_STEPS)
        for updates in ("simultaneous", "alternating")
    )
    assert simultaneous is not None
    assert alternating is not None
    return simultaneous, alternating
