"""``python -m harness`` is the ``harness`` command."""

from __future__ import annotations

from .cli.app import main

main()
