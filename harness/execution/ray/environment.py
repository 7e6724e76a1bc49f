"""What Ray reads from the environment when it is imported: usage statistics off, and the user's token for own clusters.

Ray protects clusters of this machine by a token (``~/.ray/auth_token``), but sends it to an address given by name only
if RAY_AUTH_MODE=token is set. Addresses of this machine get it without asking; any other address only if the user says
so, since a token must not go to strangers.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from urllib.parse import urlsplit

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def prepare(address: str | None) -> None:
    """Sets the variables for a cluster at `address`; to be called before ``import ray``."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # of calls whose answers nobody needs any more, as those of actors that were ended; all others are asked for
    os.environ.setdefault("RAY_IGNORE_UNHANDLED_ERRORS", "1")
    if not address and not has_token():
        _make_token()
    if is_loopback(address) and has_token():
        os.environ.setdefault("RAY_AUTH_MODE", "token")


def _make_token() -> None:
    """A token for this machine's clusters, that only its user can read (Ray lets others); else of this process."""
    token = secrets.token_hex(32)
    try:
        path = Path.home() / ".ray" / "auth_token"
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(token)
    except (OSError, RuntimeError):  # no home, or none that can be written to, or another process was first
        if not has_token():
            os.environ["RAY_AUTH_TOKEN"] = token


def is_loopback(address: str | None) -> bool:
    """Whether an address (``http://127.0.0.1:8265``, ``localhost:6379``) is of this machine's loopback interface."""
    if not address:
        return False
    return urlsplit(address if "//" in address else f"//{address}").hostname in _LOOPBACK


def has_token() -> bool:
    """Whether the user has a Ray token, in the places where Ray looks for it."""
    if os.environ.get("RAY_AUTH_TOKEN"):
        return True
    try:
        return Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token").is_file()
    except (OSError, RuntimeError):  # no home
        return False
