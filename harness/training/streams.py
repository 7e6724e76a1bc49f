"""Random numbers: every member draws from generators of its own, named by role, purpose and seed.

They are drawn in blocks whose lengths do not depend on the pack, so a member's stream is the same in any company.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Sequence

import torch
from torch import Generator, Tensor

from ..identity import stream_seed
from ..problems.sources import Source
from ..theory.noise import Noise

_BLOCK_ELEMENTS = 2**18  # random numbers a stream draws at once
_MAX_BLOCK_STEPS = 256


class Stream:
    """The random streams of k members, read in step: each `next` gives ``[k, ...]``.

    Args:
      draws: One per member: makes its next block ``[t, ...]`` of t steps; t may not depend on the pack.
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
        """Other streams of the same members, whose purposes begin with these words, one per member."""
        return Streams(self._role, self.seeds, device=self._device, prefixes=prefixes)

    def of_members(self, members: Sequence[int]) -> Streams:
        """Those of some of the members."""
        return Streams(
            self._role,
            [self.seeds[member] for member in members],
            device=self._device,
            prefixes=[self._prefixes[member] for member in members],
        )

    def generators(self, purpose: str, *, device: torch.device | None = None) -> list[Generator]:
        """One generator per member, seeded by (role, purpose, member seed)."""
        return [
            Generator(device or self._device).manual_seed(stream_seed(self._role, f"{prefix}{purpose}", seed))
            for prefix, seed in zip(self._prefixes, self.seeds, strict=True)
        ]

    def normal(self, purpose: str, *shape: int) -> Stream:
        """Standard normal draws of a shape."""
        return self._stream(
            purpose,
            lambda generator, steps: torch.randn(steps, *shape, generator=generator, device=generator.device),
            numbers=math.prod(shape),
        )

    def uniform(self, purpose: str, *shape: int) -> Stream:
        """Draws from [0, 1) of a shape."""
        return self._stream(
            purpose,
            lambda generator, steps: torch.rand(steps, *shape, generator=generator, device=generator.device),
            numbers=math.prod(shape),
        )

    def unit_noise(self, purpose: str, batch: int, shape: tuple[int, ...], noises: Sequence[Noise]) -> Stream:
        """Noise of sigma 1 for a batch of samples, of each member's family: ``[k, batch, *shape]``."""
        dimension = math.prod(shape)

        def draw(noise: Noise, generator: Generator, steps: int) -> Tensor:
            return noise.training_draws(steps, batch, dimension, generator=generator).view(steps, batch, *shape)

        members = zip(noises, self.generators(purpose), strict=True)
        return Stream(
            [
                _in_blocks(functools.partial(draw, noise, generator), numbers=batch * dimension)
                for noise, generator in members
            ]
        )

    def _stream(self, purpose: str, draw: Callable[[Generator, int], Tensor], *, numbers: int) -> Stream:
        """A stream of which a step takes so many numbers."""
        draws = (functools.partial(draw, generator) for generator in self.generators(purpose))
        return Stream([_in_blocks(draw, numbers=numbers) for draw in draws])

    def real(self, purpose: str, source: Source, batch: int) -> Stream:
        """Batches of real samples ``[k, batch, *shape]``; a data set is reshuffled every epoch."""
        if source.draw is not None:
            draw_samples = source.draw
            return self._stream(
                purpose,
                lambda generator, steps: draw_samples(steps * batch, generator).view(steps, batch, *source.shape),
                numbers=batch * math.prod(source.shape),
            )
        assert source.training is not None
        training = source.training
        num_batches = len(training) // batch

        def shuffled(generator: Generator) -> Tensor:
            order = torch.randperm(len(training), generator=generator, device=generator.device)
            return order[: num_batches * batch].view(num_batches, batch)

        draws = [functools.partial(shuffled, generator) for generator in self.generators(purpose)]
        return Stream(draws, then=lambda indices: training[indices])


def _in_blocks(draw: Callable[[int], Tensor], *, numbers: int) -> Callable[[], Tensor]:
    """Draws for 4, 16, 64 steps and then for as many as `_BLOCK_ELEMENTS` hold, a block at a call.

    The first blocks are small for those who need a few steps alone, as measurements do.
    """
    largest = max(1, min(_MAX_BLOCK_STEPS, _BLOCK_ELEMENTS // numbers))
    sizes = itertools.chain((size for size in (4, 16, 64) if size < largest), itertools.repeat(largest))
    return lambda: draw(next(sizes))


def add_noise(samples: Tensor, sigma: Tensor, unit_noise: Tensor | None) -> Tensor:
    """Samples ``[k, b, ...]`` plus unit noise of that shape times each member's sigma ``[k]``; no noise for None."""
    return samples if unit_noise is None else samples + sigma.view(-1, *[1] * (samples.ndim - 1)) * unit_noise
