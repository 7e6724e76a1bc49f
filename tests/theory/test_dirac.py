"""The Dirac-GAN against the oracle, closed forms, SciPy, finite differences and loops written out."""

from __future__ import annotations

import cmath
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import integrate
from scipy.special import expit, log_expit
from scipy.stats import norm

from harness.job.parts.penalties import R1, R1R2, R2, Dragan, GradientPenalty, Penalty, Roth, Sum, WeightClip
from harness.theory.dirac import (
    Array,
    Descent,
    DiracGAN,
    Linearisation,
    LinearPenalty,
    critical_gamma,
    critical_sigma,
    linearise,
    measured_modulus,
    simulate,
    steps_to_tolerance,
    verdict,
)
from harness.theory.losses import LOSSES, Loss, compare
from tests.conftest import oracle

ROWS = pytest.mark.parametrize("row", oracle("dirac"), ids=lambda row: f"sigma{row['sigma']:.2g}-gamma{row['gamma']}")
ALL = pytest.mark.parametrize("loss", LOSSES.values(), ids=lambda loss: loss.name)
EVERY_DESCENT = pytest.mark.parametrize(
    "descent",
    [Descent(0.1), Descent(0.1, "alternating"), Descent(0.1, "alternating", 5)],
    ids=["simultaneous", "alternating", "alternating5"],
)
EVERY_PENALTY = pytest.mark.parametrize(
    ("penalty", "strength", "slope"),  # slope: dR/dpsi
    [
        ("none", 0.0, lambda psi: 0.0),
        ("r1", 0.8, lambda psi: 0.8 * psi),
        ("r2", 0.8, lambda psi: 0.8 * psi),
        ("zero_centred", 0.8, lambda psi: 1.6 * psi),
        ("gradient_penalty", 0.8, lambda psi: 1.6 * (abs(psi) - 1) * np.sign(psi)),
        ("dragan", 0.8, lambda psi: 1.6 * (abs(psi) - 1) * np.sign(psi)),
    ],
)
NEAR = (0.03, 0.03)
TOLERANCE = 1e-3


def penalty_of(name: str, strength: float) -> LinearPenalty:
    """What a penalty of this strength (gamma, weight or limit) is on the Dirac-GAN."""
    return {
        "none": LinearPenalty(),
        "r1": LinearPenalty(strength / 2),  # gamma/2 psi^2
        "r2": LinearPenalty(strength / 2),
        "zero_centred": LinearPenalty(strength),
        "gradient_penalty": LinearPenalty(strength, target=1.0),
        "dragan": LinearPenalty(strength, target=1.0),
        "weight_clip": LinearPenalty(clip=strength or None),
    }[name]


def games(row: dict[str, Any]) -> list[DiracGAN]:
    """The games of the oracle's f: cross-entropy in four guises (paired ones see twice the noise, halved), or WGAN."""
    names = ("non_saturating", "minimax", "relativistic") if row["f_second"] else ("wasserstein",)
    return [DiracGAN(LOSSES[name], penalty_of("r1", row["gamma"]), sigma=row["sigma"]) for name in names]


def linearised(game: DiracGAN) -> Linearisation:
    """The formulas of a game without a kink, which has them."""
    linear = linearise(game)
    assert linear is not None
    return linear


def jacobian_of(game: DiracGAN) -> Array:
    """That of the quadrature, of a game without a kink."""
    jacobian = game.jacobian()
    assert jacobian is not None
    return jacobian


def sorted_eigenvalues(pairs: Sequence[complex] | NDArray[Any]) -> NDArray[np.complex128]:
    return np.sort_complex(np.round(np.array(pairs, dtype=complex), 9))


def distances(path: Array) -> Array:
    return np.hypot(path[:, 0], path[:, 1])


# The equilibrium


