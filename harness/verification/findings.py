"""What a check answers, and the one scale on which all checks say how far inside their limits they are.

A margin is the share of the allowance that is left: 1 in the middle of what is allowed, 0 at the limit, negative beyond
it. A check with several conditions has the smallest of their margins, and passes when that is not negative.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Assessment:
    """What a check measured, what the statement says of it, and the smallest margin of its conditions."""

    measured: str | float
    theory: str | float
    margin: float

    @property
    def passed(self) -> bool:
        return self.margin >= 0


@dataclass(frozen=True)
class Finding:
    """One row of ``harness verify``.

    Attributes:
      statement: Identifier, such as ``2.4``.
      title: The statement in a few words.
      measured: What was computed.
      theory: What the statement says it must be.
      margin: Share of the allowance left over, at most 1; negative where the statement fails (see the module).
      passed: Whether every condition holds.
      seconds: Wall-clock time of the check.
    """

    statement: str
    title: str
    measured: str | float
    theory: str | float
    margin: float
    passed: bool
    seconds: float


def assess(measured: str | float, theory: str | float, *margins: float) -> Assessment:
    """The assessment of conditions with these margins, by the smallest; a margin that is not a number is a failure."""
    return Assessment(measured, theory, min((-math.inf if math.isnan(margin) else margin) for margin in margins))


def close(value: float, expected: float, *, tolerance: float) -> float:
    """Margin of ``|value - expected| <= tolerance``: the share of the tolerance not used up."""
    return 1 - abs(value - expected) / tolerance


def at_most(value: float, limit: float) -> float:
    """Margin of ``value <= limit``, for a limit > 0: ``1 - value / limit``."""
    return 1 - value / limit


def at_least(value: float, limit: float) -> float:
    """Margin of ``value >= limit``, for a limit > 0: ``1 - limit / value``."""
    return 1 - limit / value if value > 0 else -math.inf


def holds(condition: bool) -> float:
    """Margin of a condition that is met or not, such as the equality of two whole numbers: 1 or -1."""
    return 1.0 if condition else -1.0
