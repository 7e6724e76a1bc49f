"""k generators and their k discriminators: networks, streams, batches, logits and measured gradients.

What training and probing have in common; the one moves both players, the other only the discriminators.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..job.parts.networks import Network
from ..problems.sources import Source
from ..theory.losses import Objective, accuracy
from ..theory.noise import Noise
from .gradients import GRADIENT_SUMMARY, GradientMoments
from .measurement import Measurement, measured_losses
from .stacking import StackedModule, discriminate
from .streams import Streams, add_noise
from .updates import DivergenceMonitor


class Players:
    """Networks and random streams of a pack.

    Args:
      role: Part of every stream's name, ``train`` or ``probe``.
      networks: Of all members.
      source: Real samples, on the device to work on.
      seeds: One per member.
      batch: Samples of each kind in a batch.
      families: Of noise, one per member; None where no member ever has sigma > 0, so that none is drawn.
    """

    def __init__(
        self,
        role: str,
        networks: Network,
        source: Source,
        *,
        seeds: Sequence[int],
        batch: int,
        families: Sequence[Noise] | None,
    ) -> None:
        self.source, self.batch, self.families = source, batch, families
        self.latent = networks.latent
        self.batch_norm = networks.normalisation
        self.generator = StackedModule.generator(networks, source.shape)
        self.discriminator = StackedModule.discriminator(networks, source.shape)
        self.streams = Streams(role, seeds, device=source.device)

    def initial(self, module: StackedModule, name: str) -> Tensor:
        """Initial weights of every member ``[k, p]``, drawn on the CPU so that all devices start alike."""
        generators = self.streams.generators(f"{name} weights", device=torch.device("cpu"))
        return torch.stack([module.initial(generator) for generator in generators]).to(self.source.device)

    def batches(self, purpose: str | Sequence[str]) -> Batches:
        """Batches from streams that belong to this purpose alone, or to each member's own."""
        num_members = len(self.streams.seeds)
        return Batches(self, [purpose] * num_members if isinstance(purpose, str) else purpose)

    def logits(self, discriminators: Tensor, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of both batches, ``[k, b]`` each."""
        return discriminate(self.discriminator, discriminators, real, fake, batch_norm=self.batch_norm)

    def measure(
        self,
        *,
        generators: Tensor,
        discriminators: Tensor,
        sigma: Tensor,
        objective: Objective,
        losses: Sequence[str],
        batches: Batches,
        num_batches: int,
        iteration: list[int],
        monitor: DivergenceMonitor,
    ) -> Measurement:
        """What the discriminators say of fresh batches, and the gradients they give the generators."""
        wanted = measured_losses(losses)
        generators = generators.detach().requires_grad_()
        gradients = {name: GradientMoments(num_batches) for name in wanted}
        measured = []
        for _ in range(num_batches):
            real_logits, fake_logits = self.logits(
                discriminators.detach(), batches.real(sigma), batches.fake(generators, sigma)
            )
            rows = [
                objective(real_logits, fake_logits).detach(),
                accuracy(objective, real_logits.detach(), fake_logits.detach()),
            ]
            for name, loss in wanted.items():
                value = loss.generator(real_logits, fake_logits).sum()
                (gradient,) = torch.autograd.grad(value, generators, retain_graph=True)
                gradients[name].add(gradient)
            measured.append(torch.stack(rows))
        summaries = {name: moments.summary() for name, moments in gradients.items()}
        d_loss, right = torch.stack(measured).mean(0).tolist()  # [batches, 2, k]
        return Measurement(
            iteration=iteration,
            d_loss=d_loss,
            accuracy=right,
            **{name: {loss: summary[name] for loss, summary in summaries.items()} for name in GRADIENT_SUMMARY},
            diverged_at=monitor.diverged_at.tolist(),
            last_d_loss=monitor.last_d_loss.tolist(),
        )


class Batches:
    """Noisy batches of both kinds; each kind has streams of its own, so one may be drawn without the other.

    Attributes:
      streams: By what they are for.
    """

    def __init__(self, players: Players, purposes: Sequence[str]) -> None:
        source, batch, families = players.source, players.batch, players.families
        streams = players.streams.prefixed([f"{purpose} " for purpose in purposes])
        self._generator = players.generator
        self.streams = {
            "data": streams.real("data", source, batch),
            "latents": streams.normal("latents", batch, players.latent),
        }
        if families is not None:
            for kind in ("real noise", "fake noise"):
                self.streams[kind] = streams.unit_noise(kind, batch, source.shape, families)

    def real(self, sigma: Tensor) -> Tensor:
        """Real samples with noise of each member's sigma ``[k]``: ``[k, b, *shape]``."""
        return add_noise(self.streams["data"].next(), sigma, self.streams.get("real noise"))

    def fake(self, generators: Tensor, sigma: Tensor) -> Tensor:
        """The generators' samples with noise, differentiable in their weights ``[k, p]``: ``[k, b, *shape]``."""
        samples = self._generator(generators, self.streams["latents"].next())
        return add_noise(samples, sigma, self.streams.get("fake noise"))
