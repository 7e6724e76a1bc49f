"""Samples of problems that make as many as asked for."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from ..job.parts.problem import ProblemSpec
from ..job.parts.problems import Circle, Dirac, FourLines, Gaussian, Line, Ring, Segments


def draw(spec: ProblemSpec, num: int, generator: Generator) -> Tensor:
    """Samples of a problem that makes as many as asked for: ``[num, *shape]``."""
    match spec:
        case Ring():
            return ring(spec, num, generator)
        case Segments():
            return segments(spec, num, generator)
        case Gaussian():
            return spec.std * torch.randn(num, 2, generator=generator, device=generator.device)
        case Line():
            return _at_heights(num, [0.0], generator)
        case FourLines():
            return _at_heights(num, [-1.0, -1 / 3, 1 / 3, 1.0], generator)
        case Circle():
            angle = 2 * math.pi * torch.rand(num, generator=generator, device=generator.device)
            return spec.radius * torch.stack([angle.cos(), angle.sin()], dim=1)
        case Dirac():
            return torch.zeros(num, 1, device=generator.device)
    raise ValueError(f"problem {spec.name} has a fixed data set")


def ring(spec: Ring, num: int, generator: Generator) -> Tensor:
    """Draws from Gaussians evenly spaced on a circle: ``[num, 2]``."""
    device = generator.device
    mode = torch.randint(spec.modes, (num,), generator=generator, device=device)
    angle = mode * (2 * math.pi / spec.modes)
    centre = spec.radius * torch.stack([angle.cos(), angle.sin()], dim=1)
    return centre + spec.std * torch.randn(num, 2, generator=generator, device=device)


def segments(spec: Segments, num: int, generator: Generator) -> Tensor:
    """Uniform draws from two parallel unit segments: ``[num, dimension]``."""
    device = generator.device
    points = torch.zeros(num, spec.dimension, device=device)
    points[:, 0] = torch.rand(num, generator=generator, device=device) - 0.5
    side = torch.randint(2, (num,), generator=generator, device=device) - 0.5
    points[:, 1] = side * spec.distance
    return points


def _at_heights(num: int, heights: list[float], generator: Generator) -> Tensor:
    """Uniform on horizontal segments from -1 to 1 at the given heights: ``[num, 2]``."""
    device = generator.device
    along = 2 * torch.rand(num, generator=generator, device=device) - 1
    which = torch.randint(len(heights), (num,), generator=generator, device=device)
    return torch.stack([along, torch.tensor(heights, device=device)[which]], dim=1)
