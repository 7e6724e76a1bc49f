"""Files of snapshots without networks, for tests of what keeps them."""

from __future__ import annotations

import json
from collections.abc import Sequence

import safetensors.torch
import torch


def snapshots(keys: Sequence[tuple[str, int]]) -> bytes:
    """A file of generators of these names, with one weight each."""
    return bytes(
        safetensors.torch.save({"weight": torch.zeros(len(keys), 1)}, metadata={"snapshots": json.dumps(keys)})
    )
