"""Some jobs of a store as they are now, for any number of readers, who never wait for it.

A thread looks at the store while somebody asks, and for nobody else: what runs tell, and which files of rows there
are. Where these have changed, the report is made anew, not sooner than three times as long after the last as that
took: so at most a quarter of the time goes into reading, however large the store is.
"""

from __future__ import annotations

import hashlib
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from ..errors import HarnessError, StoreError
from ..execution.durations import duration
from ..job.reading import parse_job
from ..job.tune import TuneJob
from ..storage.live import LiveReader, Seen
from ..storage.query import Results
from ..storage.store import Store
from .strip import Strip, command_again, strip

_ON_DISK_SECONDS, _ELSEWHERE_SECONDS = 1.0, 10.0
"""Between two looks at the store."""
_PATIENT_TIMES = 10.0
"""Nor sooner than so many times as long as a look takes."""
_REST_TIMES = 3.0
_ASKED_SECONDS = 30.0
"""After which nobody asks any more."""


@dataclass(frozen=True)
class Content:
    """What a reader's page shows.

    Attributes:
      body: HTML of what is in ``<main>``.
      data: JSON for the page's script.
    """

    title: str
    body: str
    data: str


Make = Callable[[Results, Sequence[str]], Content]
"""From a store and names of jobs."""


@dataclass(frozen=True)
class Made:
    """A report, of which state of the store it is, how long it took and when it was made."""

    version: str
    content: Content
    num_rows: Mapping[str, int]
    seconds: float
    at: float


@dataclass(frozen=True)
class _Look:
    """What was seen of the store.

    Attributes:
      version: Names the files of rows that there were.
    """

    version: str
    seen: Mapping[str, Seen | None]


class View:
    """Some jobs of a store, or all.

    Args:
      root: Of the store.
      jobs: Their names; empty for all that there are.
      make: Makes what is shown.

    Attributes:
      jobs: As they were given.
    """

    def __init__(self, root: str, jobs: Sequence[str], make: Make) -> None:
        self._store, self.jobs, self._make = Store(root), tuple(jobs), make
        on_disk = self._store.place.folder is not None
        self._interval = _ON_DISK_SECONDS if on_disk else _ELSEWHERE_SECONDS
        self._readers: dict[str, LiveReader] = {}
        self._commands: dict[str, str] = {}
        self._asked = time.monotonic()
        self._guard, self._closed = threading.Lock(), threading.Event()
        self._looking: threading.Thread | None = None
        self._making: threading.Thread | None = None
        self._look: _Look | None = None
        self._made: Made | None = None
        self._problem_of_store = self._problem_of_report = ""
        self._tried = ""
        self._began = self._asked
        self._rest_until = 0.0

    @property
    def made(self) -> Made | None:
        """The latest report; None before the first."""
        return self._made

    def state(self) -> dict[str, Any]:
        """Where all is, as a small object of JSON; it is what was seen last, and has the store looked at again."""
        with self._guard:
            self._asked = time.monotonic()
            is_looking = self._looking is not None and self._looking.is_alive()
            if not is_looking and not self._closed.is_set():
                self._looking = threading.Thread(target=self._keep_looking, name="watch", daemon=True)
                self._looking.start()
        look, made = self._look, self._made
        problem = self._problem_of_store or self._problem_of_report
        return {
            "problem": problem,
            "jobs": None if look is None else [asdict(self._strip(*one, made)) for one in look.seen.items()],
            "version": made.version if made is not None else None,
            "reading": self._reading(look, made),
        }

    def close(self, *, seconds: float) -> bool:
        """Looks no more; whether what was under way has ended within some seconds."""
        self._closed.set()
        threads = [thread for thread in (self._looking, self._making) if thread is not None]
        deadline = time.monotonic() + seconds
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in threads)

    # --- what is said

    def _strip(self, job: str, seen: Seen | None, made: Made | None) -> Strip:
        num_rows = made.num_rows.get(job, 0) if made is not None else None
        again, now = self._commands.get(job, ""), datetime.now().astimezone()
        try:
            return strip(job, seen, num_rows=num_rows, again=again, now=now)
        except (KeyError, TypeError, ValueError, AttributeError):  # a file in a store may say anything
            problem = "What the run tells of itself is of another version of the harness, and not understood here."
            return Strip(job, "unknown", problem, "", num_rows, None, None)

    def _reading(self, look: _Look | None, made: Made | None) -> str:
        """The cost, in words."""
        if made is None:
            took = time.monotonic() - self._began
            return f"The store is being read{f', for {duration(took)}' if took > 1 else ''}."
        text = f"Read in {made.seconds:.1f} s, {duration(time.monotonic() - made.at)} ago"
        if look is None or look.version == made.version:
            return f"{text}; nothing is new since."
        left = self._rest_until - time.monotonic()
        return f"{text}; {'it is being read again.' if left <= 0 else f'again in {duration(left)}.'}"

    # --- reading

    def _keep_looking(self) -> None:
        while time.monotonic() - self._asked < _ASKED_SECONDS and not self._closed.is_set():
            began = time.monotonic()
            try:
                self._look = self._looked()
                self._problem_of_store = ""
            except StoreError as error:
                self._problem_of_store = str(error)
            self._make_if_due()
            self._closed.wait(max(self._interval, _PATIENT_TIMES * (time.monotonic() - began)))

    def _looked(self) -> _Look:
        jobs = self.jobs or tuple(self._store.jobs())
        files = hashlib.sha256()
        for job in jobs:
            for table in ("cells", "trials"):  # rows of other tables come before those of their cells
                for info in sorted(self._store.place.listing(f"{job}/{table}"), key=lambda info: info.path):
                    files.update(f"{info.path} {info.size}\n".encode())
            if job not in self._readers:
                self._readers[job] = LiveReader(self._store, job)
                self._commands[job] = self._command(job)
        seen = {job: self._readers[job].look() for job in jobs}
        return _Look(files.hexdigest()[:16], seen)

    def _command(self, job: str) -> str:
        name = f"{job}/job.yaml"
        try:
            is_search = isinstance(parse_job((self._store.place.content(name) or b"").decode()), TuneJob)
        except (HarnessError, UnicodeDecodeError):
            is_search = False
        return command_again(self._store.place.address(name), is_search=is_search, root=self._store.root)

    def _make_if_due(self) -> None:
        look, now = self._look, time.monotonic()
        is_under_way = self._making is not None and self._making.is_alive()
        if look is None or look.version == self._tried or is_under_way or now < self._rest_until:
            return
        self._making = threading.Thread(target=self._make_report, args=(look,), name="report", daemon=True)
        self._making.start()

    def _make_report(self, look: _Look) -> None:
        began = self._began = time.monotonic()
        try:
            results = Results(self._store.root)
            rows = results.query("SELECT job, count(*) AS num FROM cells GROUP BY job").to_pylist()
            num_rows = {row["job"]: row["num"] for row in rows}
            content = self._make(results, tuple(look.seen))
        except HarnessError as error:  # a file may have been merged meanwhile, which the next look shows
            self._problem_of_report = str(error)
        except Exception as error:  # noqa: BLE001 - a report of rows of any kind; the page goes on, and says so
            traceback.print_exc(file=sys.stderr)
            self._problem_of_report = f"The report cannot be made: {type(error).__name__}: {error}"
            self._tried = look.version  # the same rows would do the same
        else:
            self._made = Made(look.version, content, num_rows, time.monotonic() - began, time.monotonic())
            self._tried, self._problem_of_report = look.version, ""
        took = time.monotonic() - began
        self._rest_until = time.monotonic() + max(2 * self._interval, _REST_TIMES * took)
