"""Layers of k networks at once, each with weights of its own: batched matrix products and grouped convolutions.

A module that is a chain of known layers becomes a chain of functions of stacked activations. Images travel apart,
``[k, b, c, h, w]``, or with their channels joined, ``[b, k c, h, w]``, as grouped convolutions want them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from .dense import Activation, DenseLayer, dense

MAX_CHANNELS_OF_PATCHES = 4
"""Convolutions from or to so few channels are products of patches: as convolutions torch is several times slower."""


class _Layout(Enum):
    APART = auto()
    JOINED = auto()


_Own = Mapping[str, Tensor]  # a layer's parameters by name, [k, *shape] each


@dataclass(frozen=True)
class _Link:
    """A layer of a chain.

    Attributes:
      run: From its parameters, its input and k to its output.
      takes, gives: Layouts of input and output; None for any, and for that of the input.
      is_fresh: Whether the output is memory of its own (a view costs more to overwrite than to copy) that no derivative
        needs, so that it may be overwritten.
    """

    run: Callable[[_Own, Tensor, int], Tensor]
    takes: _Layout | None = None
    gives: _Layout | None = None
    is_fresh: bool = False


class StackedChain:
    """A chain of layers of k networks.

    Args:
      links: Each with its parameters: what the link calls them, and what the module does.
    """

    def __init__(self, links: Sequence[tuple[Mapping[str, str], _Link]]) -> None:
        self._links = links

    @staticmethod
    def of(module: nn.Module) -> StackedChain | None:
        """The chain that a module is; None if it is none, or has a layer that is not known here."""
        links: list[tuple[Mapping[str, str], _Link]] = []
        layout, is_fresh = _Layout.APART, False
        rest = [(f"{name}." if name else "", layer) for name, layer in _layers(module, "")]
        if any(_has_hooks(layer) or not layer.training for _, layer in rest) or _has_ties(rest):
            return None
        while rest:
            num_dense = _num_dense(rest)
            here, rest = rest[: num_dense or 1], rest[num_dense or 1 :]
            layers = [layer for _, layer in here]
            link = _dense(layers) if num_dense else _translated(layers[0], may_overwrite=is_fresh)
            if link is None:
                return None
            if link.takes not in (None, layout):
                links.append(({}, _CONVERSIONS[link.takes]))
            links.append((_parameters(here), link))
            layout = link.gives or link.takes or layout
            is_fresh = link.is_fresh
        if layout is not _Layout.APART:
            links.append(({}, _CONVERSIONS[_Layout.APART]))
        return StackedChain(links)

    def __call__(self, parameters: Mapping[str, Tensor], inputs: Tensor) -> Tensor:
        """``[k, *shape]`` by name, ``[k, b, ...] -> [k, b, ...]``."""
        values = inputs
        for names, link in self._links:
            values = link.run({own: parameters[name] for own, name in names.items()}, values, len(inputs))
        return values


def _parameters(layers: Sequence[tuple[str, nn.Module]]) -> Mapping[str, str]:
    """Names in the module by own names, which for one layer alone have no number."""
    return {
        f"{number}.{name}" if len(layers) > 1 else name: prefix + name
        for number, (prefix, layer) in enumerate(layers)
        for name, parameter in layer.named_parameters(recurse=False)
    }


def _layers(module: nn.Module, name: str) -> Iterator[tuple[str, nn.Module]]:
    """The layers of nested sequences in order, with their names."""
    if type(module) is not nn.Sequential or _has_hooks(module):
        yield name, module
        return
    for child, layer in module._modules.items():  # `named_children` passes over a layer that occurs twice
        assert layer is not None
        yield from _layers(layer, f"{name}.{child}" if name else child)


def _has_ties(layers: Sequence[tuple[str, nn.Module]]) -> bool:
    """Whether a layer with parameters occurs twice."""
    own = [id(layer) for _, layer in layers if next(layer.parameters(), None) is not None]
    return len(own) > len(set(own))


def _has_hooks(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks or module._backward_hooks)


def _translated(layer: nn.Module, *, may_overwrite: bool) -> _Link | None:
    kind = type(layer)
    if kind in _ACTIVATIONS:
        return _Link(_activation(layer, in_place=may_overwrite))
    return _KNOWN[kind](layer) if kind in _KNOWN else None


# --- the layers


def _activation(layer: Any, *, in_place: bool) -> Callable[[_Own, Tensor, int], Tensor]:
    function = _ACTIVATIONS[type(layer)](layer, in_place)
    return lambda _own, values, _k: function(values)


def _leaky(layer: nn.LeakyReLU, in_place: bool) -> Callable[[Tensor], Tensor]:
    slope = layer.negative_slope
    return lambda values: functional.leaky_relu(values, slope, inplace=in_place and slope > 0)


_ACTIVATIONS: Mapping[type[nn.Module], Callable[[Any, bool], Callable[[Tensor], Tensor]]] = {
    nn.ReLU: lambda _layer, in_place: torch.relu_ if in_place else torch.relu,
    nn.LeakyReLU: _leaky,
    nn.Tanh: lambda _layer, in_place: torch.tanh_ if in_place else torch.tanh,
    nn.Sigmoid: lambda _layer, in_place: torch.sigmoid_ if in_place else torch.sigmoid,
}


def _num_dense(layers: Sequence[tuple[str, nn.Module]]) -> int:
    """How many of the first layers are linear ones, each with the activation that follows it."""
    num = 0
    for index, (_, layer) in enumerate(layers):
        is_after_linear = index > 0 and type(layers[index - 1][1]) is nn.Linear
        if type(layer) is not nn.Linear and not (is_after_linear and Activation.of(layer)):
            break
        num = index + 1
    return num


def _dense(layers: Sequence[nn.Module]) -> _Link:
    followed = [*layers[1:], None]
    parts = [
        DenseLayer(layer.bias is not None, None if after is None else Activation.of(after))
        for layer, after in zip(layers, followed, strict=True)
        if isinstance(layer, nn.Linear)
    ]

    def run(own: _Own, values: Tensor, _k: int) -> Tensor:
        found = dense(parts, values.flatten(1, -2), list(own.values()))
        return found.unflatten(1, values.shape[1:-1]) if values.ndim > 3 else found

    return _Link(run, takes=_Layout.APART)


def _convolution(layer: nn.Conv2d) -> _Link | None:
    padding = layer.padding
    if layer.groups != 1 or layer.padding_mode != "zeros" or isinstance(padding, str):
        return None
    above, beside = padding
    window: dict[str, Any] = {"stride": layer.stride, "padding": padding, "dilation": layer.dilation}

    def in_groups(own: _Own, values: Tensor, k: int) -> Tensor:
        return functional.conv2d(values, own["weight"].flatten(0, 1), _joined(own.get("bias")), groups=k, **window)

    def by_patches(own: _Own, values: Tensor, _k: int) -> Tensor:
        kernel, stride = layer.kernel_size, layer.stride
        padded = functional.pad(values, (beside, beside, above, above))
        patches = padded.unfold(3, kernel[0], stride[0]).unfold(4, kernel[1], stride[1])  # [k, b, c, h, w, ., .]
        columns = patches.permute(0, 2, 5, 6, 1, 3, 4).flatten(1, 3)  # [k, c . ., b, h, w]
        found = _matrices(own["weight"].flatten(2), columns.flatten(2), own.get("bias"))
        in_images: Tensor = found.unflatten(2, columns.shape[2:]).permute(2, 0, 1, 3, 4).flatten(1, 2)
        return in_images.contiguous()

    if layer.in_channels <= MAX_CHANNELS_OF_PATCHES and layer.dilation == (1, 1):
        return _Link(by_patches, takes=_Layout.APART, gives=_Layout.JOINED, is_fresh=True)
    return _Link(in_groups, takes=_Layout.JOINED, is_fresh=True)


def _transposed_convolution(layer: nn.ConvTranspose2d) -> _Link | None:
    if layer.groups != 1 or layer.padding_mode != "zeros":
        return None
    window: dict[str, Any] = {"stride": layer.stride, "padding": layer.padding, "dilation": layer.dilation}

    def in_groups(own: _Own, values: Tensor, k: int) -> Tensor:
        weights, bias = own["weight"].flatten(0, 1), _joined(own.get("bias"))
        return functional.conv_transpose2d(
            values, weights, bias, groups=k, output_padding=layer.output_padding, **window
        )

    def by_patches(own: _Own, values: Tensor, k: int) -> Tensor:
        batch, height, width = values.shape[0], *values.shape[2:]
        columns = values.view(batch, k, -1, height * width).permute(1, 2, 0, 3).flatten(2)  # [k, c, b h w]
        patches = own["weight"].flatten(2).mT @ columns  # [k, c' h' w', b h w]
        patches = patches.unflatten(2, (batch, -1)).transpose(1, 2).flatten(0, 1)
        size = tuple(_size_before(length, layer, axis=axis) for axis, length in enumerate((height, width)))
        found: Tensor = functional.fold(patches, size, layer.kernel_size, **window).unflatten(0, (k, batch))
        return found + own["bias"][:, None, :, None, None] if "bias" in own else found

    if layer.out_channels <= MAX_CHANNELS_OF_PATCHES:
        return _Link(by_patches, takes=_Layout.JOINED, gives=_Layout.APART, is_fresh=layer.bias is not None)
    return _Link(in_groups, takes=_Layout.JOINED, is_fresh=True)


def _batch_norm(layer: nn.BatchNorm2d) -> _Link | None:
    if layer.track_running_stats:
        return None

    def run(own: _Own, values: Tensor, _k: int) -> Tensor:
        weight, bias = _joined(own.get("weight")), _joined(own.get("bias"))
        return functional.batch_norm(values, None, None, weight, bias, training=True, eps=layer.eps)

    return _Link(run, takes=_Layout.JOINED, is_fresh=True)


def _flatten(layer: nn.Flatten) -> _Link:
    start, end = (axis + 1 if axis >= 0 else axis for axis in (layer.start_dim, layer.end_dim))
    return _Link(lambda _own, values, _k: values.flatten(start, end), takes=_Layout.APART)


def _unflatten(layer: nn.Unflatten) -> _Link | None:
    axis: int | str = layer.dim  # named axes are strings
    sizes = layer.unflattened_size
    if isinstance(axis, str):
        return None
    axis = axis + 1 if axis >= 0 else axis
    return _Link(lambda _own, values, _k: values.unflatten(axis, sizes), takes=_Layout.APART)


_KNOWN: Mapping[type[nn.Module], Callable[[Any], _Link | None]] = {
    nn.Conv2d: _convolution,
    nn.ConvTranspose2d: _transposed_convolution,
    nn.BatchNorm2d: _batch_norm,
    nn.Flatten: _flatten,
    nn.Unflatten: _unflatten,
}
_CONVERSIONS: Mapping[_Layout, _Link] = {
    _Layout.JOINED: _Link(lambda _own, values, _k: values.transpose(0, 1).flatten(1, 2), gives=_Layout.JOINED),
    _Layout.APART: _Link(lambda _own, values, k: values.unflatten(1, (k, -1)).transpose(0, 1), gives=_Layout.APART),
}


def _joined(parameter: Tensor | None) -> Tensor | None:
    """``[k, c] -> [k c]``"""
    return None if parameter is None else parameter.flatten()


def _matrices(left: Tensor, right: Tensor, bias: Tensor | None) -> Tensor:
    return left @ right if bias is None else torch.baddbmm(bias[:, :, None], left, right)


def _size_before(length: int, layer: nn.ConvTranspose2d, *, axis: int) -> int:
    padding, kernel = int(layer.padding[axis]), layer.dilation[axis] * (layer.kernel_size[axis] - 1)
    return (length - 1) * layer.stride[axis] - 2 * padding + kernel + layer.output_padding[axis] + 1
