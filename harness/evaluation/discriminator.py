"""What discriminators say of held-out samples, and the generators' samples that they are asked about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..theory.bounds import LOG2
from ..theory.losses import Objective, Outputs, accuracy, outputs
from ..theory.noise import Noise
from ..training.players import Players
from ..training.streams import Streams, add_noise


@dataclass(frozen=True)
class DiscriminatorMetrics:
    """Held-out loss, accuracy and outputs of a pack's discriminators, one value per member."""

    d_loss: list[float]
    accuracy: list[float]
    outputs: Outputs


@torch.no_grad()
def generate(players: Players, weights: Tensor, *, seeds: Sequence[int], num: int) -> Tensor:
    """Samples for evaluation from k generators with these weights ``[k, p]``: ``[k, num, *shape]``.

    Made in batches of the size it is trained or probed with, since the generator normalises over its batch.
    """
    latents = Streams("evaluation", seeds, device=weights.device).normal("latents", players.batch, players.latent)
    batches = [players.generator(weights, latents.next()) for _ in range(-(-num // players.batch))]
    return torch.cat(batches, dim=1)[:, :num]


@torch.no_grad()
def evaluate_discriminators(
    players: Players,
    weights: Tensor,
    real: Tensor,
    fake: Tensor,
    *,
    sigma: Tensor,
    noises: Sequence[Noise],
    seeds: Sequence[int],
    objective: Objective,
) -> DiscriminatorMetrics:
    """What k discriminators say of noisy held-out samples.

    They see batches that are as equal as possible, and no larger than those of their training.

    Args:
      players: The networks that the weights belong to.
      weights: Of the discriminators, ``[k, p]``.
      real: Held-out samples, ``[n, *shape]``.
      fake: Samples of each member's generator, ``[k, n, *shape]``.
      sigma, noises: Scale ``[k]`` and family of each member's noise.
      seeds: Of the members, for the noise.
    """
    num = min(len(real), fake.shape[1])
    num_batches = -(-num // players.batch)
    streams = Streams("evaluation", seeds, device=weights.device)
    noise = [streams.unit_noise(f"{kind} noise", num, tuple(real.shape[1:]), noises) for kind in ("real", "fake")]
    noisy_real = add_noise(real[:num].expand(len(weights), *[-1] * real.ndim), sigma, noise[0].next())
    noisy_fake = add_noise(fake[:, :num], sigma, noise[1].next())
    batches = zip(noisy_real.tensor_split(num_batches, dim=1), noisy_fake.tensor_split(num_batches, dim=1), strict=True)
    logits = [players.logits(weights, reals, fakes) for reals, fakes in batches]
    real_logits, fake_logits = (torch.cat(parts, dim=1) for parts in zip(*logits, strict=True))
    return DiscriminatorMetrics(
        d_loss=objective(real_logits, fake_logits).tolist(),
        accuracy=accuracy(objective, real_logits, fake_logits).tolist(),
        outputs=outputs(objective, real_logits, fake_logits),
    )


def discriminator_jsd(objective: Objective, d_loss: float | None) -> float | None:
    """``log 2 - L_D / 2``: what a discriminator's held-out cross-entropy says of the JSD, a lower estimate (nats)."""
    return LOG2 - d_loss / 2 if objective.is_cross_entropy and d_loss is not None else None
