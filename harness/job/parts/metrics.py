"""Metrics: functions of a real and a generated sample set, whose values go into the table ``metrics``."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, SerializeAsAny

from ..extensions import resolve
from .part import Part, chooser

if TYPE_CHECKING:
    from torch import Generator, Tensor


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


class FunctionMetric(Metric):
    """A user's function ``package.module:function`` of two sample sets, called with `options`"""

    options: dict[str, Any] = Field(default_factory=dict)

    def __call__(self, real: Tensor, fake: Tensor, *, generator: Generator) -> float | tuple[float, float]:
        function: Any = resolve(self.name, {}, kind=self.kind)
        value: float | tuple[float, float] = function(real, fake, **self.options)
        return value


METRICS: Mapping[str, type[Metric]] = {"energy_distance": EnergyDistance}
AnyMetric = Annotated[SerializeAsAny[Metric], BeforeValidator(chooser(Metric, METRICS, of_function=FunctionMetric))]
"""A metric as a job names it."""
