"""Noise of levels that differ between samples: each has a scale of its own, drawn from a few.

References:
  Jenni & Favaro (2019), "On stabilizing generative adversarial training with noise", arXiv:1906.04612: half have noise.
  Wang et al. (2022), "Diffusion-GAN: training GANs with diffusion", arXiv:2206.02262: those of a chain (`diffusion`).
"""

from __future__ import annotations

import functools
import itertools
import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from .noise import TRUNCATED, Isotropic, truncation_radius

_EXPONENTS = 80.0  # of what float32 holds: e^-87 is its least normal number


@dataclass(frozen=True)
class MixedLevels(Isotropic):
    """``eps = sigma m z``, z truncated, m drawn for each sample: ``levels`` m_j with probabilities ``weights`` w_j

    It has the density ``sum_j w_j m_j^-d phi(||eps|| / (sigma m_j)) / sigma^d`` and, where a level is 0, an atom
    besides: with that probability a sample stays as it is.

    Args:
      name: What a job calls it.
      levels: Multiples of sigma, distinct, in [0, 1], the largest 1.
      weights: Their probabilities, > 0, of sum 1.

    Raises:
      ValueError: If they are no such numbers.

    Example:
      Noise on half of the samples (Jenni & Favaro 2019) has half the variance.

      >>> MixedLevels("half", levels=(0.0, 1.0), weights=(0.5, 0.5)).variance(sigma=2.0, dimension=3)
      6.0
    """

    name: str
    levels: tuple[float, ...]
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.levels) != len(self.weights):
            raise ValueError(f"there are {len(self.levels)} levels and {len(self.weights)} weights; give one for each")
        distinct = len(set(self.levels)) == len(self.levels)
        if not (distinct and self.levels and min(self.levels) >= 0 and max(self.levels) == 1):
            raise ValueError(f"levels must be distinct and in [0, 1], the largest 1; got {list(self.levels)}")
        if not (min(self.weights) > 0 and math.isclose(sum(self.weights), 1, rel_tol=1e-9)):
            raise ValueError(f"weights must be > 0 and their sum 1; got {list(self.weights)}")

    @property
    def clean(self) -> float:
        """The probability of level 0, the mass of the atom."""
        return dict(zip(self.levels, self.weights, strict=True)).get(0.0, 0.0)

    @functools.cached_property
    def continuous(self) -> MixedLevels:
        """The noise given that its level is not 0: the part that has a density."""
        if self.clean == 0:
            return self
        kept = [(level, weight) for level, weight in zip(self.levels, self.weights, strict=True) if level > 0]
        total = sum(weight for _, weight in kept)
        return MixedLevels(self.name, tuple(m for m, _ in kept), tuple(weight / total for _, weight in kept))

    def unit(self, num: int, dimension: int, *, generator: Generator) -> Tensor:
        return self._scaled(TRUNCATED.unit(num, dimension, generator=generator), generator)

    def training_draws(self, *shape: int, generator: Generator) -> Tensor:
        return self._scaled(TRUNCATED.training_draws(*shape, generator=generator), generator)

    def log_kernel(self, squared: Tensor, *, dimension: int) -> Tensor:
        """Log density, up to a constant, of the `continuous` part."""
        pairs = zip(self.continuous.levels, self.continuous.weights, strict=True)
        heights = {level: math.log(weight) - dimension * math.log(level) for level, weight in pairs}
        highest, reach = max(heights.values()), truncation_radius(sigma=1.0, dimension=dimension) ** 2 / 2

        def part(level: float, height: float) -> Tensor:
            return TRUNCATED.log_kernel(squared / level**2, dimension=dimension).add_(height)

        if len(heights) > 1 and highest - min(heights.values()) + reach < _EXPONENTS:  # several times as fast
            total = torch.zeros_like(squared)
            for level, height in heights.items():
                total = total.add_(part(level, height - highest).exp_())
            return total.log_().add_(highest)
        return functools.reduce(torch.logaddexp, itertools.starmap(part, heights.items()))

    def variance(self, *, sigma: float, dimension: int) -> float:
        """``sum_j w_j m_j^2 d sigma^2``"""
        return self._mean(2) * TRUNCATED.variance(sigma=sigma, dimension=dimension)

    def mean_norm(self, *, sigma: float, dimension: int) -> float:
        """``sum_j w_j m_j`` of the truncated Gaussian's"""
        return self._mean(1) * TRUNCATED.mean_norm(sigma=sigma, dimension=dimension)

    def radius(self, *, sigma: float, dimension: int) -> float:
        """That of the largest level."""
        return TRUNCATED.radius(sigma=sigma, dimension=dimension)

    def _mean(self, power: int) -> float:
        return sum(weight * level**power for level, weight in zip(self.levels, self.weights, strict=True))

    def _scaled(self, draws: Tensor, generator: Generator) -> Tensor:
        """Unit draws ``[..., d]`` times a level for each, drawn after them."""
        chosen = torch.rand(draws.shape[:-1], generator=generator, device=draws.device)
        limits, levels = self._table(draws.device)
        return draws * levels[torch.bucketize(chosen, limits, right=True)].to(draws)[..., None]

    def _table(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Where in [0, 1) one level ends and the next begins, and the levels; made once for a device."""
        if device not in self._tables:
            limits = torch.tensor(self.weights, dtype=torch.float64).cumsum(0)[:-1].float()
            self._tables[device] = limits.to(device), torch.tensor(self.levels, dtype=torch.float64, device=device)
        return self._tables[device]

    @functools.cached_property
    def _tables(self) -> dict[torch.device, tuple[Tensor, Tensor]]:
        return {}
