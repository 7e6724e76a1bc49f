"""From the noise a job names to the family that draws it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from .components import AnyNoise, FullCovarianceNoise
from .identity import stream_seed
from .problems.sources import Source
from .theory.noise import NOISES, FullCovariance, Noise


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


def data_covariance(samples: Tensor) -> Tensor:
    """Nine parts of the samples' covariance, scaled to trace d, and one part identity: ``[n, d] -> [d, d]``.

    Raises:
      ValueError: If the samples are all the same.
    """
    dimension = samples.shape[1]
    centred = (samples - samples.mean(0)).double()
    covariance = centred.mT @ centred / (len(samples) - 1)
    if not covariance.diagonal().sum() > 0:
        raise ValueError("full_covariance noise needs samples that differ from each other; use another family")
    scaled = covariance * (dimension / covariance.diagonal().sum())
    return 0.9 * scaled + 0.1 * torch.eye(dimension, dtype=torch.float64, device=samples.device)
