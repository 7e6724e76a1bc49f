"""Lemmas 1 to 3: what networks generate has low dimension, and two such sets hardly ever align.

References:
  Arjovsky & Bottou (2017), section 2.1 and appendix A; arXiv:1701.04862.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import null_space
from torch import Generator, Tensor
from torch.func import jacrev

from ..job.parts.networks import DCGAN, MLP
from ..stacking.module import StackedModule
from .curved import Manifold, Spheres, Waves, meet, random_frames, spheres_meet
from .findings import Assessment, assess, at_most, holds

_ROUNDING = 1e-9  # relative; far above float64 rounding, far below what continuous random draws give by chance
_TANGENT = 1e-5  # smallest singular value of unit normals; solved to 1e-12, two that touch have one of 1e-6
_EXTENT = 1e-3  # singular values of common points, in units of their distance, below which there is only curvature
_STEP = 1e-6  # radius of a neighbourhood in latent space
_CURVED = 1e-4  # singular values of a neighbourhood below this share are its curvature (1e-6) or rounding (1e-10)
_FLAT = 1e-6  # the same of a Jacobian, which has no curvature; lower, so that samples never seem to have a larger rank
_SIDE, _BATCH = 8, 8  # of the DCGAN's images, and how many it normalises together


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
    and with a final tanh (a smooth, strictly increasing nonlinearity), and for the DCGAN generator of 8x8 images. That
    one normalises over its batch, so g is its first image as a function of the first latent, the rest of the batch
    fixed. The control, ``dim Z = 2 d``, must give d, or the measurement could not have seen a violation.

    Args:
      latents: dim Z of the generators, each < `dimension`.
      dimension: d of the MLP's samples; the DCGAN's have 64.
      scales: Lengths of the latents, in standard deviations.
      noise: Standard deviation of noise added to the samples; the lemma holds for 0 alone.
      num_networks: Random networks of every kind; of the DCGAN there is one.
      seed: Of all draws.
    """
    of_mlps = {
        latent: [
            _local_ranks(latent, dimension, scale=scale, squash=squash, noise=noise, num=num_networks, seed=seed)
            for scale in scales
            for squash in (False, True)
        ]
        for latent in (*latents, 2 * dimension)
    }
    pixels = _SIDE**2
    of_images = {latent: [_ranks_of_images(latent, noise=noise, seed=seed)] for latent in (*latents, 2 * pixels)}
    found, margins = [], []
    for kind, d, ranks in (("MLP", dimension, of_mlps), ("DCGAN", pixels, of_images)):
        largest = {latent: int(max(samples.max() for samples, _ in pairs)) for latent, pairs in ranks.items()}
        pairs = [pair for pairs in ranks.values() for pair in pairs]
        found.append(f"{kind} {', '.join(f'{rank} of latent {latent}' for latent, rank in largest.items())}")
        margins += [holds(largest[latent] <= latent < d) for latent in latents]
        margins.append(holds(all(bool((samples <= jacobian).all()) for samples, jacobian in pairs)))
        margins.append(holds(largest[2 * d] == d))
    return assess(
        "rank: " + "; ".join(found),
        f"rank <= dim Z < d = {dimension}, {pixels}; d where dim Z = {2 * dimension}, {2 * pixels}",
        *margins,
    )


