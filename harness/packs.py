"""Packs: members of equal architecture executed together.

A pack keeps the parameters of its k members as one tensor ``[k, p]`` and runs one batched step for all of them
(`torch.func.functional_call` under `vmap`). One member is the plain case, not a second path. Each member draws from
generators of its own, in blocks whose length does not depend on the pack, so its stream is the same in any company.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence

import torch
from torch import Generator, Tensor, nn
from torch.func import functional_call, vmap

from .identity import stream_seed
from .problems.sources import Source
from .theory.noise import Noise

_BLOCK_ELEMENTS = 2**18  # random numbers a stream draws at once


class StackedModule:
    """k copies of one module, with their parameters in a single tensor ``[k, p]``.

    Args:
      template: The module, without weights.
      spectral_norm: Whether weight matrices are divided by their largest singular values before use.
    """

    def __init__(self, template: nn.Module, *, spectral_norm: bool = False) -> None:
        self.template = template
        self._normalised = weight_matrices(template) if spectral_norm else ()
        named = [
            (f"{prefix}.{name}" if prefix else name, parameter)
            for prefix, layer in template.named_modules()
            for name, parameter in layer.named_parameters(recurse=False)
        ]
        self.names = [name for name, _ in named]
        self.shapes = [tuple(parameter.shape) for _, parameter in named]
        self.sizes = [math.prod(shape) for shape in self.shapes]

    def unflatten(self, flat: Tensor) -> dict[str, Tensor]:
        """Parameters by name: ``[..., p] -> {name: [..., *shape]}``."""
        parts = flat.split(self.sizes, dim=-1)
        return {
            name: part.unflatten(-1, shape) for name, part, shape in zip(self.names, parts, self.shapes, strict=True)
        }

    def flatten(self, parameters: dict[str, Tensor]) -> Tensor:
        """The inverse of `unflatten` for one member: ``[p]``."""
        return torch.cat([parameters[name].flatten() for name in self.names])

    def __call__(self, flat: Tensor, inputs: Tensor) -> Tensor:
        """``[k, p], [k, b, ...] -> [k, b, ...]``."""
        parameters = self.unflatten(flat)
        for name in self._normalised:
            parameters[name] = spectrally_normalised(parameters[name])
        result: Tensor = vmap(self._one)(parameters, inputs)
        return result

    def _one(self, parameters: dict[str, Tensor], inputs: Tensor) -> Tensor:
        result: Tensor = functional_call(self.template, parameters, (inputs,))
        return result


def weight_matrices(module: nn.Module) -> tuple[str, ...]:
    """Names of the weights of linear and convolutional layers."""
    layers = (nn.Linear, nn.Conv2d)
    return tuple(f"{name}.weight" for name, layer in module.named_modules() if isinstance(layer, layers))


def spectrally_normalised(weights: Tensor, *, doublings: int = 7) -> Tensor:
    """Weights ``[k, out, ...]`` divided by the largest singular value of each ``[out, rest]`` matrix.

    The singular vectors come from ``2^doublings`` power iterations, done by squaring the Gram matrix, without state and
    without reading anything back from the device; as in Miyato et al. (2018), "Spectral normalization for generative
    adversarial networks", no gradient flows through them.
    """
    matrices = weights.flatten(2)
    with torch.no_grad():
        gram = matrices @ matrices.mT if matrices.shape[1] <= matrices.shape[2] else matrices.mT @ matrices
        for _ in range(doublings):
            gram = gram / gram.diagonal(dim1=1, dim2=2).sum(1).clamp_min(1e-30)[:, None, None]
            gram = gram @ gram
        # nearly a multiple of u u^T: its column at the largest diagonal element is u times no small number
        largest = gram.diagonal(dim1=1, dim2=2).argmax(1)
        column = gram.gather(2, largest[:, None, None].expand(-1, gram.shape[1], 1))
        if matrices.shape[1] <= matrices.shape[2]:
            left = torch.nn.functional.normalize(column, dim=1)  # [k, out, 1]
            right = torch.nn.functional.normalize(matrices.mT @ left, dim=1)
        else:
            right = torch.nn.functional.normalize(column, dim=1)
            left = torch.nn.functional.normalize(matrices @ right, dim=1)
    norms = (left.mT @ matrices @ right).clamp_min(1e-12)  # [k, 1, 1]
    return (matrices / norms).view_as(weights)


def discriminate(
    discriminator: StackedModule, weights: Tensor, real: Tensor, fake: Tensor, *, batch_norm: str
) -> tuple[Tensor, Tensor]:
    """Logits of real and fake batches ``[k, b, ...] -> [k, b]``, normalised apart or together."""
    if batch_norm == "separate":
        return discriminator(weights, real), discriminator(weights, fake)
    both = discriminator(weights, torch.cat([real, fake], dim=1))
    return both[:, : real.shape[1]], both[:, real.shape[1] :]


class Stream:
    """The random streams of k members, read in step: each `next` gives ``[k, ...]``.

    Args:
      draws: One a member: makes its next block ``[t, ...]`` of t steps; t may not depend on the pack.
      then: What becomes of a step's draws, such as the samples of drawn indices.
    """

    def __init__(
        self, draws: Sequence[Callable[[], Tensor]], *, then: Callable[[Tensor], Tensor] | None = None
    ) -> None:
        self._draws, self._then = draws, then
        self._rest: list[Tensor | None] = [None] * len(draws)  # drawn, but not in `_blocks`: other members have less
        self._blocks = torch.empty(len(draws), 0)
        self._used = 0
        self._num_given = [0] * len(draws)

    @property
    def positions(self) -> list[int]:
        """Steps each member's stream has given so far."""
        return list(self._num_given)

    def skip(self, positions: Sequence[int]) -> None:
        """Goes on, before the first `next`, where each member's stream stood at these positions."""
        for member, position in enumerate(positions):
            missing = position
            while missing > 0:
                block = self._draws[member]()
                self._rest[member] = block[missing:] if len(block) > missing else None
                missing -= len(block)
            self._num_given[member] = position

    def next(self) -> Tensor:
        """The next step's draws of every member."""
        if self._used >= self._blocks.shape[1]:
            self._refill()
        self._used += 1
        self._num_given = [given + 1 for given in self._num_given]
        step = self._blocks[:, self._used - 1]
        return step if self._then is None else self._then(step)

    def _refill(self) -> None:
        """Stacks as many steps as every member has; all the same number, unless they came from different positions."""
        rest = [draw() if left is None else left for draw, left in zip(self._draws, self._rest, strict=True)]
        length = min(len(block) for block in rest)
        self._blocks = torch.stack([block[:length] for block in rest])
        self._rest = [block[length:] if len(block) > length else None for block in rest]
        self._used = 0


