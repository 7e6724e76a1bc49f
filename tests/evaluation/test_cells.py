"""Evaluation: what it says of good, bad and perfect generators, and that a wrong bound would be seen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import wasserstein_distance

from harness.evaluation import sets
from harness.evaluation.cells import Evaluator, sigma_grid
from harness.evaluation.discriminator import discriminator_jsd
from harness.job.parts.noise import Gaussian as GaussianSpec
from harness.job.parts.noise import Noise as NoiseSpec
from harness.job.parts.noise import Truncated as TruncatedSpec
from harness.job.parts.problems import Dirac, Ring
from harness.job.parts.settings import Evaluation
from harness.problems.sources import Source
from harness.theory.bounds import Bound
from harness.theory.losses import LOSSES

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")
SOURCE = Ring(name="ring").source(None, device=CPU)
SETTINGS = Evaluation(samples=200, draws=400)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def fresh_ring(num: int, seed: int) -> torch.Tensor:
    assert SOURCE.draw is not None
    return SOURCE.draw(num, seeded(seed))


def measured(fake: torch.Tensor, sigma: float = 0.2) -> Mapping[str, Any]:
    return Evaluator(SOURCE, SETTINGS).against_real(fake, [sigma], seed=0)[sigma]


def test_a_perfect_generator_measures_like_real_against_real() -> None:
    columns = measured(fresh_ring(200, seed=5))
    assert columns["w1"] == pytest.approx(columns["real_w1"], abs=0.1)
    assert columns["bound_best"] == pytest.approx(columns["real_bound_best"], abs=0.4)
    assert not columns["vacuous"]


def test_a_collapsed_generator_measures_far_worse() -> None:
    good, collapsed = measured(fresh_ring(200, seed=5)), measured(torch.tensor([[1.0, 0.0]]).repeat(200, 1))
    assert collapsed["w1"] == pytest.approx(1.27, abs=0.15)  # mean distance of a circle's points to one of them: 4/pi
    assert collapsed["bound_best"] > 3 * good["bound_best"]
    assert collapsed["jsd_mixture"] > good["jsd_mixture"] + 0.2
    assert collapsed["bound_holds"]


def test_w1_of_a_shifted_set_is_the_shift() -> None:
    real = Evaluator(SOURCE, SETTINGS).real
    columns = measured(real + torch.tensor([0.3, 0.4]))
    assert columns["w1"] == pytest.approx(0.5, abs=1e-6)
    assert columns["bound_paper"] > 0.5


def test_a_bound_that_is_too_small_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """`bound_holds` can fail: with the square root of the JSD forgotten in favour of its 8th power, it does."""
    monkeypatch.setattr(sets, "paper_bound", lambda *, jsd, diameter, **_: Bound(0.0, diameter * max(jsd, 0) ** 8))
    assert not measured(fresh_ring(200, seed=5) + 0.1)["bound_holds"]


def test_the_automatic_grid_spans_from_negligible_to_vacuous_noise() -> None:
    real = fresh_ring(100, seed=3)
    grid = sigma_grid(real, Evaluation())
    diameter = torch.cdist(real.double(), real.double()).max().item()
    assert grid == sorted(grid)
    assert len(grid) == 13
    assert 2 * math.sqrt(2) * grid[-1] == pytest.approx(2 * diameter)
    assert 2 * math.sqrt(2) * grid[0] < 0.02 * diameter
    assert sigma_grid(real, Evaluation(sigmas=(0.1, 0.7))) == [0.1, 0.7]


def test_samples_that_are_not_finite_have_no_measures_but_keep_the_baseline() -> None:
    columns = measured(torch.full((200, 2), math.nan))
    assert "w1" not in columns
    assert columns["real_w1"] > 0


def test_only_cross_entropy_says_something_of_the_jsd() -> None:
    assert discriminator_jsd(LOSSES["minimax"].objective, 2 * math.log(2)) == pytest.approx(0, abs=1e-12)
    assert discriminator_jsd(LOSSES["minimax"].objective, 0.0) == pytest.approx(math.log(2))
    assert discriminator_jsd(LOSSES["wasserstein"].objective, 0.0) is None
    assert discriminator_jsd(LOSSES["relativistic"].objective, 0.0) is None


def test_a_problem_of_one_point_is_evaluated() -> None:
    source = Dirac(name="dirac").source(None, device=CPU)
    columns = Evaluator(source, SETTINGS).against_real(torch.full((200, 1), 0.3), [0.5], seed=0)[0.5]
    assert columns["w1"] == pytest.approx(0.3)
    assert columns["real_w1"] == 0
    assert columns["bound_holds"]


def on_a_line(num: int, generator: torch.Generator) -> torch.Tensor:
    return torch.randn(num, 1, generator=generator)


def test_the_floor_is_the_distance_of_twenty_other_sets_of_real_samples() -> None:
    """On a line, by SciPy; sliced and full distances are one there."""
    source = Source(shape=(1,), device=CPU, draw=on_a_line)
    fake = 0.5 + on_a_line(200, seeded(5))
    columns = Evaluator(source, SETTINGS).against_real(fake, [0.5], seed=0)[0.5]
    real = source.held_out_samples(200)[:, 0]
    floor = [wasserstein_distance(real, source.real_samples(200, index)[:, 0]) for index in range(20)]
    distance = wasserstein_distance(real, fake[:, 0])
    for name in ("w1", "w1_sliced"):
        assert columns[f"real_{name}"] == pytest.approx(np.mean(floor))
        assert columns[f"real_{name}_sd"] == pytest.approx(np.std(floor, ddof=1))
        assert columns[f"{name}_minus_floor"] == pytest.approx(distance - np.mean(floor))


def test_a_perfect_generator_is_at_the_floor() -> None:
    """The mean of forty perfect generators' distances less the floor is 0, to four standard errors of both means."""
    evaluator = Evaluator(SOURCE, SETTINGS)
    found = [evaluator.against_real(fresh_ring(200, seed), [0.2], seed=seed)[0.2] for seed in range(40)]
    for name in ("w1", "w1_sliced"):
        above = [columns[f"{name}_minus_floor"] for columns in found]
        error = math.hypot(np.std(above, ddof=1) / math.sqrt(40), found[0][f"real_{name}_sd"] / math.sqrt(20))
        assert abs(np.mean(above)) < 4 * error < 0.1


