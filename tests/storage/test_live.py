"""What a run tells of itself in the store, and whether it is at work, has ended, or was killed."""

from __future__ import annotations

import json
import math
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.errors import StoreError
from harness.storage import live as module
from harness.storage.live import FILE, Live, LiveReader, Seen, is_at_work, told
from harness.storage.place import Place
from harness.storage.store import Store
from tests.storage import s3

HERE = socket.gethostname()
WORK = (
    "import sys; from harness.storage import live; from harness.storage.store import Store\n"
    "live._ELSEWHERE_SECONDS = live._BEAT_SECONDS = 0.5\n"
    "store = Store(sys.argv[1])\n"
    "with store.locked('j'), live.told(store, 'j', dict) as tell:\n"
    "    tell({'ended': 31, 'cells': 72}); print('told', flush=True); sys.stdin.read()"
)
LIVE = Live("r", "j", HERE, 17, "2026-01-01T00:00:00+00:00", "2026-01-01T00:01:00+00:00", None, "", {})


@pytest.fixture(scope="module")
def server() -> Iterator[s3.Proxy]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "somebody")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret-of-theirs")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        with s3.served() as proxy:
            yield proxy


def working(root: str) -> subprocess.Popen[str]:
    """Another process that works on job ``j`` until its input ends."""
    pipe: Any = subprocess.PIPE
    process = subprocess.Popen([sys.executable, "-c", WORK, root], stdin=pipe, stdout=pipe, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "told\n"
    return process


def look(reader: LiveReader, wanted: Callable[[Seen], bool]) -> Seen:
    """What is seen as soon as it is what is wanted; within 20 s."""
    deadline = time.monotonic() + 20
    while (seen := reader.look()) is None or not wanted(seen):
        assert time.monotonic() < deadline, seen
        time.sleep(0.1)
    return seen


def test_a_killed_run_is_seen_as_such_with_what_it_said_last(store: Store) -> None:
    reader = LiveReader(store, "j")
    with working(store.root) as other:
        seen = look(reader, lambda seen: seen.live.state != {})
        assert (seen.standing, seen.live.state, seen.live.pid) == ("running", {"ended": 31, "cells": 72}, other.pid)
        other.kill()
    seen = look(reader, lambda seen: True)
    assert (seen.standing, seen.live.state, seen.live.ended) == ("killed", {"ended": 31, "cells": 72}, None)
    with store.locked("j"):  # a later run, or a command that tidies up, does not revive it
        assert look(reader, lambda seen: True).standing == "killed"
        assert look(LiveReader(store, "j"), lambda seen: True).standing == "killed"


def test_a_run_that_ends_says_so(store: Store) -> None:
    with working(store.root) as other:
        other.communicate("")
    seen = look(LiveReader(store, "j"), lambda seen: True)
    assert (seen.standing, seen.live.ended, seen.live.state["ended"]) == ("ended", "complete", 31)


def as_it_is(state: dict[str, Any]) -> dict[str, Any]:
    return state


class Interrupted(BaseException):
    """As the command line raises at a signal."""


@pytest.mark.parametrize(
    ("error", "ended", "text"),
    [(StoreError("no \x1b[31mroom"), "failed", "no \\x1b[31mroom"), (Interrupted(), "interrupted", "")],
)
def test_it_is_told_how_a_run_ended_too_soon(store: Store, error: BaseException, ended: str, text: str) -> None:
    def work() -> None:
        with told(store, "j", as_it_is) as tell:
            tell({"ended": 1})
            tell({"ended": 2})  # within the same second: not written, unless it is the last
            raise error

    with pytest.raises(type(error)):
        work()
    live = Live.of(store.place.content(f"j/{FILE}"))
    assert live is not None
    assert (live.ended, live.error, live.state) == (ended, text, {"ended": 2})


def test_a_new_run_follows_a_killed_one(store: Store) -> None:
    reader = LiveReader(store, "j")
    with working(store.root) as first:
        look(reader, lambda seen: True)
        first.kill()
    assert look(reader, lambda seen: True).standing == "killed"
    with working(store.root) as second:
        look(reader, lambda seen: seen.standing == "running" and seen.live.pid == second.pid)
        second.kill()


def test_without_locks_a_run_is_gone_when_it_has_been_silent(server: s3.Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_WATCHED_SECONDS", 2.0)
    store = Store(server.uri("live"))
    reader = LiveReader(store, "j")
    with working(store.root) as other:
        first = look(reader, lambda seen: seen.live.state != {})
        seen = look(reader, lambda seen: seen.live.updated > first.live.updated)  # though nothing is new
        assert seen.standing == "running"
        other.kill()
    assert look(reader, lambda seen: True).standing == "running"  # as far as is known
    assert look(reader, lambda seen: seen.standing != "running").standing == "killed"


@pytest.mark.parametrize(
    ("host", "has_locks", "holder", "unchanged", "age", "expected"),
    [
        (HERE, True, f"17 on {HERE}", 1e4, 1e4, True),  # it was stopped, or the machine slept
        (HERE, True, "", 0.0, 0.0, True),
        (HERE, True, None, 0.0, 0.0, False),
        (HERE, True, f"18 on {HERE}", 0.0, 0.0, False),
        ("other", True, "17 on other", 1e4, 1e4, True),  # a shared disk whose locks are, too
        ("other", True, None, 1.0, 1.0, True),  # one whose locks are not
        ("other", True, None, 31.0, 31.0, False),
        (HERE, False, None, 1.0, 1.0, True),
        (HERE, False, None, 31.0, 31.0, False),
        (HERE, False, None, 0.0, 1e4, False),  # of yesterday, and seen for the first time
    ],
)
def test_who_is_at_work(
    host: str, has_locks: bool, holder: str | None, unchanged: float, age: float, expected: bool
) -> None:
    live = replace(LIVE, host=host)
    found = is_at_work(live, has_locks=has_locks, holder=holder, unchanged_seconds=unchanged, age_seconds=age)
    assert found is expected


def test_many_states_are_one_file_and_a_large_job_costs_little(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    described: list[int] = []
    puts: list[bytes] = []
    monkeypatch.setattr(Place, "put", lambda self, name, content: puts.append(content))

    def describe(state: int) -> dict[str, int]:
        described.append(state)
        return {"ended": state}

    with told(store, "j", describe) as tell:
        for number in range(100_000):
            tell(number)
    assert described[0] == 0
    assert described[-1] == 99_999
    assert len(described) < 10  # as many as seconds have passed, and the last
    assert len(puts) < 10


def test_a_store_that_does_not_take_it_stops_no_run(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Place, name: str, content: bytes) -> None:
        raise StoreError("full")

    monkeypatch.setattr(Place, "put", refuse)
    with told(store, "j", as_it_is) as tell:
        tell({})
    assert LiveReader(store, "j").look() is None


def test_what_is_no_number_is_null(store: Store) -> None:
    with told(store, "j", as_it_is) as tell:
        tell({"best": [math.nan, {"worst": math.inf}, 1.5]})
    content = store.place.content(f"j/{FILE}")
    assert content is not None
    assert json.loads(content, parse_constant=pytest.fail)["state"] == {"best": [None, {"worst": None}, 1.5]}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[1]",
        b"\xff",
        b"{}",
        LIVE.content.replace(b"null", b'"burnt"'),
        LIVE.content.replace(b"{}", b"7"),
        LIVE.content.replace(b"+00:00", b""),
        LIVE.content.replace(b'"j"', b"4"),
    ],
)
def test_another_file_is_none(store: Store, content: bytes) -> None:
    assert Live.of(LIVE.content) == LIVE
    store.place.put(f"j/{FILE}", content)
    assert LiveReader(store, "j").look() is None


def test_looking_writes_nothing(store: Store) -> None:
    with store.locked("j"), told(store, "j", as_it_is):
        pass
    folder = Path(store.root) / "j"
    before = {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.iterdir()}
    (folder / FILE).write_bytes(replace(LIVE, pid=os.getpid()).content)
    before[FILE] = ((folder / FILE).stat().st_mtime_ns, (folder / FILE).read_bytes())
    assert look(LiveReader(store, "j"), lambda seen: True).standing == "killed"
    assert {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.iterdir()} == before
