"""Theorems 2.1 and 2.2: between supports of low dimension there is a perfect discriminator, and it teaches nothing.

References:
  Arjovsky & Bottou (2017), section 2.1; arXiv:1701.04862.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from ..job.parts.networks import MLP
from ..stacking.module import StackedModule
from ..theory.losses import CROSS_ENTROPY, accuracy
from .findings import Assessment, assess, at_most, close, holds
from .perfect_discriminators import (
    Urysohn,
    circle,
    disc,
    lines,
    linked_circles,
    neighbours,
    segment,
    spheres,
    with_gradient,
)

_BATCH = 128
_FRESH = 2000  # samples of each kind that training has not seen
_EARLY = 10  # steps


def theorem_2_1(
    *,
    distance: float = 0.5,
    num_steps: int = 400,
    max_slope: float = 0.02,
    assumed_gap: float = 1.0,
    num_points: int = 200,
    seed: int = 0,
) -> Assessment:
    """Disjoint compact supports: a discriminator of accuracy 1 with ``grad_x D = 0`` on both.

    *Constructed*, as in the proof: for parallel segments at two distances, a disc inside a circle, and linked circles
    in space, `Urysohn` must be 1 and 0 with gradient 0, exactly, at random points of the supports and of their
    neighbourhoods of radius ``delta/3``, so that the harness's accuracy of its logits is 1 and its cross-entropy 0. It
    must also be smooth: on a fine path from one support to the other its gradient is that of central differences, and
    never jumps by more than a tenth of its largest value.

    *Trained*: samples are uniform on two parallel segments of length 2 in the plane. The harness's MLP, trained by
    cross-entropy, must get all fresh samples right, and the mean of ``||grad_x D||``, ``D = sigmoid(logit)``, on them
    must become small beside ``1 / distance``, the mean slope any D needs between the segments; it must also have
    fallen tenfold since the first steps. The control, trained beside it on one and the same segment, must do no better
    than guess: its accuracy within 4 standard errors of 1/2. (Its slope vanishes too, since there D* = 1/2.)

    Args:
      distance: Between the segments.
      num_steps: Of Adam.
      max_slope: In units of ``1 / distance``; the theorem's 0 is a limit that training only approaches.
      assumed_gap: delta of the constructed discriminators in units of the distance of the supports, 1 in the proof.
      num_points: On each support, where the constructed discriminators are asked.
      seed: Of weights and samples.
    """
    draws = Generator().manual_seed(seed)
    supports = [
        (segment(), segment(offset=distance), distance),
        (segment(), segment(offset=distance / 10), distance / 10),
        (circle(), disc(0.5), 0.5),
        (*linked_circles(), 1.0),
    ]
    answers, jumps, errors = [], [], []
    for *pair, gap in supports:
        delta = assumed_gap * gap if gap > 0 else 1.0
        discriminator = Urysohn(pair[0], delta)
        points = [support.draw(num_points, draws) for support in pair]
        nearby = [neighbours(places, gap / 3, draws) for places in points]
        answers += [_ask(discriminator, *places) for places in (points, nearby)]
        jump, error = _roughness(discriminator, points[0][:1], points[1], gap=delta)
        jumps.append(jump)
        errors.append(error)
    constructed = _worst(answers)

    real = _on_segment(angle=0.0, offset=0.0)
    players = [(real, _on_segment(angle=0.0, offset=distance)), (real, real)]
    early, late = _train(players, steps=(_EARLY, num_steps), seed=seed)
    needed = 1 / distance if distance > 0 else 1.0
    slope = float(late.slopes[0, 0]) / needed
    right, control = late.accuracy[:, 0].tolist()
    return assess(
        f"constructed: {constructed}; trained: accuracy {right:.4f}, slope {slope:.2g} / delta "
        f"(control: {control:.3f})",
        f"accuracy 1, loss 0, slope 0; trained: -> 0, here <= {max_slope:g} / delta (control: 1/2)",
        holds(constructed.is_perfect),
        at_most(max(jumps), 0.1),
        at_most(max(errors), 1e-4),  # of central differences
        holds(right == 1.0),
        at_most(slope, max_slope),
        at_most(float(late.slopes[0, 0]), float(early.slopes[0, 0]) / 10),
        close(control, 0.5, tolerance=4 * 0.5 / math.sqrt(2 * _FRESH)),
    )


def theorem_2_2(
    *,
    angle: float = math.pi / 2,
    radii: Sequence[float] = (0.2, 0.1, 0.05, 0.025),
    scales: Sequence[float] = (1e-1, 1e-3, 1e-6, 1e-9),
    num_steps: int = 600,
    max_slope: float = 0.05,
    num_points: int = 200,
    seed: int = 0,
) -> Assessment:
    """Supports that cross without aligning: the same almost everywhere.

    *Constructed*, with the balls of the proof: for crossing lines, circles and spheres one discriminator, `Ratio`, must
    be exact, as in `theorem_2_1`, at random points of either manifold whose distance to the crossing is r to 10 r, and
    in the balls around them up to a third of their distance to the other manifold, for every r of `scales`. So
    nothing but the crossing itself is left out.

    *Trained*: two segments of length 2 in the plane cross in their middle. Outside balls around the crossing, ever
    smaller ones, one and the same discriminator must get all fresh samples right, with a slope that is small beside
    the ``1 / radius`` it needs to tell the segments apart there, and smaller than after a sixth of the steps. The share
    of fresh samples in a ball must be its radius, to 4 standard errors: it goes to 0. The control is one and the same
    segment.

    Args:
      angle: Between segments and between lines; at 0 they align.
      radii: Of the balls around the crossing, in each of which a share `radius` of either measure lies.
      scales: Distances r to the crossing.
      num_steps, max_slope, num_points, seed: As of `theorem_2_1`, the slope in units of ``1 / radius``.
    """
    draws = Generator().manual_seed(seed)
    answers = []
    for crossing in (lines(angle), lines(angle / 8), spheres(2), spheres(3)):
        for scale in scales:
            sizes, sign, place = torch.rand(3, num_points, generator=draws, dtype=torch.float64)
            along = scale * 10**sizes * torch.where(sign < 0.5, -1.0, 1.0)
            points = [crossing.real(along, place), crossing.fake(along, place)]
            reaches = [crossing.to_fake(points[0]).sqrt() / 3, crossing.to_real(points[1]).sqrt() / 3]
            nearby = [neighbours(places, reach, draws) for places, reach in zip(points, reaches, strict=True)]
            answers += [_ask(crossing.discriminator(), *places) for places in (points, nearby)]
    constructed = _worst(answers)

    real = _on_segment(angle=0.0, offset=0.0)
    players = [(real, _on_segment(angle=angle, offset=0.0)), (real, real)]
    early, late = _train(players, steps=(num_steps // 6, num_steps), seed=seed, outside=radii)
    slopes = [float(slope) * radius for slope, radius in zip(late.slopes[0], radii, strict=True)]
    right, controls = late.accuracy.tolist()
    return assess(
        f"constructed: {constructed}; trained: accuracy {min(right):.4f}, slope <= {max(slopes):.2g} / r "
        f"(control: {controls[-1]:.3f})",
        f"accuracy 1, loss 0, slope 0, at r = {min(scales):g} still; trained: slope -> 0, here <= {max_slope:g} / r, "
        f"outside r = {', '.join(f'{radius:g}' for radius in radii)} (control: 1/2)",
        holds(constructed.is_perfect),
        holds(all(share == 1.0 for share in right)),
        at_most(max(slopes), max_slope),
        holds(bool((late.slopes[0] < early.slopes[0]).all())),
        *(
            close(float(share), radius, tolerance=4 * math.sqrt(radius * (1 - radius) / (2 * _FRESH)))
            for share, radius in zip(late.left_out[0], radii, strict=True)
        ),
        *(
            close(share, 0.5, tolerance=4 * 0.5 / math.sqrt(2 * _FRESH * (1 - radius)))
            for share, radius in zip(controls, radii, strict=True)
        ),
    )


@dataclass(frozen=True)
class _Answer:
    """Of a discriminator on samples: the harness's accuracy and cross-entropy, and the largest ``||grad_x D||``."""

    accuracy: float
    loss: float
    slope: float

    @property
    def is_perfect(self) -> bool:
        """Exactly: nothing is approached."""
        return (self.accuracy, self.loss, self.slope) == (1.0, 0.0, 0.0)

    def __str__(self) -> str:
        return f"accuracy {self.accuracy:g}, loss {self.loss:g}, slope {self.slope:g}"


