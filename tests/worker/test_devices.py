"""What a device is called, and how much memory it took, on every system."""

from __future__ import annotations

import sys

import psutil
import pytest
import torch

from harness.worker import devices

CPU = torch.device("cpu")


def test_peak_memory_is_in_bytes_and_no_less_than_what_is_resident() -> None:
    """psutil reads /proc, getrusage asks the kernel."""
    resident = psutil.Process().memory_info().rss
    peak = devices.peak_memory_bytes(CPU)
    assert peak is not None
    assert 0.9 * resident < peak < 100 * resident


@pytest.mark.parametrize(("platform", "unit"), [("linux", 1024), ("freebsd14", 1024), ("darwin", 1)])
def test_the_unit_of_ru_maxrss_is_that_of_the_system(platform: str, unit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """getrusage(2): kilobytes on Linux and FreeBSD, bytes on macOS."""
    import resource

    class Usage:
        ru_maxrss = 123_456

    monkeypatch.setattr(resource, "getrusage", lambda who: Usage)
    monkeypatch.setattr(sys, "platform", platform)
    assert devices.peak_memory_bytes(CPU) == 123_456 * unit


def test_where_nothing_tells_the_peak_it_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setitem(sys.modules, "resource", None)  # Windows has none: importing it raises
    assert devices.peak_memory_bytes(CPU) is None
