"""Metrics that users bring: numbers of two sample sets, for the table ``metrics``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from ..identity import stream_seed
from ..job.parts.metrics import Measure, Metric
from ..job.parts.problem import Problem
from ..storage.records import finite


@dataclass(frozen=True)
class MetricValue:
    """A metric of one generator; None where it is not a finite number, or has no standard error."""

    name: str
    value: float | None
    standard_error: float | None = None


def measure_metrics(
    metrics: Iterable[Metric], real: Tensor, fake: Tensor, *, problem: Problem, seed: int
) -> list[MetricValue]:
    """Every metric of ``real`` [n, *shape] and ``fake`` [m, *shape] of a problem, each by a random stream of its own.

    Samples that are not finite have no values. What a metric raises is raised.
    """
    if not bool(torch.isfinite(fake).all()):
        return [MetricValue(metric.label, None) for metric in metrics]
    return [_measured(metric, metric.on(problem), real, fake, seed) for metric in metrics]


def _measured(metric: Metric, measure: Measure, real: Tensor, fake: Tensor, seed: int) -> MetricValue:
    stream = Generator(real.device).manual_seed(stream_seed("metric", metric.label, seed))
    # copies, since a metric may work in place
    found = measure(real.clone(), fake.clone(), generator=stream)
    if not isinstance(found, tuple):
        return MetricValue(metric.label, finite(float(found)))
    value, standard_error = found
    return MetricValue(metric.label, finite(float(value)), finite(float(standard_error)))
