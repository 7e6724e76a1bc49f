"""How a sample set covers the modes of a known mixture of equal Gaussians.

References:
  Lin, Khetan, Fanti & Oh (2018), "PacGAN", arXiv:1712.04086, section 4.1: modes and high-quality samples, of 2,500; the
  same section's reverse KL divergence.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

GOOD_STDS = 3.0
"""A sample is of high quality within so many standard deviations of its nearest centre."""
LEAST_SHARE = 0.01
"""A mode counts from so large a share of the samples on."""


@dataclass(frozen=True)
class ModeCoverage:
    """What of a mixture a sample set has.

    Attributes:
      modes: Modes with at least 1 % of the samples, as high-quality ones.
      high_quality_share: Of samples within three standard deviations of a centre.
      reverse_kl: KL of the modes' shares among the high-quality samples from equal shares (nats): 0 for equal
        shares, log k for one mode of k; NaN where no sample is of high quality.
    """

    modes: int
    high_quality_share: float
    reverse_kl: float


def mode_coverage(samples: Float[Tensor, "n d"], centres: Float[Tensor, "k d"], *, std: float) -> ModeCoverage:
    """Assigns every sample to its nearest centre, and counts.

    Args:
      samples: Data units, finite.
      centres: Of the modes, data units.
      std: Of each mode in each coordinate, > 0.

    Raises:
      ValueError: If the standard deviation is not positive, or there are no samples.

    Example:
      Two modes, one of which the samples lack, and one sample that belongs to none.

      >>> mode_coverage(torch.tensor([[0.0], [0.1], [0.5]]), torch.tensor([[0.0], [1.0]]), std=0.1)
      ModeCoverage(modes=1, high_quality_share=0.6666666666666666, reverse_kl=0.6931471805599453)
    """
    if std <= 0 or not len(samples):
        raise ValueError(f"std must be positive and there must be samples; got std {std:g}, {len(samples)} samples")
    distances, nearest = torch.cdist(samples.double(), centres.double()).min(dim=1)
    good = nearest[distances <= GOOD_STDS * std]
    counts = torch.bincount(good, minlength=len(centres)).tolist()
    shares = [count / len(good) for count in counts if count]
    return ModeCoverage(
        modes=sum(count >= LEAST_SHARE * len(samples) for count in counts),
        high_quality_share=len(good) / len(samples),
        reverse_kl=math.fsum(share * math.log(len(centres) * share) for share in shares) if shares else math.nan,
    )
