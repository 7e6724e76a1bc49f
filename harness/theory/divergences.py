"""Divergences of *noisy sample sets*, exact up to Monte Carlo error.

The empirical measures of ``real`` and ``fake``, convolved with truncated Gaussian noise, are finite mixtures with
known centres (Theorem 3.1, Corollary 3.1). Their densities p and q are a logsumexp over centres, so the optimal
discriminator D* = p / (p + q) is known and no trained network can fool the estimate:

    JSD = 1/2 E_p[log 2 D*] + 1/2 E_q[log 2 (1 - D*)]        TV = E_{(p+q)/2} |2 D* - 1|
    KL(p||q) = E_p[log p/q]        KL(q||p) = E_q[log q/p]        M = Int ||x - x0|| |p - q| dx, x0 the pooled mean

References:
  Arjovsky & Bottou (2017), section 3; arXiv:1701.04862.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .noise import sample_truncated, truncation_radius

if TYPE_CHECKING:
    from torch import Generator, Tensor

LOG2 = math.log(2.0)
_LARGEST_EXPONENT = 650.0  # sums of millions stay finite; a centre nearer than that settles the logit anyway
_CHUNK_ELEMENTS = 2**18  # of a chunk's kernel matrix: 2 MB, which stays in cache


@dataclass(frozen=True)
class Estimate:
    """A Monte Carlo estimate. `standard_error` is 0 where the value is exact."""

    value: float
    standard_error: float


@dataclass(frozen=True)
class NoisyDivergence:
    """How two noisy sample sets differ at one sigma (data units).

    Attributes:
      jsd: Jensen-Shannon divergence, nats.
      tv: Total variation.
      kl_real_fake, kl_fake_real: Kullback-Leibler divergences KL(p||q) and KL(q||p), nats; infinite where a draw of one
        measure lies outside the support of the other.
      weighted_tv: ``Int ||x - x0|| |p - q| dx``, data units; it bounds W1 of the noisy measures (Villani 2009, Theorem
        6.15).
    """

    sigma: float
    jsd: Estimate
    tv: Estimate
    kl_real_fake: Estimate
    kl_fake_real: Estimate
    weighted_tv: Estimate


def noisy_divergences(
    real: Tensor, fake: Tensor, *, sigmas: Sequence[float], num_draws: int, generator: Generator
) -> list[NoisyDivergence]:
    """Jensen-Shannon divergence and total variation of two sample sets after truncated Gaussian noise.

    All sigmas share the same unit draws (common random numbers), so one matrix product serves them all and the
    values are smooth in sigma. Centres are drawn evenly, which lowers the variance; the reported standard error is
    that of independent draws, hence on the safe side.

    Args:
      real: Samples, shape ``[n, d]``, data units.
      fake: Samples, shape ``[m, d]``.
      sigmas: Noise standard deviations, data units, >= 0. At 0 the value is that of the discrete measures.
      num_draws: Draws from each noisy measure.
      generator: Source of the draws; its device is where the work is done.

    Returns:
      One `NoisyDivergence` a sigma, in the given order.

    Raises:
      ValueError: If the dimensions differ, a sample is not finite, or a sigma is negative.
    """
    import torch

    if real.shape[1] != fake.shape[1]:
        raise ValueError(f"dimensions differ: real has {real.shape[1]}, fake has {fake.shape[1]}")
    if any(not (sigma >= 0 and math.isfinite(sigma)) for sigma in sigmas):
        raise ValueError(f"sigmas must be finite and >= 0, got {list(sigmas)}")
    centres = torch.cat([real, fake]).to(generator.device, torch.float64)
    if not bool(torch.isfinite(centres).all()):
        raise ValueError("samples must be finite")
    centres = centres - centres.mean(0)
    positive = [sigma for sigma in sigmas if sigma > 0]
    on_real, on_fake = (
        _Draws.make(centres, len(real), own, sigmas=positive, num_draws=num_draws, generator=generator)
        for own in (slice(0, len(real)), slice(len(real), len(centres)))
    )
    noisy = {sigma: _from_draws(sigma, on_real, on_fake, column) for column, sigma in enumerate(positive)}
    return [noisy[sigma] if sigma > 0 else discrete_divergence(real, fake) for sigma in sigmas]


def discrete_divergence(real: Tensor, fake: Tensor) -> NoisyDivergence:
    """The same of the empirical measures themselves (sigma = 0): JSD log 2 and TV 1 without common points."""
    import torch

    points, index = torch.unique(torch.cat([real, fake]).double(), dim=0, return_inverse=True)
    p = torch.bincount(index[: len(real)], minlength=len(points)).double() / len(real)
    q = torch.bincount(index[len(real) :], minlength=len(points)).double() / len(fake)
    middle = (p + q) / 2
    distance = (points - torch.cat([real, fake]).double().mean(0)).norm(dim=1)
    has_common_points = bool(((p > 0) & (q > 0)).any())
    jsd = float((torch.xlogy(p, p / middle) + torch.xlogy(q, q / middle)).sum() / 2) if has_common_points else LOG2
    return NoisyDivergence(
        sigma=0.0,
        jsd=Estimate(jsd, 0.0),
        tv=Estimate(float((p - q).abs().sum() / 2) if has_common_points else 1.0, 0.0),
        kl_real_fake=Estimate(float(torch.xlogy(p, p / q).sum()), 0.0),
        kl_fake_real=Estimate(float(torch.xlogy(q, q / p).sum()), 0.0),
        weighted_tv=Estimate(float((distance * (p - q).abs()).sum()), 0.0),
    )


@dataclass(frozen=True)
class _Draws:
    """At draws x from one noisy measure: ``log p(x) - log q(x)`` and ``||x - x0||``, ``[num_draws, s]`` each."""

    logits: Tensor
    distances: Tensor

    @staticmethod
    def make(
        centres: Tensor,
        num_real: int,
        own: slice,
        *,
        sigmas: Sequence[float],
        num_draws: int,
        generator: Generator,
    ) -> _Draws:
        """Draws from the noisy measure of ``centres[own]``; the pooled mean of the centres is 0."""
        import torch

        dimension = centres.shape[1]
        squared_radius = truncation_radius(sigma=1.0, dimension=dimension) ** 2 * (1 + 1e-12)
        log_odds_of_sizes = math.log(len(centres) - num_real) - math.log(num_real)
        squared_norms = centres.square().sum(1)
        logits = torch.empty(num_draws, len(sigmas), dtype=torch.float64, device=centres.device)
        squared_distances = torch.empty_like(logits)
        for rows, chosen in _balanced_chunks(own, num_draws, len(centres), generator):
            noise = sample_truncated(len(chosen), dimension, generator=generator)
            squared_lengths = noise.square().sum(1, keepdim=True)
            # with s = sigma and x = c_i + s z:
            #   (||x - c_j||^2 - ||x - c_i||^2) / s^2 = ||c_i - c_j||^2 / s^2 + 2 z.(c_i - c_j) / s
            between = (squared_norms[chosen, None] + squared_norms - 2 * centres[chosen] @ centres.T).clamp_(min=0)
            between.scatter_(1, chosen[:, None], 0.0)
            products = noise @ centres.T  # [chunk, n + m]
            along_own = products.gather(1, chosen[:, None])
            products = along_own - products
            least = (squared_lengths - squared_radius).mul_(0.5).clamp_(max=0)
            for column, sigma in enumerate(sigmas):
                # log of the kernel of c_j relative to the own centre's, whose entry is 0
                log_kernel = (between * (-0.5 / sigma**2)).add_(products, alpha=-1 / sigma)
                log_kernel.clamp_(max=_LARGEST_EXPONENT)
                kernel = log_kernel.masked_fill_(log_kernel < least, -math.inf).exp_()
                logits[rows, column] = kernel[:, :num_real].sum(1).log_() - kernel[:, num_real:].sum(1).log_()
                squared_distances[rows, column] = (
                    squared_norms[chosen] + (2 * sigma * along_own + sigma**2 * squared_lengths)[:, 0]
                )
        return _Draws(logits + log_odds_of_sizes, squared_distances.clamp_(min=0).sqrt_())


def _balanced_chunks(
    own: slice, num_draws: int, num_centres: int, generator: Generator
) -> Iterator[tuple[slice, Tensor]]:
    """Row ranges and the centres drawn for them: every centre of `own` equally often, the rest at random."""
    import torch

    num_own = own.stop - own.start
    repeats = -(-num_draws // num_own)
    order = torch.cat([torch.randperm(num_own, generator=generator, device=generator.device) for _ in range(repeats)])[
        :num_draws
    ]
    chunk = max(1, _CHUNK_ELEMENTS // num_centres)
    for start in range(0, num_draws, chunk):
        rows = slice(start, min(start + chunk, num_draws))
        yield rows, order[rows] + own.start


def _from_draws(sigma: float, real: _Draws, fake: _Draws, column: int) -> NoisyDivergence:
    """All divergences at one sigma from the optimal logits, which may be infinite, at draws of either measure."""
    on_real, on_fake = real.logits[:, column], fake.logits[:, column]
    zero = on_real.new_zeros(())
    signed = [(logits / 2).tanh().abs() for logits in (on_real, on_fake)]  # |p - q| / (p + q)
    return NoisyDivergence(
        sigma=sigma,
        jsd=_mean_of_both(LOG2 - zero.logaddexp(-on_real), LOG2 - zero.logaddexp(on_fake)),
        tv=_mean_of_both(*signed),
        kl_real_fake=_mean(on_real),
        kl_fake_real=_mean(-on_fake),
        weighted_tv=_mean_of_both(2 * real.distances[:, column] * signed[0], 2 * fake.distances[:, column] * signed[1]),
    )


def _mean(values: Tensor) -> Estimate:
    mean = float(values.mean())
    if math.isinf(mean):
        return Estimate(mean, 0.0)
    return Estimate(mean, math.sqrt(float(values.var() / len(values))))


def _mean_of_both(on_real: Tensor, on_fake: Tensor) -> Estimate:
    real, fake = _mean(on_real), _mean(on_fake)
    return Estimate((real.value + fake.value) / 2, math.hypot(real.standard_error, fake.standard_error) / 2)
