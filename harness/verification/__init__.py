"""The theorems of the source documents as numeric checks, each of which can fail.

A check exercises the harness's own losses, networks, divergences, bounds and transport, and compares them with
something independent: scipy's quadrature and distributions, autograd, finite differences, closed forms, exact
transport, ranks by SVD.
"""

from __future__ import annotations

from collections.abc import Sequence

from .findings import Finding
from .statements import CHECKS, run_checks

__all__ = ["CHECKS", "Finding", "run_checks", "verify"]


def verify(only: Sequence[str] | None = None) -> list[Finding]:
    """Checks the theorems numerically; one finding per statement.

    Args:
      only: Identifiers of some statements, such as ``["2.4", "3.3"]``; None for all.

    Raises:
      ValueError: If an identifier is unknown.
    """
    return list(run_checks(only))
