"""Threads of torch: where more than one would do harm."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def one_thread() -> Iterator[None]:
    """Work that is the same on every machine, or whose matrices are tiny.

    Threads that wait for each other make tiny matrices a hundred times slower on a busy machine, and sums are in
    another order with every number of threads.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
