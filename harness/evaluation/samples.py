"""The generators a store has kept: samples of them, of the same latents for all, and their bounds at other sigmas."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor

from ..errors import HarnessError, SnapshotsLostError
from ..identity import SnapshotKey, stream_seed
from ..job.job import Job
from ..stacking.module import StackedModule
from ..storage.records import Columns
from ..storage.snapshots import FOLDER
from ..storage.store import Store
from ..training.players import Players
from ..training.snapshots import decode
from .cells import Evaluator
from .discriminator import generate


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
    batch = job.training.batch  # a generator may normalise over its batch
    random = Generator().manual_seed(stream_seed("figure", "latents"))
    latents = torch.randn(-(-num // batch), batch, job.networks.latent, generator=random)
    generated = []
    for module, weights in _generators(store, job, cells, source.shape):
        with torch.no_grad():
            parts = [module(weights[None], part[None])[0] for part in latents]
        generated.append(torch.cat(parts)[:num])
    return Samples(real, torch.stack(generated))


def bounds_over_sigma(store: Store, job: Job, cells: Sequence[Mapping[str, Any]]) -> list[dict[float, Columns]]:
    """What the evaluation of a job of training would say of generators at every sigma of its grid.

    Of the same samples that the rows are of, so distances are theirs, and the least bound is their ``bound_best``.

    Args:
      cells: Rows as of `samples_of`, with ``seed``.

    Returns:
      For each cell the measured columns by sigma.

    Raises:
      HarnessError: If the store has no snapshot of a generator (any more).
    """
    source = job.problem.source(job.problem.load(), device=torch.device("cpu"))
    evaluator = Evaluator(source, job.evaluation, store.networks)
    found = []
    for cell, (_, weights) in zip(cells, _generators(store, job, cells, source.shape), strict=True):
        network, seeds = job.networks.with_batch_norm(_batch_norm(job, cell)), [cell["seed"]]
        players = Players("measure", network, source, seeds=seeds, batch=job.training.batch, families=None)
        fake = generate(players, weights[None], seeds=seeds, num=len(evaluator.real))[0]
        found.append(evaluator.pair_with(fake, seed=cell["seed"]).columns(evaluator.sigmas))
    return found


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


def _generators(
    store: Store, job: Job, cells: Sequence[Mapping[str, Any]], shape: tuple[int, ...]
) -> Iterator[tuple[StackedModule, Tensor]]:
    """The module of each cell's generator, and its weights ``[p]``."""
    files, contents = _files(store, job.name, cells), {}
    for cell in cells:
        module = StackedModule.generator(job.networks.with_batch_norm(_batch_norm(job, cell)), shape)
        name = files[_key(cell)]
        if name not in contents:
            contents[name] = decode(module, _content(store, job.name, name))
        yield module, contents[name][_key(cell)]


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


def _content(store: Store, job: str, name: str) -> bytes:
    content = store.place.content(f"{FOLDER}/{name}")
    if content is None:
        raise HarnessError(_no_samples(store, job))
    if hashlib.sha256(content).hexdigest() != name.removesuffix(".safetensors"):
        raise HarnessError(f"{store.place.path(f'{FOLDER}/{name}')}: is damaged; 'harness run' makes it again")
    return content


def _no_samples(store: Store, job: str) -> str:
    return (
        f"{store.root}: has no generators of job '{job}' (any more), so there are no samples to draw: searches keep "
        "none, 'harness gc' and 'harness publish' leave them out. 'harness run' of its job file, with --results of a "
        "new store, trains them again"
    )
