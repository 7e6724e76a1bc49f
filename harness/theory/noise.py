"""Families of instance noise: draws, densities and moments.

Every family is a distribution of unit noise ``z`` in d dimensions; noise of scale ``sigma`` is ``sigma z``.

    truncated         N(0, I) given ||z|| <= sqrt(d) + 5: bounded support, as Theorem 3.3 asks; the default, since the
                      bounds of the theorem hold for no other. Truncation loses less than 2e-9 of the probability.
    gaussian          N(0, I)
    full_covariance   N(0, S)
    cauchy            density ~ (1 + ||z||^2)^(-(d+1)/2): heavy tails, no mean, no variance

Truncated noise whose scale differs between samples is in `levels`.

A density enters divergences only through ratios, as a function of the squared distance ``||L^-1 (x - c)||^2 / sigma^2``
from a centre c, with ``L L^T`` the covariance of the unit noise (I, but for full_covariance).

References:
  Arjovsky & Bottou (2017), Corollary 3.1 (the three families), Theorem 3.3 and footnote 6; arXiv:1701.04862.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from scipy.special import gammainc, gammaln
from torch import Generator, Tensor
from torch.nn import functional


class Noise(Protocol):
    """A family of noise. `name` is what a job calls it."""

    @property
    def name(self) -> str: ...

    def unit(self, num: int, dimension: int, *, generator: Generator) -> Tensor:
        """Exact draws of unit noise: ``[num, dimension]``, float64. May synchronise with the device."""
        ...

    def training_draws(self, *shape: int, generator: Generator) -> Tensor:
        """Draws of unit noise for a training step, float32: ``[*shape]``, a sample per row. Never synchronises."""
        ...

    def log_kernel(self, squared: Tensor, *, dimension: int) -> Tensor:
        """Log density, up to a constant, at squared whitened distances in units of sigma^2; may reuse its argument."""
        ...

    def whiten(self, points: Tensor) -> Tensor:
        """``L^-1 x`` for every point ``[n, d]``, float64."""
        ...

    def colour(self, points: Tensor) -> Tensor:
        """``L x`` for every point ``[n, d]``, float64; the inverse of `whiten`."""
        ...

    def variance(self, *, sigma: float, dimension: int) -> float:
        """``V = E||eps||^2``, data units squared; infinite where there is none."""
        ...

    def mean_norm(self, *, sigma: float, dimension: int) -> float:
        """``E||eps||`` or an upper bound of it, data units; infinite where there is none."""
        ...

    def radius(self, *, sigma: float, dimension: int) -> float:
        """R, of the ball that holds the noise; infinite where none does."""
        ...


class Isotropic:
    """What the families with covariance ``I`` have in common."""

    def whiten(self, points: Tensor) -> Tensor:
        return points

    def colour(self, points: Tensor) -> Tensor:
        return points


class _Normal:
    """What the untruncated Gaussian families have in common."""

    def log_kernel(self, squared: Tensor, *, dimension: int) -> Tensor:
        return squared.mul_(-0.5)

    def radius(self, *, sigma: float, dimension: int) -> float:
        return math.inf if sigma > 0 else 0.0


@dataclass(frozen=True)
class Truncated(Isotropic):
    """``eps ~ N(0, sigma^2 I)`` given ``||eps|| <= sigma (sqrt(d) + 5)``; the default, for which all bounds hold"""

    name = "truncated"

    def unit(self, num: int, dimension: int, *, generator: Generator) -> Tensor:
        return sample_truncated(num, dimension, generator=generator)

    def training_draws(self, *shape: int, generator: Generator) -> Tensor:
        return confine(_normal(*shape, generator=generator), dimension=shape[-1])

    def log_kernel(self, squared: Tensor, *, dimension: int) -> Tensor:
        rounding = max(1e-12, 8 * torch.finfo(squared.dtype).eps)
        largest = truncation_radius(sigma=1.0, dimension=dimension) ** 2 * (1 + rounding)
        return functional.threshold(squared.mul_(-0.5), -0.5 * largest, -math.inf, inplace=True)

    def variance(self, *, sigma: float, dimension: int) -> float:
        return noise_variance(sigma=sigma, dimension=dimension)

    def mean_norm(self, *, sigma: float, dimension: int) -> float:
        return mean_noise_norm(sigma=sigma, dimension=dimension)

    def radius(self, *, sigma: float, dimension: int) -> float:
        return truncation_radius(sigma=sigma, dimension=dimension)


@dataclass(frozen=True)
class Gaussian(Isotropic, _Normal):
    """``eps ~ N(0, sigma^2 I)``; unbounded, so of the full bounds only `weighted` holds"""

    name = "gaussian"

    def unit(self, num: int, dimension: int, *, generator: Generator) -> Tensor:
        return _normal(num, dimension, generator=generator, double=True)

    def training_draws(self, *shape: int, generator: Generator) -> Tensor:
        return _normal(*shape, generator=generator)

    def variance(self, *, sigma: float, dimension: int) -> float:
        return noise_variance(sigma=sigma, dimension=dimension)

    def mean_norm(self, *, sigma: float, dimension: int) -> float:
        """``sigma sqrt 2 Gamma((d+1)/2) / Gamma(d/2)``"""
        return sigma * _mean_of_chi(dimension)


@dataclass(frozen=True)
class FullCovariance(_Normal):
    """``eps ~ N(0, sigma^2 S)``, S the data's own covariance or a given one; unbounded, only `weighted` holds

    Args:
      covariance: S, at sigma = 1, ``[d, d]``, symmetric and positive definite.
    """

    covariance: Sequence[Sequence[float]] | Tensor
    name = "full_covariance"

    def __post_init__(self) -> None:
        matrix = torch.as_tensor(self.covariance, dtype=torch.float64)
        if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
            raise ValueError(f"a covariance must be a square matrix, got shape {list(matrix.shape)}")
        if not torch.allclose(matrix, matrix.mT) or bool(torch.linalg.cholesky_ex(matrix).info > 0):
            raise ValueError("a covariance must be symmetric and positive definite")

    @functools.cached_property
    def _single(self) -> dict[object, Tensor]:
        """`factor` as float32, by device: converted once, not at every step."""
        return {}

    @functools.cached_property
    def factor(self) -> Tensor:
        """L, lower triangular, with ``L L^T = S``: ``[d, d]``, float64, where the covariance is."""
        factor: Tensor = torch.linalg.cholesky(torch.as_tensor(self.covariance, dtype=torch.float64))
        return factor

    def unit(self, num: int, dimension: int, *, generator: Generator) -> Tensor:
        return self.colour(_normal(num, self._check(dimension), generator=generator, double=True))

    def training_draws(self, *shape: int, generator: Generator) -> Tensor:
        self._check(shape[-1])
        draws = _normal(*shape, generator=generator)
        if draws.device not in self._single:
            self._single[draws.device] = self.factor.to(draws)
        return draws @ self._single[draws.device].mT

    def whiten(self, points: Tensor) -> Tensor:
        self._check(points.shape[1])
        whitened: Tensor = torch.linalg.solve_triangular(self.factor.to(points), points.mT, upper=False).mT
        return whitened

    def colour(self, points: Tensor) -> Tensor:
        return points @ self.factor.to(points).mT

    def variance(self, *, sigma: float, dimension: int) -> float:
        """``sigma^2 tr S``"""
        return sigma * sigma * float(self.factor.square().sum())

    def mean_norm(self, *, sigma: float, dimension: int) -> float:
        """At most ``sqrt(V)``, which stands for it: the exact value has no closed form."""
        return math.sqrt(self.variance(sigma=sigma, dimension=dimension))

    def _check(self, dimension: int) -> int:
        if dimension != len(self.factor):
            raise ValueError(
                f"the covariance is {len(self.factor)}-dimensional, the samples are {dimension}-dimensional"
            )
        return dimension


@dataclass(frozen=True)
class Cauchy(Isotropic):
    """``density ~ (1 + ||eps||^2 / sigma^2)^(-(d+1)/2)``; no mean, so no full bound holds"""

    name = "cauchy"

    def unit(self, num: int, dimension: int, *, generator: Generator) -> Tensor:
        return _as_cauchy(_normal(num, dimension + 1, generator=generator, double=True))

    def training_draws(self, *shape: int, generator: Generator) -> Tensor:
        return _as_cauchy(_normal(*shape[:-1], shape[-1] + 1, generator=generator))

    def log_kernel(self, squared: Tensor, *, dimension: int) -> Tensor:
        return squared.log1p_().mul_(-(dimension + 1) / 2)

    def variance(self, *, sigma: float, dimension: int) -> float:
        return math.inf if sigma > 0 else 0.0

    mean_norm = variance
    radius = variance


TRUNCATED = Truncated()
GAUSSIAN = Gaussian()
ISOTROPIC = (Truncated, Gaussian, Cauchy)
"""Families whose whitening changes nothing."""
NORMAL = (Truncated, Gaussian, FullCovariance)
"""Families whose log density is ``-||z||^2 / 2`` where it is not -inf."""


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


# --- the truncated Gaussian --------------------------------------------------------------------------------------


def truncation_radius(*, sigma: float, dimension: int) -> float:
    """``R = sigma (sqrt(d) + 5)``, data units."""
    return sigma * (math.sqrt(dimension) + 5.0)


def noise_variance(*, sigma: float, dimension: int) -> float:
    """``V = E||eps||^2 = d sigma^2`` of the untruncated Gaussian, which bounds the truncated one's."""
    return dimension * sigma * sigma