@ROWS
def test_eigenvalues_match_the_oracle_by_formula_and_by_autograd(row: dict[str, Any]) -> None:
    expected = sorted_eigenvalues([complex(*pair) for pair in row["eigenvalues"]])
    for game in games(row):
        linear, jacobian = linearised(game), jacobian_of(game)
        np.testing.assert_allclose(sorted_eigenvalues(linear.eigenvalues), expected, atol=1e-6)
        np.testing.assert_allclose(sorted_eigenvalues(np.linalg.eigvals(jacobian)), expected, atol=1e-6)


@ROWS
def test_moduli_match_the_oracle_by_formula_and_by_simulation(row: dict[str, Any]) -> None:
    first, second = (complex(*pair) for pair in row["eigenvalues"])
    # a double eigenvalue is known to the square root of machine precision only, in the oracle as here
    tolerance = 1e-8 if abs(first - second) < 1e-6 else 1e-9
    for updates in ("simultaneous", "alternating"):
        expected, descent = row[f"{updates}_modulus"], Descent(row["step"], updates)
        for game in games(row):
            assert linearised(game).modulus(descent) == pytest.approx(expected, abs=tolerance)
        assert measured_modulus(games(row)[0], descent) == pytest.approx(expected, abs=1e-3)


@ROWS
def test_critical_values_match_the_oracle(row: dict[str, Any]) -> None:
    for game in games(row):
        assert critical_sigma(game.loss) == pytest.approx(row["critical_sigma"], abs=1e-9)
        assert critical_gamma(game.loss) == pytest.approx(row["critical_gamma"], abs=1e-9)


@pytest.mark.parametrize(
    ("name", "sigma", "gamma"),
    [
        # by hand: the mean of the other side has no noise, so RaGAN has half the damping of the paired RGAN
        ("relativistic_average", 2.0, 1.0),
        # A = -B = 1/2 (2 + 2), d = 1/2 sigma^2 (2 + 2)
        ("relativistic_average_least_squares", math.sqrt(2), 4.0),
        # straight at 0
        ("hinge", None, 2.0),
        ("relativistic_average_hinge", None, 2.0),
        # target 0 of fakes: at psi = 0 the discriminator does not feel theta, so nothing rotates
        ("least_squares", None, None),
    ],
)
def test_critical_values_by_hand(name: str, sigma: float | None, gamma: float | None) -> None:
    assert critical_sigma(LOSSES[name]) == pytest.approx(sigma)
    assert critical_gamma(LOSSES[name]) == pytest.approx(gamma)


@ALL
@pytest.mark.parametrize(("penalty", "strength"), [("none", 0), ("r1", 0.7), ("zero_centred", 0.7), ("weight_clip", 1)])
def test_the_formula_is_the_jacobian_of_the_quadrature(loss: Loss, penalty: str, strength: float) -> None:
    game = DiracGAN(loss, penalty_of(penalty, strength), sigma=0.6)
    linear, h = linearised(game), 1e-5
    by_formula = [[0.0, linear.generator], [linear.discriminator, -linear.damping]]
    np.testing.assert_allclose(jacobian_of(game), by_formula, atol=1e-10)
    differences = [
        (game.field(*(h * axis)) - game.field(*(-h * axis))).detach().numpy() / (2 * h) for axis in np.eye(2)
    ]
    np.testing.assert_allclose(np.transpose(differences), by_formula, atol=1e-6)


@EVERY_DESCENT
@pytest.mark.parametrize("name", ["minimax", "relativistic_average", "relativistic_average_least_squares"])
def test_measured_and_predicted_moduli_agree(name: str, descent: Descent) -> None:
    game = DiracGAN(LOSSES[name], penalty_of("r2", 0.3), sigma=0.5)
    assert measured_modulus(game, descent, num_steps=2000) == pytest.approx(linearised(game).modulus(descent), abs=1e-3)


@pytest.mark.parametrize("penalty", ["gradient_penalty", "dragan"])
def test_a_penalty_towards_one_has_a_kink_at_the_equilibrium(penalty: str) -> None:
    game = DiracGAN(LOSSES["wasserstein"], penalty_of(penalty, 10.0))
    jump = game.field(0.0, 1e-6)[1] - game.field(0.0, -1e-6)[1]
    assert jump.item() == pytest.approx(40.0, abs=1e-3)  # 2 weight on either side
    assert game.jacobian() is None
    assert linearise(game) is None
    assert measured_modulus(game, Descent(0.1)) is None


