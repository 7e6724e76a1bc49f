"""Exact optimal transport between sample sets."""

from __future__ import annotations

import os
import warnings
from typing import Any

import torch
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment
from torch import Tensor

_MAX_ASSIGNED = 100
_UNUSED_BACKENDS = ("JAX", "TENSORFLOW", "CUPY")


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
    if real.shape[1] == 1:
        return float(_pot().wasserstein_1d(real[:, 0].numpy(), fake[:, 0].numpy(), p=1))
    cost = torch.cdist(real, fake, compute_mode="donot_use_mm_for_euclid_dist").numpy()
    if cost.shape[0] == cost.shape[1] <= _MAX_ASSIGNED:
        return float(cost[linear_sum_assignment(cost)].mean())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # non-convergence is read from the log below
        value, log = _pot().emd2([], [], cost, numItermax=10_000_000, log=True)
    if log["warning"] is not None:
        raise ArithmeticError(f"exact transport of {cost.shape} points did not finish: {log['warning']}")
    return float(value)


def _pot() -> Any:
    """POT, loaded when it is first needed: it takes a second, and two more with the array libraries it looks for."""
    variables = (f"POT_BACKEND_DISABLE_{name}" for name in _UNUSED_BACKENDS)
    names = [name for name in variables if name not in os.environ]
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        import ot
    finally:
        for name in names:
            del os.environ[name]
    return ot
