"""The server over real HTTP: who is answered, what is at which address, and that nothing is written."""

from __future__ import annotations

import hashlib
import http.client
import itertools
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from harness.errors import HarnessError
from harness.storage.query import Results
from harness.storage.store import Store
from harness.watch import view as module
from harness.watch.access import Access
from harness.watch.server import Server
from harness.watch.site import Pages, Site, policy_of
from harness.watch.view import Content
from tests.storage import s3
from tests.storage.test_store import cell

NASTY = "<script>alert(1)<"
OWN = Access.to("127.0.0.1", with_token=False)


def rows_as_text(results: Results, jobs: Sequence[str]) -> Content:
    """In place of a report: the cells that there are."""
    rows = results.query("SELECT cell_id FROM cells ORDER BY cell_id").to_pylist()
    return Content(" ".join(jobs), escape(" ".join(row["cell_id"] for row in rows)), "{}")


def whole(content: Content, above: str) -> str:
    return f"<!doctype html><title>{escape(content.title)}</title>{above}<main id=report>{content.body}</main>"


PAGES = Pages(rows_as_text, whole)


@pytest.fixture
def root(tmp_path: Path) -> str:
    """A store with two jobs, one of which has a name that is HTML."""
    store = Store(tmp_path / "results")
    for job in ("ring", NASTY):
        add(store, job, f"first of {job}")
    return store.root


def add(store: Store, job: str, cell_id: str) -> None:
    store.write_part(
        job,
        "cells",
        [cell(cell_id=cell_id, job=job, seed=len(cell_id))],
        part=hashlib.md5(cell_id.encode()).hexdigest(),
    )


@contextmanager
def served(
    root: str, *jobs: str, host: str = "127.0.0.1", access: Access = OWN, pages: Pages = PAGES
) -> Iterator[Server]:
    site = Site(root, jobs, pages)
    server = Server(host, 0, access=access, site=site)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        assert site.close(seconds=20)


class Reply:
    """To a request, which is as it is given, without what clients add."""

    def __init__(
        self, server: Server, path: str = "/", *, method: str = "GET", at: str = "127.0.0.1", **headers: str
    ) -> None:
        connection = http.client.HTTPConnection(at, server.server_port, timeout=30)
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in {"Host": f"127.0.0.1:{server.server_port}", **headers}.items():
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        self.status, self.headers, self.text = answer.status, answer.headers, answer.read().decode()
        connection.close()

    @property
    def json(self) -> Any:
        return json.loads(self.text)


def wait_for(what: Callable[[], Any]) -> Any:
    """Asks until the answer is true, within 20 s."""
    deadline = time.monotonic() + 20
    while not (found := what()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def report_of(server: Server, query: str = "?job=ring") -> Any:
    """The report as soon as there is one."""
    wait_for(lambda: Reply(server, f"/state{query}").json["version"])
    return Reply(server, f"/report{query}").json


# --- what is there


def test_new_rows_are_in_the_next_report(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ON_DISK_SECONDS", 0.1)
    with served(root, "ring") as server:
        first = report_of(server, "")
        assert first["body"] == escape(f"first of {NASTY} first of ring")
        assert Reply(server, "/report").json == first  # nothing is new
        add(Store(root), "ring", "second")
        state = wait_for(lambda: (now := Reply(server, "/state").json)["version"] != first["version"] and now)
        assert Reply(server, "/report").json["body"].endswith(" second")
        assert (state["problem"], [run["job"] for run in state["jobs"]]) == ("", ["ring"])
        assert state["reading"].startswith("Read in ")
        assert Reply(server).text.endswith(" second</main>")  # whoever comes later has it at once


def test_without_names_there_is_a_list_and_each_job_has_its_page(root: str) -> None:
    with served(root) as server:
        assert {run["job"] for run in wait_for(lambda: Reply(server, "/state").json["jobs"])} == {"ring", NASTY}
        assert 'data-list="1"' in Reply(server).text
        assert 'data-list="0"' in Reply(server, "/?job=ring").text
        assert report_of(server, f"?job={quote(NASTY)}")["title"] == NASTY
        assert Reply(server, "/?job=rong").status == 404
        assert Reply(server, "/?job=ring&job=ring").status == 404
        assert Reply(server, "/state?job=../ring").status == 404


def test_one_job_alone_is_what_is_shown(tmp_path: Path) -> None:
    add(Store(tmp_path), "a&b", "one")
    with served(str(tmp_path)) as server:
        reply = Reply(server, "/?token=x")
        assert (reply.status, reply.headers["Location"]) == (303, "/?token=x&job=a%26b")
        assert Reply(server, reply.headers["Location"]).status == 200


def test_of_chosen_jobs_others_are_not_shown(root: str) -> None:
    with served(root, "ring") as server:
        assert Reply(server, f"/?job={quote(NASTY)}").status == 404
        assert Reply(server, "/?job=ring").status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd",
        "/..%2f..%2fetc%2fpasswd",
        "/ring/job.yaml",
        "//etc/passwd",
        "/live.js",
        "/report/",
        "/%00",
        "*",
    ],
)
def test_there_is_nothing_else(root: str, path: str) -> None:
    with served(root) as server:
        reply = Reply(server, path)
        assert (reply.status, reply.text) == (404, "there is nothing at this address; the page is at /\n")


