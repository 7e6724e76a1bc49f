"""Networks: pairs of generator and discriminator.

Modules are built without weights (on the meta device); `Network.initial` draws them from a given generator of random
numbers, so that a member's weights depend on its seed alone.
"""

from __future__ import annotations

import abc
import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, TypeAlias

from pydantic import BeforeValidator, Field, SerializeAsAny

from .part import Part, chooser

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn

BatchNorm: TypeAlias = Literal["joint", "separate", "none"]
Shape = tuple[int, ...]
MAX_WIDTH = 10**6
"""Of layers, and how many of them: no machine holds more."""


@dataclass(frozen=True)
class NetworkCost:
    """What a network is expected to cost, for plans and progress displays.

    Attributes:
      multiplications: Of one sample's pass through the discriminator; a generator is taken to cost the same.
      dispatch_seconds: Fixed time of a step, per member.
      max_members: Members of a pack beyond which stacking gains nothing.
    """

    multiplications: int
    dispatch_seconds: float
    max_members: int


class Network(Part):
    """Base of all networks: a generator from latents and a discriminator to raw logits."""

    kind: ClassVar[str] = "network"

    latent: int = Field(8, ge=1, le=MAX_WIDTH)
    spectral_norm: bool = False

    @property
    def normalisation(self) -> BatchNorm:
        """How the discriminator normalises real and fake batches: together, apart, or not at all."""
        return getattr(self, "batch_norm", "none")

    @classmethod
    def has_batch_norm(cls) -> bool:
        """Whether there is a `batch_norm` to choose."""
        return "batch_norm" in cls.model_fields

    def with_batch_norm(self, mode: BatchNorm | None) -> Network:
        """The same networks with this batch normalisation of the discriminator; None for their own."""
        return self if mode is None else self.model_copy(update={"batch_norm": mode})

    def needs(self, shape: Shape) -> str | None:
        """What samples the network needs, if those of this shape are no such; None if they will do."""
        del shape
        return None

    @abc.abstractmethod
    def generator(self, shape: Shape) -> nn.Module:
        """A module from latents ``[b, latent]`` to samples ``[b, *shape]``; called on the meta device."""

    @abc.abstractmethod
    def discriminator(self, shape: Shape) -> nn.Module:
        """A module from samples ``[b, *shape]`` to raw logits ``[b]``; called on the meta device."""

    def initial(self, layer: nn.Module, name: str, unit: Unit) -> Tensor:
        """One layer's parameter of this name, drawn afresh.

        The default is torch's own for linear and convolutional layers, uniform in +-1/sqrt(fan in); the parameters of
        all others are 1, and their biases 0.

        Args:
          layer: The layer, without weights.
          name: Of its parameter.
          unit: Draws of the parameter's shape.
        """
        weight = getattr(layer, "weight", None)
        if weight is not None and weight.ndim > 1:
            return (2 * unit.uniform() - 1) / math.sqrt(weight[0].numel())
        draws = unit.uniform()
        return draws.new_full(draws.shape, 0.0 if name == "bias" else 1.0)

    def cost(self, shape: Shape) -> NetworkCost:
        """What it is expected to cost; the default counts the parameters of the discriminator, once each."""
        import torch

        with torch.device("meta"):
            num = sum(parameter.numel() for parameter in self.discriminator(shape).parameters())
        return NetworkCost(num, dispatch_seconds=5e-4, max_members=8)


@dataclass(frozen=True)
class Unit:
    """Draws of one shape from a generator of random numbers, float32."""

    shape: tuple[int, ...]
    source: Generator

    def uniform(self) -> Tensor:
        """In [0, 1)."""
        import torch

        return torch.rand(self.shape, generator=self.source, device=self.source.device)

    def normal(self) -> Tensor:
        """Of mean 0 and deviation 1."""
        import torch

        return torch.randn(self.shape, generator=self.source, device=self.source.device)


class MLP(Network):
    """Fully connected generator and discriminator of equal width and depth"""

    name: Literal["mlp"] = "mlp"
    width: int = Field(64, ge=1, le=MAX_WIDTH)
    depth: int = Field(2, ge=1, le=MAX_WIDTH)
    latent: int = Field(8, ge=1, le=MAX_WIDTH)
    spectral_norm: bool = False

    def generator(self, shape: Shape) -> nn.Module:
        from torch import nn

        return self._layers(self.latent, math.prod(shape), nn.ReLU(), nn.Unflatten(1, shape))

    def discriminator(self, shape: Shape) -> nn.Module:
        from torch import nn

        layers = self._layers(math.prod(shape), 1, nn.LeakyReLU(0.2), nn.Flatten(0))
        return nn.Sequential(nn.Flatten(), layers)

    def cost(self, shape: Shape) -> NetworkCost:
        multiplications = math.prod(shape) * self.width + self.width**2 * (self.depth - 1) + self.width
        return NetworkCost(multiplications, dispatch_seconds=2e-5, max_members=16)

    def _layers(self, inputs: int, outputs: int, activation: nn.Module, last: nn.Module) -> nn.Sequential:
        from torch import nn

        widths = [inputs, *[self.width] * self.depth]
        hidden = [
            layer for before, after in itertools.pairwise(widths) for layer in (nn.Linear(before, after), activation)
        ]
        return nn.Sequential(*hidden, nn.Linear(widths[-1], outputs), last)


