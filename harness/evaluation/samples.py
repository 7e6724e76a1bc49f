"""Samples of the generators a store has kept, beside real ones: of the same latents for all."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor

from ..errors import HarnessError, SnapshotsLostError
from ..identity import SnapshotKey, stream_seed
from ..job.job import Job
from ..stacking.module import StackedModule
from ..storage.snapshots import FOLDER
from ..storage.store import Store
from ..training.snapshots import decode


@dataclass(frozen=True)
class Samples:
    """What generators give, and what they should.

    Attributes:
      real: Held-out samples ``[m, *shape]``, data units.
      generated: ``[k, n, *shape]``, in the order that was asked for.
    """

    real: Tensor
    generated: Tensor


def samples_of(store: Store, job: Job, cells: Sequence[Mapping[str, Any]], *, num: int, num_real: int) -> Samples:
    """Samples of the generators of a job's cells, which differ in nothing but the generators.

    Args:
      cells: Rows with ``run_id``, ``epoch``, ``batch_norm``, ``protocol`` and ``snapshot``; at least one.
      num: Samples of each generator.
      num_real: At most so many real ones.

    Raises:
      HarnessError: If the store has no snapshot of a generator (any more).
    """
    source = job.problem.source(job.problem.load(), device=torch.device("cpu"))
    real = source.held_out_samples(num_real)
    latent = job.networks.latent
    latents = torch.randn(num, latent, generator=Generator().manual_seed(stream_seed("figure", "latents")))
    files = _files(store, job.name, cells)
    generators: dict[SnapshotKey, Tensor] = {}
    for batch_norm in dict.fromkeys(_batch_norm(job, cell) for cell in cells):
        network = job.networks.with_batch_norm(batch_norm)
        module = StackedModule.generator(network, source.shape)
        own = [_key(cell) for cell in cells if _batch_norm(job, cell) == batch_norm]
        for key in dict.fromkeys(own):
            weights = decode(module, _content(store, files[key]))[key]
            with torch.no_grad():
                generators[key] = module(weights[None], latents[None])[0]
    return Samples(real, torch.stack([generators[_key(cell)] for cell in cells]))


def noisy_density(real: Tensor, points: Tensor, *, sigma: float) -> Tensor:
    """The density of real samples under normal noise, the mean of a Gaussian around each.

    Args:
      real: ``[n, d]``.
      points: Where it is asked for, ``[m, d]``.
      sigma: Standard deviation of each coordinate, > 0.

    Returns:
      ``[m]``, float64.

    Example:
      >>> noisy_density(torch.zeros(1, 2), torch.zeros(1, 2), sigma=1.0) * 2 * torch.pi
      tensor([1.], dtype=torch.float64)
    """
    squares = torch.cdist(points.double(), real.double()).square()
    norm = real.shape[1] * math.log(sigma * math.sqrt(2 * math.pi)) + math.log(len(real))
    return torch.logsumexp(-squares / (2 * sigma**2) - norm, dim=1).exp()


def _key(cell: Mapping[str, Any]) -> SnapshotKey:
    return cell["run_id"], cell["epoch"]


def _batch_norm(job: Job, cell: Mapping[str, Any]) -> Any:
    """Of the run: of protocol probe that of the networks, as the cell's is its discriminator's."""
    return cell["batch_norm"] if job.protocol == "train" and job.has_axis("batch_norm") else None


def _files(store: Store, job: str, cells: Sequence[Mapping[str, Any]]) -> dict[SnapshotKey, str]:
    """The file that holds each generator: the one its row names, or, of rows that name none, any that has it."""
    named = {_key(cell): cell["snapshot"] for cell in cells if cell["snapshot"]}
    try:
        return {**store.snapshots.chosen({_key(cell) for cell in cells} - named.keys()), **named}
    except SnapshotsLostError as error:
        raise HarnessError(_no_samples(store, job)) from error


def _content(store: Store, name: str) -> bytes:
    content = store.place.content(f"{FOLDER}/{name}")
    if content is None or hashlib.sha256(content).hexdigest() != name.removesuffix(".safetensors"):
        raise HarnessError(f"{store.place.path(f'{FOLDER}/{name}')}: is gone or damaged; 'harness run' makes it again")
    return content


def _no_samples(store: Store, job: str) -> str:
    return (
        f"{store.root}: has no generators of job '{job}' (any more), so there are no samples to draw: searches keep "
        "none, 'harness gc' and 'harness publish' leave them out. 'harness run' of its job file, with --results of a "
        "new store, trains them again"
    )
