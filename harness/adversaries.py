"""k generators and their k discriminators: networks, streams, batches, logits and measured gradients.

What training and probing have in common; the one moves both players, the other only the discriminators.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .components import DCGAN, MLP, find_loss
from .gradients import GRADIENT_SUMMARY, GradientMoments
from .networks import build_discriminator, build_generator, initial_weights
from .packs import StackedModule, Streams, add_noise, discriminate, keep_finite
from .problems.sources import Source
from .theory.losses import LOSSES, Loss, Objective, accuracy
from .theory.noise import Noise
from .theory.penalties import clip_weights


@dataclass(frozen=True)
class Measurement:
    """A pack over several fresh batches; lists have one value a member.

    Attributes:
      iteration: Updates done.
      d_loss, accuracy: Means over the batches.
      grad_norm: By loss, mean norm of the generator's gradient.
      grad_norm_std: By loss, standard deviation of the norm over batches.
      grad_variance: By loss, total variance of the gradient over batches, ``E||g - E g||^2``.
      grad_tail_index, grad_cauchy_advantage: By loss, of the gradient's coordinates over batches (Theorem 2.6); NaN
        for fewer than `MIN_BATCHES_FOR_TAILS`.
      diverged_at: Update at which a member ceased to be finite, or -1; the numbers of such a member are those of its
        last finite weights.
      last_d_loss: The last sound loss in training.
    """

    iteration: list[int]
    d_loss: list[float]
    accuracy: list[float]
    grad_norm: Mapping[str, list[float]]
    grad_norm_std: Mapping[str, list[float]]
    grad_variance: Mapping[str, list[float]]
    grad_tail_index: Mapping[str, list[float]]
    grad_cauchy_advantage: Mapping[str, list[float]]
    diverged_at: list[int]
    last_d_loss: list[float]


class Adversaries:
    """Networks and random streams of a pack.

    Args:
      role: Part of every stream's name, ``train`` or ``probe``.
      networks: Of all members.
      source: Real samples, on the device to work on.
      seeds: One a member.
      batch: Samples of each kind in a batch.
      noises: The family of each member; None where no member ever has sigma > 0, so that none is drawn.
    """

    def __init__(
        self,
        role: str,
        networks: MLP | DCGAN,
        source: Source,
        *,
        seeds: Sequence[int],
        batch: int,
        noises: Sequence[Noise] | None,
    ) -> None:
        self.source, self.batch, self.noises = source, batch, noises
        self.latent = networks.latent
        self.batch_norm = networks.batch_norm
        self.generator = StackedModule(build_generator(networks, source.shape))
        self.discriminator = StackedModule(
            build_discriminator(networks, source.shape), spectral_norm=networks.spectral_norm
        )
        self.streams = Streams(role, seeds, device=source.device)

    def initial(self, module: StackedModule, name: str) -> Tensor:
        """Initial weights of every member ``[k, p]``, drawn on the CPU so that all devices start alike."""
        generators = self.streams.generators(f"{name} weights", device=torch.device("cpu"))
        weights = [initial_weights(module.template, generator=generator) for generator in generators]
        return torch.stack(weights).to(self.source.device)

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
        vitality: Vitality,
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
            diverged_at=vitality.diverged_at.tolist(),
            last_d_loss=vitality.last_d_loss.tolist(),
        )


class Batches:
    """Noisy batches of both kinds; each kind has streams of its own, so one may be drawn without the other.

    Attributes:
      streams: By what they are for.
    """

    def __init__(self, adversaries: Adversaries, purposes: Sequence[str]) -> None:
        source, batch, noises = adversaries.source, adversaries.batch, adversaries.noises
        streams = adversaries.streams.prefixed([f"{purpose} " for purpose in purposes])
        self._generator = adversaries.generator
        self.streams = {
            "data": streams.real("data", source, batch),
            "latents": streams.normal("latents", batch, adversaries.latent),
        }
        if noises is not None:
            for kind in ("real noise", "fake noise"):
                self.streams[kind] = streams.unit_noise(kind, batch, source.shape, noises)

    def real(self, sigma: Tensor) -> Tensor:
        """Real samples with noise of each member's sigma ``[k]``: ``[k, b, *shape]``."""
        return add_noise(self.streams["data"].next(), sigma, self.streams.get("real noise"))

    def fake(self, generators: Tensor, sigma: Tensor) -> Tensor:
        """The generators' samples with noise, differentiable in their weights ``[k, p]``: ``[k, b, *shape]``."""
        samples = self._generator(generators, self.streams["latents"].next())
        return add_noise(samples, sigma, self.streams.get("fake noise"))


def measured_losses(names: Sequence[str]) -> dict[str, Loss]:
    """Losses whose generator gradient is measured: the given ones, and the two named ones under cross-entropy."""
    own = {name: find_loss(name) for name in names}
    if not all(loss.objective.is_cross_entropy for loss in own.values()):
        return own
    return {"minimax": LOSSES["minimax"], "non_saturating": LOSSES["non_saturating"], **own}


OVERFLOW = 1e6
"""A loss beyond this counts as overflow: logits that large have lost the resolution float32 needs to rank samples."""


class Vitality:
    """Which members are still sound, and when the others ceased to be; kept on the device.

    Attributes:
      alive: Members whose losses and weights have been finite so far, ``[k]``.
      diverged_at: Step at which a member died, or -1, ``[k]``.
      last_d_loss: The last sound loss of each discriminator, ``[k]``.
    """

    def __init__(self, num_members: int, device: torch.device) -> None:
        self.alive = torch.ones(num_members, dtype=torch.bool, device=device)
        self.diverged_at = torch.full((num_members,), -1, device=device)
        self.last_d_loss = torch.full((num_members,), torch.nan, device=device)

    def note(self, step: int | Tensor, d_loss: Tensor) -> None:
        """Remembers the discriminators' losses ``[k]``, and `step` for the members that died since the last call."""
        not_dead_before = self.diverged_at < 0
        self.last_d_loss = torch.where(not_dead_before & is_sound(d_loss), d_loss, self.last_d_loss)
        self.diverged_at = torch.where(~self.alive & not_dead_before, step, self.diverged_at)


def is_sound(loss: Tensor) -> Tensor:
    """Whether a loss is finite and below `OVERFLOW`."""
    return loss.abs() < OVERFLOW  # False for NaN


def descend(
    weights: Tensor,
    loss: Tensor,
    penalty: Tensor | float,
    update: Callable[[Tensor, Tensor], Tensor],
    vitality: Vitality,
    *,
    clip: float | None = None,
) -> Tensor:
    """One update of every living member: new weights ``[k, p]``; members that cease to be sound keep the old ones.

    `loss` and `penalty` are ``[k]``; only their sum is differentiated, and only the loss is judged for soundness.
    The gradient of the sum over members is every member's own, since no loss depends on another member's weights.
    """
    (gradient,) = torch.autograd.grad((loss + penalty).sum(), weights)
    with torch.no_grad():
        weights = weights.detach()
        updated = update(weights, gradient)
        if clip is not None:
            updated = clip_weights(updated, limit=clip)
        weights, vitality.alive = keep_finite(weights, updated, vitality.alive & is_sound(loss))
    return weights
