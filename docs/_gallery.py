"""The directive `gallery`: a picture of, and a link to, each report that `make gallery` has put into docs/gallery."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

FOLDER = Path(__file__).parent / "gallery"


class Gallery(SphinxDirective):
    """A list of the reports, or a sentence on how to make them."""

    has_content: ClassVar[bool] = False

    def run(self) -> list[nodes.Node]:
        reports = sorted(FOLDER.glob("*.html"))
        if not reports:
            return [nodes.paragraph(text="No report has been made yet in this copy of the site: make gallery.")]
        items = "".join(_item(path) for path in reports)
        return [nodes.raw("", f'<ul class="gallery">{items}</ul>', format="html")]


def _item(report: Path) -> str:
    name = html.escape(report.stem)
    picture = report.with_suffix(".png")
    shown = f'<img src="reports/{html.escape(picture.name)}" alt="Report of {name}">' if picture.exists() else ""
    return f'<li><a href="reports/{html.escape(report.name)}">{shown}<br>{name}</a></li>'


def _copy(app: Any, error: Exception | None) -> None:
    """The reports as they are, beside the pages."""
    if error is None and app.builder.format == "html":
        target = Path(app.outdir) / "reports"
        for path in (*FOLDER.glob("*.html"), *FOLDER.glob("*.png")):
            target.mkdir(exist_ok=True)
            (target / path.name).write_bytes(path.read_bytes())


def setup(app: Any) -> dict[str, Any]:
    app.add_directive("gallery", Gallery)
    app.connect("build-finished", _copy)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
