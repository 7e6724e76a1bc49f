"""Metrics that users bring: values in closed form, streams of their own, and what is not a number."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from pydantic import Field
from torch import Generator, Tensor

from harness.evaluation.metrics import MetricValue, measure_metrics
from harness.identity import stream_seed
from harness.job.parts.metrics import Metric
from harness.job.parts.problems import Ring
from tests.conftest import near

REAL = torch.zeros(4, 2)
FAKE = torch.tensor([[3.0, 0.0], [3.0, 8.0], [3.0, 4.0]])  # mean (3, 4)


class Fake(Metric):
    name: str = "metric"
    function: Callable[..., Any] = Field(exclude=True)

    @property
    def label(self) -> str:
        return self.name

    def __call__(self, real: Tensor, fake: Tensor, *, generator: Generator) -> Any:
        return self.function(real, fake, generator)


def measured(function: Callable[..., Any], *, real: Tensor = REAL, fake: Tensor = FAKE, seed: int = 0) -> MetricValue:
    (value,) = measure_metrics([Fake(function=function)], real, fake, problem=Ring(), seed=seed)
    return value


def distance_of_means(real: Tensor, fake: Tensor, _: Generator) -> Any:
    return (real.mean(0) - fake.mean(0)).norm()


def test_the_distance_of_the_means_of_two_sets_is_that_of_their_means() -> None:
    assert measured(distance_of_means) == MetricValue("metric", 5.0)
    assert measured(lambda *sets: float(distance_of_means(*sets))) == MetricValue("metric", 5.0)


def test_a_metric_may_give_its_standard_error() -> None:
    def mean(_: Tensor, fake: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        column = fake[:, 1]
        return column.mean(), column.std() / math.sqrt(len(column))

    assert measured(mean) == MetricValue("metric", 4.0, near(4 / math.sqrt(3)))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, torch.tensor(math.nan)])
def test_what_is_no_finite_number_is_null(value: Any) -> None:
    assert measured(lambda *_: value) == MetricValue("metric", None)
    assert measured(lambda *_: (1.0, value)) == MetricValue("metric", 1.0, None)
    assert measured(lambda *_: (value, 1.0)) == MetricValue("metric", None, 1.0)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_samples_that_are_not_finite_have_null_and_the_metric_is_not_asked(value: float) -> None:
    def never(*_: Any) -> float:
        raise AssertionError("asked")

    fake = FAKE.clone()
    fake[2, 1] = value
    assert measured(never, fake=fake) == MetricValue("metric", None)


def test_every_metric_and_seed_has_a_random_stream_of_its_own() -> None:
    def draw(real: Tensor, fake: Tensor, generator: Generator) -> float:
        return float(torch.rand(1, generator=generator, dtype=torch.float64))

    values: dict[tuple[str, int], float | None] = {}
    for seed in (0, 1):
        metrics = [Fake(function=draw, name="one"), Fake(function=draw, name="other"), Fake(function=draw, name="one")]
        first, other, again = measure_metrics(metrics, REAL, FAKE, problem=Ring(), seed=seed)
        assert first == again
        values |= {("one", seed): first.value, ("other", seed): other.value}
    assert len(set(values.values())) == 4
    stream = Generator().manual_seed(stream_seed("metric", "other", 1))
    assert values["other", 1] == float(torch.rand(1, generator=stream, dtype=torch.float64))


def test_a_metric_that_works_in_place_changes_nothing_for_others() -> None:
    def spoil(real: Tensor, fake: Tensor, generator: Generator) -> float:
        real.add_(1.0)
        fake.zero_()
        return 0.0

    real, fake = REAL.clone(), FAKE.clone()
    values = measure_metrics(
        [Fake(function=spoil, name="spoil"), Fake(function=distance_of_means)], real, fake, problem=Ring(), seed=0
    )
    assert [value.value for value in values] == [0.0, 5.0]
    assert torch.equal(real, REAL)
    assert torch.equal(fake, FAKE)


@pytest.mark.parametrize("answer", ["many", (1.0, 2.0, 3.0), None])
def test_what_a_metric_raises_or_answers_wrongly_is_an_error(answer: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        measured(lambda *_: answer)
    with pytest.raises(ZeroDivisionError):
        measured(lambda *_: 1 / 0)
