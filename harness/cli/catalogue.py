"""What ``harness list`` and ``harness info`` say."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from .. import __version__
from ..execution.executors import executor_names
from ..job.parts.features import FEATURES
from ..job.parts.metrics import METRICS
from ..job.parts.networks import NETWORKS
from ..job.parts.noise import NOISES
from ..job.parts.optimizers import OPTIMIZERS
from ..job.parts.part import Part
from ..job.parts.penalties import PENALTIES
from ..job.parts.problems import PROBLEMS
from ..job.parts.schedules import SCHEDULES
from ..job.strategies import PRUNERS, SAMPLERS
from ..storage.records import STATUSES, TABLES
from ..theory.losses import LOSSES

PARTS: Mapping[str, Mapping[str, type[Part]]] = {
    "problems": PROBLEMS,
    "networks": NETWORKS,
    "optimizers": OPTIMIZERS,
    "penalties": PENALTIES,
    "schedules": SCHEDULES,
    "noises": NOISES,
    "metrics": METRICS,
    "features": FEATURES,
}
"""What a job file can name, by kind, and losses besides."""
_TEXTS: Mapping[str, Mapping[Any, str]] = {"samplers": SAMPLERS, "pruners": PRUNERS, "statuses": STATUSES}


def entries(kind: str) -> list[tuple[str, str]]:
    """Name and meaning of everything of a kind."""
    if kind in PARTS:
        return [(name, part.help()) for name, part in PARTS[kind].items()]
    if kind == "losses":
        return [(name, loss.formula) for name, loss in LOSSES.items()]
    if kind in _TEXTS:
        return [(str(name), meaning) for name, meaning in _TEXTS[kind].items()]
    if kind == "executors":
        return [(name, "built in" if name in ("ray", "serial") else "of a package") for name in executor_names()]
    return [(f"{table}.{field.name}", _column(field)) for table, schema in TABLES.items() for field in schema]


def machine() -> dict[str, Any]:
    """Versions, CPUs and GPUs of this machine."""
    import torch

    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {
        "harness": __version__,
        "python": platform.python_version(),
        **{name: _version(name) for name in ("torch", "torchvision", "ray", "optuna", "pyarrow", "duckdb", "POT")},
        "cpus": os.cpu_count(),
        "gpus": gpus or "none: jobs run on CPU slots",
    }


def _column(field: Any) -> str:
    metadata = {key.decode(): value.decode() for key, value in field.metadata.items()}
    unit = f" [{metadata['unit']}]" if "unit" in metadata else ""
    return f"{field.type}{unit}  {metadata['meaning']}"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
