"""The penalty of a pack: its random numbers, and its term for the discriminators as they are."""

from __future__ import annotations

from torch import Tensor

from ..job.parts.penalties import Penalty
from .players import Players


class _Draws(dict[str, Tensor]):
    def __missing__(self, name: str) -> Tensor:
        raise ValueError(
            f"a penalty takes draws[{name!r}] without asking for it; its shape goes into draws(batch, shape)"
        )


class StackedPenalty:
    """The penalty of a pack, with random streams of its own.

    Attributes:
      constrain: What it makes of the discriminators' weights after an update.
      streams: By what they are for.
    """

    def __init__(self, penalty: Penalty, players: Players) -> None:
        self._penalty, self._discriminator = penalty, players.discriminator
        self.constrain = penalty.constrain
        shapes = penalty.draws(players.batch, players.source.shape)
        self._draws = {name: players.streams.uniform(f"penalty {name}", *shape) for name, shape in shapes.items()}
        self.streams = {f"penalty {name}": stream for name, stream in self._draws.items()}

    def __call__(self, weights: Tensor, real: Tensor, fake: Tensor) -> Tensor | float:
        """The penalty of each member ``[k]``, differentiable in the discriminators' weights ``[k, p]``.

        `real` and `fake` are the noisy batches ``[k, b, *shape]`` the discriminators see.
        """
        draws = _Draws({name: stream.next() for name, stream in self._draws.items()})
        term = self._penalty(lambda samples: self._discriminator(weights, samples), real, fake, draws)
        if isinstance(term, Tensor) and term.shape != weights.shape[:1]:
            raise ValueError(
                f"penalty {self._penalty.name} gives values of shape {list(term.shape)} for {len(weights)} members; "
                "it must give one value per member, [k]: reduce over the samples of a batch alone"
            )
        return term
