"""Image data sets as float32 arrays ``[n, c, h, w]`` in [-1, 1]."""

from __future__ import annotations

import gzip
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2.functional import InterpolationMode, resize

from .sources import FloatArray, IntArray, Samples


def digits() -> FloatArray:
    """scikit-learn's digits: ``[1797, 1, 8, 8]``, grey levels 0..16 scaled to [-1, 1]."""
    from sklearn.datasets import load_digits

    pixels: FloatArray = (load_digits().images[:, None] / 8.0 - 1.0).astype(np.float32)
    return pixels


def digit_labels() -> IntArray:
    """Which digit each of `digits` is: ``[1797]``."""
    from sklearn.datasets import load_digits

    labels: IntArray = load_digits().target.astype(np.int64)
    return labels


def folder(paths: Sequence[Path], *, size: int | None, channels: int) -> FloatArray:
    """Images in files; see `folder_pixels`."""
    return _scaled(folder_pixels(paths, size=size, channels=channels))


def folder_pixels(paths: Sequence[Path], *, size: int | None, channels: int) -> Tensor:
    """Images in files, in their order: bytes ``[n, c, h, w]``.

    Args:
      paths: Of the files, at least one.
      size: Images are resized to this height and width; None for images that all have one size.
      channels: 3 for colour, 1 for grey.

    Raises:
      ValueError: If an image cannot be read, or differs in size where no `size` is set.
    """
    from PIL import Image, UnidentifiedImageError

    pictures: list[Tensor] = []
    for path in paths:
        try:
            with Image.open(path) as image:
                pixels = np.asarray(image.convert("L" if channels == 1 else "RGB"))
        except (UnidentifiedImageError, OSError) as error:
            raise ValueError(f"'{path}' is not a readable image: {error}") from error
        picture = torch.from_numpy(pixels.reshape(*pixels.shape[:2], channels).copy()).permute(2, 0, 1)
        if size is None and pictures and picture.shape != pictures[0].shape:
            raise ValueError(
                f"'{path}' is {picture.shape[2]}x{picture.shape[1]}, the images before it are "
                f"{pictures[0].shape[2]}x{pictures[0].shape[1]}; "
                "give a size to resize them all (problem.size in a job file, --size of evaluate)"
            )
        pictures.append(_resized(picture[None], size)[0])
    return torch.stack(pictures)


def torchvision_samples(name: str, *, root: str, download: bool, loose: Sequence[Path], size: int | None) -> Samples:
    """Training and test split of one of torchvision's data sets, with their labels, read by torchvision itself.

    Args:
      name: Of torchvision's class.
      root: In torchvision's layout.
      download: Whether torchvision may fetch what is missing.
      loose: The data set's files, gzipped or not, where they are laid out otherwise.
      size: Images are resized to this height and width; None for their own.
    """
    from torchvision import datasets

    dataset: Any = getattr(datasets, name)
    with tempfile.TemporaryDirectory() as scratch:
        where = _laid_out(loose, Path(scratch), name) if loose else Path(root)
        splits = [dataset(where, train=train, download=download) for train in (True, False)]
    training, held_out = (_scaled(_resized(_channels_first(split.data), size)) for split in splits)
    training_labels, held_out_labels = (np.asarray(split.targets, dtype=np.int64) for split in splits)
    return Samples(training, held_out, training_labels, held_out_labels)


def _laid_out(files: Sequence[Path], scratch: Path, name: str) -> Path:
    """A temporary root in torchvision's layout, with the files unpacked."""
    raw = scratch / name / "raw"
    raw.mkdir(parents=True)
    for path in files:
        target = raw / path.name.removesuffix(".gz")
        if path.suffix == ".gz":
            with gzip.open(path, "rb") as packed, target.open("wb") as unpacked:
                shutil.copyfileobj(packed, unpacked)
        else:
            target.symlink_to(path.resolve())
    return scratch


def _channels_first(images: Any) -> Tensor:
    """torchvision's ``[n, h, w]`` or ``[n, h, w, 3]`` bytes as ``[n, c, h, w]``."""
    pixels = torch.as_tensor(images)
    return pixels[:, None] if pixels.ndim == 3 else pixels.permute(0, 3, 1, 2)


def _resized(pixels: Tensor, size: int | None) -> Tensor:
    if size is None or pixels.shape[-2:] == (size, size):
        return pixels
    return torch.cat(
        [
            resize(part, [size, size], interpolation=InterpolationMode.BILINEAR, antialias=True)
            for part in pixels.split(4096)
        ]
    )


def _scaled(pixels: Tensor) -> FloatArray:
    array: FloatArray = (pixels.to(torch.float32) / 127.5 - 1.0).contiguous().numpy()
    return array
