"""From the noise a job names to the family that draws it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from ..job.parts.noise import Noise, NoiseOn
from ..problems.sources import Source
from ..theory.noise import Noise as NoiseFamily


def noise_families(specs: Sequence[Noise], source: Source) -> list[NoiseFamily]:
    """The family of each member; members that name the same share it.

    Raises:
      ValueError: If a covariance does not fit the samples.
    """
    made = {spec: spec.family(source.training_samples) for spec in dict.fromkeys(specs)}
    return [made[spec] for spec in specs]


def drawn_families(specs: Sequence[Noise], source: Source, *, is_noisy: Iterable[bool]) -> list[NoiseFamily] | None:
    """The family of each member; None where no member ever has sigma > 0, so that nothing is drawn."""
    return noise_families(specs, source) if any(is_noisy) else None


class GeneratorNoise:
    """sigma in the generators' steps: that of the discriminators', but 0 for members with noise in those alone."""

    def __init__(self, noise_on: Sequence[NoiseOn], device: torch.device) -> None:
        self._is_noisy = torch.tensor([players == "both" for players in noise_on], device=device)
        self.differs = "discriminator" in noise_on

    def sigma(self, sigma: Tensor) -> Tensor | None:
        """Of every member ``[k]``; None where it is the discriminators' for all."""
        return sigma * self._is_noisy if self.differs else None