def lemma_2(
    *,
    dimensions: Sequence[tuple[int, int, int]] = ((1, 1, 2), (1, 1, 3), (1, 2, 3), (2, 2, 3), (2, 3, 6), (3, 4, 6)),
    curved: Sequence[tuple[int, int, int]] = ((1, 1, 2), (1, 1, 3), (1, 2, 3), (2, 2, 3), (2, 2, 4), (1, 3, 4)),
    shift: float = 1.0,
    num_trials: int = 100,
    seed: int = 0,
) -> Assessment:
    """Two manifolds moved at random do not perfectly align, with probability 1.

    *Linear*: ``M = A s + eta`` and ``P = B t + eta'`` with m and p directions in R^d, some of them common, so that they
    could align. They meet iff ``eta' - eta`` is in the span of ``[A B]`` (by least squares); where they meet, the
    intersection must be transversal, ``rank [A B] = d``.

    *Curved*: spheres that touch, spheres through a point at random angles, and spheres with graphs of waves, moved by
    as much and by a hundredth of it. From a dozen starts a solver looks for common points; at all it finds the normals
    of both must be linearly independent, which says that the tangent spaces span R^d. Whether it finds any must agree,
    for hyperspheres, with the closed form.

    Args:
      dimensions, curved: Triples (m, p, d).
      shift: Standard deviation of eta and eta'; the lemma needs a continuous distribution, so > 0.
      num_trials: Of every triple.
      seed: Of all draws.
    """
    random = np.random.default_rng(seed)
    linear = [_linear_trials(triple, shift=shift, num=num_trials, random=random) for triple in dimensions]
    bent = [
        _curved_trials(triple, kind=kind, shift=size, num=num_trials // 2, random=random)
        for triple in curved
        for kind in ("touching", "crossing", "wave")
        for size in (shift, shift / 100)
    ]
    (aligned, meeting, apart), (*of_curved, mistaken) = (np.sum(rows, axis=0).tolist() for rows in (linear, bent))
    return assess(
        f"{aligned} aligned, {meeting} transversal, {apart} disjoint; "
        f"curved: {of_curved[0]}, {of_curved[1]}, {of_curved[2]}, {mistaken} against the closed form",
        "0 aligned, some transversal, some disjoint; curved: the same, 0 against the closed form",
        holds(aligned == of_curved[0] == mistaken == 0),
        holds(min(meeting, apart, *of_curved[1:]) > 0),
    )


def lemma_3(
    *,
    dimensions: Sequence[tuple[int, int, int]] = ((1, 1, 2), (1, 2, 3), (2, 2, 3), (3, 3, 4), (3, 4, 6), (5, 5, 7)),
    curved: Sequence[tuple[int, int, int]] = ((1, 1, 2), (1, 2, 3), (2, 2, 3), (2, 2, 4)),
    num_shared: int = 0,
    num_trials: int = 20,
    num_points: int = 100,
    radii: tuple[float, float] = (0.1, 0.025),
    seed: int = 0,
) -> Assessment:
    """Manifolds that do not align meet in dimension m + p - d, less than m and p: a null set of both.

    *Linear*: M and P are random affine spaces, described by their normals, ``N x = N eta``. The intersection solves
    both systems at once, so its dimension is that of the null space of the stacked normals. Of points drawn on M none
    may be on P.

    *Curved*: spheres through a point, and spheres with waves. Common points near that one, found by a solver from
    random starts, must span m + p - d dimensions, as the null space of the normals must; and what is within r of P must
    be a share of M that goes to 0 as ``r^(d - p)``, by points drawn on M at two r. That contains what is within r of
    the intersection, as the intersection is part of P. (From a wave r is measured along its heights, which is longer by
    a bounded factor.) The same of P.

    Args:
      dimensions, curved: Triples (m, p, d) with m, p < d <= m + p.
      num_shared: Directions M and P have in common by construction; more than ``m + p - d`` aligns them.
      num_trials: Of every triple.
      num_points: Drawn on M in every trial, and a hundred times as many on curved ones.
      radii: The two r.
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
    bent = {
        triple: [
            _intersection(triple, kind=kind, num_shared=num_shared, num=num_trials, random=random)
            for kind in ("crossing", "wave")
        ]
        for triple in curved
    }
    found_curved = {triple: set().union(*(each.dimensions for each in both)) for triple, both in bent.items()}
    slopes = []
    for (m, p, d), both in bent.items():
        for each in both:
            for manifold, other, codimension in ((each.first, each.second, d - p), (each.second, each.first, d - m)):
                slopes.append(_order(manifold, other, radii, num=100 * num_points, random=random) - codimension)
    worst = max(slopes, key=abs)
    expected, expected_curved = ({(m, p, d): {m + p - d} for m, p, d in triples} for triples in (dimensions, curved))
    return assess(
        f"dimension {_listed(found)}; {common} in common; curved: dimension {_listed(found_curved)}, "
        f"order within {abs(worst):.2g}",
        f"m + p - d = {_listed(expected)}; 0 in common; curved: {_listed(expected_curved)}, order d - p within 0.5",
        holds(found == expected and found_curved == expected_curved),
        *(holds(max(values) < min(m, p)) for (m, p, _), values in (*found.items(), *found_curved.items())),
        holds(common == 0),
        at_most(abs(worst), 0.5),
    )


def _linear_trials(
    triple: tuple[int, int, int], *, shift: float, num: int, random: np.random.Generator
) -> tuple[int, int, int]:
    """How many pairs of affine spaces align, meet transversally, and do not meet."""
    m, p, d = triple
    aligned, meeting, apart = 0, 0, 0
    for _ in range(num):
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
    return aligned, meeting, apart


def _curved_trials(
    triple: tuple[int, int, int], *, kind: str, shift: float, num: int, random: np.random.Generator
) -> tuple[int, int, int, int]:
    """The same of curved ones, and how often the search for common points is not of one mind with the closed form."""
    m, p, d = triple
    first, second = _through_0(m, p, d, kind=kind, num=num, random=random)
    first = first.moved(shift * random.standard_normal((num, d)))
    second = second.moved(shift * random.standard_normal((num, d)))
    found = meet(first, second, first.draw(12, random))
    transversal = found.ranks(_TANGENT) == found.normals.shape[2]
    meets = found.on_both.any(1)
    aligned = (found.on_both & ~transversal).any(1)
    mistaken = spheres_meet(first, second) != meets if isinstance(second, Spheres) and p == d - 1 else np.zeros(num)
    return int(aligned.sum()), int((meets & ~aligned).sum()), int((~meets).sum()), int(mistaken.sum())


def _listed(dimensions: Mapping[tuple[int, int, int], set[int]]) -> str:
    return ", ".join("/".join(map(str, sorted(values))) for values in dimensions.values())


@dataclass(frozen=True)
class _Intersection:
    """Pairs of manifolds through 0, and the dimensions of what they have in common there."""

    first: Spheres
    second: Spheres | Waves
    dimensions: set[int]


def _intersection(
    triple: tuple[int, int, int], *, kind: str, num_shared: int, num: int, random: np.random.Generator
) -> _Intersection:
    """Of random pairs: the dimensions of common points near 0, and those of the null spaces of the normals at 0."""
    m, p, d = triple
    first, second = _through_0(m, p, d, kind=kind, num=num, random=random, num_shared=min(num_shared, m, p))
    found = meet(first, second, _STEP * random.standard_normal((num, 4 * d, d)))
    spread = found.points - found.points.mean(1, keepdims=True)
    extents = np.linalg.svd(spread, compute_uv=False) / _STEP
    dimensions = {int(rank) for rank in (extents > _EXTENT).sum(1)}
    dimensions |= {d - int(rank) for rank in meet(first, second, np.zeros((num, 1, d))).ranks(_TANGENT)[:, 0]}
    return _Intersection(first, second, dimensions if found.on_both.all() else {*dimensions, -1})


def _order(
    manifold: Manifold, other: Manifold, radii: tuple[float, float], *, num: int, random: np.random.Generator
) -> float:
    """k in ``r^k``, the share of the one manifold within r of the other: the median over pairs.

    The median, as now and then two nearly touch, and then only a smaller r shows the order.
    """
    distances = np.linalg.norm(other.defect(manifold.draw(num, random)), axis=2)  # [pairs, num]
    large, small = (np.maximum((distances <= radius).sum(1), 0.5) for radius in radii)
    return float(np.median(np.log(large / small))) / math.log(radii[0] / radii[1])


def _through_0(
    m: int, p: int, d: int, *, kind: str, num: int, random: np.random.Generator, num_shared: int = 0
) -> tuple[Spheres, Spheres | Waves]:
    """m-spheres and p-spheres or p-dimensional waves through 0 in random directions; spheres may touch there.

    Spheres have `num_shared` tangents in common by construction; touching ones all they can.
    """
    origin, frames = np.zeros((num, d)), random_frames(num, d, random)
    others = frames if kind == "touching" else random_frames(num, d, random)
    if num_shared:  # they come first, and the normal to the sphere after them
        shared = frames[:, :, 1 : 1 + num_shared]
        others, _ = np.linalg.qr(np.concatenate([shared, others], 2)[:, :, :d])
        others = np.concatenate([others[:, :, num_shared : num_shared + 1], shared, others[:, :, num_shared + 1 :]], 2)
    radii = random.uniform(0.5, 1.5, (2, num))
    first = Spheres.through(origin, frames, radii[0], dimension=m)
    if kind == "wave":
        return first, Waves.through(origin, others, random, dimension=p)
    return first, Spheres.through(origin, others, radii[1], dimension=p)


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


def _ranks_of_images(latent: int, *, noise: float, seed: int) -> tuple[Tensor, Tensor]:
    """The same of one random DCGAN generator, in the first of `_BATCH` latents, the others fixed: ``[1]``."""
    draws = Generator().manual_seed(seed)
    module = StackedModule.generator(DCGAN(latent=latent, width=24), (1, _SIDE, _SIDE))
    weights = module.initial(draws).double()
    centre, others = torch.randn(_BATCH, latent, generator=draws, dtype=torch.float64).split([1, _BATCH - 1])

    def generate(latents: Tensor) -> Tensor:  # [n, latent] -> [n, d], each in a batch of its own
        batches = torch.cat([latents[:, None], others.expand(len(latents), -1, -1)], 1)
        return module(weights.expand(len(latents), -1), batches)[:, 0].flatten(1)

    num = 2 * _SIDE**2
    samples = generate(centre + _STEP * torch.randn(num, latent, generator=draws, dtype=torch.float64))
    samples = samples + noise * torch.randn(samples.shape, generator=draws, dtype=torch.float64)
    jacobian = jacrev(lambda point: generate(point[None])[0])(centre[0])  # [d, latent]
    return _ranks((samples - samples.mean(0))[None], share=_CURVED), _ranks(jacobian[None], share=_FLAT)


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
