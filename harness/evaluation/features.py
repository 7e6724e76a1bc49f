"""The features of a problem's samples and of generated ones, each computed once."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import safetensors.torch
import torch
from torch import Tensor

from ..job.parts.features import Features
from ..job.parts.metrics import FeatureSets
from ..job.parts.problem import Problem
from ..problems.sources import Source
from ..storage.snapshots import Networks
from ..theory.features import nearest_distances

_AT_ONCE = 1000  # samples that a feature space is given


class FeatureSpaces:
    """The feature spaces of a problem, and its real samples in each.

    Args:
      source: Of the problem's samples.
      held_out: Those that metrics compare with, ``[n, *shape]``.
      networks: Those that are kept; without them each is trained anew.
    """

    def __init__(self, source: Source, held_out: Tensor, networks: Networks | None = None) -> None:
        self._source, self._held_out, self._networks = source, held_out, networks
        self._spaces: dict[str, _Space] = {}

    def generated(self, problem: Problem, fake: Tensor) -> GeneratedFeatures:
        """A generator's samples ``[m, *shape]``, beside the problem's."""
        return GeneratedFeatures(lambda features: self._space(features, problem), fake)

    def _space(self, features: Features, problem: Problem) -> _Space:
        """A feature space; made once."""
        if features.canonical not in self._spaces:
            extract = features.function(problem, self._source, self._kept)
            self._spaces[features.canonical] = _Space(features.name, extract, self._source, self._held_out)
        return self._spaces[features.canonical]

    def _kept(self, identity: str, make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        """Weights that are kept; where there are none, those just made, unless another worker's were there first."""
        if self._networks is None:
            return make()
        content = self._networks.read(identity)
        if content is None:
            made = bytes(safetensors.torch.save({name: value.contiguous() for name, value in make().items()}))
            self._networks.write(identity, made)
            content = self._networks.read(identity) or made
        weights: dict[str, Tensor] = safetensors.torch.load(content)
        return weights


class GeneratedFeatures:
    """The features of a generator's samples, in each space that is asked for.

    Args:
      space_of: Gives the spaces.
      fake: The samples ``[m, *shape]``, finite.
    """

    def __init__(self, space_of: Callable[[Features], _Space], fake: Tensor) -> None:
        self._space_of, self._fake = space_of, fake
        self._sets: dict[str, FeatureSets | None] = {}

    def sets(self, features: Features) -> FeatureSets | None:
        """Real and generated samples in a space; None where a generated one's features are not finite.

        Raises:
          ValueError: If features are not ``[n, f]``, or those of real samples are not finite.
        """
        if features.canonical not in self._sets:
            space = self._space_of(features)
            fake = space.of(self._fake)
            is_finite = bool(torch.isfinite(fake).all())
            self._sets[features.canonical] = (
                FeatureSets(space.held_out, fake, lambda: (space.held_out_from_training, space.from_training(fake)))
                if is_finite
                else None
            )
        return self._sets[features.canonical]


@dataclass(frozen=True)
class _Space:
    """A feature space, and the problem's samples there.

    Attributes:
      name: Of the space.
      extract: From samples to features.
      source, samples: All samples of the problem, and those that metrics compare with.
    """

    name: str
    extract: Callable[[Tensor], Tensor]
    source: Source
    samples: Tensor

    def of(self, samples: Tensor) -> Tensor:
        """Features ``[n, f]`` of ``[n, *shape]``."""
        found = torch.cat([self._checked(part, self.extract(part)) for part in samples.split(_AT_ONCE)])
        return found.detach()

    def from_training(self, features: Tensor) -> Tensor:
        """Distance of each from the nearest training sample, ``[n]``."""
        return nearest_distances(features, self._training)

    @functools.cached_property
    def held_out(self) -> Tensor:
        """Features of the held-out samples."""
        return self._of_real(self.samples)

    @functools.cached_property
    def held_out_from_training(self) -> Tensor:
        """Their distances from the training set."""
        return self.from_training(self.held_out)

    @functools.cached_property
    def _training(self) -> Tensor:
        if self.source.training is None:
            raise ValueError("there is no training set: the problem draws new samples at every step")
        return self._of_real(self.source.training)

    def _of_real(self, samples: Tensor) -> Tensor:
        features = self.of(samples)
        if not bool(torch.isfinite(features).all()):
            raise ValueError(f"feature space {self.name} gave features of real samples that are NaN or infinite")
        return features

    def _checked(self, samples: Tensor, features: Tensor) -> Tensor:
        if features.ndim != 2 or len(features) != len(samples) or not features.is_floating_point():
            raise ValueError(
                f"feature space {self.name} gave {features.dtype} of shape {list(features.shape)}; needed: real "
                f"numbers [{len(samples)}, f]"
            )
        return features
