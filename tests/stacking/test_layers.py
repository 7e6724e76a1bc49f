"""Chains of layers that are stacked themselves compute, for every member, what the module itself computes."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from harness.stacking.layers import StackedChain

SHARED = nn.LeakyReLU(0.2)
CHAINS: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "linear": (nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2, bias=False), nn.Tanh()), (3,)),
    "activation first": (nn.Sequential(nn.ReLU(), nn.Linear(3, 2), nn.Sigmoid(), nn.Tanh()), (3,)),
    "one layer twice": (nn.Sequential(nn.Linear(3, 4), SHARED, nn.Sequential(nn.Linear(4, 4), SHARED)), (3,)),
    "linear over two axes": (nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Flatten(), nn.Linear(8, 1)), (2, 3)),
    "images": (
        nn.Sequential(
            nn.Conv2d(3, 6, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(6, 8, (3, 2), (2, 1), (1, 0), bias=False),
            nn.BatchNorm2d(8, track_running_stats=False), nn.LeakyReLU(0.2), nn.Flatten(), nn.Linear(8 * 2 * 4, 1),
            nn.Flatten(0),
        ),
        (3, 8, 10),
    ),
    "dilated": (nn.Sequential(nn.Conv2d(2, 5, 2, dilation=2), nn.Tanh(), nn.Conv2d(5, 3, 2)), (2, 7, 6)),
    "images from latents": (
        nn.Sequential(
            nn.Linear(4, 6 * 3 * 2, bias=False), nn.Unflatten(1, (6, 3, 2)),
            nn.BatchNorm2d(6, affine=False, track_running_stats=False), nn.ReLU(),
            nn.ConvTranspose2d(6, 5, 4, 2, 1), nn.ReLU(),
            nn.ConvTranspose2d(5, 3, 3, 2, 1, output_padding=1), nn.Tanh(),
        ),
        (4,),
    ),
    "transposed to one channel": (
        nn.Sequential(nn.ConvTranspose2d(5, 1, (3, 4), (1, 2), (0, 1), bias=False, dilation=(2, 1)), nn.Tanh()),
        (5, 4, 3),
    ),
}  # fmt: skip
TIED = nn.Linear(3, 3)
UNKNOWN: dict[str, nn.Module] = {
    "weights that occur twice": nn.Sequential(TIED, nn.ReLU(), TIED),
    "another kind of layer": nn.Sequential(nn.Linear(3, 2), nn.GELU()),
    "a module of a user's own": type("Own", (nn.Module,), {})(),
    "a layer of a user's own": type("OwnLinear", (nn.Linear,), {})(3, 2),
    "running statistics": nn.BatchNorm2d(3),
    "groups": nn.Conv2d(4, 4, 3, groups=2),
    "padding by name": nn.Conv2d(4, 4, 3, padding="same"),
    "another padding": nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
}


def members_of(module: nn.Module, num: int) -> tuple[list[nn.Module], dict[str, torch.Tensor]]:
    """The module with `num` sets of random weights, apart and stacked."""
    members = [copy.deepcopy(module) for _ in range(num)]
    generator = torch.Generator().manual_seed(1)
    for parameter in (parameter for member in members for parameter in member.parameters()):
        parameter.data = torch.randn(parameter.shape, generator=generator)
    stacked = {
        name: torch.stack([dict(member.named_parameters())[name].detach() for member in members])
        for name, _ in module.named_parameters()
    }
    return members, stacked


@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize("num", [1, 3])
def test_outputs_and_derivatives_of_both_orders_are_those_of_every_module(name: str, num: int) -> None:
    module, shape = CHAINS[name]
    chain = StackedChain.of(module)
    assert chain is not None
    members, stacked = members_of(module, num)
    weights = {name: value.requires_grad_() for name, value in stacked.items()}
    inputs = torch.randn(num, 6, *shape, generator=torch.Generator().manual_seed(2), requires_grad=True)

    def derivatives(outputs: torch.Tensor, points: torch.Tensor, parameters: list[torch.Tensor]) -> list[torch.Tensor]:
        (slope,) = torch.autograd.grad(outputs.square().sum(), points, create_graph=True)
        return [
            slope,
            *torch.autograd.grad(slope.square().sum(), parameters, allow_unused=True, materialize_grads=True),
        ]

    outputs = chain(weights, inputs)
    found = derivatives(outputs, inputs, list(weights.values()))
    for index, member in enumerate(members):
        points = inputs.detach()[index].requires_grad_()
        expected = member(points)
        torch.testing.assert_close(outputs[index], expected, atol=1e-5, rtol=1e-5)
        wanted = derivatives(expected, points, list(member.parameters()))
        for ours, theirs in zip(found, wanted, strict=True):
            scale = float(theirs.detach().abs().max()) + 1e-6
            torch.testing.assert_close(ours[index] / scale, theirs / scale, atol=2e-5, rtol=0)


@pytest.mark.parametrize("name", CHAINS)
def test_inputs_and_weights_are_left_as_they_are(name: str) -> None:
    module, shape = CHAINS[name]
    chain = StackedChain.of(module)
    assert chain is not None
    _, stacked = members_of(module, 2)
    inputs = torch.randn(2, 6, *shape)
    before: list[Any] = [inputs.clone(), *(value.clone() for value in stacked.values())]
    chain(stacked, inputs)
    assert all(torch.equal(old, new) for old, new in zip(before, [inputs, *stacked.values()], strict=True))


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_is_not_known_is_no_chain(name: str) -> None:
    assert StackedChain.of(UNKNOWN[name]) is None


def test_a_module_with_hooks_or_in_evaluation_mode_is_no_chain() -> None:
    hooked, evaluating = nn.Sequential(nn.Linear(3, 2)), nn.Sequential(nn.Linear(3, 2)).eval()
    hooked[0].register_forward_hook(lambda *_: None)
    assert StackedChain.of(hooked) is None
    assert StackedChain.of(evaluating) is None
