"""One driver a job, on stores that have no locks: an object that its owner keeps writing anew.

Whoever finds one watches it: if it changes, its owner is alive; if it does not for `_WATCHED_SECONDS`, the owner is
gone and the object is taken over. No clock is compared. Two that take it within the same moment are told apart by
reading it back; in the worst case both work, which costs time and doubles no row that counts.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator

from ..errors import StoreError
from .place import Place, warn

_RENEWED_SECONDS = 10.0
_WATCHED_SECONDS = 30.0
_SETTLED_SECONDS = 1.0  # after which a write is what all readers see


@contextlib.contextmanager
def held(place: Place, name: str, *, what: str) -> Iterator[None]:
    """Holds a lease for the block.

    Args:
      place: Where it is kept.
      name: Of its object.
      what: It is for, for a person.

    Raises:
      StoreError: If another process holds it.
    """
    owner = {"host": socket.gethostname(), "pid": os.getpid(), "id": uuid.uuid4().hex}
    _wait_for(place, name, what)

    def renew(count: int) -> None:
        place.put(name, json.dumps({**owner, "count": count}).encode())

    def other() -> str:
        """Who holds it now, if somebody else does."""
        content = place.content(name)
        return "" if content is None or _fields(content).get("id") == owner["id"] else _described(_fields(content))

    renew(0)
    time.sleep(_SETTLED_SECONDS)
    if rival := other():
        raise StoreError(f"{what}: {rival} has begun to work on it in the same moment")
    ended = threading.Event()

    def keep() -> None:
        count = 0
        while not ended.wait(_RENEWED_SECONDS):
            count += 1
            try:
                if rival := other():
                    warn(f"{what}: {rival} works on it as well; some of it is computed twice")
                    return
                renew(count)
            except StoreError:  # the next time will show; whoever needs the store will say so
                continue

    thread = threading.Thread(target=keep, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        place.patience_seconds = 0.0  # an end does not wait for a store that does not answer
        thread.join(timeout=_SETTLED_SECONDS)
        with contextlib.suppress(StoreError):  # whoever comes next sees that it is left alone
            if not other():
                place.delete([name])


def _wait_for(place: Place, name: str, what: str) -> None:
    """Returns when nobody holds the lease."""
    found = place.content(name)
    if found is None:
        return
    warn(f"{what}: {_described(_fields(found))} has worked on it; looking whether it still does")
    deadline = time.monotonic() + _WATCHED_SECONDS
    while time.monotonic() < deadline:
        time.sleep(_SETTLED_SECONDS)
        now = place.content(name)
        if now is None:
            return
        if now != found:
            raise StoreError(
                f"{what}: {_described(_fields(now))} works on it; wait for it, or end it, and run this again"
            )


def _fields(content: bytes | None) -> dict[str, object]:
    try:
        found = json.loads(content or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _described(owner: dict[str, object]) -> str:
    return f"process {owner.get('pid', '?')} on {owner.get('host', '?')}"
