"""The pages of `harness.report`, kept fresh."""

from __future__ import annotations

from collections.abc import Sequence

from ..report.page import Parts, parts
from ..storage.query import Results
from .site import Pages
from .view import Content


def _make(results: Results, jobs: Sequence[str]) -> Content:
    made = parts(results, jobs)
    return Content(made.title, made.body, made.data)


def _whole(content: Content, above: str) -> str:
    return Parts(content.title, content.body, content.data).page(above=above)


PAGES = Pages(_make, _whole)
