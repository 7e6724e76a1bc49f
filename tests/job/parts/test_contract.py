"""One contract for everything that acts inside a training step: losses, penalties, schedules and noise families.

Each must give one number per member, the same in a pack as alone, in the type and on the device it is given, without
reading a value back (a ``meta`` tensor has none), and with the gradient that finite differences find.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from noiselab.parts import LogitNorm, Sawtooth, StudentT, squared_hinge
from torch import Tensor

from harness.job.parts.noise import NOISES, Noise
from harness.job.parts.penalties import PENALTIES, R1, R1R2, Dragan, GradientPenalty, Penalty, Roth, Sum, WeightClip
from harness.job.parts.schedules import SCHEDULES, Adaptive, Cosine, Overconfidence, Schedule
from harness.theory.losses import LOSSES

K, B, D = 3, 5, 2


@dataclass(frozen=True)
class Subject:
    """A function of tensors whose first axis is the member's, and the shapes of its arguments."""

    name: str
    function: Callable[..., Tensor]
    shapes: Sequence[tuple[int, ...]]
    is_penalty: bool = False


def quadratic(weights: Tensor) -> Callable[[Tensor], Tensor]:
    """``D(x) = w.x + (w.x)^2 / 2``, whose gradient ``(1 + w.x) w`` depends on x: ``[k, b, d] -> [k, b]``."""

    def discriminate(x: Tensor) -> Tensor:
        projection = (x * weights[:, None]).sum(-1)
        return projection + projection.square() / 2

    return discriminate


def penalty_of(penalty: Penalty) -> Callable[..., Tensor]:
    """A penalty as a step uses it: of weights, real, fake and its draws, of which alpha is given.

    Where a strength follows a schedule, every member has its own.
    """

    def value(weights: Tensor, real: Tensor, fake: Tensor, alpha: Tensor) -> Tensor:
        now = penalty.at(lambda schedule: schedule(0.3) * alpha[:, 0])
        shapes = penalty.draws(B, (D,))
        draws = {name: alpha if shape == (B,) else alpha.new_ones(len(alpha), *shape) for name, shape in shapes.items()}
        term = now(quadratic(weights), real, fake, draws)
        return term + penalty.constrain(weights).sum(1)

    return value


def schedule_of(family: type[Schedule]) -> Callable[[Tensor, Tensor], Tensor]:
    """sigma after a step: of sigma now and the discriminator's accuracy, which only an adaptive one looks at."""
    if family is Overconfidence:  # of p instead of sigma, and of the mean sign on real samples
        chain = Overconfidence(rate=0.4)
        return lambda p, confidence: chain.next(p, confidence, num_steps=10)
    parameters: dict[str, Any] = dict.fromkeys(family.parameters(), 0.4)
    schedule = family(**parameters)
    if isinstance(schedule, Adaptive):
        return lambda sigma, accuracy: schedule.next(sigma, accuracy, num_steps=10)
    return lambda sigma, accuracy: sigma * 0 + schedule(0.3) + accuracy * 0


def noise_of(noise: Noise) -> Callable[[Tensor, Tensor], Tensor]:
    """Mean of a noisy batch: of samples and sigma, with draws as a step makes them."""
    correlated = torch.tensor([[1.0, 0.0], [0.3, 0.5]])
    family = noise.family(lambda num: torch.randn(num, D, generator=torch.Generator().manual_seed(2)) @ correlated)
    draws = family.training_draws(B, D, generator=torch.Generator().manual_seed(0))

    def noisy(samples: Tensor, sigma: Tensor) -> Tensor:
        return (samples + sigma[:, None, None] * draws.to(samples)).mean((1, 2))

    return noisy


OF_EVERY_KIND: dict[str, Penalty] = {
    **{name: kind() for name, kind in PENALTIES.items() if kind is not Sum},
    "sum": Sum(sum=(R1(gamma=0.3), GradientPenalty(weight=2.0), Dragan(), WeightClip(limit=0.4))),
    "scheduled": R1R2(gamma=Cosine(start=0.5, end=0.1)),
    "sum of scheduled": Sum(sum=(Roth(gamma=Cosine(start=2.0, end=0.1)), Dragan(weight=Cosine(start=9.0, end=1.0)))),
}
PENALTY_SHAPES = [(K, D), (K, B, D), (K, B, D), (K, B)]
OF_A_USER = "noiselab "  # tests/plugin: parts from outside the package are held to the same contract
SUBJECTS = [
    *(Subject(f"{loss.name} D", loss.discriminator, [(K, B), (K, B)]) for loss in (*LOSSES.values(), squared_hinge)),
    *(Subject(f"{loss.name} G", loss.generator, [(K, B), (K, B)]) for loss in (*LOSSES.values(), squared_hinge)),
    *(Subject(name, penalty_of(p), PENALTY_SHAPES, is_penalty=True) for name, p in OF_EVERY_KIND.items()),
    Subject(f"{OF_A_USER}penalty", penalty_of(LogitNorm(weight=0.3)), PENALTY_SHAPES, is_penalty=True),
    *(Subject(name, schedule_of(family), [(K,), (K,)]) for name, family in SCHEDULES.items()),
    Subject(f"{OF_A_USER}schedule", schedule_of(Sawtooth), [(K,), (K,)]),
    *(Subject(name, noise_of(noise()), [(K, B, D), (K,)]) for name, noise in NOISES.items()),
    Subject(f"{OF_A_USER}noise", noise_of(StudentT()), [(K, B, D), (K,)]),
]
EACH = pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.name)


def arguments(subject: Subject, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    # away from 0, where relu and clamp have kinks, and in (0.1, 0.9), where alphas and accuracies live
    return [(0.1 + 0.8 * torch.rand(shape, generator=generator)).to(dtype) for shape in subject.shapes]


@EACH
def test_one_finite_number_a_member(subject: Subject) -> None:
    value = subject.function(*arguments(subject))
    assert value.shape == (K,)
    assert torch.isfinite(value).all()


@EACH
@pytest.mark.parametrize("member", range(K))
def test_the_same_alone_as_in_a_pack(subject: Subject, member: int) -> None:
    together, given = subject.function(*arguments(subject)), arguments(subject)
    alone = subject.function(*(argument[member : member + 1] for argument in given))
    torch.testing.assert_close(alone[0], together[member], rtol=0, atol=1e-13)


@EACH
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_type_is_that_of_the_arguments(subject: Subject, dtype: torch.dtype) -> None:
    value = subject.function(*arguments(subject, dtype))
    assert value.dtype == dtype
    torch.testing.assert_close(value.double(), subject.function(*arguments(subject)), rtol=1e-5, atol=1e-6)


@EACH
def test_nothing_is_read_back_from_the_device(subject: Subject) -> None:
    value = subject.function(*(argument.to("meta").requires_grad_() for argument in arguments(subject)))
    assert value.device.type == "meta"
    value.sum().backward()


@EACH
def test_gradients_match_finite_differences(subject: Subject) -> None:
    inputs = [argument.requires_grad_() for argument in arguments(subject)]
    wanted = inputs[:1] if subject.is_penalty else inputs  # a penalty is differentiated in the weights alone
    assert torch.autograd.gradcheck(lambda *values: subject.function(*values, *inputs[len(wanted) :]), wanted)