def damped(gamma: float) -> list[complex]:
    """Lemma 3.3 by hand, for cross-entropy: ``-gamma/2 +- sqrt(gamma^2/4 - 1/4)``."""
    root = cmath.sqrt(gamma**2 / 4 - 1 / 4)
    return [-gamma / 2 - root, -gamma / 2 + root]


@pytest.mark.parametrize("penalty", [Sum(sum=(R1(gamma=0.3), R2(gamma=0.9))), R1R2(gamma=0.6), R1(gamma=1.2)])
def test_r1_and_r2_together_damp_as_one_of_both_strengths(penalty: Penalty) -> None:
    for name in ("non_saturating", "relativistic"):  # with the latter R3GAN
        game = DiracGAN(LOSSES[name], penalty.on_linear())
        for found in (linearised(game).eigenvalues, np.linalg.eigvals(jacobian_of(game))):
            np.testing.assert_allclose(sorted_eigenvalues(found), sorted_eigenvalues(damped(1.2)), atol=1e-8)


def test_a_sum_of_penalties_has_the_sum_of_their_slopes_and_the_lowest_limit() -> None:
    terms = [GradientPenalty(weight=0.8), R1(gamma=0.6), WeightClip(limit=0.9), Dragan(weight=0.4)]
    total, psi, h = Sum(sum=tuple(terms)).on_linear() + WeightClip(limit=2).on_linear(), 0.35, 1e-6
    assert total.clip == 0.9
    slope = 2 * (0.8 + 0.4) * (psi - 1) + 0.6 * psi
    assert total.slope(psi) == pytest.approx(slope, abs=1e-12)
    assert total.slope(-psi) == pytest.approx(-slope, abs=1e-12)
    points = torch.tensor([psi - h, psi + h], dtype=torch.float64)
    assert ((total(points[1]) - total(points[0])) / (2 * h)).item() == pytest.approx(slope, abs=1e-8)
    assert total.curvature is None  # two of the terms have a kink at 0
    assert LinearPenalty() + LinearPenalty() == LinearPenalty()


@pytest.mark.parametrize("row", [row for row in oracle("dirac") if row["f_second"] and not row["gamma"]])
def test_roths_penalty_of_sigma_squared_damps_as_noise_of_sigma_does(row: dict[str, Any]) -> None:
    expected = sorted_eigenvalues([complex(*pair) for pair in row["eigenvalues"]])
    for name in ("non_saturating", "minimax"):
        game = DiracGAN(LOSSES[name], Roth(gamma=row["sigma"] ** 2).on_linear())
        np.testing.assert_allclose(sorted_eigenvalues(linearised(game).eigenvalues), expected, atol=1e-6)
        np.testing.assert_allclose(sorted_eigenvalues(np.linalg.eigvals(jacobian_of(game))), expected, atol=1e-6)
    for updates in ("simultaneous", "alternating"):
        descent = Descent(row["step"], updates)
        assert measured_modulus(game, descent) == pytest.approx(row[f"{updates}_modulus"], abs=1e-3)


def test_roths_penalty_halves_its_gamma_and_adds_to_the_damping_of_noise() -> None:
    """By hand: ``R''(0) = gamma (1/4 + 1/4)`` whatever the noise, which adds sigma^2/2, and R1 its own gamma."""
    game = DiracGAN(LOSSES["minimax"], Sum(sum=(Roth(gamma=0.8), R1(gamma=0.1))).on_linear(), sigma=0.6)
    expected = sorted_eigenvalues(damped(0.8 / 2 + 0.1 + 0.6**2 / 2))
    np.testing.assert_allclose(sorted_eigenvalues(linearised(game).eigenvalues), expected, atol=1e-8)
    np.testing.assert_allclose(sorted_eigenvalues(np.linalg.eigvals(jacobian_of(game))), expected, atol=1e-8)


