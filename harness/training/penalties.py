"""The penalty of a pack: its random numbers, its strengths, and its term for the discriminators as they are."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ..job.parts.penalty import Draws, Penalty, one_a_member
from ..job.parts.schedules import Schedule
from .players import Players


class StackedPenalty:
    """The penalty of a pack, with random streams of its own.

    Args:
      strengths: Values of every schedule that the penalty's strengths follow, at each step and for each member,
        ``[steps, k]`` or ``[steps, 1]``, on the device: nothing is read back in a step.

    Attributes:
      constrain: What it makes of the discriminators' weights after an update.
      streams: By what they are for.
    """

    def __init__(
        self, penalty: Penalty, players: Players, *, strengths: Mapping[Schedule, Tensor] | None = None
    ) -> None:
        self._penalty, self._discriminator = penalty, players.discriminator
        self._strengths = strengths or {}
        self.constrain = penalty.constrain
        shapes = penalty.draws(players.batch, players.source.shape)
        self._draws = {name: players.streams.uniform(f"penalty {name}", *shape) for name, shape in shapes.items()}
        self.streams = {f"penalty {name}": stream for name, stream in self._draws.items()}

    def __call__(self, weights: Tensor, real: Tensor, fake: Tensor, *, step: int | None = None) -> Tensor | float:
        """The penalty of each member ``[k]``, differentiable in the discriminators' weights ``[k, p]``.

        `real` and `fake` are the noisy batches ``[k, b, *shape]`` the discriminators see. `step` counts from where the
        pack began; where no strength follows a schedule, it may be left out.
        """
        draws = Draws({name: stream.next() for name, stream in self._draws.items()})
        penalty = self._at(step)
        term = penalty(lambda samples: self._discriminator(weights, samples), real, fake, draws)
        return one_a_member(penalty, term, num_members=len(weights))

    def _at(self, step: int | None) -> Penalty:
        if not self._penalty.schedules:
            return self._penalty
        if step is None:
            raise ValueError(f"penalty {self._penalty.description} has another strength at every step; name the step")
        return self._penalty.at(lambda schedule: self._strengths[schedule][step])
