"""What a run is doing, told in its store for whoever looks: a small file that its driver writes anew.

    <root>/<job>/.live.json

It is for people alone: nothing is decided by it, and a store that does not take it stops no run. Whether a run that
has not said how it ended is still at work is seen by its job's lock; where there is none, or it is another machine's,
by whether the file still changes, as with a lease.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, Generic, Literal, TypeVar

from ..errors import StoreError, printable
from .place import Place
from .store import Store

FILE = ".live.json"

_ON_DISK_SECONDS, _ELSEWHERE_SECONDS = 1.0, 10.0
"""Between two writings."""
_BEAT_SECONDS = 10.0
"""After which it is written though there is no news."""
_WATCHED_SECONDS = 30.0
"""A file that stays the same for so long is a run's that is gone."""
_OLD_SECONDS = 300.0
"""So is one that was this old when it was first seen; clocks differ by less."""
_GOODBYE_SECONDS = 5.0
"""How long an ended run waits for its last words to be written."""

Ending = Literal["complete", "interrupted", "failed"]
Standing = Literal["running", "ended", "killed"]
_ENDINGS = ("complete", "interrupted", "failed")

S = TypeVar("S")


@dataclass(frozen=True)
class Live:
    """A run, as its driver tells of it.

    Attributes:
      run: Of this call alone.
      started, updated: When, as ISO texts in UTC, by the driver's clock.
      ended: How; None while it has not.
      error: Why it failed.
      state: What the driver says of its cells and packs; see `execution.state.as_dict`.
    """

    run: str
    job: str
    host: str
    pid: int
    started: str
    updated: str
    ended: Ending | None
    error: str
    state: Mapping[str, Any]

    @staticmethod
    def of(content: bytes | None) -> Live | None:
        """What a file says; None where there is none, or it is no such file."""
        try:
            found = json.loads(content or b"")
            live = Live(**{name: found[name] for name in Live.__dataclass_fields__})
            is_dated = all(datetime.fromisoformat(text).tzinfo for text in (live.started, live.updated))
        except (ValueError, TypeError, KeyError):
            return None
        is_sound = isinstance(live.state, dict) and (live.ended is None or live.ended in _ENDINGS)
        is_sound &= all(isinstance(text, str) for text in (live.run, live.job, live.host, live.error))
        return live if is_dated and is_sound else None

    @property
    def content(self) -> bytes:
        """Of the file."""
        return json.dumps(_finite(asdict(self))).encode()

    @property
    def holder(self) -> str:
        """As the job's lock names this run, if it holds it."""
        return f"{self.pid} on {self.host}"


# --- the driver's side


@contextlib.contextmanager
def told(store: Store, job: str, describe: Callable[[S], Mapping[str, Any]]) -> Iterator[Callable[[S], None]]:
    """Tells what a run does, for the block, which holds the job's lock; gives the function to be told of each state.

    At most one file a second is written to a disk, one every 10 s to other places, by a thread of its own.

    Args:
      store: Where.
      job: Its name.
      describe: A state as a small object of JSON; called when it is to be written.
    """
    teller = _Teller(store, job, describe)
    try:
        yield teller.note
    except Exception as error:
        teller.end("failed", str(error) or type(error).__name__)
        raise
    except BaseException:
        teller.end("interrupted")
        raise
    teller.end("complete")