# The losses and the field


@ALL
def test_losses_match_the_product_quadrature_of_independent_noises(loss: Loss) -> None:
    theta, psi, sigma = 0.4, -0.3, 0.6
    nodes, weights = np.polynomial.hermite_e.hermegauss(41)
    real, fake = (torch.from_numpy(grid.ravel()) for grid in np.meshgrid(sigma * nodes, theta + sigma * nodes))
    joint = torch.from_numpy(np.outer(weights, weights).ravel() / weights.sum() ** 2)
    # the plain means inside compare are exact, the nodes being symmetric
    a, b = compare(psi * real, psi * fake, comparison=loss.objective.comparison)
    expected = [loss.generator_fake(b), loss.objective.real(a) + loss.objective.fake(b)]
    if loss.generator_real is not None:
        expected[0] = expected[0] + loss.generator_real(a)
    for value, integrand in zip(DiracGAN(loss, sigma=sigma).losses(theta, psi), expected, strict=True):
        assert value.item() == pytest.approx(loss.objective.scale * float(joint @ integrand), abs=1e-7)


def test_noisy_losses_match_adaptive_integration() -> None:
    theta, psi, sigma = 0.4, 0.9, 0.7

    def mean(function: Any, shift: float, scale: float) -> float:
        value, *_ = integrate.quad(lambda z: function(psi * (shift + scale * z)) * norm.pdf(z), -12, 12, epsabs=1e-12)
        return float(value)

    generator, discriminator = DiracGAN(LOSSES["non_saturating"], sigma=sigma).losses(theta, psi)
    on_fake = mean(lambda t: -log_expit(-t), theta, sigma)
    assert discriminator.item() == pytest.approx(mean(lambda t: -log_expit(t), 0, sigma) + on_fake, abs=1e-10)
    assert generator.item() == pytest.approx(mean(lambda t: -log_expit(t), theta, sigma), abs=1e-10)
    paired = integrate.dblquad(
        lambda r, f: -log_expit(psi * (r - f - theta)) * norm.pdf(r, scale=sigma) * norm.pdf(f, scale=sigma),
        *(-6, 6, -6, 6),
        epsabs=1e-9,
    )[0]
    assert DiracGAN(LOSSES["relativistic"], sigma=sigma).losses(theta, psi)[1].item() == pytest.approx(paired, abs=1e-8)


@ALL
@EVERY_PENALTY
def test_the_field_matches_finite_differences(loss: Loss, penalty: str, strength: float, slope: Any) -> None:
    theta, psi, h = 0.5, -0.7, 1e-5
    game = DiracGAN(loss, penalty_of(penalty, strength), sigma=0.6)
    bare = DiracGAN(loss, sigma=0.6)
    by_theta = (bare.losses(theta + h, psi)[0] - bare.losses(theta - h, psi)[0]).item() / (2 * h)
    by_psi = (bare.losses(theta, psi + h)[1] - bare.losses(theta, psi - h)[1]).item() / (2 * h)
    np.testing.assert_allclose(game.field(theta, psi).detach(), [-by_theta, -by_psi - slope(psi)], atol=1e-7)


def test_the_continuous_minimax_flow_turns_about_the_equilibrium() -> None:
    """Lemma 2.3: theta^2 + psi^2 is constant, so the field is orthogonal to the position."""
    for point in ((1.0, 1.0), (-0.3, 2.0), (0.4, -0.9)):
        field = DiracGAN(LOSSES["minimax"]).field(*point).detach().numpy()
        assert field @ point == pytest.approx(0, abs=1e-14)
        assert np.linalg.norm(field) > 0.1


def roth_at(theta: float, psi: float, *, gamma: float, sigma: float) -> float:
    """``gamma/2 psi^2 E[(1 - s(psi e))^2 + s(psi (theta + e))^2]`` by adaptive integration."""

    def integrand(z: float) -> float:
        on_real, on_fake = expit(-psi * sigma * z), expit(psi * (theta + sigma * z))
        return float((on_real**2 + on_fake**2) * norm.pdf(z))

    return gamma / 2 * psi**2 * float(integrate.quad(integrand, -12, 12, epsabs=1e-12)[0])


