"""Metrics: functions of a real and a generated sample set, whose values go into the table ``metrics``."""

from __future__ import annotations

import abc
import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, SerializeAsAny

from ..extensions import resolve
from .part import Part, chooser

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from ...theory.mixtures import ModeCoverage
    from .problem import Mixture, Problem


Measure = Callable[..., float | tuple[float, float]]
"""Called as `Metric.__call__`."""


class Metric(Part):
    """Base of all metrics."""

    kind: ClassVar[str] = "metric"

    def __hash__(self) -> int:
        return hash(self.label)  # options need not be hashable

    @property
    def label(self) -> str:
        """What the table calls it: the name, with the parameters that are not their defaults."""
        fields = type(self).model_fields
        own = {key: getattr(self, key) for key in fields if key != "name"}
        given = [
            f"{key}={value}"
            for key, value in own.items()
            if value != fields[key].get_default(call_default_factory=True)
        ]
        return f"{self.name}({', '.join(given)})" if given else self.name

    def why_not(self, problem: Problem) -> str | None:
        """What keeps the metric from being measured on a problem; None if nothing does."""
        return None

    def on(self, problem: Problem) -> Measure:
        """The metric for the samples of a problem."""
        return self

    @abc.abstractmethod
    def __call__(self, real: Tensor, fake: Tensor, *, generator: Generator) -> float | tuple[float, float]:
        """The value, or value and standard error.

        Args:
          real, fake: Held-out and generated samples, ``[n, *shape]`` and ``[m, *shape]``, data units, float32.
          generator: Source of random numbers, the same for all generators of a seed.
        """


class EnergyDistance(Metric):
    """2 E||x - y|| - E||x - x'|| - E||y - y'||, by all pairs (Szekely & Rizzo 2013); 0 for equal sets"""

    name: Literal["energy_distance"] = "energy_distance"

    def __call__(self, real: Tensor, fake: Tensor, *, generator: Generator) -> float:
        import torch

        x, y = (samples.flatten(1).double() for samples in (real, fake))
        between, within_real, within_fake = (torch.cdist(*pair).mean() for pair in ((x, y), (x, x), (y, y)))
        return float(2 * between - within_real - within_fake)


class MixtureMetric(Metric):
    """Base of metrics of how the modes of a mixture are covered (PacGAN); problems ring and grid are mixtures."""

    def why_not(self, problem: Problem) -> str | None:
        return None if problem.mixture() else f"problem {problem.name} is no mixture of Gaussians with std > 0"

    def on(self, problem: Problem) -> Measure:
        mixture = problem.mixture()
        assert mixture is not None, "validation comes first"
        return functools.partial(self._measured, mixture)

    def _measured(self, mixture: Mixture, real: Tensor, fake: Tensor, *, generator: Generator) -> float:
        import torch

        from ...theory.mixtures import mode_coverage

        centres = torch.tensor(mixture.centres, device=fake.device)
        return self.of(mode_coverage(fake.flatten(1), centres, std=mixture.std))

    @abc.abstractmethod
    def of(self, coverage: ModeCoverage) -> float:
        """The metric's own part of what was counted."""

    def __call__(self, real: Tensor, fake: Tensor, *, generator: Generator) -> float:
        raise TypeError(f"{self.name} needs the modes: call what `on(problem)` gives")


class Modes(MixtureMetric):
    """Modes that have at least 1 % of the samples within three standard deviations of their centre"""

    name: Literal["modes"] = "modes"

    def of(self, coverage: ModeCoverage) -> float:
        return coverage.modes


class HighQualityShare(MixtureMetric):
    """Share of the samples within three standard deviations of a mode's centre"""

    name: Literal["high_quality_share"] = "high_quality_share"

    def of(self, coverage: ModeCoverage) -> float:
        return coverage.high_quality_share


class ReverseKL(MixtureMetric):
    """KL of the modes' shares among high-quality samples from equal shares, nats: 0 for equal, log k for one of k"""

    name: Literal["reverse_kl"] = "reverse_kl"

    def of(self, coverage: ModeCoverage) -> float:
        return coverage.reverse_kl


class FunctionMetric(Metric):
    """A user's function ``package.module:function`` of two sample sets, called with `options`"""

    options: dict[str, Any] = Field(default_factory=dict)

    def __call__(self, real: Tensor, fake: Tensor, *, generator: Generator) -> float | tuple[float, float]:
        function: Any = resolve(self.name, {}, kind=self.kind)
        value: float | tuple[float, float] = function(real, fake, **self.options)
        return value


METRICS: Mapping[str, type[Metric]] = {
    "energy_distance": EnergyDistance,
    "modes": Modes,
    "high_quality_share": HighQualityShare,
    "reverse_kl": ReverseKL,
}
AnyMetric = Annotated[SerializeAsAny[Metric], BeforeValidator(chooser(Metric, METRICS, of_function=FunctionMetric))]
"""A metric as a job names it."""