class Streams:
    """Names the streams of a pack: every stream of every member has a seed of its own.

    Args:
      prefixes: Of the purposes of each member's streams, where they differ.
    """

    def __init__(
        self, role: str, seeds: Sequence[int], *, device: torch.device, prefixes: Sequence[str] | None = None
    ) -> None:
        self._role, self.seeds, self._device = role, seeds, device
        self._prefixes = [""] * len(seeds) if prefixes is None else prefixes

    def prefixed(self, prefixes: Sequence[str]) -> Streams:
        """Other streams of the same members, whose purposes begin with these words, one a member."""
        return Streams(self._role, self.seeds, device=self._device, prefixes=prefixes)

    def generators(self, purpose: str, *, device: torch.device | None = None) -> list[Generator]:
        """One generator a member, seeded by (role, purpose, member seed)."""
        return [
            Generator(device or self._device).manual_seed(stream_seed(self._role, f"{prefix}{purpose}", seed))
            for prefix, seed in zip(self._prefixes, self.seeds, strict=True)
        ]

    def normal(self, purpose: str, *shape: int) -> Stream:
        """Standard normal draws of a shape."""
        steps = _block_steps(math.prod(shape))
        return self._stream(
            purpose, lambda generator: torch.randn(steps, *shape, generator=generator, device=generator.device)
        )

    def uniform(self, purpose: str, *shape: int) -> Stream:
        """Draws from [0, 1) of a shape."""
        steps = _block_steps(math.prod(shape))
        return self._stream(
            purpose, lambda generator: torch.rand(steps, *shape, generator=generator, device=generator.device)
        )

    def unit_noise(self, purpose: str, batch: int, shape: tuple[int, ...], noises: Sequence[Noise]) -> Stream:
        """Noise of sigma 1 for a batch of samples, of each member's family: ``[k, batch, *shape]``."""
        dimension = math.prod(shape)
        steps = _block_steps(batch * dimension)

        def draw(noise: Noise, generator: Generator) -> Tensor:
            return noise.training_draws(steps, batch, dimension, generator=generator).view(steps, batch, *shape)

        members = zip(noises, self.generators(purpose), strict=True)
        return Stream([functools.partial(draw, noise, generator) for noise, generator in members])

    def _stream(
        self, purpose: str, draw: Callable[[Generator], Tensor], *, then: Callable[[Tensor], Tensor] | None = None
    ) -> Stream:
        return Stream([functools.partial(draw, generator) for generator in self.generators(purpose)], then=then)

    def real(self, purpose: str, source: Source, batch: int) -> Stream:
        """Batches of real samples ``[k, batch, *shape]``; a data set is reshuffled every epoch."""
        if source.draw is not None:
            draw_samples = source.draw
            steps = _block_steps(batch * math.prod(source.shape))
            return self._stream(
                purpose, lambda generator: draw_samples(steps * batch, generator).view(steps, batch, *source.shape)
            )
        assert source.training is not None
        training = source.training
        num_batches = len(training) // batch

        def shuffled(generator: Generator) -> Tensor:
            order = torch.randperm(len(training), generator=generator, device=generator.device)
            return order[: num_batches * batch].view(num_batches, batch)

        return self._stream(purpose, shuffled, then=lambda indices: training[indices])


def _block_steps(elements_per_step: int) -> int:
    return max(1, min(256, _BLOCK_ELEMENTS // elements_per_step))


def add_noise(samples: Tensor, sigma: Tensor, unit_noise: Stream | None) -> Tensor:
    """Samples ``[k, b, ...]`` plus noise of each member's sigma ``[k]``; no noise at all for None."""
    if unit_noise is None:
        return samples
    return samples + sigma.view(-1, *[1] * (samples.ndim - 1)) * unit_noise.next()


def keep_finite(old: Tensor, new: Tensor, alive: Tensor) -> tuple[Tensor, Tensor]:
    """New parameters where they and the member are sound, else the last finite ones.

    Args:
      old, new: Parameters before and after an update, ``[k, p]``.
      alive: Members whose values have been finite so far, ``[k]``.

    Returns:
      Parameters ``[k, p]`` and the members still alive ``[k]``. Nothing is read back from the device.
    """
    alive = alive & torch.isfinite(new).all(dim=1)
    return torch.where(alive[:, None], new, old), alive
