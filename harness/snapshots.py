"""Generators in safetensors format: named weights, and in the metadata what run and epoch they are of."""

from __future__ import annotations

import safetensors.torch
from torch import Tensor

from .grid import Run
from .identity import canonical_json
from .packs import StackedModule


def encode(generator: StackedModule, weights: Tensor, *, run: Run, epoch: int) -> bytes:
    """One generator's weights ``[p]`` as a safetensors file, by parameter name."""
    named = {name: value.contiguous().cpu() for name, value in generator.unflatten(weights).items()}
    metadata = {"run_id": run.run_id, "epoch": str(epoch), "run": canonical_json(run.identity())}
    return bytes(safetensors.torch.save(named, metadata=metadata))


def decode(generator: StackedModule, content: bytes) -> Tensor:
    """The weights ``[p]`` in a safetensors file, on the CPU."""
    return generator.flatten(safetensors.torch.load(content))
