"""Wasserstein-1 and its bound averaged over one-dimensional projections.

In high dimension the bound of Theorem 3.3 is vacuous, since V grows with d. Its one-dimensional form is not; averaged
over unit directions it bounds the sliced Wasserstein distance over the same directions.

References:
  Arjovsky & Bottou (2017), Theorem 3.3; Bonneel et al. (2015), "Sliced and Radon Wasserstein barycenters".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float64, Int64
from numpy.polynomial import Polynomial
from scipy import fft
from torch import Generator, Tensor

from .bounds import Bound
from .noise import truncation_radius
from .samples import SampleSet, check_pair, chunks

_STEPS_PER_SIGMA = 4  # of the quadrature grid; the trapezoidal rule converges faster than any power on Gaussians
_RADIUS = truncation_radius(sigma=1.0, dimension=1)
_REACH = math.ceil(_RADIUS * _STEPS_PER_SIGMA)
_MAX_GRID = 2**17  # points along a direction; beyond it only the occupied ones are kept
_SIZE = 8.0  # sigmas between powers of it share a grid, whose step suits the least and whose margin the largest
_SPLINE_ORDER = 8
_NUMBERS_AT_ONCE = 2**22


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
        """JSD (nats) of the projections after truncated Gaussian noise, along each direction; see `jsds`."""
        return self.jsds([sigma])[0]

    def jsds(self, sigmas: Sequence[float]) -> Float64[Tensor, "{len(sigmas)} l"]:
        """JSD (nats) of the projections after truncated Gaussian noise, at each sigma and along each direction.

        By quadrature on a grid of four points a sigma. Sigmas of one size share a grid and its transforms (`_Grid`).
        These leave the noise untruncated, which moves a divergence by less than the 2e-9 of probability beyond.
        """
        found: dict[float, Tensor] = {}
        for size, group in _by_size(sigmas).items():
            grid = _Grid.over(self, step=size / _STEPS_PER_SIGMA, margin=size * _SIZE * _RADIUS)
            if grid.num_points <= _MAX_GRID:
                found |= dict(zip(group, grid.jsds(self, group), strict=True))
            else:
                found |= {sigma: self._sparse_jsd(sigma) for sigma in group}
        return torch.stack([found[sigma] for sigma in sigmas])

    def _sparse_jsd(self, sigma: float) -> Float64[Tensor, " l"]:
        # noise below the resolution of the projections themselves is not told from none
        step = max(sigma / _STEPS_PER_SIGMA, 1e-15 * float(self.ranges().max()))
        low = torch.minimum(self.real[:, :1], self.fake[:, :1]) - sigma * _RADIUS
        return torch.stack([_sparse_jsd(*line, step=step) for line in zip(self.real, self.fake, low, strict=True)])

    def ranges(self) -> Float64[Tensor, " l"]:
        """Largest minus smallest projection of both sets together, along each direction."""
        return torch.maximum(self.real[:, -1], self.fake[:, -1]) - torch.minimum(self.real[:, 0], self.fake[:, 0])

    def bound(self, sigma: float) -> Bound:
        """The mean over directions of the 1-D `paper` bound: ``2 sigma + 2 (range + 12 sigma) sqrt(JSD)``."""
        return self.bounds([sigma])[0]

    def bounds(self, sigmas: Sequence[float]) -> list[Bound]:
        """`bound` at each sigma."""
        ranges, roots = self.ranges(), self.jsds(sigmas).clamp(0.0, math.log(2.0)).sqrt()
        return [
            Bound(noise_term=2 * sigma, divergence_term=float((2 * (ranges + 2 * sigma * _RADIUS) * root).mean()))
            for sigma, root in zip(sigmas, roots, strict=True)
        ]


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


@dataclass(frozen=True)
class _Grid:
    """A periodic grid along every direction, and densities on it by Fourier transforms.

    Points are spread over the grid by B-splines, whose transform, a power of sinc, is divided out again: together with
    the noise's transform this is its exact density, up to aliasing of ``(f / (1 - f))^8`` at f cycles a step, which is
    below 1e-8 wherever the noise of four steps a sigma leaves anything (Hockney & Eastwood 1988, section 5-3).

    Attributes:
      low: Its first point along each direction, ``[l, 1]``.
      step: Data units.
    """

    low: Float64[Tensor, "l 1"]
    step: float
    num_points: int

    @staticmethod
    def over(lines: Projections, *, step: float, margin: float) -> _Grid:
        """The grid of a step over all projections, with a margin that keeps the noise from reaching around."""
        low = torch.minimum(lines.real[:, :1], lines.fake[:, :1]) - margin
        width = float(lines.ranges().max()) + 2 * margin
        points = width / step + _SPLINE_ORDER
        return _Grid(
            low, step, fft.next_fast_len(math.ceil(points), real=True) if points <= _MAX_GRID else _MAX_GRID + 1
        )

    def jsds(self, lines: Projections, sigmas: Sequence[float]) -> Float64[Tensor, "{len(sigmas)} l"]:
        """JSD (nats) at each sigma along each direction; directions are taken in parts."""
        size = max(1, _NUMBERS_AT_ONCE // self.num_points)
        parts = zip(lines.real.split(size), lines.fake.split(size), self.low.split(size), strict=True)
        return torch.cat([self._jsds(*part, sigmas=sigmas) for part in parts], dim=1)

    def _jsds(
        self,
        real: Float64[Tensor, "l n"],
        fake: Float64[Tensor, "l m"],
        low: Float64[Tensor, "l 1"],
        *,
        sigmas: Sequence[float],
    ) -> Float64[Tensor, "{len(sigmas)} l"]:
        transforms = [torch.fft.rfft(self._spread(part, low)) for part in (real, fake)]
        cycles = torch.arange(transforms[0].shape[1], dtype=real.dtype, device=real.device) / self.num_points
        splines = torch.sinc(cycles) ** _SPLINE_ORDER
        length = self.num_points * self.step
        found = []
        for sigma in sigmas:
            # no more points than this sigma needs: what is left out of its transform is nothing
            num = min(self.num_points, fft.next_fast_len(math.ceil(length / sigma * _STEPS_PER_SIGMA), real=True))
            kept = slice(num // 2 + 1)
            noise = (-0.5 * (2 * math.pi * sigma / self.step * cycles[kept]).square()).exp() / splines[kept]
            densities = [torch.fft.irfft(part[:, kept] * noise, n=num).clamp_(min=0) for part in transforms]
            found.append(_jsd(*(part / part.sum(1, keepdim=True) for part in densities)))
        return torch.stack(found)

    def _spread(
        self, points: Float64[Tensor, "l n"], low: Float64[Tensor, "l 1"]
    ) -> Float64[Tensor, "l {self.num_points}"]:
        """Every point as a B-spline on the grid, shifted by half the spline's width, which no divergence sees.

        Summed on the CPU: a GPU adds in another order each time.
        """
        position = (points - low) / self.step
        cell = position.floor()
        weights = _spline_weights(position - cell).cpu()
        density = torch.zeros(len(points), self.num_points, dtype=points.dtype)
        index = cell.long().cpu()
        for weight in weights:
            density.scatter_add_(1, index, weight)
            index = index + 1
        return density.to(points.device)


def _by_size(sigmas: Sequence[float]) -> dict[float, list[float]]:
    """Distinct sigmas by the power of `_SIZE` below them, so that none depends on which others come with it."""
    groups: dict[float, list[float]] = {}
    for sigma in dict.fromkeys(sigmas):
        groups.setdefault(_SIZE ** math.floor(math.log(sigma, _SIZE)), []).append(sigma)
    return groups


def _spline_polynomials() -> Float64[Tensor, "order order"]:
    """The pieces of the cardinal B-spline: row j has the coefficients of ``M(u + j)`` as a polynomial in u in [0, 1].

    By the recursion ``M_m(x) = (x M_{m-1}(x) + (m - x) M_{m-1}(x - 1)) / (m - 1)``.
    """
    pieces = [Polynomial([1.0])]
    for order in range(2, _SPLINE_ORDER + 1):
        padded = [Polynomial([0.0]), *pieces, Polynomial([0.0])]
        pieces = [
            (Polynomial([j, 1.0]) * padded[j + 1] + Polynomial([order - j, -1.0]) * padded[j]) / (order - 1)
            for j in range(order)
        ]
    return torch.tensor([piece.coef.tolist() for piece in pieces], dtype=torch.float64)


_SPLINE = _spline_polynomials()


def _spline_weights(offset: Float64[Tensor, "l n"]) -> Float64[Tensor, "order l n"]:
    """The B-spline's values at the grid points that follow an offset in [0, 1); they sum to 1."""
    powers = [torch.ones_like(offset), 1 - offset]
    while len(powers) < _SPLINE_ORDER:
        powers.append(powers[-1] * powers[1])
    weights: Tensor = torch.tensordot(_SPLINE.to(offset.device), torch.stack(powers), dims=1)
    return weights


