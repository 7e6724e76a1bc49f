"""The reports of shipped jobs in a real browser: nothing asked for, nothing complained of, and the store's numbers."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.job.reading import dump_job, load_job
from harness.job.tune import TuneJob
from harness.report.page import write_report
from harness.storage.query import Results
from harness.storage.store import Store
from harness.storage.writer import new_part
from tests.browser import Tab, chromium
from tests.cli.test_endings import fill

ROOT = Path(__file__).parents[2]
MOST_BYTES = 6_000_000
VALUES = 10


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


def filled(name: str, folder: Path) -> Results:
    """A store with all rows that the job has; of the figures the real one, which the repository keeps."""
    if name == "figures":
        return Results(ROOT / "results" / "reference")
    job = load_job(ROOT / "jobs" / f"{name}.yaml")
    store = Store(folder)
    if isinstance(job, TuneJob):
        search(job, store)
    else:
        fill(job, store)
    return Results(folder)


def search(job: TuneJob, store: Store) -> None:
    """Trials of a search, as if it had been."""
    draw = random.Random(2)
    store.write_job(job.name, dump_job(job))
    rows = []
    for number in range(12):
        family = list(job.space.schedule)[number % len(job.space.schedule)]
        numbers = job.space.numbers({"schedule": family})
        values = {
            name: value if isinstance(value, float) else draw.uniform(0.1, 0.2) for name, value in numbers.items()
        }
        parameters = {"schedule": family, "loss": job.space.loss[0], **values}
        bound = draw.uniform(1, 3)
        told = {"value": bound, "distance": bound / 3, "spread": 0.1, "seeds": 3, "completed_seeds": 3, "diameter": 5.0}
        rows.append(
            {"trial": number, "state": "complete", "family": family, "parameters": json.dumps(parameters), **told}
        )
    store.write_part(job.name, "trials", rows, part=new_part())


@pytest.mark.parametrize("name", ["quickstart", "ring", "annealing", "tune_ring", "dirac", "figures"])
def test_a_report_asks_for_nothing_and_has_the_stores_numbers(name: str, browser: Any, tmp_path: Path) -> None:
    results = filled(name, tmp_path / "results")
    path = tmp_path / "report.html"
    write_report(results, [name], path)
    assert path.stat().st_size < MOST_BYTES
    tab = Tab(browser)
    page = tab.open(path.as_uri())
    assert tab.requests == []
    assert [text for text in tab.complaints if "warning" not in text] == []
    assert page.locator("figure").count() >= 1
    assert page.locator("figure svg.marks, figure canvas.marks").count() == page.locator("figure").count()
    assert page.locator("p.lead").inner_text().strip()
    table, key = ("trials", "trial") if name == "tune_ring" else ("cells", "cell_id")
    rows = results.query(f"SELECT * FROM {table} WHERE job = '{name}' ORDER BY {key} LIMIT 5").to_pylist()
    checked = 0
    for row in rows:
        shown = page.evaluate(
            "([key, value]) => window.report.jobs[0].rows.find((row) => row[key] === value)", [key, row[key]]
        )
        if shown is None:  # of a large job the page has a sample
            continue
        for column, value in shown.items():
            if isinstance(value, float) and column in row and isinstance(row[column], float):
                assert math.isclose(value, row[column], rel_tol=1e-11), column
                checked += 1
    assert checked >= VALUES
