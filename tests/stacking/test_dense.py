"""Fully connected layers against torch's own, by values and by derivatives of both orders."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor, nn

from harness.stacking.dense import Activation, DenseLayer, dense

ACTIVATIONS: Sequence[nn.Module] = [nn.ReLU(), nn.LeakyReLU(0.2), nn.Tanh(), nn.Sigmoid()]
SIZES = [(2, 16, 3), (20, 30, 1), (9, 1, 5), (3, 10, 12)]  # narrow and wide, at the beginning, within and at the end


def setting(sizes: Sequence[int], activation: nn.Module, *, is_last: bool) -> tuple[list[DenseLayer], list[Tensor]]:
    """Layers of two networks and their parameters, float64."""
    generator = torch.Generator().manual_seed(0)
    layers, parameters = [], []
    for index, (num_in, num_out) in enumerate(itertools.pairwise(sizes)):
        is_followed = is_last or index < len(sizes) - 2
        layers.append(DenseLayer(index != 1, Activation.of(activation) if is_followed else None))
        shapes = [(2, num_out, num_in), (2, num_out)][: 2 if index != 1 else 1]
        parameters += [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]
    return layers, parameters


def one_of(
    layers: Sequence[DenseLayer], parameters: Sequence[Tensor], activation: nn.Module, member: int
) -> Callable[[Tensor], Tensor]:
    """One member's layers, by torch's own functions of one network."""

    def run(values: Tensor) -> Tensor:
        rest = iter(parameters)
        for layer in layers:
            weight, bias = next(rest)[member], next(rest)[member] if layer.has_bias else None
            values = nn.functional.linear(values, weight, bias)
            values = activation(values) if layer.activation else values
        return values

    return run


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=lambda layer: type(layer).__name__)
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("is_last", [True, False])
@pytest.mark.parametrize("wanted", ["parameters", "values", "both"])
def test_values_and_first_derivatives(sizes: Sequence[int], activation: nn.Module, is_last: bool, wanted: str) -> None:
    layers, parameters = setting(sizes, activation, is_last=is_last)
    values = torch.randn(2, 11, sizes[0], generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    of = [*(parameters if wanted != "values" else []), *([values] if wanted != "parameters" else [])]
    for tensor in of:
        tensor.requires_grad_()
    found = dense(layers, values, parameters)
    expected = torch.stack([one_of(layers, parameters, activation, k)(values[k]) for k in range(2)])
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    ours, theirs = (torch.autograd.grad(result.square().sum(), of) for result in (found, expected))
    torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=lambda layer: type(layer).__name__)
@pytest.mark.parametrize("wanted", ["parameters", "values", "both"])
def test_second_derivatives_are_those_of_finite_differences(activation: nn.Module, wanted: str) -> None:
    layers, parameters = setting((3, 10, 4, 1), activation, is_last=False)
    values = torch.randn(2, 3, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    of = [*(parameters if wanted != "values" else []), *([values] if wanted != "parameters" else [])]
    for tensor in of:
        tensor.requires_grad_()

    def result(*_: Tensor) -> Tensor:
        return dense(layers, values, parameters)

    assert torch.autograd.gradcheck(result, of)
    assert torch.autograd.gradgradcheck(result, of)


def test_what_was_given_is_left_as_it_is() -> None:
    layers, parameters = setting((3, 10, 4), nn.Tanh(), is_last=True)
    values = torch.randn(2, 5, 3, dtype=torch.float64)
    weights = [parameter.clone().requires_grad_() for parameter in parameters]
    outputs = dense(layers, values, weights)
    kept, gradient = outputs.clone(), torch.randn_like(outputs)
    before = [values.clone(), gradient.clone()]
    torch.autograd.grad(outputs, weights, gradient, retain_graph=True)
    once_more = torch.autograd.grad(outputs, weights, gradient)
    assert all(torch.equal(old, new) for old, new in zip([kept, *before], [outputs, values, gradient], strict=True))
    assert all(torch.equal(old, new) for old, new in zip(parameters, weights, strict=True))
    fresh = torch.autograd.grad(dense(layers, values, weights), weights, gradient)
    assert all(torch.equal(old, new) for old, new in zip(fresh, once_more, strict=True))


def test_transforms_of_functions_see_what_autograd_sees() -> None:
    layers, parameters = setting((3, 10, 4), nn.Tanh(), is_last=True)
    values = torch.randn(2, 5, 3, dtype=torch.float64)
    found = torch.func.jacrev(lambda points: dense(layers, points, parameters))(values)
    expected = torch.autograd.functional.jacobian(lambda points: dense(layers, points, parameters), values)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_a_function_not_known_from_its_value_is_no_activation() -> None:
    assert Activation.of(nn.LeakyReLU(0.0)) is None
    assert Activation.of(nn.LeakyReLU(-0.1)) is None
    assert Activation.of(nn.GELU()) is None
