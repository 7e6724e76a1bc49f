"""The one place that chooses a device and its numeric modes."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from pathlib import Path

import torch
import torch.utils.deterministic

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h of glibc


_MOST_OF_MACHINE = 0.8
_CGROUP_LIMITS = (
    (Path("/sys/fs/cgroup"), "memory.max"),
    (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"),
)

_UNUSED_BY_POT = ("JAX", "TENSORFLOW", "CUPY")
"""Array libraries that POT would load where they are installed, in a second or two, though given NumPy's arrays."""


def choose_device(*, allow_gpu: bool = True) -> torch.device:
    """The GPU this process may use (Ray hides the others), else the CPU."""
    if allow_gpu and torch.cuda.is_available():
        _make_gpu_repeatable()
        return torch.device("cuda", 0)
    return torch.device("cpu")


def prepare(*, num_threads: int) -> None:
    """Sets threads, memory and repeatable, full-precision float32 arithmetic for this process."""
    torch.set_num_threads(num_threads)
    _keep_freed_memory()
    for library in _UNUSED_BY_POT:
        os.environ.setdefault(f"POT_BACKEND_DISABLE_{library}", "1")
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


def _make_gpu_repeatable() -> None:
    """Has sums be in the same order each time, where an operation has a way to; warns of those that have none."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # before the first product
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # a property of the module


def _keep_freed_memory() -> None:
    """Has glibc keep up to 1 GB of freed memory, and use it again for arrays of up to 32 MB.

    By default it gives arrays of a few hundred KB back to the system, and every step faults their pages in again.
    """
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "mallopt"):
        library.mallopt(_M_TRIM_THRESHOLD, 2**30)
        library.mallopt(_M_MMAP_THRESHOLD, 2**25)


def limit_memory(limit: int | None) -> None:
    """Has this process fail to get memory beyond a limit, which is an exception, instead of taking its machine down.

    Args:
      limit: Bytes; None for 80 % of the machine. Linux alone can; what a GPU holds is not counted.
    """
    if sys.platform == "linux":
        import resource

        most = int(_MOST_OF_MACHINE * _machine_memory_bytes()) if limit is None else limit
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        resource.setrlimit(resource.RLIMIT_DATA, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def _machine_memory_bytes() -> int:
    """Of this machine, or of the container or Slurm's step this process is in."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    groups = [Path("/")]
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            group = Path(line.rpartition(":")[2])
            groups += [group, *group.parents]
    for group in groups:
        for folder, name in _CGROUP_LIMITS:
            with contextlib.suppress(OSError, ValueError):  # another version of cgroups, or "max"
                limits.append(int((folder / group.relative_to("/") / name).read_text()))
    return min(limits)


def give_back_memory(device: torch.device) -> None:
    """Gives back what the allocator of a GPU keeps for later, in blocks that may fit nothing."""
    if device.type == "cuda":
        torch.cuda.empty_cache()


def describe(device: torch.device) -> str:
    """A name for the `device` column: ``cpu``, or the GPU's model."""
    return "cpu" if device.type == "cpu" else torch.cuda.get_device_name(device)


def peak_memory_bytes(device: torch.device) -> int | None:
    """Largest memory so far: of the GPU's allocator, or resident in this process; None where no system call tells."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    if sys.platform == "win32":
        return None
    import resource  # Unix alone has it

    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else largest * 1024  # macOS counts bytes, the others KiB
