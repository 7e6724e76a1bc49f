"""Noise schedules ``sigma(t)``, ``t`` in [0, 1] the fraction of training done.

Each factory takes its parameters by name and returns the schedule, a function of ``t``:

    >>> linear(start=1.0, end=0.0)(0.25)
    0.75

Those that lead from `start` to `end` arrive after a `fraction` of training, if one is given, and stay there:
``u = min(t / fraction, 1)`` in their formulas. `adaptive` is no function of ``t``: it gives a rule that moves sigma by
what the discriminator does.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

Schedule = Callable[[float], float]


def constant(*, sigma: float) -> Schedule:
    """``sigma(t) = sigma``"""
    _check(sigma=sigma)
    return lambda t: sigma


def linear(*, start: float, end: float, fraction: float = 1.0) -> Schedule:
    """``sigma(t) = start + (end - start) u``"""
    _check(start=start, end=end)
    return _within(fraction, lambda u: start + (end - start) * u)


def exponential(*, start: float, end: float, fraction: float = 1.0) -> Schedule:
    """``sigma(t) = start (end / start)^u``; both ends must be positive"""
    _check(start=start, end=end)
    if start == 0 or end == 0:
        raise ValueError("an exponential schedule needs start > 0 and end > 0; use linear to reach 0")
    return _within(fraction, lambda u: start * (end / start) ** u)


def cosine(*, start: float, end: float, fraction: float = 1.0) -> Schedule:
    """``sigma(t) = end + (start - end) (1 + cos(pi u)) / 2``"""
    _check(start=start, end=end)
    return _within(fraction, lambda u: end + (start - end) * (1 + math.cos(math.pi * u)) / 2)


def step(*, start: float, end: float, at: float) -> Schedule:
    """``sigma(t) = start`` for ``t < at``, else ``end``; `at` in (0, 1)"""
    _check(start=start, end=end)
    if not 0 < at < 1:
        raise ValueError(f"at must be in (0, 1), the fraction of training after which sigma changes; got {at}")
    return lambda t: start if t < at else end


def inverse_time(*, start: float, decay: float) -> Schedule:
    """``sigma(t) = start / (1 + decay t)``"""
    _check(start=start, decay=decay)
    return lambda t: start / (1 + decay * t)


def polynomial(*, start: float, end: float, power: float, fraction: float = 1.0) -> Schedule:
    """``sigma(t) = end + (start - end) (1 - u)^power``; `power` > 0"""
    _check(start=start, end=end, power=power)
    if power == 0:
        raise ValueError("power must be > 0; use constant for a sigma that does not change")
    return _within(fraction, lambda u: end + (start - end) * (1 - u) ** power)


def _within(fraction: float, sigma: Schedule) -> Schedule:
    if not 0 < fraction <= 1:
        raise ValueError(f"fraction must be in (0, 1], the part of training in which sigma changes; got {fraction}")
    return lambda t: sigma(min(t / fraction, 1.0))


@dataclass(frozen=True)
class Adaptive:
    """A rule for sigma: more noise while the discriminator is too often right, less while it is too often wrong.

    Attributes:
      start: sigma at t = 0.
      target: Accuracy to be held, in (0, 1).
      rate: Change of log sigma over the whole training, per unit of excess accuracy.
    """

    start: float
    target: float
    rate: float

    def next(self, sigma: Tensor, accuracy: Tensor, *, num_steps: int) -> Tensor:
        """sigma after one of `num_steps` steps of training, elementwise; never beyond 1000 times or 1/1000 of start."""
        moved = sigma * (self.rate / num_steps * (accuracy - self.target)).exp()
        return moved.clamp(self.start / 1000, self.start * 1000)


def adaptive(*, start: float, target: float, rate: float) -> Adaptive:
    """``d log sigma / dt = rate (running accuracy of the discriminator - target)``; start > 0, target in (0, 1)

    References:
      Karras et al. (2020), "Training generative adversarial networks with limited data", whose augmentation
      probability is driven in this way.
    """
    _check(start=start, target=target, rate=rate)
    if start == 0:
        raise ValueError("an adaptive schedule needs start > 0: sigma moves by factors")
    if not 0 < target < 1:
        raise ValueError(f"target must be in (0, 1), the accuracy to be held; got {target}")
    return Adaptive(start, target, rate)


SCHEDULES: dict[str, Callable[..., Schedule | Adaptive]] = {
    "constant": constant,
    "linear": linear,
    "exponential": exponential,
    "cosine": cosine,
    "step": step,
    "inverse_time": inverse_time,
    "polynomial": polynomial,
    "adaptive": adaptive,
}


def parameters(name: str) -> tuple[str, ...]:
    """Names of the parameters of a schedule family."""
    return tuple(inspect.signature(SCHEDULES[name]).parameters)


def defaults(name: str) -> dict[str, float]:
    """Those of the parameters that may be left out, with what they are then."""
    signature = inspect.signature(SCHEDULES[name]).parameters
    return {key: item.default for key, item in signature.items() if item.default is not inspect.Parameter.empty}


def check_names(name: str, given: Collection[str]) -> None:
    """Refuses a wrong set of parameters for a schedule family.

    Raises:
      ValueError: If one is missing or unknown.
    """
    optional = defaults(name)
    required = [key for key in parameters(name) if key not in optional]
    if not set(required) <= set(given) <= set(parameters(name)):
        may = f" and may have {', '.join(optional)}" if optional else ""
        raise ValueError(f"schedule {name} takes {', '.join(required)}{may}; got {', '.join(given) or 'nothing'}")


def _check(**values: float) -> None:
    for name, value in values.items():
        if not (value >= 0 and math.isfinite(value)):
            raise ValueError(f"{name} must be finite and >= 0, got {value}")