class DCGAN(Network):
    """Radford et al. (2016) for square images of a power-of-two size from 8 to 128

    `batch_norm` is the discriminator's: ``separate`` normalises real and fake batches apart (which leaks the label),
    ``joint`` together, ``none`` has no normalisation. The generator always has it. `spectral_norm` divides every weight
    matrix of the discriminator by its largest singular value (Miyato et al. 2018).
    """

    name: Literal["dcgan"] = "dcgan"
    width: int = Field(16, ge=1, le=MAX_WIDTH)
    latent: int = Field(32, ge=1, le=MAX_WIDTH)
    batch_norm: BatchNorm = "joint"
    spectral_norm: bool = False

    SIZES: ClassVar[tuple[int, ...]] = (8, 16, 32, 64, 128)

    def needs(self, shape: Shape) -> str | None:
        fits = len(shape) == 3 and shape[1] == shape[2] and shape[1] in self.SIZES
        return None if fits else "square images of a power-of-two size from 8 to 128"

    def generator(self, shape: Shape) -> nn.Module:
        from torch import nn

        halvings = _num_halvings(shape[1])
        inner = shape[1] >> halvings
        channels = self.width << (halvings - 1)
        layers: list[nn.Module] = [
            nn.Linear(self.latent, channels * inner * inner, bias=False),
            nn.Unflatten(1, (channels, inner, inner)),
            _normalisation(channels),
            nn.ReLU(),
        ]
        for _ in range(halvings - 1):
            layers += [
                nn.ConvTranspose2d(channels, channels // 2, 4, 2, 1, bias=False),
                _normalisation(channels // 2),
                nn.ReLU(),
            ]
            channels //= 2
        return nn.Sequential(*layers, nn.ConvTranspose2d(channels, shape[0], 4, 2, 1), nn.Tanh())

    def discriminator(self, shape: Shape) -> nn.Module:
        from torch import nn

        halvings = _num_halvings(shape[1])
        inner = shape[1] >> halvings
        channels = self.width
        layers: list[nn.Module] = [nn.Conv2d(shape[0], channels, 4, 2, 1), nn.LeakyReLU(0.2)]
        for _ in range(halvings - 1):
            normalise = self.batch_norm != "none"
            layers.append(nn.Conv2d(channels, 2 * channels, 4, 2, 1, bias=not normalise))
            layers += [_normalisation(2 * channels)] if normalise else []
            layers.append(nn.LeakyReLU(0.2))
            channels *= 2
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * inner * inner, 1), nn.Flatten(0))

    def initial(self, layer: nn.Module, name: str, unit: Unit) -> Tensor:
        """N(0, 0.02) weights, normalisation scales N(1, 0.02), zero biases (Radford et al. 2016)."""
        from torch import nn

        draws = unit.normal()  # of biases too, so that what follows does not depend on whether a layer has one
        if name == "bias":
            return draws.new_zeros(draws.shape)
        return 0.02 * draws + (1.0 if isinstance(layer, nn.BatchNorm2d) else 0.0)

    def cost(self, shape: Shape) -> NetworkCost:
        """Multiplications of the convolutions of 4x4 kernels, each of which halves the side."""
        inputs, outputs, side = shape[0], self.width, shape[1] // 2
        total = 0
        while side >= (2 if shape[1] == 8 else 4):
            total += side * side * inputs * outputs * 16
            inputs, outputs, side = outputs, 2 * outputs, side // 2
        return NetworkCost(total, dispatch_seconds=1e-3, max_members=8 if shape[1] <= 16 else 4)


def _num_halvings(size: int) -> int:
    """Strided convolutions between the image and the innermost map: 4x4, or 2x2 for images of 8x8."""
    return int(math.log2(size)) - (1 if size == 8 else 2)


def _normalisation(channels: int) -> nn.Module:
    from torch import nn

    return nn.BatchNorm2d(channels, track_running_stats=False)


NETWORKS: Mapping[str, type[Network]] = {"mlp": MLP, "dcgan": DCGAN}
AnyNetwork = Annotated[SerializeAsAny[Network], BeforeValidator(chooser(Network, NETWORKS))]
"""Networks as a job names them."""