@pytest.mark.parametrize("sigma", [0.0, 0.6])
def test_roths_penalty_matches_integration_and_its_field_finite_differences(sigma: float) -> None:
    theta, psi, gamma, h = 0.5, -0.7, 1.3, 1e-5
    bare = DiracGAN(LOSSES["minimax"], sigma=sigma)
    game = DiracGAN(LOSSES["minimax"], LinearPenalty(roth=gamma), sigma=sigma)
    term = (game.losses(theta, psi)[1] - bare.losses(theta, psi)[1]).item()
    assert term == pytest.approx(roth_at(theta, psi, gamma=gamma, sigma=sigma), abs=1e-9)
    above, below = (roth_at(theta, psi + step, gamma=gamma, sigma=sigma) for step in (h, -h))
    expected = bare.field(theta, psi) - torch.tensor([0.0, (above - below) / (2 * h)])
    np.testing.assert_allclose(game.field(theta, psi).detach(), expected.detach(), atol=1e-7)


# The descent


def test_simultaneous_descent_is_the_loop_of_the_paper() -> None:
    theta, psi = 1.0, 0.5
    path = simulate(DiracGAN(LOSSES["non_saturating"]), Descent(0.1), num_steps=200, start=(theta, psi))
    for computed in path:
        np.testing.assert_allclose(computed, (theta, psi), atol=1e-12)
        theta, psi = theta + 0.1 * psi * expit(-theta * psi), psi - 0.1 * theta * expit(theta * psi)


def test_descent_with_roths_penalty_is_the_loop_written_out() -> None:
    theta, psi, gamma = -0.5, 0.8, 0.9
    game = DiracGAN(LOSSES["minimax"], LinearPenalty(weight=0.1, roth=gamma))
    for computed in simulate(game, Descent(0.05, "alternating", 2), num_steps=100, start=(theta, psi)):
        np.testing.assert_allclose(computed, (theta, psi), atol=1e-12)
        for _ in range(2):
            fake = expit(theta * psi)  # without noise the real logit is 0
            of_roth = gamma * psi * (1 / 4 + fake**2) + gamma * psi**2 * fake**2 * (1 - fake) * theta
            psi -= 0.05 * (theta * fake + 0.2 * psi + of_roth)
        theta += 0.05 * psi * expit(theta * psi)


@EVERY_PENALTY
def test_alternating_descent_is_the_loop_written_out(penalty: str, strength: float, slope: Any) -> None:
    theta, psi = -0.5, 0.8
    game = DiracGAN(LOSSES["minimax"], penalty_of(penalty, strength))
    for computed in simulate(game, Descent(0.05, "alternating", 3), num_steps=100, start=(theta, psi)):
        np.testing.assert_allclose(computed, (theta, psi), atol=1e-12)
        for _ in range(3):
            psi -= 0.05 * (theta * expit(theta * psi) + slope(psi))
        theta += 0.05 * psi * expit(theta * psi)


@ALL
def test_a_simulated_step_with_noise_follows_the_field(loss: Loss) -> None:
    game, start, h = DiracGAN(loss, penalty_of("r1", 0.5), sigma=0.6), (0.5, -0.7), 0.1
    by_theta, by_psi = game.field(*start).tolist()
    np.testing.assert_allclose(
        simulate(game, Descent(h), num_steps=1, start=start)[1], (start[0] + h * by_theta, start[1] + h * by_psi)
    )
    psi = start[1] + h * by_psi
    theta = start[0] + h * game.field(start[0], psi)[0].item()
    np.testing.assert_allclose(
        simulate(game, Descent(h, "alternating"), num_steps=1, start=start)[1], (theta, psi), atol=1e-12
    )


