"""The base of all problems: where real samples come from."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from ..spec import Spec


@dataclass(frozen=True)
class Facts:
    """Shape of one sample and how many there are; None where the problem makes as many as asked for."""

    shape: tuple[int, ...]
    num_training: int | None
    num_held_out: int | None


class ProblemSpec(Spec):
    """Base of all problems."""

    name: str

    def facts(self) -> Facts:
        """Shape and counts, without loading the samples; found once.

        Raises:
          ValueError: If the samples are not what the job file promises.
        """
        return self.found_facts

    @functools.cached_property
    def found_facts(self) -> Facts:
        """What `facts` gives."""
        return self.find_facts()

    def find_facts(self) -> Facts:
        """Finds out shape and counts."""
        raise NotImplementedError

    def identity(self) -> dict[str, Any]:
        """What determines the samples; a path does not, the content behind it does."""
        return self.model_dump(mode="json")


HeldOut = Annotated[float, Field(gt=0, lt=1)]


def split_counts(total: int, held_out: float) -> tuple[int, int]:
    num_held_out = max(2, round(total * held_out))
    return total - num_held_out, num_held_out
