"""Fully connected layers of k networks: a run of linear layers and activations as one step of differentiation.

Derivatives of first order are written out: few passes, and every product in the form in which it is fast. Products with
few columns are taken the other way round, which is two to ten times faster on CPUs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

_MAX_NARROW = 8


@dataclass(frozen=True)
class Activation:
    """A function whose derivative is known from its value.

    Attributes:
      apply: In place.
      backward: From the gradient of its value, and the value, to that of its argument; the third is where it is put.
    """

    apply: Callable[[Tensor], Tensor]
    backward: Callable[[Tensor, Tensor, Tensor], Tensor]

    @staticmethod
    def of(layer: nn.Module) -> Activation | None:
        """That of a layer; None if it is none, or one that cannot be told from its value."""
        aten = torch.ops.aten
        if type(layer) is nn.LeakyReLU and layer.negative_slope > 0:
            slope = layer.negative_slope
            return Activation(
                lambda values: functional.leaky_relu_(values, slope),
                lambda gradient, values, out: aten.leaky_relu_backward(gradient, values, slope, True, grad_input=out),
            )
        known = {
            nn.ReLU: Activation(
                torch.relu_, lambda gradient, values, out: aten.threshold_backward(gradient, values, 0, grad_input=out)
            ),
            nn.Tanh: Activation(
                torch.tanh_, lambda gradient, values, out: aten.tanh_backward(gradient, values, grad_input=out)
            ),
            nn.Sigmoid: Activation(
                torch.sigmoid_, lambda gradient, values, out: aten.sigmoid_backward(gradient, values, grad_input=out)
            ),
        }
        return known.get(type(layer))


@dataclass(frozen=True)
class DenseLayer:
    """A linear layer and what follows it."""

    has_bias: bool
    activation: Activation | None = None


def dense(layers: Sequence[DenseLayer], values: Tensor, parameters: Sequence[Tensor]) -> Tensor:
    """Some layers one after another.

    Args:
      layers: The first one's first.
      values: ``[k, b, in]``.
      parameters: Of each layer its weight ``[k, out, in]`` and its bias ``[k, out]``, where it has one.

    Returns:
      ``[k, b, out]``.
    """
    is_of_both = values.requires_grad and any(parameter.requires_grad for parameter in parameters)
    # both for a penalty, likely, and derivatives of second order follow; torch.func takes no step of one's own
    if is_of_both or torch._C._are_functorch_transforms_active():
        return _plain(layers, values, parameters)
    found: Tensor = _Dense.apply(layers, values, *parameters)
    return found


class _Dense(torch.autograd.Function):
    """`dense` with derivatives of first order written out; for those of second order it is computed again, plainly."""

    @staticmethod
    def forward(ctx: Any, layers: Sequence[DenseLayer], values: Tensor, *parameters: Tensor) -> Tensor:
        between = [values]
        for layer, weight, bias in _by_layer(layers, parameters):
            found = _product(between[-1], weight.mT, bias)
            between.append(found if layer.activation is None else layer.activation.apply(found))
        ctx.layers = layers
        ctx.save_for_backward(*parameters, *(between if layers[-1].activation else between[:-1]))
        return between[-1]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        layers, (_, wants_values, *wants) = ctx.layers, ctx.needs_input_grad
        parameters, between = ctx.saved_tensors[: len(wants)], ctx.saved_tensors[len(wants) :]
        if torch.is_grad_enabled():
            return _differentiable(layers, (between[0], *parameters), (wants_values, *wants), gradient)
        found: list[Tensor | None] = []  # the last one's first
        for index, (layer, weight, bias) in reversed(list(enumerate(_by_layer(layers, parameters)))):
            if layer.activation is not None:
                out = gradient if index < len(layers) - 1 else torch.empty_like(gradient)  # the last is the caller's
                gradient = layer.activation.backward(gradient, between[index + 1], out)
            if bias is not None:
                found.append(gradient.sum(1) if wants[-1 - len(found)] else None)
            found.append(_product(gradient.mT, between[index]) if wants[-1 - len(found)] else None)
            if index or wants_values:
                gradient = gradient * weight if weight.shape[1] == 1 else _product(gradient, weight)
        return None, gradient if wants_values else None, *reversed(found)


def _differentiable(
    layers: Sequence[DenseLayer], arguments: Sequence[Tensor], wanted: Sequence[bool], gradient: Tensor
) -> tuple[Tensor | None, ...]:
    values = _plain(layers, arguments[0], arguments[1:])
    of = [argument for argument, is_wanted in zip(arguments, wanted, strict=True) if is_wanted]
    found = iter(torch.autograd.grad(values, of, gradient, create_graph=True))
    return None, *(next(found) if is_wanted else None for is_wanted in wanted)


def _plain(layers: Sequence[DenseLayer], values: Tensor, parameters: Sequence[Tensor]) -> Tensor:
    """By operations that torch can differentiate as often as it is asked to."""
    for layer, weight, bias in _by_layer(layers, parameters):
        if weight.shape[1] == 1:
            values = (values * weight).sum(-1, keepdim=True)
            values = values if bias is None else values + bias[:, None]
        else:
            values = values @ weight.mT if bias is None else torch.baddbmm(bias[:, None], values, weight.mT)
        if layer.activation is not None:
            values = layer.activation.apply(values)
    return values


def _by_layer(
    layers: Sequence[DenseLayer], parameters: Sequence[Tensor]
) -> Iterator[tuple[DenseLayer, Tensor, Tensor | None]]:
    rest = iter(parameters)
    for layer in layers:
        yield layer, next(rest), next(rest) if layer.has_bias else None


def _product(left: Tensor, right: Tensor, bias: Tensor | None = None) -> Tensor:
    """``[k, m, n], [k, n, p] -> [k, m, p]``, and a bias ``[k, p]``; where p is small, by the transposed product."""
    if right.shape[2] <= _MAX_NARROW < left.shape[1]:
        return _sum_of(right.mT, left.mT, None if bias is None else bias[:, :, None]).mT
    return _sum_of(left, right, None if bias is None else bias[:, None])


def _sum_of(left: Tensor, right: Tensor, bias: Tensor | None) -> Tensor:
    return torch.bmm(left, right) if bias is None else torch.baddbmm(bias, left, right)
