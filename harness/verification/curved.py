"""Curved manifolds in random positions, and where two of them meet.

Many positions are worked on at once: arrays begin with n positions, and then s points in each.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_ITERATIONS = 60
_MET = 1e-12  # distance to both manifolds at which a point is on both


class Manifold(Protocol):
    """n manifolds of one dimension m in R^d, as the zeros of functions to R^(d - m)."""

    def defect(self, points: Array) -> Array:
        """The functions: ``[n, s, d] -> [n, s, d - m]``."""

    def normals(self, points: Array) -> Array:
        """Their derivatives, whose rows span the normal spaces on the manifolds: ``[n, s, d] -> [n, s, d - m, d]``."""

    def draw(self, num: int, random: np.random.Generator) -> Array:
        """Random points of each: ``[n, num, d]``."""


@dataclass(frozen=True)
class Spheres:
    """n round m-spheres, each in an affine space of dimension m + 1: circles for m = 1.

    The defect is the distance in the space of the sphere, and those to it: its norm is the distance to the sphere.

    Attributes:
      dimension: m.
      centres: ``[n, d]``.
      radii: ``[n]``.
      frames: Orthogonal matrices, whose first m + 1 columns span the space of the sphere, ``[n, d, d]``.
    """

    dimension: int
    centres: Array
    radii: Array
    frames: Array

    @staticmethod
    def through(points: Array, frames: Array, radii: Array, *, dimension: int) -> Spheres:
        """Spheres through points ``[n, d]``, where columns 1 to m of their frame are tangent and column 0 is normal."""
        return Spheres(dimension, points - radii[:, None] * frames[:, :, 0], radii, frames)

    def moved(self, shifts: Array) -> Spheres:
        """Each by its shift, ``[n, d]``."""
        return dataclasses.replace(self, centres=self.centres + shifts)

    def defect(self, points: Array) -> Array:
        inside, outside = self._coordinates(points)
        return np.concatenate([np.linalg.norm(inside, axis=2, keepdims=True) - self.radii[:, None, None], outside], 2)

    def normals(self, points: Array) -> Array:
        inside, outside = self._coordinates(points)
        outwards = inside / np.linalg.norm(inside, axis=2, keepdims=True)
        radial = np.einsum("nsk,ndk->nsd", outwards, self.frames[:, :, : self.dimension + 1])
        others = self.frames[:, None, :, self.dimension + 1 :].swapaxes(2, 3)
        return np.concatenate([radial[:, :, None], np.broadcast_to(others, (*outside.shape, points.shape[2]))], 2)

    def draw(self, num: int, random: np.random.Generator) -> Array:
        inside = random.standard_normal((len(self.centres), num, self.dimension + 1))
        inside *= self.radii[:, None, None] / np.linalg.norm(inside, axis=2, keepdims=True)
        return np.asarray(self.centres[:, None] + inside @ self.frames[:, :, : self.dimension + 1].swapaxes(1, 2))

    def _coordinates(self, points: Array) -> tuple[Array, Array]:
        """Those in the space of the sphere, from its centre, and those to it: ``[n, s, m + 1], [n, s, d - m - 1]``."""
        coordinates = (points - self.centres[:, None]) @ self.frames
        return coordinates[:, :, : self.dimension + 1], coordinates[:, :, self.dimension + 1 :]


@dataclass(frozen=True)
class Waves:
    """n graphs ``v_j = (sin(w_j . u + c_j) - sin c_j) / 2`` over an m-dimensional cube, in a frame of their own.

    Attributes:
      dimension: m.
      origins: Points of the graphs, where u = 0, ``[n, d]``.
      frames: Orthogonal matrices, whose first m columns are the directions of u, ``[n, d, d]``.
      frequencies: w, ``[n, d - m, m]``.
      phases: c, ``[n, d - m]``.
    """

    dimension: int
    origins: Array
    frames: Array
    frequencies: Array
    phases: Array

    @staticmethod
    def through(points: Array, frames: Array, random: np.random.Generator, *, dimension: int) -> Waves:
        """Random ones through points ``[n, d]``."""
        codimension = points.shape[1] - dimension
        frequencies = random.standard_normal((len(points), codimension, dimension))
        return Waves(dimension, points, frames, frequencies, random.uniform(0, 2 * np.pi, (len(points), codimension)))

    def moved(self, shifts: Array) -> Waves:
        """Each by its shift, ``[n, d]``."""
        return dataclasses.replace(self, origins=self.origins + shifts)

    def defect(self, points: Array) -> Array:
        coordinates = (points - self.origins[:, None]) @ self.frames
        return np.asarray(coordinates[:, :, self.dimension :] - self._heights(coordinates[:, :, : self.dimension]))

    def normals(self, points: Array) -> Array:
        along = (points - self.origins[:, None]) @ self.frames[:, :, : self.dimension]
        slopes = np.cos(self._angles(along))[..., None] * self.frequencies[:, None] / 2  # [n, s, d - m, m]
        upright = self.frames[:, None, :, self.dimension :].swapaxes(2, 3)
        return np.asarray(upright - np.einsum("nsjk,ndk->nsjd", slopes, self.frames[:, :, : self.dimension]))

    def draw(self, num: int, random: np.random.Generator) -> Array:
        along = random.uniform(-1, 1, (len(self.origins), num, self.dimension))
        both = np.concatenate([along, self._heights(along)], 2)
        return np.asarray(self.origins[:, None] + both @ self.frames.swapaxes(1, 2))

    def _angles(self, along: Array) -> Array:
        return np.asarray(along @ self.frequencies.swapaxes(1, 2) + self.phases[:, None])

    def _heights(self, along: Array) -> Array:
        return np.asarray((np.sin(self._angles(along)) - np.sin(self.phases)[:, None]) / 2)


@dataclass(frozen=True)
class Meeting:
    """Where pairs of manifolds were found to meet, from s starts each.

    Attributes:
      points: ``[n, s, d]``.
      on_both: Whether the point is on both manifolds, ``[n, s]``; the search stops elsewhere where they do not meet.
      normals: Of both manifolds there, one below the other, ``[n, s, 2 d - m - p, d]``.
    """

    points: Array
    on_both: NDArray[np.bool_]
    normals: Array

    def ranks(self, tolerance: float) -> NDArray[np.int64]:
        """Of the normals: the manifolds are transversal where it is their number, ``[n, s]``."""
        return np.asarray((np.linalg.svd(self.normals, compute_uv=False) > tolerance).sum(2))


def meet(first: Manifold, second: Manifold, starts: Array) -> Meeting:
    """Solves both equations from starts ``[n, s, d]`` by Levenberg and Marquardt's method, damped by squared error."""
    points = starts
    for _ in range(_ITERATIONS):
        defect, normals = _both(first, second, points)
        damping = np.maximum((defect**2).sum(2), 1e-12)[..., None, None]
        transposed = normals.swapaxes(2, 3)
        if normals.shape[2] <= normals.shape[3]:
            matrix = normals @ transposed + damping * np.eye(normals.shape[2])
            points = points - (transposed @ np.linalg.solve(matrix, defect[..., None]))[..., 0]
        else:
            matrix = transposed @ normals + damping * np.eye(normals.shape[3])
            points = points - np.linalg.solve(matrix, transposed @ defect[..., None])[..., 0]
    defect, normals = _both(first, second, points)
    return Meeting(points, np.linalg.norm(defect, axis=2) <= _MET, normals)


