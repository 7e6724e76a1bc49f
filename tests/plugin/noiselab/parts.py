"""Parts of jobs: a penalty, a family of noise, a schedule, networks, an optimizer, a loss."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from pydantic import Field
from torch import Generator, Tensor, nn

from harness.job.parts.networks import Network
from harness.job.parts.noise import Noise
from harness.job.parts.optimizers import Optimizer
from harness.job.parts.penalties import Penalty
from harness.job.parts.schedules import Schedule
from harness.theory.dirac import LinearPenalty
from harness.theory.losses import Loss, Objective
from harness.theory.noise import Noise as NoiseFamily

from .constants import HALF


class LogitNorm(Penalty):
    """weight mean (D(real)^2 + D(fake)^2) / 2: keeps the logits near 0"""

    weight: float = Field(0.1, ge=0)

    def __call__(
        self,
        discriminator: Callable[[Tensor], Tensor],
        real: Tensor,
        fake: Tensor,
        draws: Mapping[str, Tensor],
    ) -> Tensor:
        on_real, on_fake = (discriminator(x).square().mean(-1) for x in (real, fake))
        return self.weight * HALF * (on_real + on_fake)

    def on_linear(self) -> LinearPenalty:
        return LinearPenalty()  # D(0) = 0 on the Dirac-GAN's data, and theta is 0 at the equilibrium


class StudentT(Noise):
    """Multivariate t noise of df degrees of freedom: heavier tails than a normal, lighter than Cauchy's"""

    df: float = Field(5.0, gt=2)

    def family(self, samples: Callable[[int], Tensor]) -> NoiseFamily:
        return StudentFamily(self.name, self.df)


class StudentFamily:
    """``z sqrt(df / chi2)``, z standard normal: density ~ (1 + ||x||^2 / df)^(-(df + d) / 2)."""

    def __init__(self, name: str, df: float) -> None:
        self.name, self.df = name, df

    def unit(self, num: int, dimension: int, *, generator: Generator) -> Tensor:
        return self.training_draws(num, dimension, generator=generator).double()

    def training_draws(self, *shape: int, generator: Generator) -> Tensor:
        normal = torch.randn(*shape, generator=generator, device=generator.device)
        degrees = torch.full(shape[:-1], self.df / 2, device=generator.device)
        chi2 = 2 * torch._standard_gamma(degrees, generator=generator)
        return normal * (self.df / chi2).sqrt()[..., None]

    def log_kernel(self, squared: Tensor, *, dimension: int) -> Tensor:
        return (squared / self.df).log1p() * (-(self.df + dimension) / 2)

    def whiten(self, points: Tensor) -> Tensor:
        return points

    def colour(self, points: Tensor) -> Tensor:
        return points

    def variance(self, *, sigma: float, dimension: int) -> float:
        return dimension * sigma**2 * self.df / (self.df - 2)

    def mean_norm(self, *, sigma: float, dimension: int) -> float:
        return math.sqrt(self.variance(sigma=sigma, dimension=dimension))  # at most this

    def radius(self, *, sigma: float, dimension: int) -> float:
        return math.inf if sigma > 0 else 0.0


class Sawtooth(Schedule):
    """sigma(t) = start (1 - frac(teeth t)): anneals again and again"""

    start: float = Field(ge=0)
    teeth: float = Field(2.0, gt=0)

    def __call__(self, t: float) -> float:
        return self.start * (1 - math.modf(self.teeth * t)[0])


class Residual(Network):
    """An MLP whose hidden layers add to what they are given"""

    width: int = Field(16, ge=1)
    latent: int = Field(4, ge=1)

    def generator(self, shape: tuple[int, ...]) -> nn.Module:
        return nn.Sequential(self._body(self.latent), nn.Linear(self.width, math.prod(shape)), nn.Unflatten(1, shape))

    def discriminator(self, shape: tuple[int, ...]) -> nn.Module:
        return nn.Sequential(nn.Flatten(), self._body(math.prod(shape)), nn.Linear(self.width, 1), nn.Flatten(0))

    def _body(self, inputs: int) -> nn.Module:
        return nn.Sequential(nn.Linear(inputs, self.width), Added(self.width))


class Added(nn.Module):
    """``x + relu(W x + b)``."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        step: Tensor = self.layer(x).relu()
        return x + step


class Momentum(Optimizer):
    """Polyak's heavy ball, as torch.optim.SGD with momentum"""

    learning_rate: float = Field(1e-2, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)

    def start(self, like: Tensor) -> dict[str, Tensor]:
        return {"velocity": torch.zeros_like(like)}

    def step(self, parameters: Tensor, gradient: Tensor, state: Mapping[str, Tensor], rates: Tensor) -> Tensor:
        state["velocity"].mul_(self.momentum).add_(gradient)
        return parameters - rates * state["velocity"]


squared_hinge = Loss(
    "squared_hinge",
    Objective("squared_hinge", real=lambda r: (1 - r).relu().square(), fake=lambda f: (1 + f).relu().square()),
    generator_fake=lambda f: -f,
    formula="D: relu(1-r)^2 + relu(1+f)^2   G: -f",
)