def mean_noise_norm(*, sigma: float, dimension: int) -> float:
    """``E||eps||`` of the truncated Gaussian, by incomplete gamma functions.

    ``sigma sqrt 2 Gamma((d+1)/2)/Gamma(d/2) * P((d+1)/2, rho) / P(d/2, rho)``, ``rho = R^2 / (2 sigma^2)``.
    """
    rho = truncation_radius(sigma=1.0, dimension=dimension) ** 2 / 2
    return sigma * _mean_of_chi(dimension) * float(gammainc((dimension + 1) / 2, rho) / gammainc(dimension / 2, rho))


def sample_truncated(num: int, dimension: int, *, generator: Generator) -> Tensor:
    """Draws of unit noise (sigma = 1), exact by rejection: shape ``[num, dimension]``, float64.

    Synchronises with the device; for the training step use `confine` on plain Gaussian draws.
    """
    radius = truncation_radius(sigma=1.0, dimension=dimension)
    draws = _normal(num, dimension, generator=generator, double=True)
    while (outside := torch.linalg.vector_norm(draws, dim=1) > radius).any():
        draws[outside] = _normal(int(outside.sum()), dimension, generator=generator, double=True)
    return draws


def confine(draws: Tensor, *, dimension: int) -> Tensor:
    """Unit Gaussian draws with those outside the truncation ball pulled back to its surface.

    Differs from `sample_truncated` with probability below 2e-9 a draw, and never synchronises.

    Args:
      draws: Standard normal, shape ``[..., *sample]`` with the last axes of a sample flattened: ``[..., d]``.
      dimension: ``d``.
    """
    radius = truncation_radius(sigma=1.0, dimension=dimension)
    scale: Tensor = (radius / draws.norm(dim=-1, keepdim=True)).clamp(max=1.0)
    return draws * scale


def _normal(*shape: int, generator: Generator, double: bool = False) -> Tensor:
    dtype = torch.float64 if double else torch.float32
    return torch.randn(*shape, generator=generator, device=generator.device, dtype=dtype)


def _as_cauchy(draws: Tensor) -> Tensor:
    """Standard normal ``[..., d + 1]`` to multivariate Cauchy ``[..., d]``: a normal vector over a normal number."""
    # float32 draws are exactly 0 once in 2^24; that mass lies below 2^-24
    return draws[..., :-1] / draws[..., -1:].abs().clamp_min(2.0**-24)


def _mean_of_chi(dimension: int) -> float:
    """``E||z||`` of a standard normal vector, ``sqrt 2 Gamma((d+1)/2) / Gamma(d/2)``."""
    return math.sqrt(2) * math.exp(gammaln((dimension + 1) / 2) - gammaln(dimension / 2))
