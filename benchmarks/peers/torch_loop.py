"""A plain PyTorch loop over one GAN: what a good script does."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional


def ring(num: int) -> Tensor:
    """Eight Gaussians of deviation 0.05 on the unit circle."""
    angles = torch.randint(8, (num,)) * (2 * torch.pi / 8)
    return torch.stack([angles.cos(), angles.sin()], dim=1) + 0.05 * torch.randn(num, 2)


def train(
    generator: nn.Module,
    discriminator: nn.Module,
    real: Callable[[int], Tensor],
    *,
    latent: int,
    batch: int,
    steps: int,
    sigma: float,
    saturating: bool,
    rate: float = 1e-3,
    betas: tuple[float, float] = (0.5, 0.9),
    separate: bool = False,
) -> float:
    """Trains both; the time of a step."""
    optimizers = [torch.optim.Adam(module.parameters(), rate, betas) for module in (generator, discriminator)]

    def noisy(samples: Tensor) -> Tensor:
        return samples + sigma * torch.randn_like(samples) if sigma else samples

    def logits(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        if separate:
            return discriminator(x), discriminator(y)
        both = discriminator(torch.cat([x, y]))
        return both[: len(x)], both[len(x) :]

    started = time.perf_counter()
    for _ in range(steps):
        with torch.no_grad():
            fake = generator(torch.randn(batch, latent))
        on_real, on_fake = logits(noisy(real(batch)), noisy(fake))
        loss = functional.softplus(-on_real).mean() + functional.softplus(on_fake).mean()
        optimizers[1].zero_grad()
        loss.backward()
        optimizers[1].step()
        on_fake = discriminator(noisy(generator(torch.randn(batch, latent)))).flatten()
        g_loss = -functional.softplus(on_fake).mean() if saturating else functional.softplus(-on_fake).mean()
        optimizers[0].zero_grad()
        g_loss.backward()
        optimizers[0].step()
    return (time.perf_counter() - started) / steps


def mlps(width: int = 64, latent: int = 8) -> tuple[nn.Module, nn.Module]:
    """Generator and discriminator of two hidden layers."""
    generator = nn.Sequential(
        nn.Linear(latent, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 2)
    )
    discriminator = nn.Sequential(
        nn.Linear(2, width), nn.LeakyReLU(0.2), nn.Linear(width, width), nn.LeakyReLU(0.2), nn.Linear(width, 1)
    )
    return generator, discriminator
