"""Wasserstein-1 and its bound averaged over one-dimensional projections.

In high dimension the bound of Theorem 3.3 is vacuous, since V grows with d. Its one-dimensional form is not; averaged
over unit directions it bounds the sliced Wasserstein distance over the same directions.

References:
  Arjovsky & Bottou (2017), Theorem 3.3; Bonneel et al. (2015), "Sliced and Radon Wasserstein barycenters".
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float64, Int64
from torch import Generator, Tensor

from .bounds import Bound
from .noise import truncation_radius
from .samples import SampleSet, check_pair, chunks

_STEPS_PER_SIGMA = 4  # of the quadrature grid; the trapezoidal rule converges faster than any power on Gaussians
_REACH = math.ceil(truncation_radius(sigma=1.0, dimension=1) * _STEPS_PER_SIGMA)
_MAX_GRID = 2**17  # points along a direction; beyond it only the occupied ones are kept


def random_directions(num: int, dimension: int, *, generator: Generator) -> Float64[Tensor, "{num} {dimension}"]:
    """Unit vectors, uniform on the sphere, on the generator's device."""
    draws = torch.randn(num, dimension, generator=generator, device=generator.device, dtype=torch.float64)
    return torch.nn.functional.normalize(draws, dim=1)


@dataclass(frozen=True)
class Projections:
    """Two sample sets seen along l directions, sorted, data units."""

    real: Float64[Tensor, "l n"]
    fake: Float64[Tensor, "l m"]

    def w1(self) -> float:
        """Sliced Wasserstein-1: the mean over directions of the distance of the projections, by sorting."""
        num_real, num_fake = self.real.shape[1], self.fake.shape[1]
        if num_real == num_fake:
            return float((self.real - self.fake).abs().mean())
        # quantile functions are constant between the multiples of 1/n and of 1/m
        cuts = torch.cat([torch.arange(1, n + 1).to(self.real) / n for n in (num_real, num_fake)]).sort().values
        widths = torch.diff(cuts, prepend=cuts.new_zeros(1))
        middles = cuts - widths / 2
        quantiles = [
            part[:, (middles * part.shape[1]).long().clamp(max=part.shape[1] - 1)] for part in (self.real, self.fake)
        ]
        return float(((quantiles[0] - quantiles[1]).abs() * widths).sum(1).mean())

    def jsd(self, sigma: float) -> Float64[Tensor, " l"]:
        """JSD (nats) of the projections after truncated Gaussian noise, along each direction.

        By quadrature: a grid of four points a sigma, on which every centre has some fifty non-zero values.
        """
        # noise below the resolution of the projections themselves is not told from none
        step = max(sigma / _STEPS_PER_SIGMA, 1e-15 * float(self.ranges().max()))
        radius = truncation_radius(sigma=sigma, dimension=1)
        low = torch.minimum(self.real[:, :1], self.fake[:, :1]) - radius
        high = torch.maximum(self.real[:, -1:], self.fake[:, -1:]) + radius
        num_points = int(((high - low).max() / step).ceil()) + 2
        if num_points > _MAX_GRID:
            return torch.stack([_sparse_jsd(*line, step=step) for line in zip(self.real, self.fake, low, strict=True)])
        p, q = (_densities(part, low, step=step, num_points=num_points) for part in (self.real, self.fake))
        middle = (p + q) / 2
        return (torch.xlogy(p, p / middle).nan_to_num() + torch.xlogy(q, q / middle).nan_to_num()).sum(1) / 2

    def ranges(self) -> Float64[Tensor, " l"]:
        """Largest minus smallest projection of both sets together, along each direction."""
        return torch.maximum(self.real[:, -1], self.fake[:, -1]) - torch.minimum(self.real[:, 0], self.fake[:, 0])

    def bound(self, sigma: float) -> Bound:
        """The mean over directions of the 1-D `paper` bound: ``2 sigma + 2 (range + 12 sigma) sqrt(JSD)``."""
        diameters = self.ranges() + 2 * truncation_radius(sigma=sigma, dimension=1)
        divergence = self.jsd(sigma).clamp(0.0, math.log(2.0))
        return Bound(noise_term=2 * sigma, divergence_term=float((2 * diameters * divergence.sqrt()).mean()))


def project(real: SampleSet, fake: SampleSet, directions: Float64[Tensor, "l d"]) -> Projections:
    """Projections of ``real`` [n, d] and ``fake`` [m, d] on the directions; rows are read in parts.

    Raises:
      ValueError: If the dimensions differ.

    Example:
      >>> along_axes = project(torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 4.0]]), torch.eye(2).double())
      >>> along_axes.w1()  # (3 + 4) / 2
      3.5
    """
    check_pair(real, fake)

    def along(samples: SampleSet) -> Tensor:
        projected = torch.empty(len(directions), len(samples), dtype=torch.float64, device=directions.device)
        for part, values in chunks(samples, device=directions.device):
            projected[:, part] = directions @ values.T  # in place, see `bounds._radii`
        return projected.sort(dim=1).values

    return Projections(along(real), along(fake))


def _sparse_jsd(
    real: Float64[Tensor, " n"], fake: Float64[Tensor, " m"], low: Float64[Tensor, " 1"], *, step: float
) -> Float64[Tensor, ""]:
    """`Projections.jsd` along one direction, on the occupied grid points alone: for sigma far below the range."""
    weights, cells = zip(*(_kernels((part - low) / step) for part in (real, fake)), strict=True)
    occupied, place = torch.cat(cells).unique(return_inverse=True)
    p, q = (
        torch.bincount(where, weights=weight, minlength=len(occupied)) / weight.sum()
        for where, weight in zip(place.split([len(part) for part in cells]), weights, strict=True)
    )
    middle = (p + q) / 2
    return (torch.xlogy(p, p / middle).nan_to_num() + torch.xlogy(q, q / middle).nan_to_num()).sum() / 2


def _kernels(position: Float64[Tensor, " n"]) -> tuple[Float64[Tensor, " k"], Int64[Tensor, " k"]]:
    """The Gaussian's values around every centre, and the grid points they belong to; k is ``n (2 reach + 1)``."""
    offsets = torch.arange(-_REACH, _REACH + 1, device=position.device)
    cells = position.round().long()[:, None] + offsets
    distance = (cells - position[:, None]) / _STEPS_PER_SIGMA
    kernel = (-0.5 * distance.square()).exp() * (distance.abs() <= _REACH / _STEPS_PER_SIGMA)
    return kernel.flatten(), cells.flatten()


def _densities(
    centres: Float64[Tensor, "l n"], low: Float64[Tensor, "l 1"], *, step: float, num_points: int
) -> Float64[Tensor, "l {num_points}"]:
    """Probabilities of the grid points ``low + step j`` under the noisy measure of each row."""
    position = (centres - low) / step  # [l, n], in steps
    nearest = position.round()
    density = torch.zeros(len(centres), num_points, dtype=centres.dtype, device=centres.device)
    for offset in range(-_REACH, _REACH + 1):
        distance = (nearest + offset - position) / _STEPS_PER_SIGMA  # in sigmas
        kernel = (-0.5 * distance.square()).exp() * (distance.abs() <= _REACH / _STEPS_PER_SIGMA)
        index = (nearest.long() + offset).clamp(0, num_points - 1)
        density.scatter_add_(1, index, kernel)
    return density / density.sum(1, keepdim=True)
