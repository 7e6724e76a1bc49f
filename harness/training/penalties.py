"""What a pack does with its penalty: a term of the discriminators' loss, or an act on their weights."""

from __future__ import annotations

from torch import Tensor

from ..job.parts.penalties import R1, R2, AnyPenalty, Dragan, GradientPenalty, NoPenalty, WeightClip, ZeroCentred
from ..theory import penalties
from .players import Adversaries
from .streams import Stream


class Regulariser:
    """The penalty of a pack, with random streams of its own.

    Attributes:
      clip: Limit of the weights, applied after each step; None for penalties that are terms of the loss.
      streams: By what they are for.
    """

    def __init__(self, penalty: AnyPenalty, adversaries: Adversaries) -> None:
        self._penalty, self._adversaries = penalty, adversaries
        self.clip = penalty.limit if isinstance(penalty, WeightClip) else None
        shape, batch = adversaries.source.shape, adversaries.batch
        on_segments = isinstance(penalty, (GradientPenalty, ZeroCentred, Dragan))
        self.streams: dict[str, Stream] = {}
        if on_segments:
            self.streams["penalty alpha"] = adversaries.streams.uniform("penalty alpha", batch)
        if isinstance(penalty, Dragan):
            self.streams["penalty perturbation"] = adversaries.streams.uniform("penalty perturbation", batch, *shape)

    def __call__(self, weights: Tensor, real: Tensor, fake: Tensor) -> Tensor | float:
        """The penalty of each member ``[k]``, differentiable in the discriminators' weights ``[k, p]``.

        `real` and `fake` are the noisy batches ``[k, b, *shape]`` the discriminators see.
        """

        def squared_norms(points: Tensor) -> Tensor:
            discriminator = self._adversaries.discriminator
            return penalties.squared_gradient_norms(lambda x: discriminator(weights, x), points)

        match self._penalty:
            case NoPenalty() | WeightClip():
                return 0.0
            case R1(gamma=gamma):
                return penalties.towards_zero(squared_norms(real), weight=gamma / 2)
            case R2(gamma=gamma):
                return penalties.towards_zero(squared_norms(fake), weight=gamma / 2)
            case Dragan(weight=weight, spread=spread):
                alpha, unit = (self.streams[f"penalty {name}"].next() for name in ("alpha", "perturbation"))
                points = penalties.around(real, alpha, unit, spread=spread)
                return penalties.towards_one(squared_norms(points), weight=weight)
            case GradientPenalty(weight=weight) | ZeroCentred(weight=weight):
                points = penalties.on_segments(real, fake, self.streams["penalty alpha"].next())
                if isinstance(self._penalty, GradientPenalty):
                    return penalties.towards_one(squared_norms(points), weight=weight)
                return penalties.towards_zero(squared_norms(points), weight=weight)
