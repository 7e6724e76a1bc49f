"""What a generator's gradient is over batches: norm, variance, and the tails of its coordinates."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..theory.statistics import cauchy_advantage, hill_tail_index, standardised

MIN_BATCHES_FOR_TAILS = 16
"""The deviation of fewer draws is so uncertain that dividing by it makes a normal distribution look heavy-tailed."""
_COORDINATES_FOR_TAILS = 4096
GRADIENT_SUMMARY = ("grad_norm", "grad_norm_std", "grad_variance", "grad_tail_index", "grad_cauchy_advantage")


class GradientMoments:
    """What a generator's gradient is over batches: its norm, its variance, the tails of its coordinates.

    Gradients are added one at a time; only some coordinates, evenly spaced over all layers, are kept for the tails.
    """

    def __init__(self, num_batches: int) -> None:
        self._num_batches, self._num = num_batches, 0
        self._norms: list[Tensor] = []
        self._kept: list[Tensor] = []

    def add(self, gradient: Tensor) -> None:
        """The gradients of a pack in one more batch, ``[k, p]``."""
        self._num += 1
        self._norms.append(gradient.norm(dim=1))
        if self._num == 1:
            self._mean, self._squares = gradient.clone(), torch.zeros_like(gradient)
        else:  # Welford's update
            difference = gradient - self._mean
            self._mean += difference / self._num
            self._squares += difference * (gradient - self._mean)
        if self._num_batches >= MIN_BATCHES_FOR_TAILS:
            self._kept.append(gradient[:, :: -(-gradient.shape[1] // _COORDINATES_FOR_TAILS)])

    def summary(self) -> dict[str, list[float]]:
        """By name, one value per member."""
        norms = torch.stack(self._norms)  # [batches, k]
        num_members = norms.shape[1]
        pooled = [standardised(values) for values in torch.stack(self._kept, dim=1)] if self._kept else None
        return {
            "grad_norm": norms.mean(0).tolist(),
            "grad_norm_std": norms.std(0).tolist(),
            "grad_variance": (self._squares.sum(1) / (self._num - 1)).tolist(),
            "grad_tail_index": [hill_tail_index(v) for v in pooled] if pooled else [math.nan] * num_members,
            "grad_cauchy_advantage": [cauchy_advantage(v) for v in pooled] if pooled else [math.nan] * num_members,
        }
