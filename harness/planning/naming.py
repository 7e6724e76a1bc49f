"""How cells are called in a line, and by which column they are judged: what displays, tables and reports share."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..job.dirac import DiracJob
from ..job.job import Job
from .packs import Pack, TrainingPack


@dataclass(frozen=True)
class Headline:
    """The column of ``cells`` that tells first how a cell came out.

    Attributes:
      name: For a person.
      floor: The column of the same for other real samples; None where there is none.
      least, greatest: What cells with the extreme values are called.
    """

    column: str
    name: str
    floor: str | None = None
    least: str = "best"
    greatest: str = "worst"


DISTANCE = Headline("w1", "W1", floor="real_w1")
SLICED_DISTANCE = Headline("w1_sliced", "sliced W1", floor="real_w1_sliced")
ACCURACY = Headline("accuracy", "accuracy", least="lowest", greatest="highest")
MODULUS = Headline("modulus", "modulus")


def headline(protocol: str, shape: Sequence[int]) -> Headline:
    """Of a job of this protocol whose samples have this shape.

    Probes of one generator share its distance, and are told apart by what their discriminators see; images are judged
    by the sliced distance, as the bound that says something of them is.
    """
    if protocol == "dirac":
        return MODULUS
    if protocol == "probe":
        return ACCURACY
    return SLICED_DISTANCE if len(shape) == 3 else DISTANCE


def varying_axes(job: Job | DiracJob) -> tuple[str, ...]:
    """The axes of a job that have several values, by their columns in ``cells``."""
    values: dict[str, set[Any]] = {}
    for grid in job.grid:
        for name, of_grid in grid:
            values.setdefault("schedule" if name == "sigma" else name, set()).update(
                [None] if of_grid is None else map(str, of_grid)
            )
    return tuple(name for name, found in values.items() if len(found) > 1)


_BARE = ("loss", "updates")
_WORDS = {"schedule": "sigma"}
_ORDER = ("loss", "penalty", "schedule", "learning_rate", "batch_norm", "discriminator_steps", "updates")


def brief(values: Mapping[str, Any], axes: Collection[str]) -> str:
    """A cell, or a group of them, by some of its columns: ``minimax, sigma 0.1, epoch 30, seed 2``.

    >>> brief({"loss": "minimax", "schedule": "0.1", "seed": 2, "epoch": 30}, ["schedule", "seed"])
    'sigma 0.1, seed 2'
    >>> brief({"loss": "minimax", "schedule": "0.1", "seed": 2}, [])
    'minimax, sigma 0.1'
    """
    shown = [name for name in (*_ORDER, "epoch", "seed") if name in (axes or ("loss", "schedule"))]
    return ", ".join(_said(name, values[name]) for name in shown if values.get(name) is not None)


def axis_word(name: str) -> str:
    """What a column that is an axis is called: ``sigma`` for ``schedule``."""
    return _WORDS.get(name, name.replace("_", " "))


def pack_brief(pack: Pack, axes: Collection[str]) -> str:
    """What a pack is at, in a line: ``training 4 runs, the first minimax, sigma 0``."""
    if not pack.cells and isinstance(pack, TrainingPack):
        first = pack.runs[0]
        told = {"loss": first.loss, "schedule": first.sigma.description, "seed": first.seed}
        return f"{pack.phase} {_first_of(len(pack.runs), 'run', brief(told, ('loss', 'schedule', 'seed')))}"
    return f"{pack.phase} {_first_of(len(pack.cells), 'cell', brief(pack.cells[0].key._asdict(), axes))}"


def last_line(error: str | None) -> str:
    """Of a traceback: what was raised."""
    lines: Iterable[str] = (error or "").strip().splitlines()
    return next(reversed(list(lines)), "")


def _first_of(number: int, noun: str, first: str) -> str:
    return f"{noun} {first}" if number == 1 else f"{number} {noun}s, the first {first}"


def _said(name: str, value: Any) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if name in _BARE else f"{axis_word(name)} {text}"
