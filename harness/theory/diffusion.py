"""Levels of noise of a diffusion chain, in units of its last. Needs no torch, so that job files are checked without it.

A chain of T steps with variances ``beta_t``, evenly spaced from 1e-4 to 2e-2, makes of a sample ``x``

    sqrt(abar_t) x + sqrt(1 - abar_t) s z        abar_t = prod_{i <= t} (1 - beta_i)

with z standard normal. Divided by ``sqrt(abar_t)`` it is x with noise of ``sigma_t = s sqrt((1 - abar_t) / abar_t)``.

References:
  Wang et al. (2022), "Diffusion-GAN: training GANs with diffusion", arXiv:2206.02262.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping

FIRST_BETA, LAST_BETA = 1e-4, 2e-2
PRIORITIES: Mapping[str, Callable[[int], float]] = {"priority": float, "uniform": lambda t: 1.0}
"""How likely step t is, up to a factor: in proportion to t, or all alike."""


def noise_to_signal(num_steps: int) -> list[float]:
    """``sqrt((1 - abar_t) / abar_t)`` for t = 1, ..., T: sigma over s at each step of a chain.

    Example:
      >>> [round(ratio, 4) for ratio in noise_to_signal(2)]
      [0.01, 0.1432]
    """
    spacing = (LAST_BETA - FIRST_BETA) / max(num_steps - 1, 1)
    ratios, log_abar = [], 0.0
    for step in range(num_steps):
        log_abar += math.log1p(-(FIRST_BETA + spacing * step))
        ratios.append(math.sqrt(math.expm1(-log_abar)))
    return ratios


def chain_levels(num_steps: int, *, num_levels: int, distribution: str, clean: float) -> dict[float, float]:
    """Levels of a chain's noise as multiples of that of its last step, and their probabilities.

    The steps are parted into `num_levels` groups of consecutive ones, as equal as possible. Each is represented by its
    last step, with the probability of all its steps; with no more steps than that every step is a level.

    Args:
      num_steps: T.
      num_levels: Levels other than 0, at most.
      distribution: One of `PRIORITIES`.
      clean: Probability of no noise at all, in [0, 1).

    Example:
      >>> levels = chain_levels(500, num_levels=2, distribution="uniform", clean=0.5)
      >>> {round(level, 3): weight for level, weight in levels.items()}
      {0.0: 0.5, 0.128: 0.25, 1.0: 0.25}
    """
    ratios, weight_of = noise_to_signal(num_steps), PRIORITIES[distribution]
    total = math.fsum(weight_of(t) for t in range(1, num_steps + 1))
    num_groups = min(num_levels, num_steps)
    ends = [round(num_steps * group / num_groups) for group in range(num_groups + 1)]
    found = {0.0: clean} if clean else {}
    for before, end in itertools.pairwise(ends):
        weight = math.fsum(weight_of(t) for t in range(before + 1, end + 1)) / total
        found[ratios[end - 1] / ratios[-1]] = (1 - clean) * weight
    return found
