"""What cells of protocol ``probe`` tell of the runs that they probe, in the words of the columns of ``cells``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from .records import JOINED, TABLES

_KEY = ("job", "run_id")
SCHEMA = pa.schema([*(TABLES["training"].field(name) for name in _KEY), *JOINED["training"]])


def reference_runs(cells: Iterable[Mapping[str, Any]]) -> pa.Table:
    """One row a run.

    A cell's own columns are of its probe; of the run tells its identity, in which defaults are written out and
    parameters are sorted.

    Args:
      cells: One cell of each run: ``job``, ``run_id``, ``seed`` and ``identity``.
    """
    return pa.Table.from_pylist([_row(cell) for cell in cells], schema=SCHEMA)


def _row(cell: Mapping[str, Any]) -> dict[str, Any]:
    run = json.loads(cell["identity"])["run"]
    family, parameters, _, *others = run["sigma"]
    noise = next((other for other in others if "name" in other), {"name": "truncated"})
    steps = next((f"{other['noise_on']} only" for other in others if "noise_on" in other), "")
    remarks = ([] if noise["name"] == "truncated" else [_described(noise)]) + [steps] * bool(steps)
    sigma = _brief(parameters["sigma"]) if family == "constant" else _described({**parameters, "name": family})
    return {
        **{name: cell[name] for name in (*_KEY, "seed")},
        "protocol": "probe",
        "loss": run["loss"].split()[0],  # of a user's own a hash of its source follows
        "penalty": _described(run["penalty"]),
        "learning_rate": run["optimizer"]["learning_rate"],
        "batch_norm": run["networks"].get("batch_norm", "none"),
        "schedule": " ".join([sigma, *remarks]),
        "noise": noise["name"],
    }


def _described(part: Mapping[str, Any]) -> str:
    """``r1(gamma=10)``, or the name."""
    inner = ", ".join(f"{key}={_brief(value)}" for key, value in part.items() if key not in ("name", "source"))
    return f"{part['name']}({inner})" if inner else str(part["name"])


def _brief(value: Any) -> str:
    if isinstance(value, float):
        short = f"{value:g}"
        return short if float(short) == value else repr(value)
    return _described(value) if isinstance(value, Mapping) and "name" in value else str(value)
