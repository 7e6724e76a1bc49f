"""What is at which address: pages, and what their scripts ask for. Nothing but these is, and all is read-only."""

from __future__ import annotations

import base64
import hashlib
import importlib.resources
import json
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import parse_qs, urlencode, urlsplit

from markupsafe import escape

from ..errors import HarnessError
from ..storage.query import Results
from ..storage.store import Store
from .view import Content, View

_HTML, _JSON, _TEXT = "text/html; charset=utf-8", "application/json", "text/plain; charset=utf-8"
_SCRIPT = re.compile(r"<script(?P<attributes>[^>]*)>(?P<script>.*?)</script>", re.DOTALL | re.IGNORECASE)
_REPORT = re.compile(r"<main\b.*</main>", re.DOTALL)
_NO_DATA = '{"jobs":[],"themes":{}}'
_READING = Content("Reading the store", '<p class="note">The store is being read.</p>', _NO_DATA)

SAFE: Mapping[str, str] = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Headers of every answer, where it has no others."""


@dataclass(frozen=True)
class Answer:
    """To a request."""

    status: HTTPStatus
    kind: str
    content: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


def refused(status: HTTPStatus, text: str, **headers: str) -> Answer:
    """An answer that is a sentence."""
    return Answer(status, _TEXT, f"{text}\n".encode(), headers)


@dataclass(frozen=True)
class Pages:
    """How a report becomes a page; from `harness.report`.

    Attributes:
      make: A report of some jobs of a store.
      whole: A page with it, and with some HTML above it.
    """

    make: Callable[[Results, Sequence[str]], Content]
    whole: Callable[[Content, str], str]


class Site:
    """A store's pages.

    Args:
      root: Of the store.
      jobs: Those that may be looked at; empty for all that there are.
      pages: How they look.

    Raises:
      StoreError: If there is no such store.
    """

    def __init__(self, root: str, jobs: Sequence[str], pages: Pages) -> None:
        self._root, self._given, self._pages = root, tuple(jobs), pages
        self._store, self._guard = Store(root), threading.Lock()
        self._views: dict[tuple[str, ...], View] = {}

    def answer(self, address: str) -> Answer:
        """To a request for an address such as ``/state?job=ring``."""
        parts = urlsplit(address)
        asked = parse_qs(parts.query)
        routes = {"/": self._page, "/state": self._state, "/report": self._report}
        if parts.path not in routes:
            return refused(HTTPStatus.NOT_FOUND, "there is nothing at this address; the page is at /")
        try:
            names = asked.get("job", [])
            if parts.path == "/" and not names and (only := self._only_job()):
                query = urlencode({**asked, "job": only}, doseq=True)
                return refused(HTTPStatus.SEE_OTHER, "there is one job alone", Location=f"/?{query}")
            view = self._view(names)
        except HarnessError as error:
            return refused(HTTPStatus.SERVICE_UNAVAILABLE, str(error))
        if view is None:
            return refused(HTTPStatus.NOT_FOUND, "there is no such job here; all are at /")
        return routes[parts.path](view)

    def close(self, *, seconds: float) -> bool:
        """Reads the store no more; whether what was under way has ended within some seconds."""
        with self._guard:
            views = list(self._views.values())
        deadline = time.monotonic() + seconds
        return all(view.close(seconds=max(0.0, deadline - time.monotonic())) for view in views)

    def _only_job(self) -> str | None:
        """Of the store, where there is one alone, and nobody has chosen others."""
        jobs = () if self._given else self._store.jobs()
        return jobs[0] if len(jobs) == 1 else None

    def _view(self, names: Sequence[str]) -> View | None:
        """Of the job that an address names, or of all, as a list; None where there is no such job."""
        chosen = tuple(names) or self._given
        with self._guard:
            if chosen not in self._views:
                known = self._given or tuple(self._store.jobs())
                if names and (len(names) > 1 or names[0] not in known):
                    return None
                self._views[chosen] = View(self._root, chosen, self._pages.make if chosen else _list)
            return self._views[chosen]

    def _page(self, view: View) -> Answer:
        made = view.made
        above = _above(version=made.version if made else "", is_list=not view.jobs)
        page = self._pages.whole(made.content if made else _READING, above)
        return Answer(HTTPStatus.OK, _HTML, page.encode(), {"Content-Security-Policy": policy_of(page)})

    def _state(self, view: View) -> Answer:
        return _json(view.state())

    def _report(self, view: View) -> Answer:
        made = view.made
        if made is None:
            return refused(HTTPStatus.SERVICE_UNAVAILABLE, "the store is being read", **{"Retry-After": "1"})
        content = made.content
        return _json({"version": made.version, "title": content.title, "body": content.body, "data": content.data})


def policy_of(page: str) -> str:
    """What a page may do: run the very scripts that are in it, and ask its own server.

    Vega compiles the expressions of its pictures, which is an eval to the browser. A script that somebody's text has
    brought into the report, all of which is in ``<main>``, is none of those.
    """
    own = _REPORT.sub("", page)
    scripts = (found for found in _SCRIPT.finditer(own) if "json" not in found["attributes"])
    hashes = (hashlib.sha256(found["script"].encode()).digest() for found in scripts)
    names = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in hashes)
    return (
        f"default-src 'none'; script-src {names} 'unsafe-eval'; style-src 'unsafe-inline'; img-src data: blob:; "
        "font-src data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    )


def _json(value: object) -> Answer:
    return Answer(HTTPStatus.OK, _JSON, json.dumps(value, allow_nan=False).encode())


def _list(results: Results, jobs: Sequence[str]) -> Content:
    """What is below the list of jobs, which the script makes of where they are."""
    title = f"Jobs of {results.store.root}"
    return Content(title, f'<h1>{escape(title)}</h1><p class="note">Each name leads to its report.</p>', _NO_DATA)


def _above(*, version: str, is_list: bool) -> str:
    """The live part of the page."""
    files = importlib.resources.files("harness.watch")
    html, css, script = ((files / f"live.{kind}").read_text(encoding="utf-8") for kind in ("html", "css", "js"))
    marks = f'data-version="{escape(version)}" data-list="{int(is_list)}"'
    return f"<style>{css}</style>{html.replace('data-version', marks, 1)}<script>{script}</script>"
