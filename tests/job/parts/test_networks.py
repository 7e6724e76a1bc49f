"""Architectures: shapes for every size, weights as the papers prescribe."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from harness.job.parts.networks import DCGAN, MLP, BatchNorm
from harness.stacking.module import StackedModule


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("size", [8, 16, 32, 64, 128])
@pytest.mark.parametrize("channels", [1, 3])
def test_dcgan_fits_every_power_of_two(size: int, channels: int) -> None:
    spec, shape = DCGAN(name="dcgan", width=4, latent=6), (channels, size, size)
    generator, discriminator = (
        StackedModule.generator(spec, shape),
        StackedModule.discriminator(spec, shape),
    )
    samples = generator(generator.initial(seeded())[None], torch.randn(1, 5, 6))
    assert samples.shape == (1, 5, *shape)
    assert samples.abs().max() <= 1
    logits = discriminator(discriminator.initial(seeded())[None], samples)
    assert logits.shape == (1, 5)


def test_mlp_keeps_the_shape_of_its_samples() -> None:
    spec = MLP(name="mlp", width=8, depth=3, latent=2)
    generator, discriminator = (
        StackedModule.generator(spec, (1, 4, 4)),
        StackedModule.discriminator(spec, (1, 4, 4)),
    )
    samples = generator(generator.initial(seeded())[None], torch.randn(1, 7, 2))
    assert samples.shape == (1, 7, 1, 4, 4)
    assert discriminator(discriminator.initial(seeded())[None], samples).shape == (1, 7)
    assert sum(isinstance(layer, nn.Linear) for layer in generator.template.modules()) == 4


@pytest.mark.parametrize(("mode", "layers"), [("joint", 1), ("separate", 1), ("none", 0)])
def test_batch_norm_none_has_no_normalisation_in_the_discriminator(mode: BatchNorm, layers: int) -> None:
    spec = DCGAN(name="dcgan", width=4, latent=6, batch_norm=mode)
    for build, expected in ((spec.discriminator, layers), (spec.generator, 2)):
        found = sum(isinstance(layer, nn.BatchNorm2d) for layer in build((1, 8, 8)).modules())
        assert found == expected


def test_dcgan_weights_are_normal_with_standard_deviation_002() -> None:
    stack = StackedModule.discriminator(DCGAN(name="dcgan", width=32, latent=6), (3, 32, 32))
    weights = stack.unflatten(stack.initial(seeded()))
    for name, value in weights.items():
        layer = stack.template.get_submodule(name.rpartition(".")[0])
        if name.endswith("bias"):
            assert (value == 0).all()
        else:
            centre = 1.0 if isinstance(layer, nn.BatchNorm2d) else 0.0
            assert abs(value.mean() - centre) < 4 * 0.02 / value.numel() ** 0.5
            assert value.numel() < 1000 or abs(value.std() / 0.02 - 1) < 0.1


def test_mlp_weights_have_torchs_default_range() -> None:
    stack = StackedModule.discriminator(MLP(name="mlp", width=50, depth=2, latent=2), (25,))
    weights = stack.unflatten(stack.initial(seeded()))
    first = weights["1.0.weight"]
    assert first.shape == (50, 25)
    assert 0.19 < first.abs().max() <= 0.2  # 1 / sqrt(25)
