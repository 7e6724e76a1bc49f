"""Are the coordinates of a gradient Cauchy or normal? Tail index and likelihoods of samples.

Theorem 2.6: with a discriminator near the optimum, disturbed by white noise, the generator's gradient under -log D has
centred Cauchy coordinates, of infinite mean and variance. Training with another loss should show lighter tails.

References:
  Arjovsky & Bottou (2017), Theorem 2.6; arXiv:1701.04862. Hill (1975), "A simple general approach to inference about
  the tail of a distribution".
"""

from __future__ import annotations

import math

from jaxtyping import Float, Float64
from torch import Tensor


def standardised(samples: Float[Tensor, "n c"]) -> Float64[Tensor, " m"]:
    """Every coordinate less its median, in units of its median absolute deviation, pooled.

    Coordinates differ in scale by orders of magnitude between layers; pooled as they are, even normal ones would look
    heavy-tailed. Coordinates whose deviation is 0 (dead units) are left out.

    Args:
      samples: n draws of c coordinates.

    Returns:
      At most ``n c`` values, of median 0 and median absolute value 1.

    Example:
      >>> import torch
      >>> standardised(torch.tensor([[1.0, 100.0, 5.0], [2.0, 300.0, 5.0], [4.0, 200.0, 5.0]])).tolist()
      [-1.0, -1.0, 0.0, 1.0, 2.0, 0.0]
    """
    samples = samples.double()
    centred = samples - _median(samples)
    deviation = _median(centred.abs())
    return (centred / deviation)[:, deviation[0] > 0].flatten()


def hill_tail_index(values: Float[Tensor, " m"], *, fraction: float = 0.05) -> float:
    """Hill's estimate of ``alpha`` in ``P(|x| > t) ~ t^-alpha``, from the largest share of ``|x|``.

    1 for a Cauchy, 2 where the variance begins to exist; light tails give large values.

    Args:
      values: Of either sign, in any unit.
      fraction: Of the values that count as tail.

    Returns:
      ``alpha > 0``, infinite where the tail has one value only; NaN for fewer than 10 values in the tail.

    Example:
      The quantiles of ``P(x > t) = 1 / t^2``.

      >>> import torch
      >>> round(hill_tail_index((torch.arange(1, 100_001) / 100_000).rsqrt()), 2)
      2.0
    """
    num = int(fraction * len(values))
    if num < 10:
        return math.nan
    largest = values.abs().double().topk(num + 1).values
    mean_log_ratio = float((largest[:-1] / largest[-1]).log().mean())
    return 1 / mean_log_ratio if mean_log_ratio > 0 else math.inf


def cauchy_advantage(values: Float[Tensor, " m"]) -> float:
    """Mean log-likelihood of a centred Cauchy less that of a centred normal, both fitted (nats a value).

    The Cauchy's scale is the median of ``|x|``, the normal's the root mean square (the maximum of its likelihood).
    Positive values speak for the Cauchy; a normal sample gives about -0.22 (-0.1 if its coordinates were standardised
    by 16 draws each), a Cauchy sample grows without limit.

    Args:
      values: Centred, in any unit.

    Returns:
      The difference; NaN for no values, and where more than half of them are 0.

    Example:
      The quantiles of a Cauchy.

      >>> import torch
      >>> cauchy_advantage(torch.linspace(-1.57, 1.57, 1001).tan()) > 1
      True
    """
    if not len(values):
        return math.nan
    values = values.double()
    scale = float(values.abs().median())
    mean_square = float(values.square().mean())
    if scale == 0 or mean_square == 0:
        return math.nan
    cauchy = -math.log(math.pi * scale) - float((values / scale).square().log1p().mean())
    normal = -0.5 * math.log(2 * math.pi * mean_square) - 0.5
    return cauchy - normal


def _median(samples: Float[Tensor, "n c"]) -> Float[Tensor, "1 c"]:
    """The median over the first axis, the mean of the two middle ones for an even number."""
    sorted_, num = samples.sort(dim=0).values, len(samples)
    return (sorted_[(num - 1) // 2 : num // 2 + 1]).mean(dim=0, keepdim=True)
