"""Training a pack of runs. No Ray, no files: results are yielded as they arise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..planning.cells import Run
from ..problems.sources import Source
from ..theory.losses import Outputs
from .members import Members, MemberState
from .progress import Progress, ProgressThrottle
from .updates import DivergenceMonitor, is_finite


@dataclass(frozen=True)
class Epoch:
    """A pack at the end of an epoch; lists have one value per member.

    Attributes:
      epoch, step: Epochs and generator steps done.
      sigma, d_loss, g_loss: sigma now, and the epoch's mean losses (the last finite ones of a dead member).
      outputs: What the discriminators said in the last step.
      diverged_at: Step at which a member ceased to be finite, or -1.
      members: The pack itself, in this state until the iteration goes on.
    """

    epoch: list[int]
    step: list[int]
    sigma: list[float]
    d_loss: list[float]
    g_loss: list[float]
    outputs: Outputs
    diverged_at: list[int]
    members: Members

    def state(self, member: int) -> MemberState:
        """Where a member stands, living or not."""
        means = {"mean d_loss": torch.tensor(self.d_loss[member]), "mean g_loss": torch.tensor(self.g_loss[member])}
        return {**self.members.state(member, epoch=self.epoch[member]), **means}


def train(
    runs: Sequence[Run], source: Source, *, num_epochs: int, states: Mapping[int, MemberState] | None = None
) -> Iterator[Progress | Epoch]:
    """Trains a pack of runs, one batched step at a time.

    Args:
      runs: Members of equal networks, objective, penalty, batch and optimiser family.
      source: Real samples, on the device to train on.
      num_epochs: How many epochs to train.
      states: From `Epoch.state`: where members, by index, stand; the others begin. They go on as if they had
        not been interrupted, whoever their pack mates were and are.

    Yields:
      `Progress` now and then, and an `Epoch` at the end of each epoch.
    """
    members = Members(runs, source, num_epochs=num_epochs, states=states)
    reporter = ProgressThrottle(len(runs))
    means = EpochMeans(len(runs), source.device, states or {})
    steps_per_epoch = runs[0].steps_per_epoch
    starts = torch.tensor(members.starts, device=source.device) * steps_per_epoch
    step = 0
    for epoch in range(1, num_epochs + 1):
        means.start_epoch()
        for _ in range(steps_per_epoch):
            sigma = members.sigma(step)
            for _ in range(runs[0].discriminator_steps):
                d_loss = members.discriminator_step(sigma, step=step)
            g_loss = members.generator_step(sigma)
            step += 1
            means.add(d_loss, g_loss, members.monitor)
            members.monitor.note(starts + step, d_loss)
            if progress := reporter.step():
                yield progress
        yield reporter.flush()
        d_losses, g_losses = means.read()
        epochs = [start + epoch for start in members.starts]
        yield Epoch(
            epoch=epochs,
            step=[done * steps_per_epoch for done in epochs],
            sigma=members.sigma_after(epochs),
            d_loss=d_losses,
            g_loss=g_losses,
            outputs=members.outputs(),
            diverged_at=members.monitor.diverged_at.tolist(),
            members=members,
        )


class EpochMeans:
    """Mean losses of an epoch, summed on the device and read once; an epoch without a finite value keeps the last."""

    def __init__(self, num_members: int, device: torch.device, states: Mapping[int, MemberState]) -> None:
        self._last = torch.full((2, num_members), torch.nan, device=device)
        for member, state in states.items():
            self._last[:, member] = torch.stack([state["mean d_loss"], state["mean g_loss"]])
        self.start_epoch()

    def start_epoch(self) -> None:
        self._sum = torch.zeros_like(self._last)
        self._count = torch.zeros_like(self._last)

    def add(self, d_loss: Tensor, g_loss: Tensor, monitor: DivergenceMonitor) -> None:
        losses = torch.stack([d_loss, g_loss])
        finite = is_finite(losses) & (monitor.diverged_at < 0)
        self._sum += torch.where(finite, losses, 0.0)
        self._count += finite

    def read(self) -> tuple[list[float], list[float]]:
        self._last = torch.where(self._count > 0, self._sum / self._count, self._last)
        d_loss, g_loss = self._last.tolist()
        return d_loss, g_loss
