"""A sampler, a pruner and a penalty as a user brings them, and some that are none."""

from __future__ import annotations

from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from pydantic import Field
from torch import Tensor

from harness.job.parts.penalties import Penalty

SEEDS: list[int] = []
"""That `Steps` was given."""

NUMBER = 7


class Steps(optuna.samplers.BaseSampler):
    """Goes up every range by a share of it per trial; takes the first of all choices."""

    def __init__(self, *, seed: int, share: float = 0.25) -> None:
        SEEDS.append(seed)
        self.share = share

    def infer_relative_search_space(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> dict[str, Any]:
        return {}

    def sample_relative(self, study: Any, trial: Any, search_space: Any) -> dict[str, Any]:
        return {}

    def sample_independent(
        self, study: optuna.Study, trial: optuna.trial.FrozenTrial, name: str, distribution: BaseDistribution
    ) -> Any:
        if isinstance(distribution, CategoricalDistribution):
            return distribution.choices[0]
        assert isinstance(distribution, FloatDistribution)
        return distribution.low + trial.number * self.share * (distribution.high - distribution.low)


class EveryOther(optuna.pruners.BasePruner):
    """Prunes trials 1, 3, 5, ... from a step on."""

    def __init__(self, *, first_step: int = 1) -> None:
        self.first_step = first_step

    def prune(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
        return trial.number % 2 == 1 and (trial.last_step or 0) >= self.first_step


class Repeated(Penalty):
    """The mean logit of real samples, so many times"""

    times: int = Field(1, ge=1)

    def __call__(self, discriminator: Any, real: Tensor, fake: Tensor, draws: Any) -> Tensor:
        mean: Tensor = discriminator(real).mean(-1)
        return self.times * mean


def no_sampler(*, seed: int) -> str:
    return f"sampler {seed}"


def no_pruner() -> optuna.samplers.BaseSampler:
    return optuna.samplers.RandomSampler()
