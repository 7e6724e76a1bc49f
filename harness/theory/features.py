"""Two sets of features against each other: their moments, a kernel, nearest neighbours, and copies of a training set.

Features are whatever stands for a sample: its pixels, or what a network makes of it. Sums are taken in float64, and of
matrices of pairs there is a block at a time.

References:
  Heusel et al. (2017), arXiv:1706.08500 (Frechet distance); Binkowski et al. (2018), arXiv:1801.01401 (kernel
  distance); Kynkaanniemi et al. (2019), arXiv:1904.06991 (precision and recall); Naeem et al. (2020), arXiv:2002.09797
  (density and coverage); Meehan, Chaudhuri & Dasgupta (2020), arXiv:2004.05675 (data-copying).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from .divergences import Estimate
from .samples import chunks

_NEAR = 1e-6  # of the squared norms: pairs nearer than that are measured by their differences
_MANY = 8  # if one pair in so many is near, all of a block are
_TIE = 1e-9  # squared distances are equal that differ by less, relative: rounding leaves them 1e-10


def frechet_distance(real: Float[Tensor, "n d"], fake: Float[Tensor, "m d"]) -> float:
    """Squared Wasserstein-2 distance of the two Gaussians with the sets' means and covariances.

    ``||mu1 - mu2||^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2))``, covariances over n - 1. With ``S1 = A^T A`` and ``S2 = B^T B``
    the trace of the root is the sum of the singular values of ``A B^T``, of as many rows as there are samples or
    dimensions, whichever are fewer: no root of a matrix is taken.

    It is biased upwards: of equal Gaussians N(0, I) and n = m its mean is about ``2 d/n + d (d + 1) / 2n``. Compare
    like with like.

    Args:
      real, fake: Features, at least two of each.

    Returns:
      The distance, in squared units of the features, >= 0.

    Raises:
      ValueError: If there are fewer.

    Example:
      Variances 2 and 8 in one dimension, means 1 apart: 1 + (sqrt 2 - sqrt 8)^2.

      >>> round(frechet_distance(torch.tensor([[-1.0], [1.0]]), torch.tensor([[-1.0], [3.0]])), 12)
      3.0
    """
    _need(2, len(real), len(fake))
    means, roots = zip(*(_moments(features.double()) for features in (real, fake)), strict=True)
    between = torch.linalg.svdvals(roots[0] @ roots[1].T).sum()
    total = (means[0] - means[1]).square().sum() + sum(root.square().sum() for root in roots) - 2 * between
    return max(0.0, float(total))


def kernel_distance(real: Float[Tensor, "n d"], fake: Float[Tensor, "m d"]) -> Estimate:
    """Squared maximum mean discrepancy under the kernel ``(x.y / d + 1)^3``, unbiased: the KID.

    ``mean over i != i' of k(x_i, x_i') + mean over j != j' of k(y_j, y_j') - 2 mean of k(x_i, y_j)``. Its expectation
    is 0 for equal distributions, so that many of its values are then negative. The standard error is the jackknife's
    over both sets, which is right where the distributions differ, and too large by about sqrt 2 where they do not.

    Args:
      real, fake: Features, at least three of each.

    Returns:
      The estimate; it has no unit where the features have none.

    Raises:
      ValueError: If there are fewer.

    Example:
      Where all of a set is one point: (1 + 1)^3 + (0 + 1)^3 - 2 (0 + 1)^3.

      >>> kernel_distance(torch.ones(3, 2), torch.zeros(4, 2))
      Estimate(value=7.0, standard_error=0.0, unseen=0.0)
    """
    _need(3, len(real), len(fake))
    n, m = len(real), len(fake)
    (of_real, _), (of_fake, _), (to_fake, to_real) = (_kernel_sums(*sets) for sets in ((real,), (fake,), (real, fake)))
    within_real, within_fake = of_real.sum() / (n * (n - 1)), of_fake.sum() / (m * (m - 1))
    between = to_fake.sum() / (n * m)
    value = within_real + within_fake - 2 * between
    # what is left of each sum without one sample; of the other set's nothing changes
    without_real = (of_real.sum() - 2 * of_real) / ((n - 1) * (n - 2)) - 2 * (to_fake.sum() - to_fake) / ((n - 1) * m)
    without_fake = (of_fake.sum() - 2 * of_fake) / ((m - 1) * (m - 2)) - 2 * (to_real.sum() - to_real) / ((m - 1) * n)
    variance = sum((len(v) - 1) * v.var(correction=0) for v in (without_real, without_fake))
    return Estimate(float(value), math.sqrt(float(variance)))


def precision(real: Float[Tensor, "n d"], fake: Float[Tensor, "n d"], *, k: int = 3) -> float:
    """Share of the fake samples within the ball of any real one: ``||y - x_i|| <= r_i``.

    r_i is the distance of x_i from its k-th nearest other real sample. The *recall* is the same with the sets
    exchanged. Balls shrink as n grows, so that both depend on n, and the sets are to be equal in size. An outlier among
    the real samples has a ball that holds much.

    Args:
      real, fake: Features, more than k of each.
      k: Of the nearest neighbours, >= 1.

    Raises:
      ValueError: If the sizes differ, or there are too few.

    Example:
      >>> real = torch.tensor([[0.0], [1.0], [3.0]])
      >>> precision(real, torch.tensor([[-1.0], [0.5], [5.1]]), k=1)  # the balls are [-1, 1], [0, 2] and [1, 5]
      0.6666666666666666
    """
    inside = torch.zeros(len(fake), dtype=torch.bool, device=fake.device)
    for block in _in_balls(real, fake, k, is_closed=True):
        inside |= block.any(0)
    return float(inside.double().mean())


def density(real: Float[Tensor, "n d"], fake: Float[Tensor, "n d"], *, k: int = 5) -> float:
    """How many open balls of real samples, as in `precision`, hold a fake one, on average, over k.

    ``1 / (k m) sum over j, i of [||y_j - x_i|| < r_i]``. Its expectation is 1 for equal distributions, and it exceeds 1
    where the fake samples crowd together among the real ones.

    Args:
      real, fake: Features, more than k of each.
      k: Of the nearest neighbours, >= 1.

    Raises:
      ValueError: If the sizes differ, or there are too few.

    Example:
      >>> real = torch.tensor([[0.0], [1.0], [3.0]])
      >>> density(real, torch.tensor([[0.5], [0.5], [1.5]]), k=1)  # in 2, 2 and 2 of the balls
      2.0
    """
    count = sum(int(block.sum()) for block in _in_balls(real, fake, k, is_closed=False))
    return count / (k * len(fake))


def coverage(real: Float[Tensor, "n d"], fake: Float[Tensor, "n d"], *, k: int = 5) -> float:
    """Share of the real samples whose open ball, as in `density`, holds a fake one.

    Of equal distributions it is ``1 - (n - 1) ... (n - k) / ((2 n - 1) ... (2 n - k))`` in expectation, about
    ``1 - 2^-k``.

    Args:
      real, fake: Features, more than k of each.
      k: Of the nearest neighbours, >= 1.

    Raises:
      ValueError: If the sizes differ, or there are too few.

    Example:
      >>> real = torch.tensor([[0.0], [1.0], [3.0]])
      >>> coverage(real, torch.tensor([[0.5], [0.5], [0.5]]), k=1)
      0.6666666666666666
    """
    count = sum(int(block.any(1).sum()) for block in _in_balls(real, fake, k, is_closed=False))
    return count / len(real)


def nearest_distances(features: Float[Tensor, "n d"], among: Float[Tensor, "t d"]) -> Float64[Tensor, " n"]:
    """Distance of each from the nearest of the others; 0 for an exact copy.

    Example:
      >>> nearest_distances(torch.tensor([[0.0, 0.0], [1.0, 1.0]]), torch.tensor([[3.0, 4.0], [1.0, 1.0]])).tolist()
      [1.4142135623730951, 0.0]
    """
    centre = among.mean(0, dtype=torch.float64)
    queries = features.double() - centre
    nearest = queries.new_full((len(queries),), math.inf)
    for _, part in chunks(among, device=features.device):
        nearest = torch.minimum(nearest, _squared_distances(queries, part - centre).amin(1))
    return nearest.sqrt()


def share_closer(fake: Float[Tensor, " m"], held_out: Float[Tensor, " n"]) -> Estimate:
    """The probability that a fake sample lies closer to the training set than a held-out real one does.

    The Mann-Whitney statistic over n m of two sets of distances, ``mean of [f_j < h_i] + [f_j = h_i] / 2``: 1/2 for
    samples that are as new as held-out ones, 1 for copies of the training set, 0 for samples far from all data.

    The standard error is that of the two sets' own values (DeLong et al. 1988), for an interval. For a test of 1/2 take
    ``z = (value - 1/2) / sqrt((n + m + 1) / (12 n m))``, the statistic of Meehan et al. with its sign changed.

    Args:
      fake, held_out: Distances from the nearest training sample, at least two of each.

    Raises:
      ValueError: If there are fewer.

    Example:
      >>> share_closer(torch.tensor([0.0, 0.0, 2.0]), torch.tensor([1.0, 2.0])).value  # 2, 2 and a half of 2
      0.75
    """
    _need(2, len(held_out), len(fake))
    closer = (fake[:, None] < held_out).double() + 0.5 * (fake[:, None] == held_out).double()
    variance = closer.mean(1).var() / len(fake) + closer.mean(0).var() / len(held_out)
    return Estimate(float(closer.mean()), math.sqrt(float(variance)))


def _need(least: int, num_real: int, num_fake: int) -> None:
    if min(num_real, num_fake) < least:
        raise ValueError(f"at least {least} samples of each are needed; got {num_real} real, {num_fake} fake")


def _moments(features: Float64[Tensor, "n d"]) -> tuple[Float64[Tensor, " d"], Float64[Tensor, "r d"]]:
    """The mean, and a matrix A of ``min(n, d)`` rows with ``A^T A`` the covariance."""
    mean = features.mean(0)
    centred = (features - mean) / math.sqrt(len(features) - 1)
    return mean, centred if centred.shape[0] <= centred.shape[1] else torch.linalg.qr(centred, mode="r").R


def _kernel_sums(
    features: Float[Tensor, "n d"], others: Float[Tensor, "m d"] | None = None
) -> tuple[Float64[Tensor, " n"], Float64[Tensor, " m"]]:
    """Sums of each one's kernels with all of the other set; of one set alone with all others of it."""
    whole = (features if others is None else others).double()
    of_rows, of_columns = [], whole.new_zeros(len(whole))
    for place, part in chunks(features, device=features.device):
        base = part @ whole.T / whole.shape[1] + 1
        kernels = base * base * base
        if others is None:
            kernels[:, place].fill_diagonal_(0.0)
        of_rows.append(kernels.sum(1))
        of_columns += kernels.sum(0)
    return torch.cat(of_rows), of_columns


