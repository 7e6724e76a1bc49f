"""Where numbers come from: versions and commit."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .. import __version__


@dataclass(frozen=True)
class Provenance:
    """Where numbers come from: versions (JSON) and the harness's commit."""

    versions: str
    git_commit: str | None


def git_commit() -> str | None:
    """The commit of the checkout this package runs from, ``-dirty`` where its files differ; None without a checkout."""
    folder = str(Path(__file__).resolve().parents[1])
    commit = _git("log", "-1", "--format=%H", "--", folder, folder=folder)
    if not commit:
        return None
    return f"{commit}-dirty" if _git("status", "--porcelain", "--", folder, folder=folder) else commit


def _git(*arguments: str, folder: str) -> str:
    """What git answers; nothing where it does not."""
    try:
        answer = subprocess.run(
            ["git", "-C", folder, *arguments], capture_output=True, text=True, check=False, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.strip()


def versions_json() -> str:
    """Versions that matter for the numbers, as JSON."""
    import platform
    from importlib.metadata import version

    # our own from the code itself, which travels to clusters without being installed there
    ours = {"python": platform.python_version(), "harness": __version__}
    return json.dumps({**ours, **{name: version(name) for name in ("torch", "ray")}})
