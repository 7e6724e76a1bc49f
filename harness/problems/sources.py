"""Real samples on a device: a fixed data set, or a function that makes as many as asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from ..identity import stream_seed
from ..job.parts.datasets import Arrays, Digits, ImageFolder, TorchvisionImages
from ..job.parts.problem import ProblemSpec
from ..job.parts.problems import Custom
from .synthetic import draw

FloatArray = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True)
class Samples:
    """A fixed data set in host memory: float32 arrays ``[n, *shape]``."""

    training: FloatArray
    held_out: FloatArray


@dataclass(frozen=True)
class Source:
    """Real samples, ready on a device.

    Attributes:
      shape: Of one sample.
      training: The training set ``[n, *shape]``; None where `draw` makes samples instead.
      draw: ``(num, generator) -> [num, *shape]``; None where there is a training set.
      held_out: Samples no training step sees, ``[m, *shape]``; None where `draw` makes them.
    """

    shape: tuple[int, ...]
    device: torch.device
    training: Tensor | None = None
    held_out: Tensor | None = None
    draw: Callable[[int, Generator], Tensor] | None = None

    def held_out_samples(self, num: int) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Samples to evaluate against, and two disjoint halves for the real-against-real baseline.

        At most `num` a set: ``[min(num, m), *shape]`` and twice ``[min(num, m // 2), *shape]``. The same at every
        call, so that every cell of a problem is measured against the same samples.
        """
        pool = self.held_out
        if pool is None:
            assert self.draw is not None
            generator = Generator(self.device).manual_seed(stream_seed("held_out"))
            pool = self.draw(2 * num, generator)
        half = min(num, len(pool) // 2)
        return pool[:num], (pool[:half], pool[half : 2 * half])


def load_samples(spec: ProblemSpec) -> Samples | None:
    """The problem's data set in host memory; None for problems that make their samples.

    Raises:
      ValueError: If files hold something else than the job file promised.
    """
    from . import images

    match spec:
        case Digits():
            return _held_apart(images.digits(), spec)
        case Arrays():
            return _held_apart(np.load(spec.path, allow_pickle=False).astype(np.float32), spec)
        case Custom():
            return _held_apart(spec.samples(), spec)
        case ImageFolder():
            return _held_apart(images.folder(spec), spec)
        case TorchvisionImages():
            return Samples(*images.torchvision_splits(spec))
    return None


def make_source(spec: ProblemSpec, samples: Samples | None, *, device: torch.device) -> Source:
    """The problem's samples on a device, from what `load_samples` gave."""
    shape = spec.facts().shape
    if samples is not None:
        return Source(
            shape,
            device,
            training=_on_device(samples.training, device),
            held_out=_on_device(samples.held_out, device),
        )
    return Source(shape, device, draw=lambda num, generator: draw(spec, num, generator))


def _held_apart(samples: FloatArray, spec: Digits | Arrays | Custom | ImageFolder) -> Samples:
    """A data set without a test split of its own, shuffled once and for all and split."""
    if not np.isfinite(samples).all():
        raise ValueError(f"problem {spec.name} has samples that are NaN or infinite")
    facts = spec.facts()
    if samples.shape[1:] != facts.shape:
        raise ValueError(f"problem {spec.name} gave samples of {list(samples.shape[1:])}, promised {list(facts.shape)}")
    order = np.random.default_rng(stream_seed("split")).permutation(len(samples))
    shuffled = samples[order]
    return Samples(shuffled[: facts.num_training], shuffled[facts.num_training :])


def _on_device(array: FloatArray, device: torch.device) -> Tensor:
    # an array in Ray's object store is read-only shared memory; a CPU tensor over it copies nothing
    return torch.from_numpy(array).to(device) if array.flags.writeable else _read_only_view(array).to(device)


def _read_only_view(array: FloatArray) -> Tensor:
    import warnings

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)
