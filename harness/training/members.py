"""The state of a pack of runs in training: weights of both players, optimisers, streams, and the two kinds of step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ..job.parts.losses import find_loss
from ..job.parts.schedules import Schedule
from ..planning.cells import Run
from ..problems.sources import Source
from ..theory.losses import Loss, Outputs, accuracy, outputs, overconfidence
from .adaptive import Adaptation
from .measurement import Measurement
from .noise import GeneratorNoise, drawn_families
from .optimizers import StackedOptimizer
from .penalties import StackedPenalty
from .players import Players
from .streams import Stream
from .updates import DivergenceMonitor, descend, gradient_of

MemberState = Mapping[str, Tensor]
"""One member between two epochs: all its training needs to go on as if it had not been interrupted."""


class Members:
    """A pack of runs in training: weights of both players, optimisers, streams, and the two kinds of step.

    Args:
      num_epochs: How many each of them is trained from where it stands.
      states: Where members stand, by index; the others begin.

    Attributes:
      starts: Epochs each member had done when the pack began.
      generators, discriminators: Weights ``[k, p]``, moved in place; those of a dead member are its last finite ones.
    """

    def __init__(
        self, runs: Sequence[Run], source: Source, *, num_epochs: int, states: Mapping[int, MemberState] | None = None
    ) -> None:
        states = states or {}
        first, device = runs[0], source.device
        self.runs = runs
        self.starts = [int(states[index]["epoch"]) if index in states else 0 for index in range(len(runs))]
        self._sigmas = sigma_table(runs, num_epochs=num_epochs, starts=self.starts).to(device)  # [steps, k]
        self._adaptation = Adaptation.of(runs, device)
        self._generator_noise = GeneratorNoise([run.sigma.noise_on for run in runs], device)
        self.players = Players(
            "train",
            first.networks,
            source,
            seeds=[run.seed for run in runs],
            batch=first.batch,
            families=drawn_families([run.sigma.noise for run in runs], source, is_noisy=[run.is_noisy for run in runs]),
        )
        self.objective = find_loss(first.loss).objective
        self._groups = group_by_loss([run.loss for run in runs], device)
        self._needs_real = self.players.batch_norm == "joint" or any(
            find_loss(run.loss).generator_needs_real for run in runs
        )
        strengths = {
            schedule: schedule_table([schedule] * len(runs), runs, num_epochs=num_epochs, starts=self.starts).to(device)
            for schedule in first.penalty.schedules
        }
        self._penalty = StackedPenalty(first.penalty, self.players, strengths=strengths)
        self.generators = self.players.initial(self.players.generator, "generator")
        self.discriminators = self.players.initial(self.players.discriminator, "discriminator")
        optimizers = [run.optimizer for run in runs]
        self._generator_optimizer = StackedOptimizer(optimizers, self.generators)
        self._discriminator_optimizer = StackedOptimizer(optimizers, self.discriminators)
        self._batches = self.players.batches("train")
        self.monitor = DivergenceMonitor(len(runs), device)
        for index, state in states.items():
            self._restore(index, state)
        for name, stream in self._streams().items():
            where = f"position of {name}"
            stream.skip([int(states[i][where]) if i in states and where in states[i] else 0 for i in range(len(runs))])

    def state(self, member: int, *, epoch: int) -> MemberState:
        """Where a member stands after `epoch` epochs."""
        parts = {name: part[member].detach().cpu() for name, part in self._parts().items()}
        positions = {f"position of {name}": stream.positions[member] for name, stream in self._streams().items()}
        numbers = {name: torch.tensor(value) for name, value in {"epoch": epoch, **positions}.items()}
        return {**parts, **numbers}

    def _restore(self, member: int, state: MemberState) -> None:
        for name, part in self._parts().items():
            # a member whose schedule does not adapt may come from a pack in which none did
            if name in state or not name.startswith(("adaptation", "monitor")):
                part[member].copy_(state[name])

    def _parts(self) -> dict[str, Tensor]:
        """Everything that training moves, but the streams: ``[k, ...]`` each."""
        parts = {
            "generator": self.generators,
            "discriminator": self.discriminators,
            "last d_loss": self.monitor.last_d_loss,
            "monitor active": self.monitor.active,
            "monitor diverged_at": self.monitor.diverged_at,
        }
        for player, optimizer in (
            ("generator", self._generator_optimizer),
            ("discriminator", self._discriminator_optimizer),
        ):
            parts |= {f"{player} optimizer {name}": part for name, part in optimizer.state.items()}
        if self._adaptation is not None:
            parts |= {f"adaptation {name}": part for name, part in self._adaptation.parts.items()}
        return parts

    def _streams(self) -> dict[str, Stream]:
        return {**self._batches.streams, **self._penalty.streams}

    def sigma(self, step: int) -> Tensor:
        """sigma of every member at a step, ``[k]``."""
        scheduled = self._sigmas[step]
        return scheduled if self._adaptation is None else self._adaptation.sigma(scheduled)

    def discriminator_step(self, sigma: Tensor, *, step: int | None = None) -> Tensor:
        """One update of the discriminators at sigma ``[k]``; their losses ``[k]``.

        `step` is that of a penalty whose strength follows a schedule.
        """
        in_generator_step = self._generator_noise.sigma(sigma)
        real, *others = self._batches.real(sigma, *([] if in_generator_step is None else [in_generator_step]))
        self._real = others[0] if others else real
        fake = self._batches.frozen_fake(self.generators, sigma)
        weights = self.discriminators.detach().requires_grad_()
        logits = self.players.logits(weights, real, fake)
        self._logits = tuple(values.detach() for values in logits)
        loss = self.objective(*logits)
        if self._adaptation is not None:
            right = accuracy(self.objective, *self._logits)
            self._adaptation.note(right, overconfidence(self.objective, self._logits[0]))
        gradient = gradient_of(loss + self._penalty(weights, real, fake, step=step), weights)
        loss = loss.detach()
        descend(
            self.discriminators,
            gradient,
            loss,
            self._discriminator_optimizer,
            self.monitor,
            constrain=self._penalty.constrain,
        )
        return loss

    def outputs(self) -> Outputs:
        """What the discriminators said in their last step."""
        return outputs(self.objective, *self._logits)

    def generator_step(self, sigma: Tensor) -> Tensor:
        """One update of the generators at sigma ``[k]``; their losses ``[k]``.

        Noise is added to the generator's samples here too, and backpropagated through (Cor. 3.2), but for members with
        noise in the discriminator's step alone. Losses that compare with real samples see the batch of the last
        discriminator step, with this step's noise.
        """
        weights = self.generators.detach().requires_grad_()
        here = self._generator_noise.sigma(sigma)
        (fake,) = self._batches.fake(weights, sigma if here is None else here)
        if self._needs_real:
            logits: tuple[Tensor | None, Tensor] = self.players.logits(self.discriminators, self._real, fake)
        else:
            logits = None, self.players.discriminator(self.discriminators, fake)
        loss = grouped_generator_loss(self._groups, *logits)
        gradient = gradient_of(loss, weights)
        loss = loss.detach()
        descend(self.generators, gradient, loss, self._generator_optimizer, self.monitor)
        return loss

    def sigma_after(self, epochs: Sequence[int]) -> list[float]:
        """sigma of every member at the end of its epoch."""
        adapted = [] if self._adaptation is None else self._adaptation.current.tolist()
        scheduled = [run.sigma_at(epoch) for run, epoch in zip(self.runs, epochs, strict=True)]
        return [adapted[member] if sigma is None else sigma for member, sigma in enumerate(scheduled)]

    def measure(self, *, step: Sequence[int], sigma: Sequence[float], num_batches: int = 4) -> Measurement:
        """The generators' gradients under the discriminators as they are now, over fresh batches.

        The batches belong to the step, so that a run measured at other steps as well gets the same numbers here.
        """
        now = torch.tensor(sigma, dtype=torch.float32, device=self.generators.device)
        return self.players.measure(
            generators=self.generators,
            discriminators=self.discriminators,
            sigma=now,
            generator_sigma=self._generator_noise.sigma(now),
            objective=self.objective,
            losses=list(dict.fromkeys(run.loss for run in self.runs)),
            batches=self.players.batches([f"measure at {done}" for done in step]),
            num_batches=num_batches,
            iteration=list(step),
            monitor=self.monitor,
        )


def grouped_generator_loss(
    groups: Sequence[tuple[Loss, Tensor | None]], real_logits: Tensor | None, fake_logits: Tensor
) -> Tensor:
    """Each member's generator loss ``[k]``; members of one loss are evaluated together."""
    if len(groups) == 1:
        return groups[0][0].generator(real_logits, fake_logits)
    loss = fake_logits.new_zeros(len(fake_logits))
    for function, members in groups:
        real = None if real_logits is None else real_logits[members]
        loss = loss.index_copy(0, members, function.generator(real, fake_logits[members]))  # type: ignore[arg-type]
    return loss


