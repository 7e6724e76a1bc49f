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
from collections.abc import Callable, Iterator

from ..errors import StoreError

_RENEWED_SECONDS = 10.0
_WATCHED_SECONDS = 30.0
_SETTLED_SECONDS = 1.0  # after which a write is what all readers see


@contextlib.contextmanager
def held(
    read: Callable[[], bytes | None],
    write: Callable[[bytes], None],
    delete: Callable[[], None],
    *,
    what: str,
    warn: Callable[[str], None],
) -> Iterator[None]:
    """Holds a lease for the block.

    Args:
      read: Gives the object's content, None where there is none.
      write: Replaces it.
      delete: Removes it.
      what: It is for, for a person.
      warn: Told of waiting, and of losing the lease.

    Raises:
      StoreError: If another process holds it.
    """
    owner = {"host": socket.gethostname(), "pid": os.getpid(), "id": uuid.uuid4().hex}
    _take(read, what, warn)

    def renew(count: int) -> None:
        write(json.dumps({**owner, "count": count}).encode())

    def is_ours() -> bool:
        return _fields(read()).get("id") == owner["id"]

    renew(0)
    time.sleep(_SETTLED_SECONDS)
    if not is_ours():
        raise StoreError(f"{what}: {_described(_fields(read()))} has begun to work on it in the same moment")
    ended = threading.Event()

    def keep() -> None:
        count = 0
        while not ended.wait(_RENEWED_SECONDS):
            count += 1
            try:
                if not is_ours():
                    warn(f"{what}: {_described(_fields(read()))} works on it as well; some of it is computed twice")
                    return
                renew(count)
            except (OSError, StoreError):  # the next time will show; whoever needs the store will say so
                continue

    thread = threading.Thread(target=keep, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        with contextlib.suppress(OSError, StoreError):  # whoever comes next sees that it is left alone
            if is_ours():
                delete()


def _take(read: Callable[[], bytes | None], what: str, warn: Callable[[str], None]) -> None:
    """Returns when nobody holds the lease."""
    found = read()
    if found is None:
        return
    warn(f"{what}: {_described(_fields(found))} has worked on it; looking whether it still does")
    deadline = time.monotonic() + _WATCHED_SECONDS
    while time.monotonic() < deadline:
        time.sleep(_SETTLED_SECONDS)
        now = read()
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
