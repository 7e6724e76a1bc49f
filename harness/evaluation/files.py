"""Sample sets in files, read in parts: .npy arrays and folders of images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from ..errors import HarnessError
from ..job.parts.datasets import IMAGE_SUFFIXES, image_files
from ..theory.samples import chunks

MIN_SAMPLES = 1
MAX_COORDINATE = 1e100  # data units; the squares of larger ones overflow


Array = np.ndarray[Any, Any] | Tensor
"""Samples ``[n, ...]`` in memory."""


@dataclass(frozen=True)
class StoredSamples:
    """n samples of d coordinates behind `read`; a `theory.samples.SampleSet`.

    Attributes:
      shape: ``(n, d)``.
      read: Rows of a slice or of an index array, as numbers of any type and any sample shape.
      scale, offset: From those numbers to data units.
    """

    shape: tuple[int, int]
    read: Callable[[Any], np.ndarray[Any, Any]]
    scale: float = 1.0
    offset: float = 0.0

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> Tensor:
        """``[m, d]``, float64, data units."""
        values = self.read(index.numpy() if isinstance(index, Tensor) else index)
        flat = torch.from_numpy(np.asarray(values, dtype=np.float64).reshape(len(values), self.shape[1]))
        return flat if self.scale == 1 and self.offset == 0 else flat * self.scale + self.offset


def open_samples(path: str, *, size: int | None = None, channels: Literal[1, 3] = 3) -> StoredSamples:
    """The samples of a .npy file of shape ``[n, ...]`` (in its own units), or of a folder of images (in [-1, 1]).

    Args:
      size: Images are resized to this height and width; None for images that all have one size.
      channels: Of images: 3 for colour, 1 for grey.

    Raises:
      HarnessError: If they cannot be read, are too few, or hold a value that is not finite or too large.
    """
    if not Path(path).exists():
        raise HarnessError(f"{path}: no such file or folder")
    try:
        samples = _folder(path, size, channels) if Path(path).is_dir() else _array(path)
    except ValueError as error:
        raise HarnessError(f"{path}: {error}") from error
    return _checked(samples, path)


def samples_of(given: str | Path | Array, *, name: str) -> StoredSamples:
    """A sample set from a path, as `open_samples`, or from an array or tensor ``[n, ...]``, in its own units.

    Args:
      name: What messages call an array.

    Raises:
      HarnessError: As `open_samples`.
    """
    if isinstance(given, (str, Path)):
        return open_samples(str(given))
    array = given.detach().cpu().numpy() if isinstance(given, Tensor) else np.asarray(given)
    try:
        return _checked(_of_array(array, lambda index: array[index]), name)
    except ValueError as error:
        raise HarnessError(f"{name}: {error}") from error


def _checked(samples: StoredSamples, name: str) -> StoredSamples:
    """Refuses sets that are too small or hold values that are not finite or too large."""
    if len(samples) < MIN_SAMPLES:
        raise HarnessError(f"{name}: has {len(samples)} samples; needed: at least {MIN_SAMPLES}")
    for part, values in chunks(samples):
        sound = (values.abs() <= MAX_COORDINATE).all(1)  # so is no NaN
        if not bool(sound.all()):
            first = int((~sound).nonzero()[0])
            what = f"beyond {MAX_COORDINATE:g}; rescale the samples"
            if not bool(torch.isfinite(values[first]).all()):
                what = "that is NaN or infinite; remove such samples"
            raise HarnessError(f"{name}: sample {part.start + first} holds a value {what}")
    return samples


def _array(path: str) -> StoredSamples:
    def opened() -> Any:
        # mapped afresh at every reading, so that pages already read do not count as this process's memory
        return np.load(path, mmap_mode="r", allow_pickle=False)

    try:
        array = opened()
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(f"is not a readable .npy file: {error}") from error
    if not isinstance(array, np.ndarray):
        raise ValueError("holds several arrays; needed: one array, as numpy.save writes it")
    return _of_array(array, lambda index: np.array(opened()[index]))


def _of_array(array: np.ndarray[Any, Any], read: Callable[[Any], np.ndarray[Any, Any]]) -> StoredSamples:
    if array.ndim < 2 or array.size == 0:
        raise ValueError(f"has shape {list(array.shape)}; needed: [n, ...]")
    if array.dtype.kind not in "fiu":
        raise ValueError(f"holds {array.dtype}; needed: real numbers")
    return StoredSamples((len(array), array[0].size), read)


def _folder(path: str, size: int | None, channels: Literal[1, 3]) -> StoredSamples:
    from ..problems.images import folder_pixels

    files = image_files(path)
    if not files:
        raise ValueError(f"has no images ({', '.join(IMAGE_SUFFIXES)})")
    flat = folder_pixels(files, size=size, channels=channels).flatten(1).numpy()
    return StoredSamples((len(flat), flat.shape[1]), lambda index: flat[index], scale=1 / 127.5, offset=-1.0)
