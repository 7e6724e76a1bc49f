"""Logarithmic axes of few ticks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import altair as alt

from .words import named_values

_SUPERSCRIPTS = str.maketrans("-0123456789", "\u207b\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079")
_MOST = 6


def log_ticks(low: float, high: float) -> list[float]:
    """Few round values between two: powers of ten, or where there are not two of them 1, 2 and 5 of each decade.

    >>> log_ticks(0.02, 300)
    [0.1, 1.0, 10.0, 100.0]
    >>> log_ticks(3, 45)
    [5.0, 10.0, 20.0]
    """
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    if last - first < 1:
        candidates = (factor * 10.0**power for power in range(first - 1, last + 1) for factor in (1, 2, 5))
        return [value for value in candidates if low <= value * (1 + 1e-9) and value <= high * (1 + 1e-9)]
    stride = -(-(last - first + 1) // _MOST)
    return [10.0**power for power in range(first, last + 1, stride)]


def tick_name(value: float) -> str:
    """A power of ten as such where it is far from 1.

    >>> tick_name(1e-4), tick_name(0.05), tick_name(0)
    ('10\u207b\u2074', '0.05', '0')
    """
    power = math.log10(value) if value > 0 else 0.0
    if power == round(power) and not -2 <= power <= 3:
        return f"10{str(round(power)).translate(_SUPERSCRIPTS)}"
    return f"{value:g}"


def log_axis(values: Sequence[float], **more: Any) -> alt.Axis:
    """An axis for positive values, with ticks of `log_ticks`."""
    ticks = log_ticks(min(values), max(values)) if values else []
    return ticked(ticks, **more) if len(ticks) > 1 else alt.Axis(tickCount=4, format="~g", **more)


def ticked(ticks: Sequence[float], **more: Any) -> alt.Axis:
    """An axis with these ticks, named by `tick_name`."""
    names = named_values(ticks, [tick_name(tick) for tick in ticks])
    return alt.Axis(values=list(ticks), labelExpr=names, labelOverlap="greedy", **more)