def test_sets_that_are_all_there_is_have_no_deviation() -> None:
    source = Source(shape=(1,), device=CPU, training=on_a_line(80, seeded(1)), held_out=on_a_line(80, seeded(2)))
    columns = Evaluator(source, SETTINGS).against_real(on_a_line(80, seeded(3)), [0.5], seed=0)[0.5]
    assert columns["real_w1_sd"] is None
    assert columns["w1_minus_floor"] is not None


def test_where_training_samples_are_too_few_there_is_no_floor_at_the_generators_number() -> None:
    source = Source(shape=(1,), device=CPU, training=on_a_line(50, seeded(1)), held_out=on_a_line(80, seeded(2)))
    columns = Evaluator(source, SETTINGS).against_real(on_a_line(80, seeded(3)), [0.5], seed=0)[0.5]
    assert columns["real_num_samples"] == 50
    assert "w1_minus_floor" not in columns


def test_all_cells_are_measured_along_the_same_directions() -> None:
    evaluator, fake = Evaluator(SOURCE, SETTINGS), fresh_ring(200, seed=5)
    one, two = (evaluator.against_real(fake, [0.2], seed=seed)[0.2] for seed in (1, 2))
    assert one["w1_sliced"] == two["w1_sliced"]
    assert one["bound_sliced"] == two["bound_sliced"]
    assert one["jsd_mixture"] != two["jsd_mixture"]  # draws are the seed's own


@pytest.mark.parametrize("noise", [TruncatedSpec(), GaussianSpec()])
def test_a_baseline_is_the_same_whichever_sigma_was_measured_before(noise: NoiseSpec) -> None:
    fake = fresh_ring(200, seed=5)
    evaluator = Evaluator(SOURCE, SETTINGS)
    evaluator.against_real(fake, [0.5], seed=0)  # by this noise or another: what the halves share is known from here on
    later = evaluator.against_real(fake, [0.2], seed=0, noise=noise)[0.2]
    alone = Evaluator(SOURCE, SETTINGS).against_real(fake, [0.2], seed=0, noise=noise)[0.2]
    assert later == {name: value if value is None else pytest.approx(value, rel=1e-9) for name, value in alone.items()}
    assert later["real_jsd_mixture"] != evaluator.against_real(fake, [0.5], seed=0)[0.5]["real_jsd_mixture"]


def test_the_best_sharp_and_weighted_bounds_are_the_least_over_the_grid() -> None:
    grid, fake = [0.05, 0.1, 0.3], fresh_ring(150, seed=6) * 1.1
    settings = Evaluation(samples=200, draws=400, sigmas=tuple(grid))
    columns = Evaluator(SOURCE, settings).against_real(fake, grid, seed=3)
    for form in ("sharp", "weighted"):
        least = min(columns[sigma][f"bound_{form}"] for sigma in grid)
        assert columns[0.1][f"bound_{form}_best"] == pytest.approx(least, rel=1e-9)
