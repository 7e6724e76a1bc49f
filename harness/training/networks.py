"""Generators and discriminators.

Modules are built without weights (on the meta device); `initial_weights` draws them from a given generator, so
that a member's weights depend on its seed alone.
"""

from __future__ import annotations

import itertools
import math

import torch
from torch import Generator, Tensor, nn

from ..job.parts.networks import DCGAN, MLP


def build_generator(spec: MLP | DCGAN, shape: tuple[int, ...]) -> nn.Module:
    """A module from latents ``[b, latent]`` to samples ``[b, *shape]``, without weights."""
    with torch.device("meta"):
        if isinstance(spec, MLP):
            return _mlp(spec.latent, math.prod(shape), spec, nn.ReLU(), nn.Unflatten(1, shape))
        return _dcgan_generator(spec, shape)


def build_discriminator(spec: MLP | DCGAN, shape: tuple[int, ...]) -> nn.Module:
    """A module from samples ``[b, *shape]`` to raw logits ``[b]``, without weights."""
    with torch.device("meta"):
        if isinstance(spec, MLP):
            return nn.Sequential(nn.Flatten(), _mlp(math.prod(shape), 1, spec, nn.LeakyReLU(0.2), nn.Flatten(0)))
        return _dcgan_discriminator(spec, shape)


def initial_weights(module: nn.Module, *, generator: Generator) -> Tensor:
    """All parameters of a module, drawn afresh and laid end to end in the order of ``named_parameters``: ``[p]``.

    Convolutional networks: N(0, 0.02) weights, normalisation scales N(1, 0.02), zero biases (Radford et al. 2016).
    Fully connected ones: uniform in +-1/sqrt(fan in), torch's own default.
    """
    is_convolutional = any(isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)) for layer in module.modules())
    parts = []
    for layer in module.modules():
        for name, parameter in layer.named_parameters(recurse=False):
            draws = torch.randn if is_convolutional else torch.rand
            unit = draws(parameter.shape, generator=generator, device=generator.device)
            parts.append(_scaled(layer, name, unit, is_convolutional=is_convolutional).flatten())
    return torch.cat(parts)


def _scaled(layer: nn.Module, name: str, unit: Tensor, *, is_convolutional: bool) -> Tensor:
    if not is_convolutional:
        assert isinstance(layer, nn.Linear)
        return (2 * unit - 1) / math.sqrt(layer.in_features)
    if name == "bias":
        return torch.zeros_like(unit)
    return 0.02 * unit + (1.0 if isinstance(layer, nn.BatchNorm2d) else 0.0)


def _mlp(inputs: int, outputs: int, spec: MLP, activation: nn.Module, last: nn.Module) -> nn.Sequential:
    widths = [inputs, *[spec.width] * spec.depth]
    hidden = [layer for before, after in itertools.pairwise(widths) for layer in (nn.Linear(before, after), activation)]
    return nn.Sequential(*hidden, nn.Linear(widths[-1], outputs), last)


def _num_halvings(size: int) -> int:
    """Strided convolutions between the image and the innermost map: 4x4, or 2x2 for images of 8x8."""
    return int(math.log2(size)) - (1 if size == 8 else 2)


def _normalisation(channels: int) -> nn.Module:
    return nn.BatchNorm2d(channels, track_running_stats=False)


def _dcgan_generator(spec: DCGAN, shape: tuple[int, ...]) -> nn.Sequential:
    halvings = _num_halvings(shape[1])
    inner = shape[1] >> halvings
    channels = spec.width << (halvings - 1)
    layers: list[nn.Module] = [
        nn.Linear(spec.latent, channels * inner * inner, bias=False),
        nn.Unflatten(1, (channels, inner, inner)),
        _normalisation(channels),
        nn.ReLU(),
    ]
    for _ in range(halvings - 1):
        layers += [
            nn.ConvTranspose2d(channels, channels // 2, 4, 2, 1, bias=False),
            _normalisation(channels // 2),
            nn.ReLU(),
        ]
        channels //= 2
    return nn.Sequential(*layers, nn.ConvTranspose2d(channels, shape[0], 4, 2, 1), nn.Tanh())


def _dcgan_discriminator(spec: DCGAN, shape: tuple[int, ...]) -> nn.Sequential:
    halvings = _num_halvings(shape[1])
    inner = shape[1] >> halvings
    channels = spec.width
    layers: list[nn.Module] = [nn.Conv2d(shape[0], channels, 4, 2, 1), nn.LeakyReLU(0.2)]
    for _ in range(halvings - 1):
        normalise = spec.batch_norm != "none"
        layers.append(nn.Conv2d(channels, 2 * channels, 4, 2, 1, bias=not normalise))
        layers += [_normalisation(2 * channels)] if normalise else []
        layers.append(nn.LeakyReLU(0.2))
        channels *= 2
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * inner * inner, 1), nn.Flatten(0))
