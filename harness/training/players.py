"""k generators and their k discriminators: networks, streams, batches, logits and measured gradients.

What training and probing have in common; the one moves both players, the other only the discriminators.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..job.parts.networks import Network
from ..problems.sources import Source
from ..stacking.module import StackedModule, discriminate
from ..theory.losses import Objective, accuracy
from ..theory.noise import Noise
from .gradients import GRADIENT_SUMMARY, GradientMoments
from .measurement import Measurement, measured_losses
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

    def batches(self, purpose: str | Sequence[str], *, sharing: Sharing | None = None) -> Batches:
        """Batches from streams that belong to this purpose alone, or to each member's own.

        Args:
          sharing: Which members have equal generators, seeds and families of noise; None if none are known to have.
        """
        num_members = len(self.streams.seeds)
        return Batches(self, [purpose] * num_members if isinstance(purpose, str) else purpose, sharing)

    def logits(self, discriminators: Tensor, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of both batches, ``[k, b]`` each."""
        return discriminate(self.discriminator, discriminators, real, fake, batch_norm=self.batch_norm)

    def measure(
        self,
        *,
        generators: Tensor,
        discriminators: Tensor,
        sigma: Tensor,
        generator_sigma: Tensor | None,
        objective: Objective,
        losses: Sequence[str],
        batches: Batches,
        num_batches: int,
        iteration: list[int],
        monitor: DivergenceMonitor,
    ) -> Measurement:
        """What the discriminators say of fresh batches, and the gradients they give the generators.

        Args:
          sigma: Of the noise in the discriminators' steps, ``[k]``.
          generator_sigma: Of that in the generators' steps, at which the gradients are taken; None for the same.
        """
        wanted = measured_losses(losses)
        generators = generators.detach().requires_grad_()
        gradients = {name: GradientMoments(num_batches) for name in wanted}
        measured = []
        for _ in range(num_batches):
            sigmas = [sigma] if generator_sigma is None else [sigma, generator_sigma]
            noisy = zip(batches.real(*sigmas), batches.fake(generators, *sigmas), strict=True)
            logits = [self.logits(discriminators.detach(), *batch) for batch in noisy]
            judged = [values.detach() for values in logits[0]]
            rows = [objective(*judged), accuracy(objective, *judged)]
            real_logits, fake_logits = logits[-1]
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


@dataclass(frozen=True)
class Sharing:
    """Members that have generators, seeds and families of noise in common, and so their samples before noise.

    Attributes:
      first: A member of each of the u kinds, ``[u]``.
      kind: Of every member, ``[k]``.
    """

    first: Sequence[int]
    kind: Tensor

    @staticmethod
    def of(kinds: Sequence[Hashable], device: torch.device) -> Sharing | None:
        """That of members of these kinds; None if no two are alike."""
        distinct = list(dict.fromkeys(kinds))
        if len(distinct) == len(kinds):
            return None
        place = {kind: index for index, kind in enumerate(distinct)}
        return Sharing(
            first=[kinds.index(kind) for kind in distinct],
            kind=torch.tensor([place[kind] for kind in kinds], device=device),
        )


class Batches:
    """Noisy batches of both kinds; each kind has streams of its own, so one may be drawn without the other.

    Attributes:
      streams: By what they are for; one per member, or one per kind of members that share.
    """

    def __init__(self, players: Players, purposes: Sequence[str], sharing: Sharing | None) -> None:
        source, batch, families = players.source, players.batch, players.families
        streams = players.streams.prefixed([f"{purpose} " for purpose in purposes])
        if sharing is not None:
            streams = streams.of_members(sharing.first)
            families = None if families is None else [families[member] for member in sharing.first]
        self._generator, self._sharing = players.generator, sharing
        self.streams = {
            "data": streams.real("data", source, batch),
            "latents": streams.normal("latents", batch, players.latent),
        }
        if families is not None:
            for kind in ("real noise", "fake noise"):
                self.streams[kind] = streams.unit_noise(kind, batch, source.shape, families)

    def real(self, *sigmas: Tensor) -> list[Tensor]:
        """Real samples with noise of each member's sigma ``[k]``: ``[k, b, *shape]``; the same ones at each sigma."""
        return self._with_noise("real noise", self._next("data"), *sigmas)

    def fake(self, generators: Tensor, *sigmas: Tensor) -> list[Tensor]:
        """The generators' samples with noise, differentiable in their weights ``[k, p]``: likewise."""
        return self._with_noise("fake noise", self._generator(generators, self._next("latents")), *sigmas)

    @torch.no_grad()
    def frozen_fake(self, generators: Tensor, sigma: Tensor) -> Tensor:
        """The same without derivatives: members that share a generator have its samples computed once."""
        if self._sharing is None:
            return self.fake(generators, sigma)[0]
        samples = self._generator(generators[self._sharing.first], self.streams["latents"].next())
        return self._with_noise("fake noise", samples[self._sharing.kind], sigma)[0]

    def _next(self, name: str) -> Tensor:
        """The next step of a stream for every member."""
        step = self.streams[name].next()
        return step if self._sharing is None else step[self._sharing.kind]

    def _with_noise(self, name: str, samples: Tensor, *sigmas: Tensor) -> list[Tensor]:
        noise = self._next(name) if name in self.streams else None
        return [add_noise(samples, sigma, noise) for sigma in sigmas]
