"""Lemmas 1 to 3: what networks generate has low dimension, and two such sets hardly ever align.

References:
  Arjovsky & Bottou (2017), section 2.1 and appendix A; arXiv:1701.04862.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import null_space
from torch import Generator, Tensor
from torch.func import jacrev

from ..job.parts.networks import MLP
from ..stacking.module import StackedModule
from .findings import Assessment, assess, holds

_ROUNDING = 1e-9  # relative; far above float64 rounding, far below what continuous random draws give by chance
_STEP = 1e-6  # radius of a neighbourhood in latent space
_CURVED = 1e-4  # singular values of a neighbourhood below this share are its curvature (1e-6) or rounding (1e-10)
_FLAT = 1e-6  # the same of a Jacobian, which has no curvature; lower, so that samples never seem to have a larger rank


def lemma_1(
    *,
    latents: Sequence[int] = (1, 2, 4),
    dimension: int = 8,
    scales: Sequence[float] = (0.1, 1.0, 10.0),
    noise: float = 0.0,
    num_networks: int = 8,
    seed: int = 0,
) -> Assessment:
    """Samples of a network lie on manifolds of dimension at most dim Z.

    Around random latents of several lengths, ``rank {g(z + dz) - g(z)} <= rank J_z g(z) <= dim Z < d``: the left rank
    by SVD of 4 d neighbouring samples, the middle one by autograd and SVD; for the MLP generator as it is (rectifiers)
    and with a final tanh (a smooth, strictly increasing nonlinearity). The control, ``dim Z = 2 d``, must give d, or
    the measurement could not have seen a violation.

    Args:
      latents: dim Z of the generators, each < `dimension`.
      dimension: d.
      scales: Lengths of the latents, in standard deviations.
      noise: Standard deviation of noise added to the samples; the lemma holds for 0 alone.
      num_networks: Random networks of every kind.
      seed: Of all draws.
    """
    ranks = {
        latent: [
            _local_ranks(latent, dimension, scale=scale, squash=squash, noise=noise, num=num_networks, seed=seed)
            for scale in scales
            for squash in (False, True)
        ]
        for latent in (*latents, 2 * dimension)
    }
    largest = {latent: int(max(samples.max() for samples, _ in pairs)) for latent, pairs in ranks.items()}
    in_tangent_space = all(bool((samples <= jacobian).all()) for pairs in ranks.values() for samples, jacobian in pairs)
    return assess(
        "rank " + ", ".join(f"{largest[latent]} of latent {latent}" for latent in (*latents, 2 * dimension)),
        f"rank <= dim Z < d = {dimension}; d where dim Z = {2 * dimension}",
        *(holds(largest[latent] <= latent < dimension) for latent in latents),
        holds(in_tangent_space),
        holds(largest[2 * dimension] == dimension),
    )


def lemma_2(
    *,
    dimensions: Sequence[tuple[int, int, int]] = ((1, 1, 2), (1, 1, 3), (1, 2, 3), (2, 2, 3), (2, 3, 6), (3, 4, 6)),
    shift: float = 1.0,
    num_trials: int = 100,
    seed: int = 0,
) -> Assessment:
    """Two manifolds moved at random do not perfectly align, with probability 1.

    ``M = A s + eta`` and ``P = B t + eta'`` with m and p directions in R^d, some of them common, so that they could
    align. They meet iff ``eta' - eta`` is in the span of ``[A B]`` (by least squares); where they meet, the
    intersection must be transversal, ``rank [A B] = d``.

    Args:
      dimensions: Triples (m, p, d).
      shift: Standard deviation of eta and eta'; the lemma needs a continuous distribution, so > 0.
      num_trials: Of every triple.
      seed: Of all draws.
    """
    random = np.random.default_rng(seed)
    meeting, apart, aligned = 0, 0, 0
    for m, p, d in dimensions:
        for _ in range(num_trials):
            a, b = _directions(m, p, d, num_shared=int(random.integers(0, min(m, p) + 1)), random=random)
            both = np.hstack([a, b])
            offset = shift * (random.standard_normal(d) - random.standard_normal(d))
            rest = offset - both @ np.linalg.lstsq(both, offset, rcond=_ROUNDING)[0]
            if np.linalg.norm(rest) > _ROUNDING * np.linalg.norm(offset):
                apart += 1
            elif np.linalg.matrix_rank(both, tol=_ROUNDING) == d:
                meeting += 1
            else:
                aligned += 1
    return assess(
        f"{aligned} aligned, {meeting} transversal, {apart} disjoint",
        "0 aligned, some transversal, some disjoint",
        holds(aligned == 0),
        holds(meeting > 0 and apart > 0),
    )


def lemma_3(
    *,
    dimensions: Sequence[tuple[int, int, int]] = ((1, 1, 2), (1, 2, 3), (2, 2, 3), (3, 3, 4), (3, 4, 6), (5, 5, 7)),
    num_shared: int = 0,
    num_trials: int = 20,
    num_points: int = 100,
    seed: int = 0,
) -> Assessment:
    """Manifolds that do not align meet in dimension m + p - d, less than m and p: a null set of both.

    M and P are random affine spaces, described by their normals, ``N x = N eta``. The intersection solves both systems
    at once, so its dimension is that of the null space of the stacked normals. Of points drawn on M none may be on P.

    Args:
      dimensions: Triples (m, p, d) with m, p < d <= m + p.
      num_shared: Directions M and P have in common by construction; more than ``m + p - d`` aligns them.
      num_trials: Of every triple.
      num_points: Drawn on M in every trial.
      seed: Of all draws.
    """
    random = np.random.default_rng(seed)
    found: dict[tuple[int, int, int], set[int]] = {triple: set() for triple in dimensions}
    common = 0
    for m, p, d in dimensions:
        for _ in range(num_trials):
            a, b = _directions(m, p, d, num_shared=min(num_shared, m, p), random=random)
            normals = [null_space(basis.T, rcond=_ROUNDING).T for basis in (a, b)]
            meeting_point = random.standard_normal(d)
            found[m, p, d].add(null_space(np.vstack(normals), rcond=_ROUNDING).shape[1])
            points = meeting_point + random.standard_normal((num_points, m)) @ a.T
            distances = np.linalg.norm((points - meeting_point) @ normals[1].T, axis=1)
            common += int((distances <= _ROUNDING).sum())
    expected = {(m, p, d): {m + p - d} for m, p, d in dimensions}
    return assess(
        f"dimension {', '.join('/'.join(map(str, sorted(values))) for values in found.values())}; {common} in common",
        f"m + p - d = {', '.join(str(m + p - d) for m, p, d in dimensions)}; 0 points in common",
        *(holds(found[triple] == expected[triple]) for triple in dimensions),
        *(holds(max(found[m, p, d]) < min(m, p)) for m, p, d in dimensions),
        holds(common == 0),
    )


def _local_ranks(
    latent: int, dimension: int, *, scale: float, squash: bool, noise: float, num: int, seed: int
) -> tuple[Tensor, Tensor]:
    """Ranks of neighbouring samples and of the Jacobian at one latent of each of `num` random generators: ``[num]``."""
    draws = Generator().manual_seed(seed)
    module = StackedModule.generator(MLP(latent=latent), (dimension,))
    weights = torch.stack([module.initial(draws) for _ in range(num)]).double()

    def generate(latents: Tensor) -> Tensor:
        samples = module(weights, latents)
        return samples.tanh() if squash else samples

    centres = scale * torch.randn(num, 1, latent, generator=draws, dtype=torch.float64)
    offsets = _STEP * torch.randn(num, 4 * dimension, latent, generator=draws, dtype=torch.float64)
    samples = generate(centres + offsets)
    samples = samples + noise * torch.randn(samples.shape, generator=draws, dtype=torch.float64)
    # no generator's sample depends on another's latent, so the sum over generators has each one's rows
    jacobians = jacrev(lambda latents: generate(latents).sum((0, 1)))(centres)[:, :, 0]  # [d, num, latent]
    return _ranks(samples - samples.mean(1, keepdim=True), share=_CURVED), _ranks(jacobians.movedim(1, 0), share=_FLAT)


def _ranks(matrices: Tensor, *, share: float) -> Tensor:
    """Numbers of singular values above a share of the largest: ``[k, a, b] -> [k]``."""
    values = torch.linalg.svdvals(matrices)
    ranks: Tensor = (values > share * values[:, :1]).sum(1)
    return ranks


def _directions(
    m: int, p: int, d: int, *, num_shared: int, random: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Bases ``[d, m]`` and ``[d, p]`` of two random subspaces with `num_shared` directions in common."""
    a, b = random.standard_normal((d, m)), random.standard_normal((d, p))
    b[:, :num_shared] = a[:, :num_shared]
    return a, b @ random.standard_normal((p, p))  # mixed, so that nothing shows in the coordinates
