"""A problem, a loss and a metric of one's own, for `own.yaml`; docs/extending.md has what else can be brought."""

from __future__ import annotations

import math

import torch
from pydantic import Field
from torch import Generator, Tensor

from harness.job.parts.problem import Problem, ProblemInfo
from harness.theory.losses import Loss, Objective


class Moons(Problem):
    """Two half circles that reach into each other, in 2-D"""

    gap: float = Field(0.5, ge=0)  # a parameter, with its default and its limit

    def find_info(self) -> ProblemInfo:
        return ProblemInfo(shape=(2,))  # of one sample

    def draw(self, num: int, generator: Generator) -> Tensor:
        """Fresh samples ``[num, 2]``, of nothing but the given generator's numbers, so that a seed repeats them."""
        angle = math.pi * torch.rand(num, generator=generator, device=generator.device)
        is_upper = torch.rand(num, generator=generator, device=generator.device) < 0.5
        upper = torch.stack([angle.cos() - 0.5, angle.sin() - self.gap / 2], dim=1)
        return torch.where(is_upper[:, None], upper, -upper)


# The discriminator minimises the mean of `real` of its logits of real samples and of `fake` of those of fake ones, the
# generator that of `generator_fake`: cross-entropy with 0.9 in place of the label 1 (Salimans et al. 2016), and -log D.
smoothed = Loss(
    "smoothed",
    Objective(
        "smoothed",
        real=lambda logits: 0.9 * torch.nn.functional.softplus(-logits) + 0.1 * torch.nn.functional.softplus(logits),
        fake=torch.nn.functional.softplus,
        threshold=0.0,
    ),
    generator_fake=lambda logits: torch.nn.functional.softplus(-logits),
    formula="real: 0.9 softplus(-r) + 0.1 softplus(r), fake: softplus(f); generator: softplus(-f)",
)


def share_above(real: Tensor, fake: Tensor) -> float:
    """Of the generated samples ``[m, 2]`` those above the middle; of real ones about a half are."""
    return float((fake[:, 1] > 0).double().mean())
