"""Hashes that name things by what determines them, and seeds of named random streams."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

SnapshotKey = tuple[str, int]
"""A generator's name: (run_id, epoch)."""


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)


def canonical_json(value: Any) -> str:
    """One text for equal values: sorted keys, no spaces, floats by their shortest exact form."""
    return _ENCODER.encode(value)


def canonical_object(parts: Mapping[str, str]) -> str:
    """`canonical_json` of an object, of whose values the canonical texts are known already."""
    return "{" + ",".join(f'"{name}":{parts[name]}' for name in sorted(parts)) + "}"


def digest(value: Any) -> str:
    """A hash of a JSON-like value: 20 hexadecimal digits of SHA-256."""
    return digest_of_text(canonical_json(value))


def digest_of_text(text: str) -> str:
    """`digest` of the value with this canonical text."""
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def stream_seed(*components: str | int) -> int:
    """Seed of the random stream with these names, in [0, 2^63): SHA-256 of the components."""
    return int.from_bytes(hashlib.sha256(canonical_json(components).encode()).digest()[:8], "big") >> 1
