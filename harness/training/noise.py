"""From the noise a job names to the family that draws it."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Generator, Tensor

from ..identity import stream_seed
from ..job.parts.noise import AnyNoise, FullCovarianceNoise
from ..problems.sources import Source
from ..theory.noise import NOISES, FullCovariance, Noise, data_covariance


def make_noises(specs: Sequence[AnyNoise], source: Source) -> list[Noise]:
    """The family of each member; members that name the same share it."""
    made = {spec: make_noise(spec, source) for spec in dict.fromkeys(specs)}
    return [made[spec] for spec in specs]


def make_noise(spec: AnyNoise, source: Source) -> Noise:
    """A family of noise for the samples of a problem.

    Raises:
      ValueError: If a covariance does not fit the samples.
    """
    if not isinstance(spec, FullCovarianceNoise):
        return NOISES[spec.name]()  # type: ignore[call-arg]
    if spec.covariance == "data":
        return FullCovariance(data_covariance(_training_samples(source, 10_000).flatten(1)))
    return FullCovariance(spec.covariance)


def _training_samples(source: Source, num: int) -> Tensor:
    """Samples that are not the held-out ones, the same at every call: ``[at most num, *shape]``."""
    if source.training is not None:
        return source.training[:num]
    assert source.draw is not None
    return source.draw(num, Generator(source.device).manual_seed(stream_seed("covariance")))
