"""What axes and their values are called in a figure, and how a field of any name is written down for Vega."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Sequence
from typing import Any

from ..errors import counted

_CALL = re.compile(r"(\w+)\((.*)\)(.*)")
_SPECIAL = re.compile(r"([\\.\[\]'\"])")
LINE = 26
"""Characters of a name before it goes on in the next line."""
LEGEND = 46
"""Likewise in a legend or of a row, which a column of a paper has room for."""


def name_of(axis: str, value: Any) -> str:
    """What a value of an axis is called where lines, panels and rows are.

    >>> name_of("schedule", "exponential(end=0.05, fraction=0.8, start=0.5)")
    'exponential 0.5\u21920.05, fraction 0.8'
    >>> name_of("schedule", "0.1"), name_of("epoch", 10), name_of("loss", "non_saturating")
    ('\u03c3 0.1', 'epoch 10', 'non saturating')
    """
    if value is None:
        return "none"
    if axis == "schedule":
        return _schedule(str(value))
    if axis == "sigma":
        return f"\u03c3 {value:.3g}"
    if axis in ("epoch", "seed"):
        return f"{axis} {value}"
    if axis == "learning_rate":
        return f"rate {value:g}"
    if axis == "discriminator_steps":
        return counted(value, "step")
    text = f"batch norm {value}" if axis == "batch_norm" else str(value)
    return text if ":" in text else text.replace("_", " ")


def in_lines(text: str, width: int = LINE) -> str:
    """A text in lines of at most so many characters, broken between words where there are some."""
    return "\n".join(textwrap.wrap(text, width)) if len(text) > width else text


def expression(axis: str, values: Sequence[Any], *, width: int = LINE) -> str:
    """An expression of Vega that gives each value of an axis its name."""
    return named_values(values, [in_lines(name_of(axis, value), width) for value in values])


def named_values(values: Sequence[Any], names: Sequence[str]) -> str:
    """An expression of Vega that gives each of some values its name."""
    return f"{json.dumps(list(names))}[indexof({json.dumps(list(values))}, datum.value)]"


def path(name: str) -> str:
    """A column's name as a field of Vega, to which dots and brackets mean something.

    >>> path("kid[classifier]")
    'kid\\\\[classifier\\\\]'
    """
    return _SPECIAL.sub(r"\\\1", name)


def datum(name: str) -> str:
    """A column's value in an expression of Vega."""
    return f"datum[{json.dumps(name)}]"


def listed(parts: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def _schedule(text: str) -> str:
    if re.fullmatch(r"[\d.eE+-]+(?: .*)?", text):
        return f"\u03c3 {text}"
    match = _CALL.fullmatch(text)
    if match is None:
        return text
    family, inner, rest = match.groups()
    pairs = dict(part.split("=", 1) for part in inner.split(", ") if "=" in part)
    if "start" not in pairs or "end" not in pairs:
        return text
    ends = f"{_few(pairs.pop('start'))}\u2192{_few(pairs.pop('end'))}"
    return ", ".join([f"{family} {ends}", *(f"{name} {_few(value)}" for name, value in pairs.items())]) + rest


def _few(number: str) -> str:
    try:
        return f"{float(number):.3g}"
    except ValueError:
        return number