def _jsd(p: Float64[Tensor, "*l k"], q: Float64[Tensor, "*l k"]) -> Float64[Tensor, " *l"]:
    """JSD (nats) of the distributions in the last axis."""
    middle = (p + q) / 2
    return (torch.xlogy(p, p / middle).nan_to_num() + torch.xlogy(q, q / middle).nan_to_num()).sum(-1) / 2


def _sparse_jsd(
    real: Float64[Tensor, " n"], fake: Float64[Tensor, " m"], low: Float64[Tensor, " 1"], *, step: float
) -> Float64[Tensor, ""]:
    """`Projections.jsd` along one direction, on the occupied grid points alone: for sigma far below the range.

    Summed on the CPU: a GPU adds in another order each time.
    """
    weights, cells = zip(*(_kernels((part - low).cpu() / step) for part in (real, fake)), strict=True)
    occupied, place = torch.cat(cells).unique(return_inverse=True)
    p, q = (
        torch.bincount(where, weights=weight, minlength=len(occupied)) / weight.sum()
        for where, weight in zip(place.split([len(part) for part in cells]), weights, strict=True)
    )
    return _jsd(p, q).to(real.device)


def _kernels(position: Float64[Tensor, " n"]) -> tuple[Float64[Tensor, " k"], Int64[Tensor, " k"]]:
    """The Gaussian's values around every centre, and the grid points they belong to; k is ``n (2 reach + 1)``."""
    offsets = torch.arange(-_REACH, _REACH + 1, device=position.device)
    cells = position.round().long()[:, None] + offsets
    distance = (cells - position[:, None]) / _STEPS_PER_SIGMA
    kernel = (-0.5 * distance.square()).exp() * (distance.abs() <= _REACH / _STEPS_PER_SIGMA)
    return kernel.flatten(), cells.flatten()
