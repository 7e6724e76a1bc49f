"""Problems that make their samples, a user's own, and the table of all names."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from ..extensions import resolve, source_digest
from ..spec import FiniteFloat
from .datasets import CIFAR10, MNIST, Arrays, Digits, FashionMNIST, ImageFolder
from .problem import Facts, HeldOut, ProblemSpec, split_counts


class Ring(ProblemSpec):
    """Gaussians of standard deviation `std`, evenly spaced on a circle, in 2-D."""

    name: Literal["ring"]
    modes: int = Field(8, ge=1)
    radius: FiniteFloat = Field(1.0, gt=0)
    std: FiniteFloat = Field(0.02, ge=0)

    def find_facts(self) -> Facts:
        return Facts((2,), None, None)


class Segments(ProblemSpec):
    """Uniform on two parallel unit segments, `distance` apart, in any dimension.

    Both run along the first axis from -1/2 to 1/2, at +-distance/2 on the second; all other coordinates are 0.
    """

    name: Literal["segments"]
    dimension: int = Field(2, ge=2)
    distance: FiniteFloat = Field(0.5, ge=0)

    def find_facts(self) -> Facts:
        return Facts((self.dimension,), None, None)


class Dirac(ProblemSpec):
    """All mass at 0, in 1-D: the data of the Dirac-GAN (protocol dirac plays it exactly)."""

    name: Literal["dirac"]

    def find_facts(self) -> Facts:
        return Facts((1,), None, None)


class PlaneProblem(ProblemSpec):
    """Base of the 2-D problems of Mescheder et al. (2018), each within [-1, 1]^2 or about the origin."""

    def find_facts(self) -> Facts:
        return Facts((2,), None, None)


class Gaussian(PlaneProblem):
    """A Gaussian of standard deviation `std` about the origin, in 2-D."""

    name: Literal["gaussian"]
    std: FiniteFloat = Field(0.5, gt=0)


class Line(PlaneProblem):
    """Uniform on the segment from (-1, 0) to (1, 0), in 2-D."""

    name: Literal["line"]


class Circle(PlaneProblem):
    """Uniform on a circle of radius `radius`, in 2-D."""

    name: Literal["circle"]
    radius: FiniteFloat = Field(1.0, gt=0)


class FourLines(PlaneProblem):
    """Uniform on four parallel segments of length 2, at heights -1, -1/3, 1/3, 1, in 2-D."""

    name: Literal["four_lines"]


class Custom(ProblemSpec):
    """A user's own: ``package.module:function``, called with `options`, gives an array of shape [n, ...]."""

    name: str = Field(pattern=r"^[\w.]+:\w+$")
    options: dict[str, Any] = Field(default_factory=dict)
    held_out: HeldOut = 1 / 3

    @model_validator(mode="after")
    def _importable(self) -> Custom:
        resolve(self.name, {}, kind="problem")
        return self

    def find_facts(self) -> Facts:
        samples = self.samples()
        return Facts(samples.shape[1:], *split_counts(len(samples), self.held_out))

    def identity(self) -> dict[str, Any]:
        return {**self.model_dump(mode="json"), "source": source_digest(self.name)}

    def samples(self) -> Any:
        """The user's samples, checked: float32 of shape [n, ...]."""
        import numpy as np

        function: Any = resolve(self.name, {}, kind="problem")
        try:
            samples = np.asarray(function(**self.options), dtype=np.float32)
        except Exception as error:
            raise ValueError(f"{self.name} failed: {type(error).__name__}: {error}") from error
        if samples.ndim < 2 or len(samples) < 8:
            raise ValueError(f"{self.name} gave shape {list(samples.shape)}; needed: [n, ...] with n >= 8")
        return samples


PROBLEMS: dict[str, type[ProblemSpec]] = {
    "ring": Ring,
    "segments": Segments,
    "gaussian": Gaussian,
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
