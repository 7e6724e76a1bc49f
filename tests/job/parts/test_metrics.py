"""Metrics as parts of a job: the built-in one against SciPy, names in the table, and what they add to an identity."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Generator

from harness.errors import JobError
from harness.job.parts.metrics import METRICS, EnergyDistance
from harness.job.parts.settings import Evaluation
from harness.job.reading import load_job
from tests.conftest import make_job

BASE = {
    "name": "measured",
    "protocol": "train",
    "problem": {"name": "ring"},
    "networks": {"name": "mlp", "width": 8},
    "training": {"steps_per_epoch": 2},
    "grid": {"loss": ["minimax"], "sigma": [0.1], "epoch": [1], "seed": [0]},
}


def distance(real: torch.Tensor, fake: torch.Tensor) -> float:
    return EnergyDistance()(real, fake, generator=Generator())


def test_in_one_dimension_the_energy_distance_is_the_square_of_scipys() -> None:
    rng = np.random.default_rng(0)
    real, fake = rng.normal(size=40), rng.normal(0.5, 2.0, size=30)
    expected = stats.energy_distance(real, fake) ** 2
    assert distance(*(torch.from_numpy(x)[:, None] for x in (real, fake))) == pytest.approx(expected)


def test_two_points_are_twice_their_distance_apart_and_a_set_is_not_apart_from_itself() -> None:
    assert distance(torch.zeros(1, 1, 2, 1), torch.tensor([[[[3.0], [4.0]]]])) == pytest.approx(10.0)
    points = torch.randn(7, 3, generator=Generator().manual_seed(0))
    assert distance(points, points) == pytest.approx(0.0, abs=1e-12)


def test_the_table_names_a_metric_with_the_parameters_that_were_given() -> None:
    metrics = [
        "energy_distance",
        "noiselab.metrics:mean_shift",
        {"name": "noiselab.metrics:ShareBeyond", "radius": 2.0},
        "noiselab.metrics:ShareBeyond",
    ]
    found = make_job({**BASE, "evaluation": {"metrics": metrics}}).evaluation.metrics
    assert [metric.label for metric in found] == [
        "energy_distance",
        "noiselab.metrics:mean_shift",
        "noiselab.metrics:ShareBeyond(radius=2.0)",
        "noiselab.metrics:ShareBeyond",
    ]


def test_without_metrics_the_identity_is_what_it_was_before_there_were_any() -> None:
    assert json.loads(Evaluation().canonical) == {"samples": 1000, "draws": 2000, "directions": 64, "sigmas": "auto"}
    with_one = make_job({**BASE, "evaluation": {"metrics": ["energy_distance"]}}).evaluation
    assert json.loads(with_one.canonical)["metrics"] == [{"name": "energy_distance"}]


def test_a_metric_twice_is_a_mistake() -> None:
    with pytest.raises(Exception, match=r"evaluation\.metrics: duplicate value energy_distance"):
        make_job({**BASE, "evaluation": {"metrics": ["energy_distance", "energy_distance"]}})


def test_the_metrics_of_mixtures_know_the_problems_modes() -> None:
    """The ring's real samples have all eight; a set at one of them has one."""
    problem = make_job(BASE).problem
    real = problem.draw(2500, Generator().manual_seed(0))
    one = torch.tensor([[1.0, 0.0]]).repeat(50, 1)
    found = {
        name: [METRICS[name]().on(problem)(real, fake, generator=Generator()) for fake in (real, one)]
        for name in ("modes", "high_quality_share", "reverse_kl")
    }
    assert found["modes"] == [8, 1]
    assert found["high_quality_share"] == [pytest.approx(1 - np.exp(-4.5), abs=0.01), 1.0]
    assert found["reverse_kl"] == [pytest.approx(0.0, abs=0.01), pytest.approx(np.log(8))]


@pytest.mark.parametrize("problem", [{"name": "segments"}, {"name": "ring", "std": 0}])
def test_metrics_of_mixtures_are_refused_elsewhere(problem: dict[str, object]) -> None:
    evaluation = {"metrics": ["energy_distance", "modes"]}
    with pytest.raises(JobError, match=r"evaluation.metrics\[1\]: metric modes: problem \w+ is no mixture"):
        load_job({**BASE, "problem": problem, "evaluation": evaluation})


def test_what_counts_as_collapsed_is_no_part_of_a_cells_identity() -> None:
    plain = make_job(BASE)
    marked = make_job({**BASE, "evaluation": {"collapsed": {"w1": 0.3}}})
    assert plain.evaluation.canonical == marked.evaluation.canonical
    with pytest.raises(JobError, match="collapsed names one of w1, w1_sliced and modes"):
        load_job({**BASE, "evaluation": {"collapsed": {}}})


def test_collapsed_by_modes_needs_the_metric_and_no_more_modes_than_there_are() -> None:
    ring = {**BASE, "problem": {"name": "ring"}}
    assert load_job({**ring, "evaluation": {"metrics": ["modes"], "collapsed": {"modes": 8}}})
    with pytest.raises(JobError, match=r"evaluation.collapsed.modes: needs the metric that counts them"):
        load_job({**ring, "evaluation": {"collapsed": {"modes": 8}}})
    with pytest.raises(JobError, match=r"evaluation.collapsed.modes: problem ring has 8 modes"):
        load_job({**ring, "evaluation": {"metrics": ["modes"], "collapsed": {"modes": 9}}})
