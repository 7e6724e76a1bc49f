"""Samples of problems that make as many as asked for."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor


def ring(num: int, *, modes: int, radius: float, std: float, generator: Generator) -> Tensor:
    """Draws from Gaussians evenly spaced on a circle: ``[num, 2]``."""
    device = generator.device
    mode = torch.randint(modes, (num,), generator=generator, device=device)
    angle = mode * (2 * math.pi / modes)
    centre = radius * torch.stack([angle.cos(), angle.sin()], dim=1)
    return centre + std * torch.randn(num, 2, generator=generator, device=device)


def grid(num: int, *, side: int, spacing: float, std: float, generator: Generator) -> Tensor:
    """Draws from Gaussians on a square grid about the origin: ``[num, 2]``."""
    device = generator.device
    index = torch.randint(side, (num, 2), generator=generator, device=device)
    centre = spacing * (index - (side - 1) / 2)
    return centre + std * torch.randn(num, 2, generator=generator, device=device)


def segments(num: int, *, dimension: int, distance: float, generator: Generator) -> Tensor:
    """Uniform draws from two parallel unit segments: ``[num, dimension]``."""
    device = generator.device
    points = torch.zeros(num, dimension, device=device)
    points[:, 0] = torch.rand(num, generator=generator, device=device) - 0.5
    side = torch.randint(2, (num,), generator=generator, device=device) - 0.5
    points[:, 1] = side * distance
    return points


def circle(num: int, *, radius: float, generator: Generator) -> Tensor:
    """Uniform draws from a circle about the origin: ``[num, 2]``."""
    angle = 2 * math.pi * torch.rand(num, generator=generator, device=generator.device)
    return radius * torch.stack([angle.cos(), angle.sin()], dim=1)


def at_heights(num: int, heights: list[float], generator: Generator) -> Tensor:
    """Uniform on horizontal segments from -1 to 1 at the given heights: ``[num, 2]``."""
    device = generator.device
    along = 2 * torch.rand(num, generator=generator, device=device) - 1
    which = torch.randint(len(heights), (num,), generator=generator, device=device)
    return torch.stack([along, torch.tensor(heights, device=device)[which]], dim=1)
