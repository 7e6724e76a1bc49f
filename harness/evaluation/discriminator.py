"""Held-out judgement of discriminators, and the samples they are judged on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..theory.bounds import LOG2
from ..theory.losses import Objective, accuracy
from ..theory.noise import Noise
from ..training.stacking import StackedModule, discriminate
from ..training.streams import Streams, add_noise


@dataclass(frozen=True)
class Verdicts:
    """Held-out judgement of a pack's discriminators, one value a member."""

    d_loss: list[float]
    accuracy: list[float]


@torch.no_grad()
def generate(
    generator: StackedModule, weights: Tensor, *, seeds: Sequence[int], num: int, batch: int, latent: int
) -> Tensor:
    """Samples for evaluation from k generators: ``[k, num, *shape]``.

    Made in batches of the size it is trained or probed with, since the generator normalises over its batch.
    """
    latents = Streams("evaluation", seeds, device=weights.device).normal("latents", batch, latent)
    batches = [generator(weights, latents.next()) for _ in range(-(-num // batch))]
    return torch.cat(batches, dim=1)[:, :num]


@torch.no_grad()
def judge(
    discriminator: StackedModule,
    weights: Tensor,
    real: Tensor,
    fake: Tensor,
    *,
    sigma: Tensor,
    noises: Sequence[Noise],
    seeds: Sequence[int],
    objective: Objective,
    batch: int,
    batch_norm: str,
) -> Verdicts:
    """Loss and accuracy of k discriminators on noisy held-out samples.

    Args:
      discriminator, weights: The discriminators, ``[k, p]``.
      real: Held-out samples, ``[n, *shape]``.
      fake: Samples of each member's generator, ``[k, n, *shape]``.
      sigma, noises: Scale ``[k]`` and family of each member's noise.
      seeds: Of the members, for the noise.
      batch: Samples judged at once; batches are as equal as possible.
    """
    num = min(len(real), fake.shape[1])
    streams = Streams("evaluation", seeds, device=weights.device)
    noise = [streams.unit_noise(f"{kind} noise", num, tuple(real.shape[1:]), noises) for kind in ("real", "fake")]
    noisy_real = add_noise(real[:num].expand(len(weights), *[-1] * real.ndim), sigma, noise[0])
    noisy_fake = add_noise(fake[:, :num], sigma, noise[1])
    logits = [
        discriminate(discriminator, weights, reals, fakes, batch_norm=batch_norm)
        for reals, fakes in zip(
            noisy_real.tensor_split(-(-num // batch), dim=1),
            noisy_fake.tensor_split(-(-num // batch), dim=1),
            strict=True,
        )
    ]
    real_logits, fake_logits = (torch.cat(parts, dim=1) for parts in zip(*logits, strict=True))
    return Verdicts(
        d_loss=objective(real_logits, fake_logits).tolist(),
        accuracy=accuracy(objective, real_logits, fake_logits).tolist(),
    )


def discriminator_jsd(objective: Objective, d_loss: float | None) -> float | None:
    """``log 2 - L_D / 2``: what a discriminator's held-out cross-entropy says of the JSD, a lower estimate (nats)."""
    return LOG2 - d_loss / 2 if objective.is_cross_entropy and d_loss is not None else None
