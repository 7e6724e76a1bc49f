"""The discriminators that the proofs of Theorems 2.1 and 2.2 construct, as smooth functions that autograd can take.

Both are 1 around the support of P_r and 0 around that of P_g, exactly, and their gradient is exactly 0 there.

References:
  Arjovsky & Bottou (2017), section 2.1; arXiv:1701.04862.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

_EDGE = 1e-3  # where the smooth step differs from 0 or 1 by exp(-1000), which float64 does not see


def smooth_step(t: Tensor) -> Tensor:
    """0 for t <= 0, 1 for t >= 1, in between ``e^(-1/t) / (e^(-1/t) + e^(-1/(1 - t)))``: infinitely differentiable."""
    inside = t.clamp(_EDGE, 1 - _EDGE)
    return (1 / (1 - inside) - 1 / inside).sigmoid()


@dataclass(frozen=True)
class Support:
    """A compact set, as the image of a cube under a map that stretches no distance by more than `stretch`.

    Attributes:
      place: From coordinates in [0, 1], ``[n, m]``, to points ``[n, d]``.
      num_coordinates: m.
    """

    place: Callable[[Tensor], Tensor]
    num_coordinates: int
    stretch: float

    def draw(self, num: int, draws: Generator) -> Tensor:
        """Points of the set, everywhere in it: ``[num, d]``."""
        return self.place(torch.rand(num, self.num_coordinates, generator=draws, dtype=torch.float64))

    def net(self, fineness: float) -> Tensor:
        """Points of the set, at least one within `fineness` of every point of it: ``[n, d]``."""
        num = math.ceil(self.stretch * math.sqrt(self.num_coordinates) / (2 * fineness))
        axis = (torch.arange(num, dtype=torch.float64) + 0.5) / num
        return self.place(torch.cartesian_prod(*[axis] * self.num_coordinates).view(-1, self.num_coordinates))


@dataclass(frozen=True)
class Urysohn:
    """Theorem 2.1: 1 where ``d(x, M) <= delta/3``, 0 where ``d(x, M) >= 2 delta/3``, and smooth everywhere.

    A function for Urysohn's smooth lemma, of any compact set M: around each point of a net of M a bump is 1 up to
    ``delta/3`` and 0 from ``2 delta/3`` on; their sum is at least some c on the first region, and ``sum / c`` passes
    through a smooth step. As M and P are delta apart, the second region contains all points within ``delta/3`` of P.

    Attributes:
      support: M.
      gap: delta.
    """

    support: Support
    gap: float

    def __call__(self, points: Tensor) -> Tensor:
        """D* of ``[n, d]``: ``[n]``."""
        third, fineness = self.gap / 3, self.gap / 12
        distances = torch.linalg.vector_norm(points[:, None] - self.support.net(fineness), dim=2)
        bumps = smooth_step(2 - distances / third)
        least = smooth_step(torch.tensor(1 - fineness / third, dtype=points.dtype))
        return smooth_step(bumps.sum(1) / least)


@dataclass(frozen=True)
class Ratio:
    """Theorem 2.2: 1 in all balls ``B(x, d(x, P)/3)``, x in M, and 0 in all ``B(x, d(x, M)/3)``, x in P.

    With ``eps = d(x, P)``, in the first ``d(., M) <= eps/3`` and ``d(., P) >= 2 eps/3``, so that the ratio
    ``d(., P)^2 / (d(., M)^2 + d(., P)^2)`` is at least 4/5; in the second it is at most 1/5. D* is a smooth step of it
    from the one to the other, so it is constant in the balls, whose centres are all points of M and P not in both.

    Attributes:
      to_real, to_fake: Squared distances to M and to P, ``[n, d] -> [n]``.
    """

    to_real: Callable[[Tensor], Tensor]
    to_fake: Callable[[Tensor], Tensor]

    def __call__(self, points: Tensor) -> Tensor:
        """D* of ``[n, d]``: ``[n]``."""
        real, fake = self.to_real(points), self.to_fake(points)
        return smooth_step((fake / (real + fake) - 1 / 5) / (3 / 5))


@dataclass(frozen=True)
class Crossing:
    """Two manifolds M and P that cross.

    Attributes:
      real, fake: Points of M and of P whose distance to the crossing along the manifold is ``|s|``, from s ``[n]`` and
        from n uniform random numbers in [0, 1), which say where along the crossing: ``[n, d]``.
      to_real, to_fake: As of `Ratio`.
    """

    real: Callable[[Tensor, Tensor], Tensor]
    fake: Callable[[Tensor, Tensor], Tensor]
    to_real: Callable[[Tensor], Tensor]
    to_fake: Callable[[Tensor], Tensor]

    def discriminator(self) -> Ratio:
        return Ratio(self.to_real, self.to_fake)


def with_gradient(discriminator: Callable[[Tensor], Tensor], points: Tensor) -> tuple[Tensor, Tensor]:
    """D and grad_x D at points ``[n, d]``: ``[n], [n, d]``."""
    points = points.detach().requires_grad_()
    values = discriminator(points)
    (gradients,) = torch.autograd.grad(values.sum(), points)
    return values.detach(), gradients


def neighbours(points: Tensor, radii: Tensor | float, draws: Generator) -> Tensor:
    """One point of the open ball of each radius around each of the points ``[n, d]``: ``[n, d]``."""
    directions = torch.nn.functional.normalize(torch.randn(points.shape, generator=draws, dtype=points.dtype), dim=1)
    lengths = torch.rand(len(points), generator=draws, dtype=points.dtype) * radii
    return points + lengths[:, None] * directions


def segment(*, offset: float = 0.0) -> Support:
    """Of length 2 in the plane, moved up by `offset`."""
    return Support(lambda u: torch.cat([2 * u - 1, torch.full_like(u, offset)], 1), 1, stretch=2.0)


def circle() -> Support:
    """The unit circle in the plane."""
    return Support(lambda u: _turn(u[:, 0]), 1, stretch=2 * math.pi)


def disc(radius: float) -> Support:
    """The disc of a radius up to 1 about 0 in the plane."""
    return Support(lambda u: radius * u[:, :1] * _turn(u[:, 1]), 2, stretch=2 * math.pi)


def linked_circles() -> tuple[Support, Support]:
    """Unit circles in space, each through the other's centre: every point is at distance 1 of the other circle."""
    first = Support(lambda u: torch.nn.functional.pad(_turn(u[:, 0]), (0, 1)), 1, stretch=2 * math.pi)

    def upright(u: Tensor) -> Tensor:
        cosine, sine = _turn(u[:, 0]).unbind(1)
        return torch.stack([1 + cosine, torch.zeros_like(sine), sine], 1)

    return first, Support(upright, 1, stretch=2 * math.pi)


