"""Feature spaces: a plain function of some samples, and a class with a parameter."""

from __future__ import annotations

import math

import torch
from pydantic import Field
from torch import Tensor

from harness.job.parts.features import Extract, Features, Keep
from harness.job.parts.problem import Problem
from harness.problems.sources import Source


def polar(samples: Tensor, *, about: float = 0.0) -> Tensor:
    """Radius and angle of points of the plane."""
    x, y = (samples - about).unbind(1)
    return torch.stack([torch.hypot(x, y), torch.atan2(y, x)], dim=1)


class Projections(Features):
    """Products with random directions"""

    num: int = Field(4, ge=1)

    def function(self, problem: Problem, source: Source, keep: Keep) -> Extract:
        generator = torch.Generator().manual_seed(0)
        directions = torch.randn(math.prod(source.shape), self.num, generator=generator).to(source.device)
        return lambda samples: samples.flatten(1) @ directions
