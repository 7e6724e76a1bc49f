"""Noise that adapts: sigma moved by what the discriminators do, without reading anything back."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..job.parts.schedules import Adaptive
from ..planning.cells import Run


class Adaptation:
    """sigma of the members with an adaptive schedule, moved by their discriminators' running accuracy, on the device.

    Attributes:
      current: sigma of every member now, ``[k]``; of no meaning for the others.
      accuracy: Their running accuracy, ``[k]``.
    """

    _MEMORY = 0.99  # of the running accuracy, a discriminator step

    def __init__(self, rules: Sequence[Adaptive | None], num_steps: Sequence[int], device: torch.device) -> None:
        self._members = torch.tensor([rule is not None for rule in rules], device=device)
        self._rules = [(index, rule, num_steps[index]) for index, rule in enumerate(rules) if rule is not None]
        self.current = torch.tensor([rule.start if rule else 0.0 for rule in rules], device=device)
        self.accuracy = torch.tensor([rule.target if rule else 0.5 for rule in rules], device=device)

    @staticmethod
    def of(runs: Sequence[Run], device: torch.device) -> Adaptation | None:
        """That of a pack; None if no member has an adaptive schedule."""
        rules = [run.sigma.schedule if isinstance(run.sigma.schedule, Adaptive) else None for run in runs]
        steps = [run.horizon * run.steps_per_epoch * run.discriminator_steps for run in runs]
        return Adaptation(rules, steps, device) if any(rules) else None

    def sigma(self, scheduled: Tensor) -> Tensor:
        """sigma of every member ``[k]``: the scheduled one, or the one this rule has arrived at."""
        return torch.where(self._members, self.current, scheduled)

    def note(self, accuracy_now: Tensor) -> None:
        """Moves sigma after a discriminator step of this accuracy, ``[k]``."""
        self.accuracy = self._MEMORY * self.accuracy + (1 - self._MEMORY) * accuracy_now
        moved = self.current.clone()
        for index, rule, num_steps in self._rules:
            moved[index] = rule.next(self.current[index], self.accuracy[index], num_steps=num_steps)
        self.current = moved
