"""The one place that chooses a device and its numeric modes."""

from __future__ import annotations

import resource

import torch


def choose_device(*, allow_gpu: bool = True) -> torch.device:
    """The GPU this process may use (Ray hides the others), else the CPU."""
    if allow_gpu and torch.cuda.is_available():
        return torch.device("cuda", 0)
    return torch.device("cpu")


def prepare(*, num_threads: int) -> None:
    """Sets threads and repeatable, full-precision float32 arithmetic for this process."""
    torch.set_num_threads(num_threads)
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


def describe(device: torch.device) -> str:
    """A name for the `device` column: ``cpu``, or the GPU's model."""
    return "cpu" if device.type == "cpu" else torch.cuda.get_device_name(device)


def peak_memory_bytes(device: torch.device) -> int:
    """Largest memory so far: of the GPU's allocator, or resident in this process."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
