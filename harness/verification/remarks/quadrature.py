"""Divergences in one dimension by scipy's normal density and the trapezoidal rule: what checks compare with."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from scipy.special import logsumexp

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Divergences:
    """Of two densities p and q, nats."""

    jsd: float
    kl_pq: float
    kl_qp: float


def log_mixture(x: Array, centres: ArrayLike, sigma: float, shares: ArrayLike | None = None) -> Array:
    """Log density at x ``[n]`` of normal distributions about centres ``[m]``, with equal shares or the given ones."""
    parts = stats.norm.logpdf(x[:, None], np.asarray(centres), sigma)
    weights = np.full(parts.shape[1], 1 / parts.shape[1]) if shares is None else np.asarray(shares)
    return np.asarray(logsumexp(parts, axis=1, b=weights))


def divergences(log_p: Array, log_q: Array, step: float) -> Divergences:
    """Of the densities whose logarithms on an even grid are given: ``[n]`` each; `step` is the grid's."""
    log_middle = np.logaddexp(log_p, log_q) - math.log(2)
    p, q = np.exp(log_p) * step, np.exp(log_q) * step
    jsd = float(p @ (log_p - log_middle) + q @ (log_q - log_middle)) / 2
    return Divergences(jsd, float(p @ (log_p - log_q)), float(q @ (log_q - log_p)))
