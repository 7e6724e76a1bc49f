"""What ``harness list`` and ``harness info`` say."""

from __future__ import annotations

import inspect
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from .. import __version__
from ..job.parts.networks import NETWORKS
from ..job.parts.optimizers import OPTIMIZERS
from ..job.parts.problems import PROBLEMS
from ..storage.records import STATUSES, TABLES
from ..theory.losses import LOSSES
from ..theory.noise import NOISES
from ..theory.penalties import PENALTIES
from ..theory.schedules import SCHEDULES


def entries(kind: str) -> list[tuple[str, str]]:
    """Name and meaning of everything of a kind."""
    match kind:
        case "losses":
            return [(name, loss.formula) for name, loss in LOSSES.items()]
        case "problems":
            return [(name, _first_line(spec)) for name, spec in PROBLEMS.items()]
        case "networks":
            return [(name, _first_line(spec)) for name, spec in NETWORKS.items()]
        case "optimizers":
            return [(name, _first_line(spec)) for name, spec in OPTIMIZERS.items()]
        case "penalties":
            return list(PENALTIES.items())
        case "schedules":
            return [(name, _first_line(factory).replace("`", "")) for name, factory in SCHEDULES.items()]
        case "noises":
            return [(name, _first_line(family).replace("`", "")) for name, family in NOISES.items()]
        case "statuses":
            return [(str(status), meaning) for status, meaning in STATUSES.items()]
        case "columns":
            return [(f"{table}.{field.name}", _column(field)) for table, schema in TABLES.items() for field in schema]
    raise ValueError(f"nothing to list under '{kind}'")


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


def _first_line(thing: Any) -> str:
    return (inspect.getdoc(thing) or "").splitlines()[0]


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
