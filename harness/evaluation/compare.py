"""Two sample sets from anywhere against each other: what ``harness evaluate`` does."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch

from ..errors import HarnessError
from ..identity import stream_seed
from ..storage.records import CELLS
from ..theory.bounds import diameter_limit, pooled_diameter
from ..theory.samples import ProgressCallback, chunks
from ..theory.sliced import random_directions
from .files import Array, StoredSamples, samples_of
from .sets import SetPair, log_spaced_sigmas

_MAX_FOR_DRAWS = 2**27  # numbers: 1 GiB of float64, held some four times over
_MAX_FOR_DIAMETER = 2e12  # (n + m)^2 d; beyond it the exact diameter would take minutes
_MIN_DIAMETER = 1e-100  # the squares of shorter distances underflow
_SIGMA_RANGE = (1e-6, 1e6)  # in diameters; below, rounding tells coinciding points apart; above, nothing is left


def compare(
    real: StoredSamples,
    fake: StoredSamples,
    *,
    sigmas: Sequence[float] = (),
    num_draws: int = 2000,
    num_directions: int = 64,
    max_for_w1: int = 4000,
    seed: int = 0,
    progress: ProgressCallback | None = None,
) -> tuple[list[dict[str, Any]], list[str]]:
    """Divergences, bounds and transport between two sample sets, and remarks on what was left out.

    Args:
      real, fake: Samples ``[n, d]`` and ``[m, d]``, data units.
      sigmas: Noise to look at, data units; 13 values over the useful range where none is given.
      num_draws: From each noisy measure.
      num_directions: Of the sliced distance and bound.
      max_for_w1: Samples in the larger set up to which the exact W1 is computed; its memory is quadratic.
      seed: Of draws and directions.
      progress: Told of the work done.

    Returns:
      A row per sigma, with the names of the columns of ``cells``, and the remarks.

    Raises:
      HarnessError: If the dimensions differ, all samples are one point, or a sigma is negative, not finite, or out
        of all proportion to the data.
    """
    _check(real, fake, sigmas=sigmas, num_draws=num_draws)
    diameter, remarks = _diameter(real, fake)
    _check_proportions(sigmas, diameter)
    if max(len(real), len(fake)) > max_for_w1:
        remarks.append(f"w1 is left out: a set has more than {max_for_w1} samples (--w1-samples)")
    grid = log_spaced_sigmas(diameter, real.shape[1])
    generator = torch.Generator().manual_seed(stream_seed("comparison", seed))
    directions = random_directions(num_directions, real.shape[1], generator=generator)
    pair = SetPair(
        real,
        fake,
        grid=grid,
        num_draws=num_draws,
        directions=directions,
        generator=generator,
        data_diameter=diameter,
        max_for_w1=max_for_w1,
        progress=progress,
    )
    rows = pair.columns(sigmas or grid)
    return [{"sigma": sigma, "noise": "truncated", **columns} for sigma, columns in rows.items()], remarks


def evaluate(
    real: str | Path | Array,
    fake: str | Path | Array,
    *,
    sigmas: Sequence[float] = (),
    num_draws: int = 2000,
    num_directions: int = 64,
    max_for_w1: int = 4000,
    seed: int = 0,
) -> pa.Table:
    """`compare` of any two sample sets: files, folders of images, or arrays ``[n, ...]`` of NumPy or torch.

    >>> import numpy as np
    >>> table = evaluate(np.zeros((5, 2)), np.ones((5, 2)), sigmas=[0.5])
    >>> round(table["w1"][0].as_py(), 6)  # the distance of the two points
    1.414214

    Returns:
      A row per sigma, with the names of the columns of ``cells``. What is null was left out for its cost.

    Raises:
      HarnessError: If a set cannot be read or is not usable, or as `compare`.
    """
    opened = [samples_of(which, name=name) for which, name in ((real, "real"), (fake, "fake"))]
    rows, _ = compare(
        *opened,
        sigmas=sigmas,
        num_draws=num_draws,
        num_directions=num_directions,
        max_for_w1=max_for_w1,
        seed=seed,
    )
    return to_table(rows)


def to_table(rows: list[dict[str, Any]]) -> pa.Table:
    """The rows as an Arrow table, in the order of the columns of ``cells``."""
    return pa.Table.from_pylist(rows, schema=pa.schema([field for field in CELLS if field.name in rows[0]]))


def _check(real: StoredSamples, fake: StoredSamples, *, sigmas: Sequence[float], num_draws: int) -> None:
    """Refuses sets that cannot be compared, and numbers that make no sense for them."""
    if real.shape[1] != fake.shape[1]:
        raise HarnessError(
            f"dimensions differ: a real sample has {real.shape[1]} coordinates, a fake one has {fake.shape[1]}; "
            "images must have one size and the same channels (--size resizes those of folders)"
        )
    if 2 * num_draws * real.shape[1] > _MAX_FOR_DRAWS:
        raise HarnessError(
            f"{num_draws} draws of {real.shape[1]} coordinates need too much memory; use at most "
            f"--draws {_MAX_FOR_DRAWS // (2 * real.shape[1])}, or smaller images (--size)"
        )
    for sigma in sigmas:
        if not (sigma >= 0 and math.isfinite(sigma)):
            raise HarnessError(f"--sigma must be finite and >= 0, got {sigma:g}")
    if _is_one_point(real, fake):
        raise HarnessError("all samples of both sets are one and the same point; there is nothing to compare")


def _diameter(real: StoredSamples, fake: StoredSamples) -> tuple[float, list[str]]:
    """The diameter of both sets together, or where that would take too long an upper limit of it, with a remark."""
    exact = (len(real) + len(fake)) ** 2 * real.shape[1] <= _MAX_FOR_DIAMETER
    diameter = pooled_diameter(real, fake) if exact else diameter_limit(real, fake)
    if diameter < _MIN_DIAMETER:
        raise HarnessError(f"all samples are within {_MIN_DIAMETER:g} of each other; rescale them")
    remark = "data_diameter is an upper limit, the sum of the two largest distances to the mean"
    return diameter, [] if exact else [remark]


def _check_proportions(sigmas: Sequence[float], diameter: float) -> None:
    for sigma in sigmas:
        if sigma > 0 and not _SIGMA_RANGE[0] <= sigma / diameter <= _SIGMA_RANGE[1]:
            raise HarnessError(
                f"--sigma {sigma:g} is out of proportion to the data, whose diameter is {diameter:g}; "
                f"valid: 0, and {_SIGMA_RANGE[0]:g} to {_SIGMA_RANGE[1]:g} diameters"
            )


def _is_one_point(real: StoredSamples, fake: StoredSamples) -> bool:
    """Whether all samples are equal, exactly: distances to a mean would differ from 0 by rounding."""
    first = real[:1]
    return all(bool((part == first).all()) for samples in (real, fake) for _, part in chunks(samples))
