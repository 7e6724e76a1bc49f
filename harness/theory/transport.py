"""Exact optimal transport between sample sets."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor

_MAX_ASSIGNED = 100
_MIN_PRODUCTS = 64  # dimensions
_NEAR = 1e-6  # of the squared norms: of nearer pairs products lose more than 1e-9 of the distance
_PAIRS_AT_ONCE = 4096


def w1(real: Float[Tensor, "n d"], fake: Float[Tensor, "m d"]) -> float:
    """Wasserstein-1 distance of two empirical measures under the Euclidean (not squared) cost.

    Exact: by sorting in one dimension; else over the full cost matrix, by a network simplex (POT), or as an assignment
    (SciPy) for small sets of equal size, whose best plan may be taken to be a permutation.

    Args:
      real, fake: Samples, data units.

    Returns:
      The distance, data units.

    Raises:
      ValueError: If the dimensions differ.
      ArithmeticError: If the simplex did not reach the optimum.

    Example:
      >>> w1(torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 4.0], [0.0, 1.0]]))  # (5 + 1) / 2
      3.0
    """
    if real.shape[1] != fake.shape[1]:
        raise ValueError(f"dimensions differ: real has {real.shape[1]}, fake has {fake.shape[1]}")
    real, fake = real.to("cpu", torch.float64), fake.to("cpu", torch.float64)
    if real.shape[1] > 1 and len(real) == len(fake) <= _MAX_ASSIGNED:
        small = _costs(real, fake)
        return float(small[linear_sum_assignment(small)].mean())
    import ot  # here, because it takes a second to load

    if real.shape[1] == 1:
        return float(ot.wasserstein_1d(real[:, 0].numpy(), fake[:, 0].numpy(), p=1))
    cost = _costs(real, fake)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # non-convergence is read from the log below
        value, log = ot.emd2([], [], cost, numItermax=10_000_000, log=True)
    if log["warning"] is not None:
        raise ArithmeticError(f"exact transport of {cost.shape} points did not finish: {log['warning']}")
    return float(value)


def _costs(real: Float[Tensor, "n d"], fake: Float[Tensor, "m d"]) -> NDArray[np.float64]:
    """Euclidean distances; in many dimensions by products, except where these would round too much."""
    if real.shape[1] < _MIN_PRODUCTS:
        costs: NDArray[np.float64] = torch.cdist(real, fake, compute_mode="donot_use_mm_for_euclid_dist").numpy()
        return costs
    mean = torch.cat([real, fake]).mean(0)
    real, fake = real - mean, fake - mean
    norms = real.square().sum(1, keepdim=True) + fake.square().sum(1)
    squared = torch.addmm(norms, real, fake.T, alpha=-2)
    row, column = (squared <= _NEAR * norms).nonzero(as_tuple=True)
    for some, others in zip(row.split(_PAIRS_AT_ONCE), column.split(_PAIRS_AT_ONCE), strict=True):
        squared[some, others] = (real[some] - fake[others]).square().sum(1)
    distances: NDArray[np.float64] = squared.sqrt_().numpy()
    return distances
