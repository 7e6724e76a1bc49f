"""The gallery: reports of shipped jobs, made by `python docs/_gallery.py`, and the directive that lists them.

The reports are some megabytes each and stay out of the repository; a small picture of each is in it.
"""

from __future__ import annotations

import html
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "gallery"
JOBS = {
    "quickstart": "three losses against one generator, with and without noise",
    "ring": "which noise keeps a GAN from collapsing",
    "annealing": "noise that goes down over training, on 40 seeds",
    "tune_ring": "a search over noise schedules, confirmed on fresh seeds",
    "dirac": "which training methods converge",
    "figures": "Figures 1 to 3 of the paper, on real images",
}
"""What is shown, in this order, and what it is about."""
CHROMIUM = Path("/usr/bin/chromium")


class Gallery(SphinxDirective):
    """A picture of, and a link to, each report that has been made."""

    has_content: ClassVar[bool] = False

    def run(self) -> list[nodes.Node]:
        self.env.note_reread()  # the reports may have changed where the page has not
        return [nodes.raw("", listing(FOLDER), format="html")]


def listing(folder: Path) -> str:
    """The list as HTML. A job whose report has not been made here is named with its command."""
    return f'<ul class="gallery">{"".join(_item(name, about, folder) for name, about in JOBS.items())}</ul>'


def _item(name: str, about: str, folder: Path) -> str:
    title, text = html.escape(name), html.escape(about)
    has_picture, has_report = (folder / f"{name}.png").exists(), (folder / f"{name}.html").exists()
    picture = f'<img src="reports/{title}.png" alt="Top of the report of {title}">' if has_picture else ""
    shown = f"{picture}<strong>{title}</strong>"
    if has_report:
        return f'<li><a href="reports/{title}.html">{shown}</a>: {text}</li>'
    return f"<li>{shown}: {text}. <code>harness report {title} -o {title}.html</code></li>"


def _copy(app: Any, error: Exception | None) -> None:
    """The reports as they are, beside the pages."""
    if error is None and app.builder.format == "html":
        target = Path(app.outdir) / "reports"
        target.mkdir(exist_ok=True)
        for path in (*FOLDER.glob("*.html"), *FOLDER.glob("*.png")):
            (target / path.name).write_bytes(path.read_bytes())


def setup(app: Any) -> dict[str, Any]:
    app.add_directive("gallery", Gallery)
    app.connect("build-finished", _copy)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def store_of(name: str) -> Path | None:
    """Where this job has results here: in the default store, or in that of the reference."""
    stores = (ROOT / "results", ROOT / "results" / "reference")
    return next((store for store in stores if (store / name / "cells").is_dir()), None)


def main() -> None:
    """Reports of the jobs that have results here, and with a browser their pictures."""
    FOLDER.mkdir(exist_ok=True)
    for name in JOBS:
        if (store := store_of(name)) is None:
            sys.stdout.write(f"{name}: no results here; harness run or harness tune jobs/{name}.yaml\n")
            continue
        report = FOLDER / f"{name}.html"
        command = [
            sys.executable,
            "-m",
            "harness",
            "report",
            name,
            "--results",
            str(store.relative_to(ROOT)),
            "-o",
            str(report),
        ]
        subprocess.run(command, check=True, cwd=ROOT)
    if CHROMIUM.exists():
        _photograph([FOLDER / f"{name}.html" for name in JOBS])


def _photograph(reports: list[Path]) -> None:
    """The top of each report, 640 pixels wide."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-background-networking"]
        )
        tab = browser.new_page(viewport={"width": 1000, "height": 1100}, device_scale_factor=0.64)
        for report in (path for path in reports if path.exists()):
            tab.goto(report.as_uri())
            tab.wait_for_load_state("networkidle")
            tab.screenshot(path=report.with_suffix(".png"))
        browser.close()


if __name__ == "__main__":
    main()