def lines(angle: float) -> Crossing:
    """Two lines through 0 in the plane."""
    flat, steep = (torch.tensor([math.cos(turn), math.sin(turn)], dtype=torch.float64) for turn in (0.0, angle))
    return Crossing(
        real=lambda s, _: s[:, None] * flat,
        fake=lambda s, _: s[:, None] * steep,
        to_real=lambda x: (x[:, 1] * flat[0] - x[:, 0] * flat[1]).square(),
        to_fake=lambda x: (x[:, 1] * steep[0] - x[:, 0] * steep[1]).square(),
    )


def spheres(dimension: int) -> Crossing:
    """Unit spheres with centres 1 apart; in the plane circles, which cross in two points, in space they do in a circle.

    They cross at 60 degrees from the line of centres as seen from the one centre, at 120 as seen from the other.
    """
    centre = torch.nn.functional.one_hot(torch.tensor(0), dimension).double()

    def place(polar: Tensor, u: Tensor) -> Tensor:
        around = torch.where(u < 0.5, -1.0, 1.0).double()[:, None] if dimension == 2 else _turn(u)
        return torch.cat([polar.cos()[:, None], polar.sin()[:, None] * around], 1)

    return Crossing(
        real=lambda s, u: place(math.pi / 3 + s, u),
        fake=lambda s, u: centre + place(2 * math.pi / 3 + s, u),
        to_real=lambda x: (x.norm(dim=1) - 1).square(),
        to_fake=lambda x: ((x - centre).norm(dim=1) - 1).square(),
    )


def _turn(turns: Tensor) -> Tensor:
    angles = 2 * math.pi * turns
    return torch.stack([angles.cos(), angles.sin()], 1)
