"""Generators of a pack in safetensors format: weights by name, ``[k, *shape]``, and in the metadata whose they are.

And the states of runs that are to go on.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import safetensors.torch
from torch import Tensor

from ..errors import StateLostError
from ..identity import SnapshotKey
from ..planning.cells import Run
from ..stacking.module import StackedModule
from .members import MemberState


def encode(generator: StackedModule, weights: Tensor, keys: Sequence[SnapshotKey]) -> bytes:
    """The weights of k generators ``[k, p]`` as a safetensors file, which names them (`Store.snapshots_among`)."""
    named = {name: value.contiguous().cpu() for name, value in generator.unflatten(weights).items()}
    return bytes(safetensors.torch.save(named, metadata={"snapshots": json.dumps(keys)}))


def encode_state(state: MemberState, *, run: Run, device: str) -> bytes:
    """Where a run stands, as a safetensors file, which names the kind of device that it was trained on."""
    named = {name: value.contiguous() for name, value in state.items()}
    return bytes(safetensors.torch.save(named, metadata={"run_id": run.run_id, "device": device}))


def decode_state(content: bytes, *, device: str) -> MemberState:
    """Where a run stands, on the CPU.

    Raises:
      StateLostError: If it was trained on another kind of device, which draws other random numbers.
    """
    known = _metadata(content).get("device")
    if known != device:
        raise StateLostError(f"a state of a run on {known} does not go on on {device}: it draws other random numbers")
    state: MemberState = safetensors.torch.load(content)
    return state


def decode(generator: StackedModule, content: bytes) -> dict[SnapshotKey, Tensor]:
    """The generators in a safetensors file and their weights ``[p]``, on the CPU."""
    keys = json.loads(_metadata(content)["snapshots"])
    weights = generator.flatten(safetensors.torch.load(content))
    return {(run_id, epoch): member for (run_id, epoch), member in zip(keys, weights, strict=True)}


def _metadata(content: bytes) -> dict[str, str]:
    length = int.from_bytes(content[:8], "little")
    found: dict[str, str] = json.loads(content[8 : 8 + length]).get("__metadata__", {})
    return found
