"""Metrics that users bring: numbers of two sample sets, for the table ``metrics``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Generator, Tensor

from ..identity import stream_seed
from ..storage.records import finite


class Metric(Protocol):
    """A number of real and generated samples."""

    @property
    def name(self) -> str:
        """Of the metric, in the table ``metrics``."""
        ...

    def __call__(self, real: Tensor, fake: Tensor, *, generator: Generator) -> float | tuple[float, float]:
        """The metric's value, or its value and standard error.

        Args:
          real: Held-out samples, ``[n, *shape]``, float32.
          fake: The generator's samples, ``[m, *shape]``, float32.
          generator: Source of whatever is drawn, on the samples' device.
        """
        ...


@dataclass(frozen=True)
class MetricValue:
    """A metric of one generator; None where it is not a finite number, or has no standard error."""

    name: str
    value: float | None
    standard_error: float | None = None


def measure_metrics(metrics: Iterable[Metric], real: Tensor, fake: Tensor, *, seed: int) -> list[MetricValue]:
    """Every metric of ``real`` [n, *shape] and ``fake`` [m, *shape], each by a random stream of its own.

    Samples that are not finite have no values. What a metric raises is raised.
    """
    if not bool(torch.isfinite(fake).all()):
        return [MetricValue(metric.name, None) for metric in metrics]
    return [_measured(metric, real, fake, seed) for metric in metrics]


def _measured(metric: Metric, real: Tensor, fake: Tensor, seed: int) -> MetricValue:
    stream = Generator(real.device).manual_seed(stream_seed("metric", metric.name, seed))
    # copies, since a metric may work in place
    found = metric(real.clone(), fake.clone(), generator=stream)
    if not isinstance(found, tuple):
        return MetricValue(metric.name, finite(float(found)))
    value, standard_error = found
    return MetricValue(metric.name, finite(float(value)), finite(float(standard_error)))
