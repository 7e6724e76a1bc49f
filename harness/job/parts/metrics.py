"""Metrics: functions of a real and a generated sample set, whose values go into the table ``metrics``."""

from __future__ import annotations

import abc
import functools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, SerializeAsAny

from ...identity import canonical_json
from ..extensions import resolve
from .features import PIXELS, AnyFeatures, Features
from .part import Part, chooser

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from ...theory.mixtures import ModeCoverage
    from .problem import Mixture, Problem


Better = Literal["less", "more"] | None
Measure = Callable[..., float | tuple[float, float]]
"""Called as `Metric.__call__`."""


class Metric(Part):
    """Base of all metrics."""

    kind: ClassVar[str] = "metric"
    better: ClassVar[Better] = None
    """Which of two values of a generator is the better; None where that cannot be said."""

    def __hash__(self) -> int:
        return hash(self.label)  # options need not be hashable

    def why_not(self, problem: Problem) -> str | None:
        """What keeps the metric from being measured on a problem; None if nothing does."""
        return None

    @property
    def least_samples(self) -> int:
        """How many held-out samples it needs."""
        return 1

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
    better: ClassVar[Better] = "less"

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
    better: ClassVar[Better] = "more"

    def of(self, coverage: ModeCoverage) -> float:
        return coverage.modes


class HighQualityShare(MixtureMetric):
    """Share of the samples within three standard deviations of a mode's centre"""

    name: Literal["high_quality_share"] = "high_quality_share"
    better: ClassVar[Better] = "more"

    def of(self, coverage: ModeCoverage) -> float:
        return coverage.high_quality_share


class ReverseKL(MixtureMetric):
    """KL of the modes' shares among high-quality samples from equal shares, nats: 0 for equal, log k for one of k"""

    name: Literal["reverse_kl"] = "reverse_kl"
    better: ClassVar[Better] = "less"

    def of(self, coverage: ModeCoverage) -> float:
        return coverage.reverse_kl


@dataclass(frozen=True)
class FeatureSets:
    """Two sample sets in a feature space, and how far they are from the training set there.

    Attributes:
      real, fake: Features of the held-out samples ``[n, f]`` and of the generated ones ``[m, f]``.
      from_training: Gives the distances of both, ``[n]`` and ``[m]``, from their nearest training samples.
    """

    real: Tensor
    fake: Tensor
    from_training: Callable[[], tuple[Tensor, Tensor]]


class FeatureMetric(Metric):
    """Base of metrics of two sample sets in a feature space; by default that of ``evaluation.features``."""

    features: AnyFeatures | None = None

    @property
    def space(self) -> Features:
        """The feature space."""
        return self.features or PIXELS

    @property
    def label(self) -> str:
        """With the feature space, unless it is that of pixels: ``density[classifier](k=3)``."""
        name = self.name if self.space == PIXELS else f"{self.name}[{self.space.label}]"
        return self.labelled(name, leave_out=["features"])

    @functools.cached_property
    def canonical(self) -> str:
        """With that of the feature space."""
        values = self.with_source(self.model_dump(mode="json", exclude={"features"}))
        return canonical_json({**values, "features": json.loads(self.space.canonical)})

    def why_not(self, problem: Problem) -> str | None:
        if self.space.why_not(problem):
            return f"in {self.space.kind} {self.space.name}: {self.space.why_not(problem)}"
        return None

    @abc.abstractmethod
    def of(self, sets: FeatureSets) -> float | tuple[float, float]:
        """The value, or value and standard error."""

    def __call__(self, real: Tensor, fake: Tensor, *, generator: Generator) -> float | tuple[float, float]:
        raise TypeError(f"{self.name} is a metric of features: call `of`")


class FrechetDistance(FeatureMetric):
    """||mu1 - mu2||^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)) of the features' means and covariances (Heusel et al. 2017)"""

    name: Literal["frechet_distance"] = "frechet_distance"
    better: ClassVar[Better] = "less"

    @property
    def least_samples(self) -> int:
        return 2

    def of(self, sets: FeatureSets) -> float:
        from ...theory.features import frechet_distance

        return frechet_distance(sets.real, sets.fake)


class KID(FeatureMetric):
    """Unbiased squared MMD of the features under (x.y/f + 1)^3, with standard error (Binkowski et al. 2018)"""

    name: Literal["kid"] = "kid"
    better: ClassVar[Better] = "less"

    @property
    def least_samples(self) -> int:
        return 3

    def of(self, sets: FeatureSets) -> tuple[float, float]:
        from ...theory.features import kernel_distance

        estimate = kernel_distance(sets.real, sets.fake)
        return estimate.value, estimate.standard_error


class BallMetric(FeatureMetric):
    """Base of metrics by the balls about samples that reach to their k-th nearest neighbours."""

    k: int = Field(5, ge=1, le=1000)

    @property
    def least_samples(self) -> int:
        return self.k + 1


class Precision(BallMetric):
    """Share of the generated samples within the k-NN ball of a real one (Kynkaanniemi et al. 2019)"""

    name: Literal["precision"] = "precision"
    better: ClassVar[Better] = "more"
    k: int = Field(3, ge=1, le=1000)

    def of(self, sets: FeatureSets) -> float:
        from ...theory.features import precision

        return precision(sets.real, sets.fake, k=self.k)


class Recall(BallMetric):
    """Share of the real samples within the k-NN ball of a generated one (Kynkaanniemi et al. 2019)"""

    name: Literal["recall"] = "recall"
    better: ClassVar[Better] = "more"
    k: int = Field(3, ge=1, le=1000)

    def of(self, sets: FeatureSets) -> float:
        from ...theory.features import precision

        return precision(sets.fake, sets.real, k=self.k)


class Density(BallMetric):
    """Real k-NN balls that hold a generated sample, on average, over k: about 1 for equal sets (Naeem et al. 2020)"""

    name: Literal["density"] = "density"

    def of(self, sets: FeatureSets) -> float:
        from ...theory.features import density

        return density(sets.real, sets.fake, k=self.k)


class Coverage(BallMetric):
    """Share of the real samples whose k-NN ball holds a generated one (Naeem et al. 2020)"""

    name: Literal["coverage"] = "coverage"
    better: ClassVar[Better] = "more"

    def of(self, sets: FeatureSets) -> float:
        from ...theory.features import coverage

        return coverage(sets.real, sets.fake, k=self.k)


class Memorisation(FeatureMetric):
    """Probability that a generated sample is nearer to the training set than a held-out one: 1/2 new, 1 copied"""

    name: Literal["memorisation"] = "memorisation"

    @property
    def least_samples(self) -> int:
        return 2

    def why_not(self, problem: Problem) -> str | None:
        if not problem.has_samples:
            return f"problem {problem.name} draws new samples at every step, so there is no training set to copy"
        return super().why_not(problem)

    def of(self, sets: FeatureSets) -> tuple[float, float]:
        from ...theory.features import share_closer

        held_out, fake = sets.from_training()
        estimate = share_closer(fake, held_out)
        return estimate.value, estimate.standard_error


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
    "frechet_distance": FrechetDistance,
    "kid": KID,
    "precision": Precision,
    "recall": Recall,
    "density": Density,
    "coverage": Coverage,
    "memorisation": Memorisation,
}
AnyMetric = Annotated[SerializeAsAny[Metric], BeforeValidator(chooser(Metric, METRICS, of_function=FunctionMetric))]
"""A metric as a job names it."""