def group_by_loss(names: Sequence[str], device: torch.device) -> list[tuple[Loss, Tensor | None]]:
    """The distinct losses of a pack and the indices of their members (None where there is but one loss)."""
    members: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        members.setdefault(name, []).append(index)
    if len(members) == 1:
        return [(find_loss(names[0]), None)]
    return [(find_loss(name), torch.tensor(indices, device=device)) for name, indices in members.items()]


def sigma_table(runs: Sequence[Run], *, num_epochs: int, starts: Sequence[int]) -> Tensor:
    """sigma of every member at every step from its start: ``[num_epochs * steps_per_epoch, k]``, float32."""
    return schedule_table([run.sigma.schedule for run in runs], runs, num_epochs=num_epochs, starts=starts)


def schedule_table(
    schedules: Sequence[Schedule], runs: Sequence[Run], *, num_epochs: int, starts: Sequence[int]
) -> Tensor:
    """The value of each member's schedule at every step from its start, as `sigma_table`."""
    steps_per_epoch = runs[0].steps_per_epoch
    columns = []
    for schedule, run, start in zip(schedules, runs, starts, strict=True):
        horizon = run.horizon * steps_per_epoch
        steps = range(start * steps_per_epoch, (start + num_epochs) * steps_per_epoch)
        columns.append([schedule(step / horizon) for step in steps])
    return torch.tensor(columns, dtype=torch.float32).T.contiguous()
