"""A sampler and a pruner of Optuna's kind."""

from __future__ import annotations

import optuna


def uniform(*, seed: int) -> optuna.samplers.BaseSampler:
    """Optuna's random sampler, as a user would configure one."""
    return optuna.samplers.RandomSampler(seed=seed)


class WorstHalf(optuna.pruners.BasePruner):
    """Prunes a trial whose report is above the median of those before it."""

    def __init__(self, *, min_trials: int = 3) -> None:
        self.min_trials = min_trials

    def prune(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
        step = trial.last_step
        if step is None:
            return False
        others = [t.intermediate_values[step] for t in study.get_trials() if step in t.intermediate_values]
        return len(others) >= self.min_trials and trial.intermediate_values[step] > sorted(others)[len(others) // 2]
