"""Sample sets that need not fit in memory as float64: what the exact estimators ask of one.

A tensor ``[n, d]`` is a sample set; so is anything else of that shape whose rows can be read in parts.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float64, Integer
from torch import Generator, Tensor

ROWS_AT_ONCE = 1024
_NUMBERS_AT_ONCE = 2**22  # 32 MiB of float64
ProgressCallback = Callable[[float], None]
"""Told now and then which part of the work, in [0, 1], has been done."""


@runtime_checkable
class SampleSet(Protocol):
    """n samples of d coordinates, data units."""

    @property
    def shape(self) -> Any:
        """``(n, d)``."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any, /) -> Tensor:
        """The rows of a slice, or of an index tensor ``[m]``: ``[m, d]``."""
        ...


@dataclass(frozen=True)
class Half:
    """A random half of a set, always the same: half as large a sample of what it is a sample of, in whatever order."""

    samples: SampleSet

    @property
    def shape(self) -> tuple[int, int]:
        """``(ceil(n / 2), d)``."""
        return len(self), self.samples.shape[1]

    def __len__(self) -> int:
        return -(-len(self.samples) // 2)

    def __getitem__(self, index: slice | Tensor) -> Tensor:
        return self.samples[self._chosen[index.cpu() if isinstance(index, Tensor) else index]]

    @functools.cached_property
    def _chosen(self) -> Integer[Tensor, " k"]:
        order = torch.randperm(len(self.samples), generator=Generator().manual_seed(0))
        return order[: len(self)].sort().values


def rows(
    samples: SampleSet, index: slice | Integer[Tensor, " m"], *, device: torch.device | str = "cpu"
) -> Float64[Tensor, "m d"]:
    """Some rows on a device."""
    return samples[index].to(device=device, dtype=torch.float64)


def rows_at_once(dimension: int) -> int:
    """How many rows are read at a time: at most 1024, fewer of large samples.

    Example:
      >>> rows_at_once(2), rows_at_once(3 * 256 * 256)
      (1024, 21)
    """
    return max(1, min(ROWS_AT_ONCE, _NUMBERS_AT_ONCE // dimension))


def chunks(
    samples: SampleSet, *, device: torch.device | str = "cpu", size: int | None = None
) -> Iterator[tuple[slice, Float64[Tensor, "size d"]]]:
    """All rows in order with their places, `size` at once (`rows_at_once`)."""
    size = size or rows_at_once(samples.shape[1])
    for start in range(0, len(samples), size):
        part = slice(start, min(start + size, len(samples)))
        yield part, rows(samples, part, device=device)


def check_pair(real: SampleSet, fake: SampleSet) -> None:
    """Raises ValueError if the two sets do not live in one space."""
    if real.shape[1] != fake.shape[1]:
        raise ValueError(f"dimensions differ: real has {real.shape[1]}, fake has {fake.shape[1]}")


def pooled_mean(real: SampleSet, fake: SampleSet, *, device: torch.device | str = "cpu") -> Float64[Tensor, " d"]:
    """The mean of both sets taken together.

    Raises:
      ValueError: If a sample is not finite.
    """
    total = torch.zeros(real.shape[1], dtype=torch.float64, device=device)
    for samples in (real, fake):
        for _, part in chunks(samples, device=device):
            total += part.sum(0)
    if not bool(torch.isfinite(total).all()):
        raise ValueError("samples must be finite")
    mean: Tensor = total / (len(real) + len(fake))
    return mean
