"""Problems that make their samples, a user's own, and the table of all names."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SerializeAsAny, model_validator

from ..extensions import resolve
from ..spec import MAX_COUNT, FiniteFloat
from .datasets import CIFAR10, MNIST, Arrays, Digits, FashionMNIST, ImageFolder
from .part import chooser
from .problem import DataSet, Mixture, Problem, ProblemInfo

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from ...problems.sources import FloatArray


class Ring(Problem):
    """Gaussians of standard deviation `std`, evenly spaced on a circle, in 2-D"""

    name: Literal["ring"] = "ring"
    modes: int = Field(8, ge=1, le=MAX_COUNT)
    radius: FiniteFloat = Field(1.0, gt=0)
    std: FiniteFloat = Field(0.02, ge=0)

    def find_info(self) -> ProblemInfo:
        return ProblemInfo((2,))

    def draw(self, num: int, generator: Generator) -> Tensor:
        from ...problems import synthetic

        return synthetic.ring(num, modes=self.modes, radius=self.radius, std=self.std, generator=generator)

    def mixture(self) -> Mixture | None:
        angles = (2 * math.pi * mode / self.modes for mode in range(self.modes))
        centres = tuple((self.radius * math.cos(angle), self.radius * math.sin(angle)) for angle in angles)
        return Mixture(centres, self.std) if self.std > 0 else None


class SquareGrid(Problem):
    """Gaussians of standard deviation `std` on a square grid of `side` x `side` points, `spacing` apart, in 2-D"""

    name: Literal["grid"] = "grid"
    side: int = Field(5, ge=1, le=MAX_COUNT)
    spacing: FiniteFloat = Field(1.0, gt=0)
    std: FiniteFloat = Field(0.05, gt=0)

    def find_info(self) -> ProblemInfo:
        return ProblemInfo((2,))

    def draw(self, num: int, generator: Generator) -> Tensor:
        from ...problems import synthetic

        return synthetic.grid(num, side=self.side, spacing=self.spacing, std=self.std, generator=generator)

    def mixture(self) -> Mixture | None:
        at = [self.spacing * (index - (self.side - 1) / 2) for index in range(self.side)]
        return Mixture(tuple((x, y) for x in at for y in at), self.std)


class Segments(Problem):
    """Uniform on two parallel unit segments, `distance` apart, in any dimension

    Both run along the first axis from -1/2 to 1/2, at +-distance/2 on the second; all other coordinates are 0.
    """

    name: Literal["segments"] = "segments"
    dimension: int = Field(2, ge=2, le=MAX_COUNT)
    distance: FiniteFloat = Field(0.5, ge=0)

    def find_info(self) -> ProblemInfo:
        return ProblemInfo((self.dimension,))

    def draw(self, num: int, generator: Generator) -> Tensor:
        from ...problems import synthetic

        return synthetic.segments(num, dimension=self.dimension, distance=self.distance, generator=generator)


class Dirac(Problem):
    """All mass at 0, in 1-D: the data of the Dirac-GAN (protocol dirac plays it exactly)"""

    name: Literal["dirac"] = "dirac"

    def find_info(self) -> ProblemInfo:
        return ProblemInfo((1,))

    def draw(self, num: int, generator: Generator) -> Tensor:
        import torch

        return torch.zeros(num, 1, device=generator.device)


class PlaneProblem(Problem):
    """Base of the 2-D problems of Mescheder et al. (2018), each within [-1, 1]^2 or about the origin."""

    def find_info(self) -> ProblemInfo:
        return ProblemInfo((2,))


class GaussianBlob(PlaneProblem):
    """A Gaussian of standard deviation `std` about the origin, in 2-D"""

    name: Literal["gaussian"] = "gaussian"
    std: FiniteFloat = Field(0.5, gt=0)

    def draw(self, num: int, generator: Generator) -> Tensor:
        import torch

        return self.std * torch.randn(num, 2, generator=generator, device=generator.device)


class Line(PlaneProblem):
    """Uniform on the segment from (-1, 0) to (1, 0), in 2-D"""

    name: Literal["line"] = "line"

    def draw(self, num: int, generator: Generator) -> Tensor:
        from ...problems import synthetic

        return synthetic.at_heights(num, [0.0], generator)


class Circle(PlaneProblem):
    """Uniform on a circle of radius `radius`, in 2-D"""

    name: Literal["circle"] = "circle"
    radius: FiniteFloat = Field(1.0, gt=0)

    def draw(self, num: int, generator: Generator) -> Tensor:
        from ...problems import synthetic

        return synthetic.circle(num, radius=self.radius, generator=generator)


class FourLines(PlaneProblem):
    """Uniform on four parallel segments of length 2, at heights -1, -1/3, 1/3, 1, in 2-D"""

    name: Literal["four_lines"] = "four_lines"

    def draw(self, num: int, generator: Generator) -> Tensor:
        from ...problems import synthetic

        return synthetic.at_heights(num, [-1.0, -1 / 3, 1 / 3, 1.0], generator)


class Custom(DataSet):
    """A user's function ``package.module:function``, called with `options`, that gives an array of shape [n, ...]"""

    name: str = Field(pattern=r"^[\w.]+:\w+$")
    options: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _importable(self) -> Custom:
        resolve(self.name, {}, kind="problem")
        return self

    def samples(self) -> FloatArray:
        import numpy as np

        function: Any = resolve(self.name, {}, kind="problem")
        return np.asarray(function(**self.options), dtype=np.float32)


PROBLEMS: Mapping[str, type[Problem]] = {
    "ring": Ring,
    "grid": SquareGrid,
    "segments": Segments,
    "gaussian": GaussianBlob,
    "line": Line,
    "circle": Circle,
    "four_lines": FourLines,
    "dirac": Dirac,
    "digits": Digits,
    "arrays": Arrays,
    "mnist": MNIST,
    "fashion_mnist": FashionMNIST,
    "cifar10": CIFAR10,
    "image_folder": ImageFolder,
}
AnyProblem = Annotated[SerializeAsAny[Problem], BeforeValidator(chooser(Problem, PROBLEMS, of_function=Custom))]
"""A problem as a job names it."""