def spheres_meet(first: Spheres, second: Spheres) -> NDArray[np.bool_]:
    """Whether spheres meet hyperspheres, in closed form: ``[n]``.

    They do iff the radius of the second is between the distances of its centre to the nearest and the furthest point
    of the first.
    """
    if second.dimension != second.centres.shape[1] - 1:
        raise ValueError(f"the second must be spheres of dimension d - 1, got {second.dimension}")
    inside, outside = (part[:, 0] for part in first._coordinates(second.centres[:, None]))
    lengths, across = np.linalg.norm(inside, axis=1), np.linalg.norm(outside, axis=1)
    nearest, furthest = (np.hypot(lengths + sign * first.radii, across) for sign in (-1, 1))
    return np.asarray((nearest < second.radii) & (second.radii < furthest))


def random_frames(num: int, dimension: int, random: np.random.Generator) -> Array:
    """Orthogonal matrices, uniformly distributed: ``[n, d, d]``."""
    frames, upper = np.linalg.qr(random.standard_normal((num, dimension, dimension)))
    return np.asarray(frames * np.sign(np.einsum("nkk->nk", upper))[:, None])


def _both(first: Manifold, second: Manifold, points: Array) -> tuple[Array, Array]:
    return (
        np.concatenate([first.defect(points), second.defect(points)], 2),
        np.concatenate([first.normals(points), second.normals(points)], 2),
    )