class _Teller(Generic[S]):
    def __init__(self, store: Store, job: str, describe: Callable[[S], Mapping[str, Any]]) -> None:
        self._root, self._name, self._describe = store.absolute_root, f"{job}/{FILE}", describe
        self._interval = _ELSEWHERE_SECONDS if store.place.folder is None else _ON_DISK_SECONDS
        now = _now()
        self._live = Live(uuid.uuid4().hex, job, socket.gethostname(), os.getpid(), now, now, None, "", {})
        self._last: S | None = None
        self._described = -math.inf
        self._place: Place | None = None
        self._news, self._ended = threading.Event(), threading.Event()
        self._news.set()
        self._thread = threading.Thread(target=self._keep, name="live", daemon=True)
        self._thread.start()

    def note(self, state: S) -> None:
        """Told where the run stands; it is described here, as it changes on."""
        self._last = state
        if time.monotonic() - self._described >= self._interval:
            self._describe_last()
            self._news.set()

    def end(self, how: Ending, error: str = "") -> None:
        """Told that the run has ended; waits a moment for that to be written."""
        self._describe_last()
        self._live = replace(self._live, ended=how, error=printable(error), updated=_now())
        self._ended.set()
        self._news.set()
        self._thread.join(_GOODBYE_SECONDS)

    def _describe_last(self) -> None:
        if self._last is not None:
            self._live = replace(self._live, state=self._describe(self._last))
            self._described = time.monotonic()

    def _keep(self) -> None:
        while not self._ended.is_set():
            self._news.wait(_BEAT_SECONDS)
            self._news.clear()
            if not self._ended.is_set():
                self._put(replace(self._live, updated=_now()))
                self._ended.wait(self._interval)
        self._put(self._live)

    def _put(self, live: Live) -> None:
        with contextlib.suppress(StoreError):  # the run says so itself, if it minds
            self._place = self._place or Place(self._root, patience_seconds=0.0)
            self._place.put(self._name, live.content)


# --- the reader's side


@dataclass(frozen=True)
class Seen:
    """A run as it is seen now.

    Attributes:
      standing: Whether it works, has said how it ended, or is gone without a word.
      unchanged_seconds: Since the reader first saw this file.
    """

    live: Live
    standing: Standing
    unchanged_seconds: float


class LiveReader:
    """Follows what is told of a job's runs; writes nothing.

    Raises:
      StoreError: From `look`, if the store cannot be read.
    """

    def __init__(self, store: Store, job: str) -> None:
        self._store, self._job = store, job
        self._content: bytes | None = None
        self._first_seen = 0.0
        self._is_gone = False

    def look(self) -> Seen | None:
        """The latest run; None where none was told of."""
        live = self._read()
        if live is None or live.ended is not None:
            return self._seen(live, "ended")
        if not self._is_gone:
            holder = self._store.lock_holder(self._job)
            known, live = live, self._read()  # it may have said how it ended, and then let go of the lock
            if live is None or live.ended is not None:
                return self._seen(live, "ended")
            self._is_gone = live == known and not is_at_work(
                live,
                has_locks=self._store.place.folder is not None,
                holder=holder,
                unchanged_seconds=time.monotonic() - self._first_seen,
                age_seconds=seconds_since(live.updated),
            )
        return self._seen(live, "killed" if self._is_gone else "running")

    def _read(self) -> Live | None:
        content = self._store.place.content(f"{self._job}/{FILE}")
        if content != self._content:
            self._content, self._first_seen, self._is_gone = content, time.monotonic(), False
        return Live.of(content)

    def _seen(self, live: Live | None, standing: Standing) -> Seen | None:
        return None if live is None else Seen(live, standing, time.monotonic() - self._first_seen)


def is_at_work(
    live: Live, *, has_locks: bool, holder: str | None, unchanged_seconds: float, age_seconds: float
) -> bool:
    """Whether a run that has not said that it ended still works.

    Args:
      live: What it said last.
      has_locks: Whether the store has locks that the system releases however a process ends.
      holder: Who holds the job's lock, as far as it is seen from here; see `Store.lock_holder`.
      unchanged_seconds: For how long it has been seen to say the same.
      age_seconds: Of what it says, by its clock and ours.
    """
    if has_locks and (holder is not None or live.host == socket.gethostname()):
        return holder in ("", live.holder)  # another's is a later run's, or that of a command that tidies up
    return unchanged_seconds < _WATCHED_SECONDS and age_seconds < _OLD_SECONDS


def seconds_since(time_text: str) -> float:
    """Of a time as `Live` has it, by this machine's clock."""
    return (datetime.now(UTC) - datetime.fromisoformat(time_text)).total_seconds()


def _now() -> str:
    return datetime.now(UTC).isoformat()


def _finite(value: Any) -> Any:
    """JSON has no NaN and no infinities."""
    if isinstance(value, dict):
        return {name: _finite(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