def test_clipping_follows_every_discriminator_step() -> None:
    theta, psi = 1.0, 1.0
    game = DiracGAN(LOSSES["wasserstein"], penalty_of("weight_clip", 0.1))
    for computed in simulate(game, Descent(0.3, "alternating", 2), num_steps=50, start=(theta, psi)):
        np.testing.assert_allclose(computed, (theta, psi), atol=1e-12)
        for _ in range(2):
            psi = float(np.clip(psi - 0.3 * theta, -0.1, 0.1))
        theta += 0.3 * psi


# Verdicts


def spiral(growth: float, *, num_points: int = 1001) -> Array:
    """A path on ``r = growth^t``, one turn in 20 points."""
    t = np.arange(num_points)
    path: Array = np.stack([np.cos(t * math.pi / 10), np.sin(t * math.pi / 10)], axis=1) * growth ** t[:, None]
    return path


def test_verdicts_on_spirals() -> None:
    assert verdict(spiral(0.99), 1e-3) == "converges"  # 0.99^900 = 1.2e-4
    assert verdict(spiral(1.0), 1e-3) == "cycles"
    assert verdict(spiral(0.999), 1e-3) == "cycles"  # 0.999^1000 = 0.37: not there yet
    assert verdict(spiral(1.001), 1e-3) == "diverges"  # 1.001^900 = 2.5
    assert verdict(spiral(1.00005), 1e-3) == "cycles"  # 5 % in all
    assert verdict(np.where(np.arange(1001)[:, None] < 990, spiral(1.0), np.nan), 1e-3) == "diverges"


def test_rest_elsewhere_is_a_stall() -> None:
    assert verdict(spiral(0.98) + np.array([3.0, 0.0]), 1e-3) == "stalls"
    assert verdict(spiral(0.98) + np.array([5e-4, 0.0]), 1e-3) == "converges"


def test_steps_to_tolerance_counts_from_the_last_visit_outside() -> None:
    path = np.array([[1.0, 0], [0, 0.05], [0.3, 0], [0, -0.1], [0.06, 0.08], [0, 0]])
    assert steps_to_tolerance(path, 0.1 + 1e-12) == 3
    assert steps_to_tolerance(path, 2.0) == 0
    assert steps_to_tolerance(path[:3], 0.1) is None
    assert steps_to_tolerance(np.array([[0, 0], [math.nan, 0]]), 0.1) is None


@pytest.mark.parametrize(("name", "start"), [("minimax", (1.0, 1.0)), ("minimax", NEAR), ("non_saturating", NEAR)])
@EVERY_DESCENT
def test_unregularised_training_does_not_converge(name: str, start: tuple[float, float], descent: Descent) -> None:
    expected = "diverges" if descent.updates == "simultaneous" else "cycles"
    path = simulate(DiracGAN(LOSSES[name]), descent, num_steps=2500, start=start)
    assert verdict(path, TOLERANCE) == expected


@pytest.mark.parametrize(
    ("penalty", "strength", "sigma"), [("none", 0, 0.7), ("r1", 0.5, 0), ("r2", 0.5, 0)], ids=["noise", "r1", "r2"]
)
@EVERY_DESCENT
def test_noise_and_zero_centred_penalties_converge(
    penalty: str, strength: float, sigma: float, descent: Descent
) -> None:
    path = simulate(DiracGAN(LOSSES["non_saturating"], penalty_of(penalty, strength), sigma), descent, num_steps=1000)
    assert verdict(path, TOLERANCE) == "converges"
    steps = steps_to_tolerance(path, TOLERANCE)
    assert steps is not None
    assert steps < 900


@pytest.mark.parametrize(
    ("name", "penalty", "strength"),
    [("wasserstein", "weight_clip", 0.01), ("wasserstein", "gradient_penalty", 10), ("non_saturating", "dragan", 10)],
)
@pytest.mark.parametrize("start", [(1.0, 1.0), NEAR], ids=["far", "near"])
@EVERY_DESCENT
def test_wgan_wgan_gp_and_dragan_do_not_converge(
    name: str, penalty: str, strength: float, start: tuple[float, float], descent: Descent
) -> None:
    path = simulate(DiracGAN(LOSSES[name], penalty_of(penalty, strength)), descent, num_steps=2500, start=start)
    assert verdict(path, TOLERANCE) != "converges"
    assert distances(path)[-250:].max() > 0.01 - 1e-9  # the clipped game's cycle is as large as its limit


