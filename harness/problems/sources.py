"""Real samples on a device: a fixed data set, or a function that makes as many as asked for."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from ..identity import stream_seed

FloatArray = np.ndarray[Any, np.dtype[np.float32]]
IntArray = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Samples:
    """A fixed data set in host memory: float32 arrays ``[n, *shape]``.

    Attributes:
      training_labels, held_out_labels: Class of each sample, from 0, ``[n]``; None where there are no labels.
    """

    training: FloatArray
    held_out: FloatArray
    training_labels: IntArray | None = None
    held_out_labels: IntArray | None = None

    @staticmethod
    def split(samples: FloatArray, *, num_training: int, name: str, labels: IntArray | None = None) -> Samples:
        """A data set without a test split of its own, shuffled once and for all and split.

        Raises:
          ValueError: If a sample of the problem called `name` is not finite, or labels are not one a sample.
        """
        if not np.isfinite(samples).all():
            raise ValueError(f"problem {name} has samples that are NaN or infinite")
        order = np.random.default_rng(stream_seed("split")).permutation(len(samples))
        shuffled = samples[order]
        if labels is None:
            return Samples(shuffled[:num_training], shuffled[num_training:])
        if np.shape(labels) != (len(samples),):
            raise ValueError(f"problem {name} has {len(samples)} samples and labels of shape {list(np.shape(labels))}")
        classes = np.asarray(labels, dtype=np.int64)[order]
        return Samples(shuffled[:num_training], shuffled[num_training:], classes[:num_training], classes[num_training:])


@dataclass(frozen=True)
class Source:
    """Real samples, ready on a device.

    Attributes:
      shape: Of one sample.
      training: The training set ``[n, *shape]``; None where `draw` makes samples instead.
      draw: ``(num, generator) -> [num, *shape]``; None where there is a training set.
      held_out: Samples no training step sees, ``[m, *shape]``; None where `draw` makes them.
      training_labels: Class of each training sample, from 0, ``[n]``, on the CPU; None where there are no labels.
    """

    shape: tuple[int, ...]
    device: torch.device
    training: Tensor | None = None
    held_out: Tensor | None = None
    draw: Callable[[int, Generator], Tensor] | None = None
    training_labels: Tensor | None = None

    @staticmethod
    def of(samples: Samples, shape: tuple[int, ...], device: torch.device) -> Source:
        """A data set, on a device."""
        training, held_out = (_on_device(part, device) for part in (samples.training, samples.held_out))
        labels = None if samples.training_labels is None else torch.tensor(samples.training_labels)
        return Source(shape, device, training=training, held_out=held_out, training_labels=labels)

    def training_samples(self, num: int) -> Tensor:
        """Samples that are not the held-out ones, the same at every call: ``[at most num, *shape]``."""
        if self.training is not None:
            return self.training[:num]
        assert self.draw is not None
        return self.draw(num, Generator(self.device).manual_seed(stream_seed("covariance")))

    def held_out_samples(self, num: int) -> Tensor:
        """Samples to evaluate against, ``[min(num, m), *shape]``.

        The same at every call, so that every cell of a problem is measured against the same samples.
        """
        if self.held_out is not None:
            return self.held_out[:num]
        assert self.draw is not None
        return self.draw(num, Generator(self.device).manual_seed(stream_seed("held_out")))

    @property
    def num_real_samples(self) -> float:
        """How many there are to draw `real_samples` from."""
        return math.inf if self.training is None else len(self.training)

    def real_samples(self, num: int, index: int) -> Tensor:
        """What a perfect generator would give: other real samples than the held-out ones, ``[at most num, *shape]``.

        The same at every call with an index. Of a data set, a random part of the training samples.
        """
        if self.training is None:
            assert self.draw is not None
            return self.draw(num, Generator(self.device).manual_seed(stream_seed("real", index)))
        generator = Generator().manual_seed(stream_seed("real", index))
        return self.training[torch.randperm(len(self.training), generator=generator)[:num].to(self.device)]


def _on_device(array: FloatArray, device: torch.device) -> Tensor:
    # an array in Ray's object store is read-only shared memory; a CPU tensor over it copies nothing
    return torch.from_numpy(array).to(device) if array.flags.writeable else _read_only_view(array).to(device)


def _read_only_view(array: FloatArray) -> Tensor:
    import warnings

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)
