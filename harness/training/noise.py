"""From the noise a job names to the family that draws it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..job.parts.noise import Noise
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
