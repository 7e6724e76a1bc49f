"""Every loss against the oracle, finite differences, and what the field says about it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from harness.theory.losses import LOSSES, Loss, Outputs, accuracy, outputs
from tests.conftest import oracle

CASES = [(case, name) for case in oracle("losses") for name in case["losses"]]
ALL = pytest.mark.parametrize("loss", LOSSES.values(), ids=lambda loss: loss.name)


def logits(values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


def gradient(value: Tensor, of: Tensor) -> Tensor:
    (result,) = torch.autograd.grad(value, of, retain_graph=True, allow_unused=True)
    return torch.zeros_like(of) if result is None else result


def test_the_oracle_covers_every_loss() -> None:
    assert {name for _, name in CASES} == set(LOSSES)


@pytest.mark.parametrize(("case", "name"), CASES, ids=lambda value: value if isinstance(value, str) else "")
def test_values_and_gradients_match_the_oracle(case: dict[str, Any], name: str) -> None:
    real, fake = logits(case["real_logits"]), logits(case["fake_logits"])
    expected, loss = case["losses"][name], LOSSES[name]
    discriminator, generator = loss.discriminator(real, fake), loss.generator(real, fake)
    assert discriminator.item() == pytest.approx(expected["discriminator"], abs=1e-6)
    assert generator.item() == pytest.approx(expected["generator"], abs=1e-6)
    for value, of, key in (
        (discriminator, fake, "discriminator_grad_fake"),
        (generator, fake, "generator_grad_fake"),
        (generator, real, "generator_grad_real"),
    ):
        torch.testing.assert_close(gradient(value, of), torch.tensor(expected[key]).double(), atol=1e-6, rtol=0)


@ALL
def test_gradients_match_finite_differences(loss: Loss) -> None:
    generator = torch.Generator().manual_seed(3)
    real, fake = (torch.randn(5, generator=generator, dtype=torch.float64).requires_grad_() for _ in range(2))
    for function in (loss.discriminator, loss.generator):
        assert torch.autograd.gradcheck(function, (real, fake), atol=1e-6)


@ALL
def test_leading_axes_are_members(loss: Loss) -> None:
    real, fake = torch.randn(3, 7), torch.randn(3, 7)
    for function in (loss.discriminator, loss.generator):
        together = function(real, fake)
        alone = torch.stack([function(r, f) for r, f in zip(real, fake, strict=True)])
        torch.testing.assert_close(together, alone)


@ALL
def test_real_logits_may_be_left_out_exactly_where_they_do_not_matter(loss: Loss) -> None:
    real, fake = torch.randn(6), torch.randn(6)
    moved = loss.generator(real + torch.randn(6), fake)
    assert loss.generator_needs_real == (not torch.equal(moved, loss.generator(real, fake)))
    if not loss.generator_needs_real:
        torch.testing.assert_close(loss.generator(None, fake), loss.generator(real, fake))


@ALL
@pytest.mark.parametrize("scale", [80.0, 1e4])
def test_extreme_logits_stay_finite(loss: Loss, scale: float) -> None:
    real = torch.tensor([scale, -scale], requires_grad=True)
    fake = torch.tensor([-scale, scale], requires_grad=True)
    for function in (loss.discriminator, loss.generator):
        value = function(real, fake)
        assert torch.isfinite(value)
        assert torch.isfinite(gradient(value, fake)).all()


@ALL
def test_the_discriminator_prefers_real_above_fake(loss: Loss) -> None:
    high, low = torch.tensor([1.0, 1.2]), torch.tensor([-1.0, -0.8])
    assert loss.discriminator(high, low) < loss.discriminator(low, high)
    assert accuracy(loss.objective, high, low) == 1
    assert accuracy(loss.objective, low, high) == 0


@ALL
def test_the_generator_wants_its_samples_to_look_real(loss: Loss) -> None:
    real, fake = torch.tensor([0.3, -0.2]), torch.tensor([0.1, -0.4], requires_grad=True)
    assert (gradient(loss.generator(real, fake), fake) < 0).all()


def test_cross_entropy_at_the_optimum_is_twice_log_2_minus_twice_the_jsd() -> None:
    for case in oracle("gaussians"):
        grid = torch.linspace(-14, 16, 200_001, dtype=torch.float64)
        p, q = (torch.distributions.Normal(mean, case["sigma"]).log_prob(grid) for mean in (0.0, case["mean"]))
        logit = p - q
        softplus = torch.nn.functional.softplus
        loss = torch.trapezoid(p.exp() * softplus(-logit) + q.exp() * softplus(logit), grid)
        assert loss.item() == pytest.approx(case["discriminator_loss_at_optimum"], abs=1e-6)
        assert loss.item() == pytest.approx(2 * math.log(2) - 2 * case["jsd"], abs=1e-6)


def test_minimax_and_non_saturating_share_their_discriminator() -> None:
    assert LOSSES["minimax"].objective is LOSSES["non_saturating"].objective


def test_accuracy_counts_both_kinds_equally_and_ties_by_half() -> None:
    real, fake = torch.tensor([1.0, -1.0]), torch.tensor([-1.0, -1.0])
    assert accuracy(LOSSES["minimax"].objective, real, fake) == 0.75
    # pairs: (1 > -1) twice, two ties
    assert accuracy(LOSSES["wasserstein"].objective, real, fake) == 0.75
    # the targets of least squares are 1 and 0
    assert accuracy(LOSSES["least_squares"].objective, torch.tensor([0.6, 0.4]), torch.tensor([0.2, 0.1])) == 0.75


REAL, FAKE = [2.0, 0.5, -1.0, 3.0], [-0.5, 1.0, -2.0, 0.25]


def sigmoid(values: Any) -> Any:
    return 1 / (1 + np.exp(-np.asarray(values)))


def said(name: str) -> Outputs:
    return outputs(LOSSES[name].objective, logits(REAL), logits(FAKE))


def test_probabilities_are_absolute_or_relativistic_as_the_loss_is() -> None:
    """By the formulas of Jolicoeur-Martineau (2018): sigma(C(x)), sigma(C(x_r) - C(x_f)), sigma(C(x_r) - E C(x_f))."""
    real, fake = np.array(REAL), np.array(FAKE)
    expected = {
        "minimax": (sigmoid(real), sigmoid(fake)),
        "relativistic": (sigmoid(real - fake), sigmoid(fake - real)),
        "relativistic_average": (sigmoid(real - fake.mean()), sigmoid(fake - real.mean())),
    }
    for name, (p_real, p_fake) in expected.items():
        found = said(name)
        assert found.p_real is not None
        assert found.p_fake is not None
        assert (float(found.p_real), float(found.p_fake)) == pytest.approx((p_real.mean(), p_fake.mean()))
        assert (float(found.logit_real), float(found.logit_fake)) == pytest.approx((real.mean(), fake.mean()))
    for name in ("wasserstein", "hinge", "least_squares", "relativistic_average_hinge"):
        assert said(name).p_real is None


@ALL
def test_the_share_of_real_samples_is_that_of_finite_differences(loss: Loss) -> None:
    def value(real: Any, fake: Any) -> float:
        return float(loss.discriminator(torch.tensor(real), torch.tensor(fake)))

    steps = 1e-6 * np.eye(4)
    of_real = [(value(REAL + step, FAKE) - value(REAL - step, FAKE)) / 2e-6 for step in steps]
    of_fake = [(value(REAL, FAKE + step) - value(REAL, FAKE - step)) / 2e-6 for step in steps]
    expected = np.abs(of_real).sum() / (np.abs(of_real).sum() + np.abs(of_fake).sum())
    assert float(outputs(loss.objective, logits(REAL), logits(FAKE)).real_share) == pytest.approx(expected, abs=1e-6)


def test_an_optimal_standard_discriminator_ignores_real_samples_and_a_relativistic_one_does_not() -> None:
    """Real samples are told with certainty, fakes not yet: 1 - D(x_real) is nothing, D(x_fake) is not."""
    real, fake = logits([30.0, 25.0]), logits([0.0, -1.0])
    assert float(outputs(LOSSES["minimax"].objective, real, fake).real_share) < 1e-10
    assert float(outputs(LOSSES["relativistic"].objective, real, fake).real_share) == pytest.approx(0.5)
    assert float(outputs(LOSSES["relativistic_average"].objective, real, fake).real_share) == pytest.approx(0.5)


def test_outputs_can_be_asked_where_nothing_is_differentiated() -> None:
    with torch.no_grad():
        found = outputs(LOSSES["minimax"].objective, torch.zeros(3, 4), torch.zeros(3, 4))
    assert found.real_share.tolist() == [0.5] * 3
