"""Divergences of *noisy sample sets*, exact up to Monte Carlo error.

The empirical measures of ``real`` and ``fake``, convolved with instance noise, are finite mixtures with known centres
(Theorem 3.1, Corollary 3.1). Their densities p and q are a logsumexp over centres, so the optimal discriminator
D* = p / (p + q) is known and no trained network can fool the estimate:

    JSD = 1/2 E_p[log 2 D*] + 1/2 E_q[log 2 (1 - D*)]        TV = E_{(p+q)/2} |2 D* - 1|
    KL(p||q) = E_p[log p/q]        KL(q||p) = E_q[log q/p]        M = Int ||x - x0|| |p - q| dx, x0 the pooled mean

Noise that leaves samples as they are with a probability w (`MixedLevels` with a level 0) gives each measure an atom at
every sample, of which no density knows. The atoms and the rest are singular to each other, so that every divergence D
above is ``w D(P, Q) + (1 - w) D(p, q)``, with P and Q the discrete measures and p and q the densities of the rest.

References:
  Arjovsky & Bottou (2017), section 3; arXiv:1701.04862.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float64, Int64
from torch import Generator, Tensor

from .kernels import Centres, Draws, log_kernel_sums
from .levels import MixedLevels
from .noise import TRUNCATED, Noise, truncation_radius
from .samples import ProgressCallback, SampleSet, check_pair, chunks, pooled_mean, rows

LOG2 = math.log(2.0)


@dataclass(frozen=True)
class Estimate:
    """A Monte Carlo estimate. `standard_error` is 0 where the value is exact.

    Attributes:
      unseen: What a share of 1 / num_draws of the samples could add, all on one side, where not all samples were
        centres of draws: neither value nor standard error knows of those that were not.
    """

    value: float
    standard_error: float
    unseen: float = 0.0


@dataclass(frozen=True)
class NoisyDivergence:
    """How two noisy sample sets differ at one sigma (data units).

    Attributes:
      jsd: Jensen-Shannon divergence, nats.
      tv: Total variation.
      kl_real_fake, kl_fake_real: Kullback-Leibler divergences KL(p||q) and KL(q||p), nats. Under noise of bounded
        support they are infinite for almost any two sets: where no draw has shown that they are None, since a finite
        mean of draws would say nothing. Without noise they are those of the discrete measures.
      weighted_tv: ``Int ||x - x0|| |p - q| dx``, data units; it bounds W1 of the noisy measures (Villani 2009, Theorem
        6.15).
    """

    sigma: float
    jsd: Estimate
    tv: Estimate
    kl_real_fake: Estimate | None
    kl_fake_real: Estimate | None
    weighted_tv: Estimate


def noisy_divergences(
    real: SampleSet,
    fake: SampleSet,
    *,
    sigmas: Sequence[float],
    num_draws: int,
    generator: Generator,
    noise: Noise = TRUNCATED,
    progress: ProgressCallback | None = None,
) -> list[NoisyDivergence]:
    """Divergences of two sample sets after instance noise.

    All sigmas share the same unit draws (common random numbers), so one matrix product serves them all and the
    values are smooth in sigma. Centres are drawn evenly, which lowers the variance; the reported standard error is
    that of independent draws, hence on the safe side. Where there are fewer draws than samples, some are no centres
    (`Estimate.unseen`). The sets are read in parts: memory does not grow with them.

    Args:
      real: Samples, shape ``[n, d]``, data units.
      fake: Samples, shape ``[m, d]``.
      sigmas: Noise standard deviations, data units, >= 0. At 0 the value is that of the discrete measures.
      num_draws: Draws from each noisy measure, >= 2.
      generator: Source of the draws; its device is where the work is done.
      noise: Its family.
      progress: Told of the work done.

    Returns:
      One `NoisyDivergence` a sigma, in the given order.

    Raises:
      ValueError: If the dimensions differ, a sample is not finite, a sigma is negative, or there are too few draws.

    Example:
      Noise of 0.1 does not mix points at 0 and 1, noise of 10 hides their distance.

      >>> found = noisy_divergences(
      ...     torch.tensor([[0.0]]), torch.tensor([[1.0]]),
      ...     sigmas=[0.1, 10.0], num_draws=1000, generator=Generator().manual_seed(0),
      ... )
      >>> [round(divergence.jsd.value, 2) for divergence in found]
      [0.69, 0.0]
    """
    check_pair(real, fake)
    if any(not (sigma >= 0 and math.isfinite(sigma)) for sigma in sigmas):
        raise ValueError(f"sigmas must be finite and >= 0, got {list(sigmas)}")
    if num_draws < 2:
        raise ValueError(f"num_draws must be at least 2, got {num_draws}: one draw has no standard error")
    mean = pooled_mean(real, fake, device=generator.device)
    positive = list(dict.fromkeys(sigma for sigma in sigmas if sigma > 0))
    clean, noise = (noise.clean, noise.continuous) if isinstance(noise, MixedLevels) else (0.0, noise)
    noisy: dict[float, NoisyDivergence] = {}
    if clean or len(positive) < len(set(sigmas)):
        noisy[0.0] = discrete_divergence(real, fake)
    if positive:
        draws = _Draws.make(real, fake, mean, num_draws=num_draws, generator=generator, noise=noise)
        logits = draws.logits(real, fake, positive, progress=progress)
        distances = torch.stack([draws.distances(sigma) for sigma in positive])
        is_bounded = math.isfinite(noise.radius(sigma=1.0, dimension=real.shape[1]))
        unseen = [samples for samples in (real, fake) if num_draws < len(samples)]
        farthest = max(
            (float((part - mean).norm(dim=1).max()) for one in unseen for _, part in chunks(one, device=mean.device)),
            default=0.0,
        )
        for found in _from_draws(positive, logits.T.contiguous(), distances, is_bounded=is_bounded):
            if unseen:
                reach = farthest + found.sigma * truncation_radius(sigma=1.0, dimension=real.shape[1])
                found = _with_unseen(found, len(unseen) / (2 * num_draws), farthest=reach)
            noisy[found.sigma] = _with_atoms(found, noisy[0.0], clean) if clean else found
    return [noisy[sigma] for sigma in sigmas]


def discrete_divergence(real: SampleSet, fake: SampleSet) -> NoisyDivergence:
    """The same of the empirical measures themselves (sigma = 0): JSD log 2 and TV 1 without common points.

    Example:
      Half of either measure is common, so the JSD is ``log(2) / 2``.

      >>> found = discrete_divergence(torch.tensor([[0.0], [1.0]]), torch.tensor([[1.0], [2.0]]))
      >>> round(found.jsd.value, 4), found.tv.value, found.kl_real_fake
      (0.3466, 0.5, Estimate(value=inf, standard_error=0.0, unseen=0.0))
    """
    mean = pooled_mean(real, fake)
    masses: dict[bytes, list[float]] = {}
    distances: dict[bytes, float] = {}
    for which, samples in enumerate((real, fake)):
        for _, part in chunks(samples):
            lengths = (part - mean).norm(dim=1).tolist()
            for row, length in zip((part + 0.0).numpy(), lengths, strict=True):  # + 0.0: -0 and 0 are one point
                key = hashlib.blake2b(row.tobytes(), digest_size=16).digest()
                masses.setdefault(key, [0.0, 0.0])[which] += 1 / len(samples)
                distances[key] = length
    p, q = torch.tensor(list(masses.values()), dtype=torch.float64).unbind(1)
    distance = torch.tensor([distances[key] for key in masses], dtype=torch.float64)
    middle = (p + q) / 2
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


def _with_atoms(continuous: NoisyDivergence, discrete: NoisyDivergence, share: float) -> NoisyDivergence:
    """Of measures of which this share is discrete, and singular to the rest."""

    def together(of_atoms: Estimate, of_the_rest: Estimate) -> Estimate:
        value = share * of_atoms.value + (1 - share) * of_the_rest.value
        return Estimate(value, (1 - share) * of_the_rest.standard_error, (1 - share) * of_the_rest.unseen)

    def kl(of_atoms: Estimate | None, of_the_rest: Estimate | None) -> Estimate | None:
        """Infinite where either is, and the truncated noise of the rest leaves no other that a draw could tell."""
        is_infinite = any(part is not None and math.isinf(part.value) for part in (of_atoms, of_the_rest))
        return Estimate(math.inf, 0.0) if is_infinite else None

    return NoisyDivergence(
        continuous.sigma,
        jsd=together(discrete.jsd, continuous.jsd),
        tv=together(discrete.tv, continuous.tv),
        kl_real_fake=kl(discrete.kl_real_fake, continuous.kl_real_fake),
        kl_fake_real=kl(discrete.kl_fake_real, continuous.kl_fake_real),
        weighted_tv=together(discrete.weighted_tv, continuous.weighted_tv),
    )


@dataclass(frozen=True)
class _Draws:
    """Draws ``x = c + sigma z`` from both noisy measures: the first half from the real one, the second from the fake.

    Attributes:
      mean: The pooled mean x0.
      centres: Whitened, about the pooled mean.
      units: Whitened unit noise z.
      lengths: ``||c||^2``, ``c.z`` and ``||z||^2`` in data units (not whitened).
    """

    noise: Noise
    mean: Float64[Tensor, " d"]
    centres: Float64[Tensor, "k d"]
    units: Float64[Tensor, "k d"]
    lengths: Float64[Tensor, "3 k"]

    @staticmethod
    def make(
        real: SampleSet,
        fake: SampleSet,
        mean: Float64[Tensor, " d"],
        *,
        num_draws: int,
        generator: Generator,
        noise: Noise,
    ) -> _Draws:
        device, dimension = generator.device, real.shape[1]
        chosen = [_balanced(len(samples), num_draws, generator) for samples in (real, fake)]
        units = noise.unit(2 * num_draws, dimension, generator=generator)
        centres = torch.cat(
            [rows(samples, index, device=device) - mean for samples, index in zip((real, fake), chosen, strict=True)]
        )
        lengths = torch.stack([centres.square().sum(1), (centres * units).sum(1), units.square().sum(1)])
        return _Draws(noise, mean, noise.whiten(centres), noise.whiten(units), lengths)

    def distances(self, sigma: float) -> Float64[Tensor, " k"]:
        """``||x - x0||`` of every draw at this sigma, data units."""
        centre, along, unit = self.lengths
        squared: Tensor = centre + 2 * sigma * along + sigma**2 * unit
        return squared.clamp(min=0).sqrt()

    def logits(
        self, real: SampleSet, fake: SampleSet, sigmas: Sequence[float], *, progress: ProgressCallback | None
    ) -> Float64[Tensor, "k {len(sigmas)}"]:
        """``log p(x) - log q(x)`` of every draw at every sigma, possibly infinite."""
        num, device = len(self.centres), self.centres.device
        descending = sorted(sigmas, reverse=True)
        sums = torch.full((2, num, len(sigmas)), -math.inf, dtype=torch.float64, device=device)
        blocks = list(Draws(self.centres, self.units).in_blocks())
        read, total = 0, len(real) + len(fake)
        for which, samples in enumerate((real, fake)):
            for _, points in chunks(samples, device=device):
                others = Centres(self.noise.whiten(points - self.mean))
                for index, draws in blocks:
                    found = log_kernel_sums(draws, others, sigmas=descending, noise=self.noise)
                    sums[which, index] = torch.logaddexp(sums[which, index], found)
                read += len(points)
                if progress is not None:
                    progress(read / total)
        logits: Tensor = sums[0] - sums[1] + (math.log(len(fake)) - math.log(len(real)))
        return logits[:, [descending.index(sigma) for sigma in sigmas]]


def _balanced(num_own: int, num_draws: int, generator: Generator) -> Int64[Tensor, " {num_draws}"]:
    """Rows of a set of `num_own`: every one equally often, the rest at random."""
    repeats = -(-num_draws // num_own)
    return torch.cat([torch.randperm(num_own, generator=generator, device=generator.device) for _ in range(repeats)])[
        :num_draws
    ]


def _from_draws(
    sigmas: Sequence[float],
    logits: Float64[Tensor, "{len(sigmas)} k"],
    distances: Float64[Tensor, "{len(sigmas)} k"],
    *,
    is_bounded: bool,
) -> list[NoisyDivergence]:
    """All divergences at each sigma from the optimal logits, which may be infinite, and the distances."""
    signed = (logits / 2).tanh().abs()  # |p - q| / (p + q)
    on_both = torch.stack([LOG2 - _entropy(logits), signed, 2 * distances * signed])  # [3, sigmas, k]
    mean, error = _means(on_both.unflatten(2, (2, -1)))  # [3, sigmas, 2]
    of_both = torch.stack([mean.mean(2), error.square().sum(2).sqrt() / 2])
    on_real, on_fake = logits.chunk(2, dim=1)
    of_one = torch.stack(_means(torch.stack([on_real, -on_fake])))  # [2, 2, sigmas]
    jsd, tv, weighted, real_fake, fake_real = (
        [Estimate(*pair) for pair in zip(*column, strict=True)]
        for column in torch.cat([of_both, of_one], dim=1).transpose(0, 1).tolist()
    )
    forward, backward = (
        [None if is_bounded and math.isfinite(kl.value) else kl for kl in kls] for kls in (real_fake, fake_real)
    )
    columns = zip(sigmas, jsd, tv, forward, backward, weighted, strict=True)
    return [NoisyDivergence(*column) for column in columns]


def _with_unseen(found: NoisyDivergence, share: float, *, farthest: float) -> NoisyDivergence:
    """The estimates with what samples could add that are the centres of no draw.

    A draw's value is at most log 2, 1, and twice its distance from x0.

    Args:
      share: Of both measures together: half of 1 / num_draws for each that has such samples.
      farthest: From x0 that a draw may be, data units.
    """
    return replace(
        found,
        jsd=replace(found.jsd, unseen=share * LOG2),
        tv=replace(found.tv, unseen=share),
        weighted_tv=replace(found.weighted_tv, unseen=share * 2 * farthest),
    )


def _means(values: Float64[Tensor, "*a num"]) -> tuple[Float64[Tensor, "*a"], Float64[Tensor, "*a"]]:
    """Means over draws and their standard errors; no error of an infinite mean."""
    mean = values.mean(-1)
    return mean, torch.where(mean.isinf(), 0.0, (values.var(-1) / values.shape[-1]).sqrt())


def _entropy(logits: Float64[Tensor, "*k"]) -> Float64[Tensor, "*k"]:
    """Entropy of which set a draw came from, given the draw: that of a coin with these log odds, nats.

    ``JSD = log 2 - E[H(D*(x))]`` over draws from both noisy measures. It is the mean of ``log 2 D*`` on real and
    ``log 2 (1 - D*)`` on fake draws with the coin's outcome averaged out (Rao-Blackwell): near equal measures, where
    those logarithms nearly cancel, its error is smaller by orders of magnitude, and every draw's is in [0, log 2].
    """
    odds = logits.abs()
    ratio = (-odds).exp()
    return ratio.log1p() + (odds * ratio / (1 + ratio)).nan_to_num(0.0)  # infinite odds: 0