def _in_balls(
    real: Float[Tensor, "n d"], fake: Float[Tensor, "m d"], k: int, *, is_closed: bool
) -> Iterator[Bool[Tensor, "b m"]]:
    """Which fake samples the balls of some real ones hold, block by block.

    What is at the radius, up to rounding, is in a closed ball and in no open one.
    """
    if not 1 <= k < len(real) == len(fake):
        raise ValueError(f"needed: as many real as fake samples, more than k = {k}; got {len(real)} and {len(fake)}")
    radii, centre = _squared_radii(real, k)[:, None], fake.mean(0, dtype=torch.float64)
    points = fake.double() - centre
    for place, part in chunks(real, device=real.device):
        squared, limit = _squared_distances(part - centre, points), radii[place]
        yield squared <= limit * (1 + _TIE) if is_closed else squared < limit * (1 - _TIE)


def _squared_radii(points: Float[Tensor, "n d"], k: int) -> Float64[Tensor, " n"]:
    """Squared distance of each from its k-th nearest other."""
    whole = points.double() - points.mean(0, dtype=torch.float64)
    found = []
    for place, part in chunks(whole, device=points.device):
        squared = _squared_distances(part, whole)
        squared[:, place].fill_diagonal_(math.inf)
        found.append(squared.kthvalue(k, dim=1).values)
    return torch.cat(found)


def _squared_distances(queries: Float64[Tensor, "b d"], points: Float64[Tensor, "m d"]) -> Float64[Tensor, "b m"]:
    """By products, good to 1e-10 of themselves: where little would be left of the norms, by differences."""
    norms = queries.square().sum(1, keepdim=True) + points.square().sum(1)
    squared = norms - 2 * queries @ points.T
    rows, columns = (squared < _NEAR * norms).nonzero(as_tuple=True)
    if len(rows) > squared.numel() // _MANY:
        return torch.cdist(queries, points, compute_mode="donot_use_mm_for_euclid_dist").square()
    for some in torch.arange(len(rows), device=rows.device).split(4096):
        row, column = rows[some], columns[some]
        squared[row, column] = (queries[row] - points[column]).square().sum(1)
    return squared