def test_wgan_gp_comes_to_rest_where_critic_and_penalty_balance() -> None:
    """As psi falls to 0 from above, ``-theta + 2 weight = 0``; overdamped for weight > 1, so psi does not cross 0."""
    path = simulate(DiracGAN(LOSSES["wasserstein"], penalty_of("gradient_penalty", 2.0)), Descent(0.02), num_steps=5000)
    assert verdict(path, TOLERANCE) == "stalls"
    np.testing.assert_allclose(path[-1], (4.0, 0.0), atol=1e-3)


def test_the_non_saturating_game_spirals_in_slower_than_linearly() -> None:
    """``dr^2/dt = -2 u tanh(u/2)``, u = theta psi, which averages to ``-r^4/8``: ``r^2 = 8 / (t + 8/r0^2)``.

    Its local modulus is 1, as the paper says; from afar AltGD follows the flow, while SimGD, which adds
    ``h f'(0)^2 r^2``, settles on a cycle of radius ``sqrt(2 h)``. Neither comes near the tolerance.
    """
    game, h, num_steps = DiracGAN(LOSSES["non_saturating"]), 0.1, 3000
    by_turns = simulate(game, Descent(h, "alternating"), num_steps=num_steps)
    assert verdict(by_turns, TOLERANCE) == "cycles"
    at_end = np.sqrt(np.mean(distances(by_turns)[-125:] ** 2))  # a revolution
    assert at_end == pytest.approx(math.sqrt(8 / (h * num_steps + 8 / 2)), rel=0.05)
    at_once = simulate(game, Descent(h), num_steps=num_steps)
    assert verdict(at_once, TOLERANCE) == "cycles"
    np.testing.assert_allclose(distances(at_once)[-300:], math.sqrt(2 * h), rtol=0.03)


# Errors


def test_errors_name_the_value_and_the_way_out() -> None:
    loss = LOSSES["minimax"]
    for create, message in (
        (lambda: LinearPenalty(-1.0), "weight of a penalty must be finite and >= 0, got -1.0"),
        (lambda: LinearPenalty(1.0, target=math.inf), "target of a penalty must be finite and >= 0, got inf"),
        (lambda: LinearPenalty(clip=0.0), "clip must be finite and > 0, got 0.0"),
        (lambda: DiracGAN(loss, sigma=-1.0), "sigma must be finite and >= 0, got -1.0"),
        (lambda: DiracGAN(loss, num_nodes=1), "num_nodes must be >= 2, got 1"),
        (lambda: LinearPenalty(roth=-1.0), "roth of a penalty must be finite and >= 0, got -1.0"),
        (
            lambda: DiracGAN(LOSSES["hinge"], LinearPenalty(roth=1.0)),
            "belongs to cross-entropy, got the objective hinge",
        ),
        (lambda: Descent(0.0), "step_size must be finite and > 0, got 0.0"),
        (lambda: Descent(0.1, "both"), "unknown updates 'both'. Valid: alternating, simultaneous"),  # type: ignore[arg-type]
        (lambda: Descent(0.1, "alternating", 0), "discriminator_steps must be >= 1, got 0"),
        (lambda: Descent(0.1, "simultaneous", 5), "one discriminator step, got 5; use alternating"),
        (lambda: simulate(DiracGAN(loss), Descent(0.1), num_steps=0), "num_steps must be >= 1, got 0"),
        (lambda: verdict(spiral(1.0), 0.0), "tolerance must be > 0, got 0.0"),
        (lambda: verdict(spiral(1.0, num_points=19), 0.1), "at least 20 points, got 19"),
        (lambda: steps_to_tolerance(np.zeros(5), 0.1), r"shape \[t, 2\], got \[5\]"),
    ):
        with pytest.raises(ValueError, match=message):
            create()
