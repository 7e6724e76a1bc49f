"""Densities of noisy sample sets at draws from them: logs of sums of kernels, at many sigmas in one pass.

A draw is ``x = c + sigma z`` and its squared distance from another centre, in units of sigma^2,

    ||x - c_j||^2 / sigma^2 = ||c - c_j||^2 / sigma^2 + 2 z.(c - c_j) / sigma + ||z||^2,

so that two matrices, without sigma, serve all sigmas. They are made in blocks that stay in cache.

The exponents are taken from these matrices in float32: terms are rounded to 6e-8 of themselves, exponentials to some
20 units in the last place, so that a log density is good to about ``1e-6 + 2e-7 ||z||^2``. Products are good to a share
of the squared norms alone, 1e-15 in float64 and, in many dimensions, 3e-7 in float32: pairs so near that this would
not be little of their own distance are measured one by one, by differences. So points that coincide have distance 0,
and those that nearly do have theirs.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64, Int64
from torch import Tensor

from .levels import MixedLevels
from .noise import ISOTROPIC, NORMAL, Noise

DRAWS_AT_ONCE = 256  # times `ROWS_AT_ONCE`: matrices of half a MB, which stay in cache
_DRAWS_OF_PRODUCTS = 512  # where products take longer than all else, and gain by larger blocks
_MAX_DIRECT = 8  # dimensions in which differences are taken coordinate by coordinate
_MIN_SINGLE = 64  # dimensions from which on products are taken in float32
_NEAR = 1e-9  # of the squared norms: pairs nearer than that are measured by differences
_NEAR_IN_SINGLE = 1e-2  # the same where products are float32
_MAX_NEAR = 8  # such pairs a draw, on average in a block
_DIFFERENCES_AT_ONCE = 2**20  # numbers
_MIN_PAIRS = 2**14  # below which looking for what is out of reach takes longer than what it saves
_NEGLIGIBLE = 25.0  # in the exponent: e^-25 of the largest term, a ten-thousandth of what float32 resolves


@dataclass(frozen=True)
class Draws:
    """Some draws ``x = c + sigma z``.

    Attributes:
      centres: c, whitened.
      units: z, whitened.
    """

    centres: Float64[Tensor, "b d"]
    units: Float64[Tensor, "b d"]

    def in_blocks(self) -> Iterator[tuple[Int64[Tensor, " b"], Draws]]:
        """Some at once, with their indices; in few dimensions neighbours, which few kernels can reach."""
        size = DRAWS_AT_ONCE if self.centres.shape[1] < _MIN_SINGLE else _DRAWS_OF_PRODUCTS
        pending = [torch.arange(len(self.centres), device=self.centres.device)]
        while pending:
            block = pending.pop()
            if len(block) <= size:
                yield block, Draws(self.centres[block], self.units[block])
                continue
            if self.centres.shape[1] <= _MAX_DIRECT:
                points = self.centres[block]
                axis = (points.amax(0) - points.amin(0)).argmax()
                block = block[points[:, axis].argsort()]
            middle = size * (-(-len(block) // size) // 2)
            pending += [block[middle:], block[:middle]]

    @functools.cached_property
    def lengths(self) -> Float64[Tensor, "b 1"]:
        """``||z||^2``"""
        return self.units.square().sum(1, keepdim=True)

    @functools.cached_property
    def norms(self) -> Float64[Tensor, "b 1"]:
        """``||c||^2``"""
        return self.centres.square().sum(1, keepdim=True)

    @functools.cached_property
    def products(self) -> Float64[Tensor, "b 1"]:
        """``c.z``"""
        return (self.centres * self.units).sum(1, keepdim=True)

    @functools.cached_property
    def single(self) -> tuple[Float32[Tensor, "b d"], Float32[Tensor, "b d"]]:
        """Centres and units in float32."""
        return self.centres.float(), self.units.float()


@dataclass(frozen=True)
class Centres:
    """Some centres of kernels, whitened."""

    points: Float64[Tensor, "m d"]

    @functools.cached_property
    def norms(self) -> Float64[Tensor, " m"]:
        """``||c_j||^2``"""
        return self.points.square().sum(1)

    @functools.cached_property
    def single(self) -> Float32[Tensor, "d m"]:
        """In float32, as products want them."""
        return self.points.float().T


def log_kernel_sums(
    draws: Draws, others: Centres, *, sigmas: Sequence[float], noise: Noise
) -> Float64[Tensor, "b {len(sigmas)}"]:
    """``log sum_j K((x - c_j) / sigma)`` of a block of draws, at each sigma; possibly -inf.

    Args:
      draws: Of the noise's family.
      others: c_j.
      sigmas: In descending order: a normal kernel out of reach at one is so at the next.
      noise: Its family; K is its density up to a constant.
    """
    dimension = draws.centres.shape[1]
    is_direct = dimension <= _MAX_DIRECT and isinstance(noise, (*ISOTROPIC, MixedLevels))
    widths = [len(others.points)] * len(sigmas)
    may_skip = is_direct and isinstance(noise, NORMAL) and draws.centres.device.type == "cpu"
    if may_skip and len(draws.centres) * len(others.points) >= _MIN_PAIRS:
        others, widths = _in_reach(draws, others, sigmas)
    squares: Iterator[Tensor]
    if is_direct and isinstance(noise, MixedLevels):
        squares = (_of_differences(draws, others, sigma) for sigma in sigmas)
    else:
        between, along = _by_coordinates(draws, others) if is_direct else _by_products(draws, others)
        squares = _squares(draws.lengths.float(), along, between, zip(sigmas, widths, strict=True))
    largest, shares = [], []  # by softmax, which makes one pass of what logsumexp does in four
    for squared in squares:
        logs = noise.log_kernel(squared, dimension=dimension)
        largest.append(logs.amax(1))
        shares.append(torch.log_softmax(logs, 1).amax(1))  # of the largest
    most = torch.stack(largest, dim=1).double()
    return torch.where(most == -math.inf, most, most - torch.stack(shares, dim=1))


def _squares(
    lengths: Float32[Tensor, "b 1"],
    along: Float32[Tensor, "b m"],
    between: Float32[Tensor, "b m"],
    reach: Iterable[tuple[float, int]],
) -> Iterator[Float32[Tensor, "b _"]]:
    """``||x - c_j||^2 / sigma^2`` at each sigma, of so many centres, by the sum of three terms above."""
    for sigma, width in reach:
        yield torch.add(lengths, along[:, :width], alpha=2 / sigma).add_(between[:, :width], alpha=sigma**-2)


def _of_differences(draws: Draws, others: Centres, sigma: float) -> Float32[Tensor, "b m"]:
    """``||x - c_j||^2 / sigma^2``, good to float32 of itself.

    The sum of three terms is not where they cancel: where a draw of one level lies near the centre of another's kernel,
    to which distances far below sigma matter.
    """
    return _by_coordinates(Draws(draws.centres / sigma + draws.units, draws.units), Centres(others.points / sigma))[0]


def _by_coordinates(draws: Draws, others: Centres) -> tuple[Float32[Tensor, "b m"], Float32[Tensor, "b m"]]:
    """``||c - c_j||^2`` and ``z.(c - c_j)``: good to float32 of themselves, and 0 for points that coincide.

    Coordinates are sums of two float32 numbers, so that differences lose nothing to cancellation.
    """
    units = draws.units.float()
    between = along = units.new_zeros(())
    for axis in range(draws.centres.shape[1]):
        ours, theirs = _halved(draws.centres[:, axis, None]), _halved(others.points[:, axis])
        difference = (ours[0] - theirs[0]).add_(ours[1] - theirs[1])
        if axis == 0:
            between, along = difference.square(), difference.mul_(units[:, :1])
        else:
            between.addcmul_(difference, difference)
            along.addcmul_(difference, units[:, axis, None])
    return between, along


def _halved(values: Float64[Tensor, "*n"]) -> tuple[Float32[Tensor, "*n"], Float32[Tensor, "*n"]]:
    high = values.float()
    return high, (values - high).float()


def _by_products(draws: Draws, others: Centres) -> tuple[Float32[Tensor, "b m"], Float32[Tensor, "b m"]]:
    """``||c - c_j||^2`` and ``z.(c - c_j)`` by matrix products, corrected where points are near one another."""
    if draws.centres.shape[1] >= _MIN_SINGLE and (found := _in_single(draws, others)) is not None:
        return found
    norms = draws.norms + others.norms
    between = norms - 2 * draws.centres @ others.points.T
    along = draws.products - draws.units @ others.points.T
    near = (between <= _NEAR * norms).nonzero(as_tuple=True)
    _by_differences(draws, others, near, between, along)
    return between.float(), along.float()


def _in_single(draws: Draws, others: Centres) -> tuple[Float32[Tensor, "b m"], Float32[Tensor, "b m"]] | None:
    """`_by_products` in float32; None if too many pairs are near one another."""
    centres, units = draws.single
    norms = draws.norms.float() + others.norms.float()
    between = norms.addmm(centres, others.single, alpha=-2)
    near = (between <= _NEAR_IN_SINGLE * norms).nonzero(as_tuple=True)
    if len(near[0]) > _MAX_NEAR * len(centres):
        return None
    along = torch.addmm(draws.products.float(), units, others.single, alpha=-1)
    _by_differences(draws, others, near, between, along)
    return between, along


def _by_differences(
    draws: Draws, others: Centres, pairs: tuple[Tensor, ...], between: Float[Tensor, "b m"], along: Float[Tensor, "b m"]
) -> None:
    """Puts the two values of some pairs ``(rows [p], columns [p])`` right, in place."""
    size = max(1, _DIFFERENCES_AT_ONCE // draws.centres.shape[1])
    for row, column in zip(*(index.split(size) for index in pairs), strict=True):
        difference = draws.centres[row] - others.points[column]
        between[row, column] = difference.square().sum(1).to(between.dtype)
        along[row, column] = (difference * draws.units[row]).sum(1).to(along.dtype)


def _in_reach(draws: Draws, others: Centres, sigmas: Sequence[float]) -> tuple[Centres, list[int]]:
    """Those centres of normal kernels that can matter to a block of draws, nearest first, and how many at each sigma.

    It is told from distances to the middle of the block: with r the distance of a kernel's centre from a draw's and r*
    that of the nearest, its exponent is less than the nearest one's by at least
    ``(r^2 - r*^2) / 2 sigma^2 - ||z|| (r + r*) / sigma``, which only grows as sigma falls, and grows with r from where
    it is positive.
    """
    middle = draws.centres.mean(0)
    radius = float((draws.centres - middle).norm(dim=1).max())
    distances, order = (others.points - middle).norm(dim=1).sort()
    nearest, longest = float(distances[0]) + radius, float(draws.lengths.max()) ** 0.5
    least, scales = (distances - radius).clamp_(min=0).numpy(), np.array(sigmas)[:, None]
    excess = (least + nearest) * ((least - nearest) / scales - 2 * longest)
    widths: list[int] = (excess <= 2 * _NEGLIGIBLE * scales).sum(1).tolist()
    return Centres(others.points[order[: max(widths)]]), widths
