"""Debian's Chromium for tests of pages: what a page asks for and complains of is kept."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import pytest

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser, or a skipped test where there is none."""
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("no chromium here")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


class Tab:
    """A page of a browser.

    Attributes:
      page: Playwright's.
      requests: Addresses that it asked for, its own and data in it aside.
      complaints: Errors and warnings of its console, and exceptions of its scripts.
    """

    def __init__(self, browser: Any, *, width: int = 1400, scheme: Literal["light", "dark"] = "light") -> None:
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme).new_page()
        self.page.on("request", lambda request: self._note(request.url))
        self.page.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def open(self, url: str) -> Any:
        """Goes to an address and waits until the report there is drawn."""
        self._url = url
        self.page.goto(url)
        self.page.evaluate("window.report.ready")
        return self.page

    def _note(self, url: str) -> None:
        if not url.startswith(("data:", "blob:")) and url.split("#")[0] != self._url.split("#")[0]:
            self.requests.append(url)