def _ask(discriminator: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor) -> _Answer:
    """What a discriminator ``[n, d] -> [n]`` makes of samples."""
    (on_real, of_real), (on_fake, of_fake) = (with_gradient(discriminator, points) for points in (real, fake))
    logits = on_real.logit(), on_fake.logit()  # infinite, and the losses take that
    slope = torch.cat([of_real, of_fake]).norm(dim=1).max()
    return _Answer(float(accuracy(CROSS_ENTROPY, *logits)), float(CROSS_ENTROPY(*logits)), float(slope))


def _worst(answers: Sequence[_Answer]) -> _Answer:
    return _Answer(
        min(answer.accuracy for answer in answers),
        max(answer.loss for answer in answers),
        max(answer.slope for answer in answers),
    )


def _roughness(
    discriminator: Callable[[Tensor], Tensor], start: Tensor, others: Tensor, *, gap: float
) -> tuple[float, float]:
    """Along the straight path from a point ``[1, d]`` to the nearest of others, in units of the largest gradient.

    Returns:
      The largest jump of the gradient from one of 4,000 points to the next, and the largest difference between its part
      along the path and central differences.
    """
    end = others[(others - start).norm(dim=1).argmin()]
    path = start + torch.linspace(0, 1, 4001, dtype=torch.float64)[:, None] * (end - start)
    _, gradients = with_gradient(discriminator, path)
    move = 1e-5 * gap * torch.nn.functional.normalize(end - start, dim=1)
    along = (discriminator(path + move) - discriminator(path - move)) / (2e-5 * gap)
    steepest = gradients.norm(dim=1).max()
    error = (along - gradients @ move[0] / (1e-5 * gap)).abs().max()
    return float(gradients.diff(dim=0).norm(dim=1).max() / steepest), float(error / steepest)


