"""Generators in safetensors format: named weights, and in the metadata what run and epoch they are of.

And the states of runs that are to go on.
"""

from __future__ import annotations

import safetensors.torch
from torch import Tensor

from ..planning.cells import Run
from .members import MemberState
from .stacking import StackedModule


def encode(generator: StackedModule, weights: Tensor, *, run: Run, epoch: int) -> bytes:
    """One generator's weights ``[p]`` as a safetensors file, by parameter name."""
    named = {name: value.contiguous().cpu() for name, value in generator.unflatten(weights).items()}
    metadata = {"run_id": run.run_id, "epoch": str(epoch), "run": run.identity}
    return bytes(safetensors.torch.save(named, metadata=metadata))


def encode_state(state: MemberState, *, run: Run) -> bytes:
    """Where a run stands, as a safetensors file."""
    named = {name: value.contiguous() for name, value in state.items()}
    return bytes(safetensors.torch.save(named, metadata={"run_id": run.run_id}))


def decode_state(content: bytes) -> MemberState:
    """Where a run stands, on the CPU."""
    state: MemberState = safetensors.torch.load(content)
    return state


def decode(generator: StackedModule, content: bytes) -> Tensor:
    """The weights ``[p]`` in a safetensors file, on the CPU."""
    return generator.flatten(safetensors.torch.load(content))
