"""The site that `make docs` builds: without a warning, and without a request to anywhere when it is read."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.documents import DOCS, ROOT, pages

pytestmark = pytest.mark.slow

CHROMIUM = Path("/usr/bin/chromium")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As the Makefile builds it."""
    target = tmp_path_factory.mktemp("site")
    sphinx = [sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", "--keep-going", "--builder", "html"]
    answer = subprocess.run(
        [*sphinx, "--doctree-dir", str(target / "trees"), str(DOCS), str(target / "html")],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert answer.returncode == 0, answer.stderr
    return target / "html"


def test_every_page_is_there(site: Path) -> None:
    names = [name.removeprefix("docs/").removesuffix(".md") for name in pages() if name.startswith("docs/")]
    assert [name for name in names if not (site / f"{name}.html").exists()] == []


def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        loaded = re.findall(r"<(?:script|img|iframe|source)\b[^>]*\bsrc=\"([^\"]+)\"", text)
        loaded += re.findall(r"<link\b[^>]*rel=\"(?:stylesheet|icon|preload)\"[^>]*href=\"([^\"]+)\"", text)
        assert [address for address in loaded if re.match(r"(?:https?:)?//", address)] == [], page.name


def test_formulas_are_mathml(site: Path) -> None:
    text = (site / "theory.html").read_text(encoding="utf-8")
    assert text.count("<math") > 100
    assert "<mi>JSD</mi>" in text
    assert r"\mathbb" not in text  # nothing is left as TeX


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        pytest.skip("no /usr/bin/chromium here")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-background-networking"]
        )
        yield started
        started.close()


@pytest.mark.parametrize("width", [1400, 400])
@pytest.mark.parametrize("page", ["index", "theory", "reference/job-file", "gallery"])
def test_a_page_is_read_without_network_errors_or_overflow(site: Path, browser: Browser, page: str, width: int) -> None:
    with browser.new_context(viewport={"width": width, "height": 900}) as context:
        tab = context.new_page()
        requests: list[str] = []
        complaints: list[str] = []
        tab.on("request", lambda request: requests.append(request.url))
        tab.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.goto((site / f"{page}.html").as_uri())
        tab.wait_for_load_state("networkidle")
        assert [address for address in requests if not address.startswith("file:")] == []
        assert complaints == []
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        broken = "[...document.images].filter(image => !image.naturalWidth).map(image => image.src)"
        assert tab.evaluate(broken) == []


def test_the_search_finds_a_word_offline(site: Path, browser: Browser) -> None:
    with browser.new_context() as context:
        tab = context.new_page()
        tab.goto((site / "search.html").as_uri() + "?q=vacuous")
        tab.wait_for_selector("#search-results li a")
        assert "theory" in " ".join(
            link.get_attribute("href") or "" for link in tab.query_selector_all("#search-results li a")
        )