@dataclass(frozen=True)
class _Measured:
    """On fresh samples, of every discriminator and outside every radius ``[k, r]``.

    Attributes:
      slopes: The mean of ``||grad_x sigmoid(logit)||``.
      left_out: The share of samples inside.
    """

    accuracy: Tensor
    slopes: Tensor
    left_out: Tensor


Sampler = Callable[[int, Generator], Tensor]


def _on_segment(*, angle: float, offset: float) -> Sampler:
    """Uniform samples ``[num, 2]`` of a segment of length 2, turned by `angle` and moved up by `offset`."""

    def sample(num: int, draws: Generator) -> Tensor:
        along = 2 * torch.rand(num, generator=draws) - 1
        return torch.stack([along * math.cos(angle), along * math.sin(angle) + offset], 1)

    return sample


def _train(
    players: Sequence[tuple[Sampler, Sampler]], *, steps: Sequence[int], seed: int, outside: Sequence[float] = (0.0,)
) -> list[_Measured]:
    """Trains one discriminator a pair of samplers, as one pack, and measures all of them after each of `steps`.

    Args:
      players: Samplers of real and fake samples.
      steps: Increasing numbers of updates.
      seed: Of weights and samples; weights are the same for all.
      outside: Radii; fresh samples nearer to the origin than that are left out.
    """
    draws = Generator().manual_seed(seed)
    module = StackedModule.discriminator(MLP(), (2,))
    weights = module.initial(draws).repeat(len(players), 1).requires_grad_()
    optimizer = torch.optim.Adam([weights], lr=5e-3)  # elementwise, so members do not touch each other
    measured = []
    for step in range(1, steps[-1] + 1):
        real, fake = (torch.stack([pair[kind](_BATCH, draws) for pair in players]) for kind in (0, 1))
        optimizer.zero_grad()
        CROSS_ENTROPY(module(weights, real), module(weights, fake)).sum().backward()
        optimizer.step()
        if step in steps:
            measured.append(_measure(module, weights.detach(), players, seed=seed, outside=outside))
    return measured


def _measure(
    module: StackedModule,
    weights: Tensor,
    players: Sequence[tuple[Sampler, Sampler]],
    *,
    seed: int,
    outside: Sequence[float],
) -> _Measured:
    draws = Generator().manual_seed(seed + 1)
    columns = []
    for own, pair in zip(weights, players, strict=True):
        fresh = [kind(_FRESH, draws).requires_grad_() for kind in pair]
        logits = [module(own[None], samples[None])[0] for samples in fresh]
        gradients = torch.autograd.grad([values.sigmoid().sum() for values in logits], fresh)
        distances = [samples.detach().norm(dim=1) for samples in fresh]
        for radius in outside:
            keep = [lengths >= radius for lengths in distances]
            kept = [values.detach()[inside] for values, inside in zip(logits, keep, strict=True)]
            slope = torch.cat([gradient[inside] for gradient, inside in zip(gradients, keep, strict=True)]).norm(dim=1)
            left_out = 1 - torch.cat(keep).float().mean()
            columns.append(torch.stack([accuracy(CROSS_ENTROPY, *kept), slope.mean(), left_out]))
    table = torch.stack(columns).view(len(players), len(outside), 3)
    return _Measured(*table.unbind(2))
