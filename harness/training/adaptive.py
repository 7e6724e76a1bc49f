"""Noise that adapts: sigma moved by what the discriminators do, without reading anything back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ..job.parts.schedules import Adaptive, Overconfidence
from ..planning.cells import Run

Rule = Adaptive | Overconfidence


class Adaptation:
    """sigma of the members with a schedule that adapts, moved by what their discriminators do, on the device.

    Attributes:
      current: sigma of every member now, ``[k]``; of no meaning for the others.
      accuracy: Running accuracy of the discriminators, which `Adaptive` follows, ``[k]``.
      chain: p of `Overconfidence`, ``[k]``.
      confidence, num_noted: What it follows: sum of mean signs since p was last moved, and of how many steps, ``[k]``.
    """

    _MEMORY = 0.99  # of the running accuracy, a discriminator step

    def __init__(self, rules: Sequence[Rule | None], num_steps: Sequence[int], device: torch.device) -> None:
        self._members = torch.tensor([rule is not None for rule in rules], device=device)
        self._rules = [(index, rule, num_steps[index]) for index, rule in enumerate(rules) if rule is not None]
        self.current = torch.tensor([rule(0.0) if rule else 0.0 for rule in rules], device=device)
        self.accuracy = torch.tensor([rule.target if rule else 0.5 for rule in rules], device=device)
        self.chain, self.confidence, self.num_noted = torch.zeros(3, len(rules), device=device)
        chains = {rule: rule.sigmas for rule in rules if isinstance(rule, Overconfidence)}
        self._sigmas = {rule: torch.tensor(sigmas, device=device) for rule, sigmas in chains.items()}

    @staticmethod
    def of(runs: Sequence[Run], device: torch.device) -> Adaptation | None:
        """That of a pack; None if no member has such a schedule."""
        rules = [run.sigma.schedule if isinstance(run.sigma.schedule, Rule) else None for run in runs]
        steps = [run.horizon * run.steps_per_epoch * run.discriminator_steps for run in runs]
        return Adaptation(rules, steps, device) if any(rules) else None

    @property
    def parts(self) -> Mapping[str, Tensor]:
        """What training moves, by name, ``[k]`` each."""
        names = {"sigma": self.current, "accuracy": self.accuracy}
        return {**names, "chain": self.chain, "confidence": self.confidence, "num_noted": self.num_noted}

    def sigma(self, scheduled: Tensor) -> Tensor:
        """sigma of every member ``[k]``: the scheduled one, or the one this rule has arrived at."""
        return torch.where(self._members, self.current, scheduled)

    def note(self, accuracy_now: Tensor, confidence_now: Tensor) -> None:
        """Moves sigma after a discriminator step of this accuracy and mean sign on real samples, ``[k]``."""
        self.accuracy = self._MEMORY * self.accuracy + (1 - self._MEMORY) * accuracy_now
        self.confidence, self.num_noted = self.confidence + confidence_now, self.num_noted + 1
        current, chain = self.current.clone(), self.chain.clone()
        for index, rule, num_steps in self._rules:
            if isinstance(rule, Adaptive):
                current[index] = rule.next(self.current[index], self.accuracy[index], num_steps=num_steps)
                continue
            mean = self.confidence[index] / rule.period
            moved = rule.next(self.chain[index], mean, num_steps=num_steps)
            chain[index] = torch.where(self.num_noted[index] == rule.period, moved, self.chain[index])
            sigmas = self._sigmas[rule]
            current[index] = sigmas[(chain[index] * (len(sigmas) - 1)).round().long()]
        is_due = self.num_noted == Overconfidence.period
        self.confidence, self.num_noted = (
            torch.where(is_due, 0.0, noted) for noted in (self.confidence, self.num_noted)
        )
        self.current, self.chain = current, chain
