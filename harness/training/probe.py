"""Probing snapshots: fresh discriminators trained against frozen generators. No Ray, no files.

This is section 2 of Arjovsky & Bottou (2017): a discriminator is trained from scratch, and on the way the gradient it
would give the generator is measured under the original cost log(1 - D) and under -log D.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..job.parts.losses import find_loss
from ..job.parts.schedules import Schedule
from ..planning.cells import Probe
from ..problems.sources import Source
from .measurement import Measurement
from .noise import GeneratorNoise, drawn_families
from .optimizers import StackedOptimizer
from .penalties import StackedPenalty
from .players import Players, Sharing
from .progress import Progress, ProgressThrottle
from .updates import DivergenceMonitor, descend, gradient_of


@dataclass(frozen=True)
class Probed:
    """The end of a pack of probes: the discriminators' weights ``[k, p]`` and the networks they belong to."""

    discriminators: Tensor
    players: Players


def log_spaced(num: int, *, last: int) -> list[int]:
    """At most `num` distinct iterations from 1 to `last`, evenly spaced on a log axis."""
    if num == 1:
        return [last]
    return sorted({round(math.exp(math.log(last) * index / (num - 1))) for index in range(num)})


def probe(
    probes: Sequence[Probe], losses: Sequence[str], snapshots: Tensor, source: Source
) -> Iterator[Progress | Measurement | Probed]:
    """Trains one fresh discriminator per member and measures the gradients it gives.

    Args:
      probes: Members of one objective, penalty, settings and optimiser family.
      losses: Names of the losses whose generator gradient is wanted, all with the probes' objective.
      snapshots: Generator weights, ``[k, p]``.
      source: Real samples, on the device to work on.

    Yields:
      `Progress` now and then, a `Measurement` at each log-spaced iteration and at the last, `Probed` at the end.
    """
    first, device = probes[0], source.device
    settings = first.settings
    objective = find_loss(losses[0]).objective
    players = Players(
        "probe",
        first.networks,
        source,
        seeds=[member.run.seed for member in probes],
        batch=settings.batch,
        families=drawn_families(
            [member.noise for member in probes], source, is_noisy=[member.sigma > 0 for member in probes]
        ),
    )
    sigma = torch.tensor([member.sigma for member in probes], dtype=torch.float32, device=device)
    generator_sigma = GeneratorNoise([member.noise_on for member in probes], device).sigma(sigma)
    weights = players.initial(players.discriminator, "discriminator")
    update = StackedOptimizer([member.optimizer for member in probes], weights)
    penalty = StackedPenalty(first.penalty, players, strengths=_strengths(first, device))
    monitor = DivergenceMonitor(len(probes), device)
    sharing = Sharing.of([(member.run.run_id, member.epoch, member.noise) for member in probes], device)
    batches, measuring = (players.batches(purpose, sharing=sharing) for purpose in ("train", "measure"))
    due = set(log_spaced(settings.measurements, last=settings.iterations))
    reporter = ProgressThrottle(len(probes))
    for iteration in range(1, settings.iterations + 1):
        (real,), fake = batches.real(sigma), batches.frozen_fake(snapshots, sigma)
        moving = weights.detach().requires_grad_()
        loss = objective(*players.logits(moving, real, fake))
        gradient = gradient_of(loss + penalty(moving, real, fake, step=iteration - 1), moving)
        loss = loss.detach()
        descend(weights, gradient, loss, update, monitor, constrain=penalty.constrain)
        monitor.note(iteration, loss)
        if iteration in due:
            yield players.measure(
                generators=snapshots,
                discriminators=weights,
                sigma=sigma,
                generator_sigma=generator_sigma,
                objective=objective,
                losses=losses,
                batches=measuring,
                num_batches=settings.generator_batches,
                iteration=[iteration] * len(probes),
                monitor=monitor,
            )
        if progress := reporter.step():
            yield progress
    yield reporter.flush()
    yield Probed(weights, players)


def _strengths(member: Probe, device: torch.device) -> dict[Schedule, Tensor]:
    """Scheduled strengths of a penalty at each iteration, t being the fraction of them done: ``[steps, 1]``."""
    num = member.settings.iterations
    times = [iteration / num for iteration in range(num)] if member.penalty.schedules else []
    return {
        schedule: torch.tensor([[schedule(t)] for t in times], dtype=torch.float32, device=device)
        for schedule in member.penalty.schedules
    }
