"""Problems: a fixed set of samples as a class and as a function, and a generator of samples."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Generator, Tensor

from harness.job.parts.problem import DataSet, Problem, ProblemInfo


class Spiral(Problem):
    """Points on an Archimedean spiral of some turns, in 2-D; as many as asked for"""

    turns: float = Field(2.0, gt=0)

    def find_info(self) -> ProblemInfo:
        return ProblemInfo((2,))

    def draw(self, num: int, generator: Generator) -> Tensor:
        radius = torch.rand(num, generator=generator, device=generator.device)
        angle = 2 * torch.pi * self.turns * radius
        return radius[:, None] * torch.stack([angle.cos(), angle.sin()], dim=1)


class Lattice(DataSet):
    """A fixed set: the points of a square lattice, in 2-D"""

    side: int = Field(10, ge=3)

    def samples(self) -> NDArray[np.float32]:
        axis = np.linspace(-1, 1, self.side, dtype=np.float32)
        return np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)


def two_points(*, num: int = 40) -> NDArray[np.float32]:
    """A fixed set by a plain function."""
    return np.repeat(np.array([[-1.0, 0.0], [1.0, 0.0]], dtype=np.float32), num // 2, axis=0)