def test_nothing_is_written_and_nothing_else_is_answered(root: str) -> None:
    def content() -> dict[str, tuple[int, str]]:
        paths = [path for path in Path(root).rglob("*") if path.is_file()]
        return {str(path): (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest()) for path in paths}

    before = content()
    with served(root) as server:
        for query in ("", "?job=ring", f"?job={quote(NASTY)}"):
            assert Reply(server, f"/{query}").status == 200
            assert report_of(server, query)
        head = Reply(server, "/?job=ring", method="HEAD")
        assert (head.status, head.text) == (200, "")
        assert int(head.headers["Content-Length"]) > 1000
        for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
            reply = Reply(server, "/", method=method)
            assert (reply.status, reply.headers["Allow"]) == (405, "GET, HEAD")
        assert Reply(server, "/", method="BREW").status == 501
    assert content() == before


# --- who is answered


def test_another_name_for_this_machine_is_another_site(root: str) -> None:
    with served(root) as server:
        for path in ("/", "/state", "/report?job=ring"):
            for host in ("evil.example", f"evil.example:{server.server_port}", ""):
                assert Reply(server, path, Host=host).status == 403
        assert Reply(server, Host="localhost:1").status == 200


def own_address() -> str:
    """An address of this machine that others reach."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # nothing is sent
            address = str(probe.getsockname()[0])
        except OSError:
            address = "127.0.0.1"
    if address.startswith("127."):
        pytest.skip("this machine has no other address")
    return address


def test_whoever_comes_from_elsewhere_is_refused_unless_that_was_asked_for(root: str) -> None:
    at = own_address()
    with served(root, host="0.0.0.0") as server:  # as if a rule of the firewall had led there
        reply = Reply(server, at=at, Host="localhost")
        assert reply.status == 403
        assert "for the machine that it runs on alone" in reply.text
    with served(root) as server, pytest.raises(ConnectionRefusedError):
        Reply(server, at=at)


def test_from_elsewhere_the_token_is_asked_for_at_every_address(root: str) -> None:
    at, access = own_address(), Access.to("0.0.0.0", with_token=False)
    assert access.token is not None
    with served(root, host="0.0.0.0", access=access) as server:
        assert server.url == f"http://{socket.gethostname()}:{server.server_port}/?token={access.token}"
        for path in ("/", "/state", "/report", "/nothing", "/?job=ring", "/?job=rong"):
            for token in ("", "token=", f"token={access.token[:-1]}", f"token={access.token}x", "token=%ff"):
                reply = Reply(server, f"{path}{'&' if '?' in path else '?'}{token}", at=at, Host="node:1")
                assert reply.status == 403
                assert access.token not in reply.text + str(reply.headers)
        assert Reply(server, f"/?token={access.token}", at=at, Host="node:1").status == 200
        assert Reply(server, f"/state?token={access.token}&job=ring", at=at, Host="node:1").status == 200


def test_every_answer_keeps_to_itself(root: str) -> None:
    with served(root) as server:
        replies = [Reply(server, path) for path in ("/", "/state", "/report", "/nothing")]
        replies += [Reply(server, Host="evil"), Reply(server, method="POST"), Reply(server, method="BREW")]
    for reply in replies:
        assert reply.headers["Cache-Control"] == "no-store"
        assert reply.headers["X-Content-Type-Options"] == "nosniff"
        assert reply.headers["Referrer-Policy"] == "no-referrer"
        policies = reply.headers.get_all("Content-Security-Policy") or []
        assert [{"default-src 'none'", "frame-ancestors 'none'"} <= set(policy.split("; ")) for policy in policies] == [
            True
        ]
        assert "Python" not in reply.headers["Server"]


def test_a_page_may_run_the_scripts_that_are_in_it_alone() -> None:
    page = '<script>one()</script><SCRIPT type="module">two()\n</SCRIPT><script type="application/json">{}</script>'
    # printf 'one()' | openssl dgst -sha256 -binary | base64
    one, two = "HR7iaask9daLMRRskMI++QeJtjWDOjyPA6lGzYGzKW4=", "KUcSpvSxT6ZpY6acqJ+PnKqVvcJP86bOsmFTj6jYNDk="
    (scripts,) = [part for part in policy_of(page).split("; ") if part.startswith("script-src")]
    assert scripts == f"script-src 'sha256-{one}' 'sha256-{two}' 'unsafe-eval'"


def test_an_address_that_is_taken_is_named(root: str) -> None:
    with served(root) as server, pytest.raises(HarnessError, match=rf"--port {server.server_port}: .*in use"):
        Server("127.0.0.1", server.server_port, access=OWN, site=server.site)


# --- trouble


def test_a_report_that_fails_is_said_and_the_page_goes_on(
    root: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "_ON_DISK_SECONDS", 0.1)

    def make(results: Results, jobs: Sequence[str]) -> Content:
        if len(results.cells("ring")) == 2:
            raise ZeroDivisionError("a mean of nothing")
        return rows_as_text(results, jobs)

    with served(root, "ring", pages=Pages(make, whole)) as server:
        first = report_of(server, "")
        add(Store(root), "ring", "second")
        state = wait_for(lambda: (now := Reply(server, "/state").json)["problem"] and now)
        assert state["problem"] == "The report cannot be made: ZeroDivisionError: a mean of nothing"
        assert Reply(server, "/report").json == first
        add(Store(root), "ring", "third one")
        wait_for(lambda: (now := Reply(server, "/state").json)["version"] != first["version"] and not now["problem"])
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_a_store_is_read_once_for_all_and_for_nobody_not_at_all(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ON_DISK_SECONDS", 0.05)
    monkeypatch.setattr(module, "_ASKED_SECONDS", 0.5)
    made: list[Sequence[str]] = []

    def make(results: Results, jobs: Sequence[str]) -> Content:
        made.append(jobs)
        return rows_as_text(results, jobs)

    with served(root, "ring", pages=Pages(make, whole)) as server:
        view = server.site._view(())
        assert view is not None
        time.sleep(0.3)
        assert view._look is None  # nobody has asked
        threads = [threading.Thread(target=Reply, args=(server, "/state")) for _ in range(30)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        report_of(server, "")
        assert made == [("ring",)]
        assert view._looking is not None
        view._looking.join(10)  # it ends when nobody has asked for a while
        assert not view._looking.is_alive()
        add(Store(root), "ring", "second")
        time.sleep(0.3)
        assert len(made) == 1
        wait_for(lambda: Reply(server, "/state") and len(made) == 2)


def test_a_large_store_is_read_a_quarter_of_the_time_at_most(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ON_DISK_SECONDS", 0.01)
    spans: list[tuple[float, float]] = []

    def make(results: Results, jobs: Sequence[str]) -> Content:
        began = time.monotonic()
        time.sleep(0.1)
        spans.append((began, time.monotonic()))
        add(Store(root), "ring", f"new {len(spans):03}{'x' * len(spans)}")  # there is always something new
        return rows_as_text(results, jobs)

    with served(root, "ring", pages=Pages(make, whole)) as server:
        wait_for(lambda: Reply(server, "/state") and len(spans) == 3)
    for (began, ended), (again, _) in itertools.pairwise(spans):
        assert again - ended > 2.9 * (ended - began)


@pytest.fixture(scope="module")
def remote() -> Iterator[s3.Proxy]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "somebody")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret-of-theirs")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        with s3.served() as proxy:
            yield proxy


def test_a_bucket_that_is_down_is_said_until_it_is_back(remote: s3.Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ELSEWHERE_SECONDS", 0.2)
    monkeypatch.setattr(module, "_PATIENT_TIMES", 1.0)
    store = Store(remote.uri("watched"))
    add(store, "ring", "first")
    with served(store.root, "ring") as server:
        first = report_of(server, "")
        assert first["body"] == "first"
        remote.forbids = True
        state = wait_for(lambda: (now := Reply(server, "/state").json)["problem"] and now)
        assert state["problem"].startswith(f"--results {store.root}: cannot ")
        assert "a-secret-of-theirs" not in state["problem"]
        assert Reply(server, "/report").json == first
        assert Reply(server).status == 200
        remote.forbids = False
        add(store, "ring", "second")
        wait_for(lambda: (now := Reply(server, "/state").json)["version"] != first["version"] and not now["problem"])
        assert Reply(server, "/report").json["body"] == "first second"


def test_the_address_is_one_to_go_to(root: str) -> None:
    with served(root, host="localhost") as server:
        parts = urlsplit(server.url)
        assert (parts.scheme, parts.path, parts.query, parts.port) == ("http", "/", "", server.server_port)
        assert parts.hostname in ("127.0.0.1", "::1")
