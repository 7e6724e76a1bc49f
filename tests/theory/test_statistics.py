"""Tails of samples against known tail indices and SciPy's maximum likelihood."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from harness.theory.statistics import cauchy_advantage, hill_tail_index, standardised


def draws(distribution: Any, num: int = 20_000, *, seed: int = 0) -> Tensor:
    return torch.from_numpy(distribution.rvs(size=num, random_state=np.random.default_rng(seed)))


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0, 4.0])
def test_the_hill_index_of_a_pareto_sample_is_its_exponent(alpha: float) -> None:
    """For Pareto tails Hill's estimate is the maximum likelihood: its relative error is 1 / sqrt(k)."""
    values = draws(stats.pareto(alpha), 40_000)
    for fraction in (0.05, 0.5):
        error = 4 / math.sqrt(fraction * len(values))
        assert hill_tail_index(values, fraction=fraction) == pytest.approx(alpha, rel=error)


def test_the_hill_index_is_hills_formula() -> None:
    """By hand, for 200 values and a tail of 10: the mean of log ratios to the eleventh largest."""
    values = draws(stats.t(3), 200)
    largest = sorted(map(abs, values.tolist()), reverse=True)[:11]
    expected = 10 / sum(math.log(value / largest[10]) for value in largest[:10])
    assert hill_tail_index(values) == pytest.approx(expected, rel=1e-12)


def test_the_hill_index_knows_cauchy_from_normal_tails() -> None:
    assert hill_tail_index(draws(stats.cauchy)) == pytest.approx(1, abs=0.15)
    assert hill_tail_index(draws(stats.t(2))) == pytest.approx(2, abs=0.4)
    assert hill_tail_index(draws(stats.norm)) > 4


def test_neither_sign_nor_scale_nor_order_matters_to_the_hill_index() -> None:
    values = draws(stats.cauchy, 2000)
    expected = hill_tail_index(values)
    for changed in (-values, 1e-9 * values, values.abs(), values.flip(0), values.sort().values):
        assert hill_tail_index(changed) == pytest.approx(expected, rel=1e-9)


def test_too_few_values_have_no_tail() -> None:
    assert math.isnan(hill_tail_index(torch.ones(0)))
    assert math.isnan(hill_tail_index(draws(stats.cauchy, 199)))
    assert math.isfinite(hill_tail_index(draws(stats.cauchy, 200)))


def test_a_tail_of_equal_values_is_no_crash() -> None:
    """Coordinates that take two values: no power law, but no reason to fail a cell either."""
    assert not hill_tail_index(torch.tensor([1.0, -1.0] * 500)) < math.inf


@pytest.mark.parametrize("distribution", [stats.cauchy(scale=3), stats.norm(scale=0.2), stats.laplace(), stats.t(2)])
def test_the_advantage_is_the_difference_of_scipys_log_likelihoods(distribution: Any) -> None:
    values = draws(distribution)
    x = values.numpy()
    normal = stats.norm(0, np.sqrt(np.mean(x**2))).logpdf(x).mean()
    # the same scale as the function's; and SciPy's best one can only be better, but not by much
    by_median = stats.cauchy(0, np.median(np.abs(x))).logpdf(x).mean()
    best = stats.cauchy(*stats.cauchy.fit(x, floc=0)).logpdf(x).mean()
    assert cauchy_advantage(values) == pytest.approx(by_median - normal, abs=1e-3)
    assert -1e-3 <= best - normal - cauchy_advantage(values) < 0.03


@pytest.mark.parametrize("seed", range(5))
def test_the_advantage_is_positive_on_cauchy_and_negative_on_normal_samples(seed: int) -> None:
    assert cauchy_advantage(draws(stats.cauchy, 2000, seed=seed)) > 0.5
    assert cauchy_advantage(draws(stats.norm, 2000, seed=seed)) == pytest.approx(-0.22, abs=0.04)


def test_the_advantage_of_a_normal_sample_by_quadrature() -> None:
    """``E log Cauchy - E log normal`` with the Cauchy's scale the normal's upper quartile 0.6745."""
    scale = stats.norm.ppf(0.75)
    expected = stats.norm.expect(stats.cauchy(0, scale).logpdf) - stats.norm.expect(stats.norm.logpdf)
    assert cauchy_advantage(draws(stats.norm, 200_000)) == pytest.approx(expected, abs=5e-3)


def test_the_unit_of_the_values_does_not_matter_to_the_advantage() -> None:
    values = draws(stats.t(3), 2000)
    assert cauchy_advantage(1e-8 * values) == pytest.approx(cauchy_advantage(values), abs=1e-9)
    assert cauchy_advantage((1e-3 * values).float()) == pytest.approx(cauchy_advantage(values), abs=1e-4)


def test_where_there_is_nothing_to_fit_the_advantage_is_nan() -> None:
    assert math.isnan(cauchy_advantage(torch.ones(0)))
    assert math.isnan(cauchy_advantage(torch.zeros(50)))
    assert math.isnan(cauchy_advantage(torch.tensor([0.0] * 9 + [1.0])))  # more than half are 0


@pytest.mark.parametrize("num", [9, 10])
def test_standardised_coordinates_have_median_0_and_deviation_1(num: int) -> None:
    rng = np.random.default_rng(0)
    samples = rng.normal(size=(num, 6)) * 10.0 ** np.arange(-6, 6, 2) + rng.normal(size=6)
    centred = samples - np.median(samples, axis=0)
    expected = centred / stats.median_abs_deviation(samples, axis=0)
    result = standardised(torch.from_numpy(samples))
    assert result.dtype == torch.float64
    np.testing.assert_allclose(np.sort(result.numpy()), np.sort(expected.ravel()), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(result.view(num, 6).numpy(), expected, rtol=1e-12, atol=1e-12)


def test_constant_coordinates_are_left_out() -> None:
    samples = torch.randn(20, 4, generator=torch.Generator().manual_seed(0))
    samples[:, 1] = 3.0
    samples[:, 3] = 0.0
    torch.testing.assert_close(standardised(samples), standardised(samples[:, [0, 2]]))
    assert len(standardised(torch.ones(20, 4))) == 0


def test_coordinates_of_different_scales_do_not_look_heavy_tailed_once_standardised() -> None:
    """What standardising is for: pooled as they are, normal coordinates of many scales pass for Cauchy."""
    generator = torch.Generator().manual_seed(0)
    samples = torch.randn(200, 500, generator=generator) * 10 ** torch.linspace(-4, 0, 500)
    assert cauchy_advantage(samples.flatten()) > 0.5
    assert cauchy_advantage(standardised(samples)) < -0.15
    assert hill_tail_index(standardised(samples)) > 4


@pytest.mark.parametrize("num", [16, 64])
def test_standardised_normal_coordinates_are_not_taken_for_cauchy(num: int) -> None:
    """16 is the least number of batches the columns are filled for: the deviation of 8 draws is so uncertain that
    dividing by it fattens the tails until a Cauchy fits better (an advantage of +0.02).
    """
    samples = torch.randn(num, 4096, generator=torch.Generator().manual_seed(0))
    assert cauchy_advantage(standardised(samples)) < 0


@pytest.mark.parametrize("num", [16, 64])
def test_standardised_cauchy_coordinates_stay_cauchy(num: int) -> None:
    generator = torch.Generator().manual_seed(0)
    samples = torch.randn(num, 4096, generator=generator) / torch.randn(num, 4096, generator=generator)
    assert cauchy_advantage(standardised(samples)) > 1
    assert hill_tail_index(standardised(samples)) == pytest.approx(1, abs=0.15)
