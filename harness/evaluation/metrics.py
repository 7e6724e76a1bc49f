"""Metrics that a job asks for: numbers of two sample sets, for the table ``metrics``."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor

from ..identity import stream_seed
from ..job.parts.metrics import FeatureMetric, Metric
from ..job.parts.problem import Problem
from ..storage.records import finite
from .features import FeatureSpaces


@dataclass(frozen=True)
class MetricValue:
    """A metric of one generator; None where it is not a finite number, or has no standard error."""

    name: str
    value: float | None
    standard_error: float | None = None


def measure_metrics(
    metrics: Iterable[Metric],
    real: Tensor,
    fake: Tensor,
    *,
    problem: Problem,
    seed: int,
    spaces: FeatureSpaces | None = None,
) -> list[MetricValue]:
    """Every metric of ``real`` [n, *shape] and ``fake`` [m, *shape] of a problem, each by a random stream of its own.

    Samples that are not finite have no values, nor have features that are not. What a metric raises is raised.

    Args:
      metrics: What to measure.
      real, fake: Held-out and generated samples.
      problem: Whose samples they are.
      seed: Of the streams.
      spaces: The problem's feature spaces, for metrics of features; `real` is what they hold out.
    """
    if not bool(torch.isfinite(fake).all()):
        return [MetricValue(metric.label, None) for metric in metrics]
    generated = None if spaces is None else spaces.generated(problem, fake)

    def found(metric: Metric) -> Any:
        if isinstance(metric, FeatureMetric):
            assert generated is not None, "metrics of features need feature spaces"
            sets = generated.sets(metric.space)
            return math.nan if sets is None else metric.of(sets)
        stream = Generator(real.device).manual_seed(stream_seed("metric", metric.label, seed))
        # copies, since a metric may work in place
        return metric.on(problem)(real.clone(), fake.clone(), generator=stream)

    return [_value(metric.label, found(metric)) for metric in metrics]


def _value(name: str, found: Any) -> MetricValue:
    if not isinstance(found, tuple):
        return MetricValue(name, finite(float(found)))
    value, standard_error = found
    return MetricValue(name, finite(float(value)), finite(float(standard_error)))
