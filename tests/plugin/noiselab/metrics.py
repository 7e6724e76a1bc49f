"""Metrics: a plain function of two sample sets, and a class with a parameter and a standard error."""

from __future__ import annotations

from pydantic import Field
from torch import Generator, Tensor

from harness.job.parts.metrics import Metric


def mean_shift(real: Tensor, fake: Tensor) -> float:
    """Distance of the two means."""
    return float((real.flatten(1).mean(0) - fake.flatten(1).mean(0)).norm())


class ShareBeyond(Metric):
    """Share of generated samples further than radius from the origin, with its binomial standard error"""

    radius: float = Field(1.0, gt=0)

    def __call__(self, real: Tensor, fake: Tensor, *, generator: Generator) -> tuple[float, float]:
        share = float((fake.flatten(1).norm(dim=1) > self.radius).double().mean())
        return share, (share * (1 - share) / len(fake)) ** 0.5
