"""Packs: members of equal architecture executed together.

A pack keeps the parameters of its k members as one tensor ``[k, p]`` and runs one batched step for all of them: by
layers that are stacked themselves (`stacking/layers.py`), or, for modules of a user's own that are no chain of known
layers, by `torch.func.functional_call` under `vmap`. One member is the plain case, not a second path.
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor, nn
from torch.func import functional_call, vmap

from ..job.parts.networks import Network, Unit
from .layers import StackedChain


class StackedModule:
    """k copies of one module, with their parameters in a single tensor ``[k, p]``.

    Args:
      network: Whose module it is, which draws its initial weights.
      template: The module, without weights.
      spectral_norm: Whether weight matrices are divided by their largest singular values before use.
    """

    def __init__(self, network: Network, template: nn.Module, *, spectral_norm: bool = False) -> None:
        self.template, self._network = template, network
        self._chain = StackedChain.of(template)
        self._normalised = weight_matrices(template) if spectral_norm else ()
        named = [
            (f"{prefix}.{name}" if prefix else name, parameter)
            for prefix, layer in template.named_modules()
            for name, parameter in layer.named_parameters(recurse=False)
        ]
        self.names = [name for name, _ in named]
        self.shapes = [tuple(parameter.shape) for _, parameter in named]
        self.sizes = [math.prod(shape) for shape in self.shapes]

    @staticmethod
    def generator(network: Network, shape: tuple[int, ...]) -> StackedModule:
        """Generators of samples of a shape."""
        with torch.device("meta"):
            return StackedModule(network, network.generator(shape))

    @staticmethod
    def discriminator(network: Network, shape: tuple[int, ...]) -> StackedModule:
        """Discriminators of samples of a shape."""
        with torch.device("meta"):
            return StackedModule(network, network.discriminator(shape), spectral_norm=network.spectral_norm)

    def initial(self, source: Generator) -> Tensor:
        """One member's weights, drawn afresh and laid end to end in the order of ``named_parameters``: ``[p]``."""
        parts = [
            self._network.initial(layer, name, Unit(tuple(parameter.shape), source))
            for layer in self.template.modules()
            for name, parameter in layer.named_parameters(recurse=False)
        ]
        return torch.cat([part.flatten() for part in parts])

    def unflatten(self, flat: Tensor) -> dict[str, Tensor]:
        """Parameters by name: ``[..., p] -> {name: [..., *shape]}``."""
        parts = flat.split(self.sizes, dim=-1)
        return {
            name: part.unflatten(-1, shape) for name, part, shape in zip(self.names, parts, self.shapes, strict=True)
        }

    def flatten(self, parameters: dict[str, Tensor]) -> Tensor:
        """The inverse of `unflatten`: ``{name: [..., *shape]} -> [..., p]``."""
        parts = zip(self.names, self.shapes, strict=True)
        return torch.cat(
            [parameters[name].flatten(parameters[name].ndim - len(shape)) for name, shape in parts], dim=-1
        )

    def __call__(self, flat: Tensor, inputs: Tensor) -> Tensor:
        """``[k, p], [k, b, ...] -> [k, b, ...]``."""
        parameters = self.unflatten(flat)
        for name in self._normalised:
            parameters[name] = spectrally_normalised(parameters[name])
        if self._chain is not None:
            return self._chain(parameters, inputs)
        result: Tensor = vmap(self._one)(parameters, inputs)
        return result

    def _one(self, parameters: dict[str, Tensor], inputs: Tensor) -> Tensor:
        result: Tensor = functional_call(self.template, parameters, (inputs,))
        return result


def weight_matrices(module: nn.Module) -> tuple[str, ...]:
    """Names of the weights of linear and convolutional layers."""
    layers = (nn.Linear, nn.Conv2d)
    return tuple(f"{name}.weight" for name, layer in module.named_modules() if isinstance(layer, layers))


def spectrally_normalised(weights: Tensor, *, doublings: int = 7) -> Tensor:
    """Weights ``[k, out, ...]`` divided by the largest singular value of each ``[out, rest]`` matrix.

    The singular vectors come from ``2^doublings`` power iterations, done by squaring the Gram matrix, without state and
    without reading anything back from the device; as in Miyato et al. (2018), "Spectral normalization for generative
    adversarial networks", no gradient flows through them.
    """
    matrices = weights.flatten(2)
    with torch.no_grad():
        gram = matrices @ matrices.mT if matrices.shape[1] <= matrices.shape[2] else matrices.mT @ matrices
        for _ in range(doublings):
            gram = gram / gram.diagonal(dim1=1, dim2=2).sum(1).clamp_min(1e-30)[:, None, None]
            gram = gram @ gram
        # nearly a multiple of u u^T: its column at the largest diagonal element is u times no small number
        largest = gram.diagonal(dim1=1, dim2=2).argmax(1)
        column = gram.gather(2, largest[:, None, None].expand(-1, gram.shape[1], 1))
        if matrices.shape[1] <= matrices.shape[2]:
            left = torch.nn.functional.normalize(column, dim=1)  # [k, out, 1]
            right = torch.nn.functional.normalize(matrices.mT @ left, dim=1)
        else:
            right = torch.nn.functional.normalize(column, dim=1)
            left = torch.nn.functional.normalize(matrices @ right, dim=1)
    norms = (left.mT @ matrices @ right).clamp_min(1e-12)  # [k, 1, 1]
    return (matrices / norms).view_as(weights)


def discriminate(
    discriminator: StackedModule, weights: Tensor, real: Tensor, fake: Tensor, *, batch_norm: str
) -> tuple[Tensor, Tensor]:
    """Logits of real and fake batches ``[k, b, ...] -> [k, b]``, normalised apart or together."""
    if batch_norm == "separate":
        return discriminator(weights, real), discriminator(weights, fake)
    both = discriminator(weights, torch.cat([real, fake], dim=1))
    return both[:, : real.shape[1]], both[:, real.shape[1] :]
