"""What a report says: rows, failures, contrasts and choices of a store, and the page as text."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from harness.contrasts.compare import compared
from harness.errors import HarnessError
from harness.report import content, pictures
from harness.report.page import packed, parts, write_report
from harness.storage.query import Results
from harness.storage.store import Store
from tests.in_process import harness as command
from tests.storage.test_store import cell


def write(store: Store, job: str = "j", num_seeds: int = 4) -> None:
    rows = [
        cell(
            cell_id=f"{job}-{loss}-{schedule}-{seed}",
            loss=loss,
            penalty="weight_clip" if loss == "wasserstein" else "none",
            schedule=schedule,
            sigma=float(schedule),
            seed=seed,
            w1=0.3 + 0.01 * seed * len(loss) + float(schedule),
            bound_best=1.0 + 0.02 * seed,
        )
        for loss in ("minimax", "wasserstein")
        for schedule in ("0", "0.1")
        for seed in range(num_seeds)
    ]
    store.write_part(job, "cells", rows, part=f"p-{job}")


def test_an_axis_that_follows_from_another_is_no_choice(store: Store) -> None:
    """The penalty here is the loss's own."""
    write(store)
    axes = content.varying_axes(Results(store.root), "j")
    assert axes == {"loss": ["minimax", "wasserstein"], "schedule": ["0", "0.1"]}


def test_of_a_large_job_the_table_has_what_failed_and_a_sample_and_says_so(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(content, "MAX_ROWS", 6)
    write(store)
    failed = [cell(cell_id=f"f{seed}", seed=50 + seed, status="failed", error="ValueError: no") for seed in range(2)]
    store.write_part("j", "cells", failed, part="q")
    table = content.cells(Results(store.root), "j", varying=["loss"])
    assert [row["cell_id"] for row in table.rows if row["status"] == "failed"] == ["f0", "f1"]
    assert (len(table.rows), table.total) == (6, 18)
    assert "18 cells" in table.note
    assert "6 of them" in table.note


def test_failures_are_one_line_for_each_reason(store: Store) -> None:
    errors = ["Traceback\n  x\nValueError: a\n", "Traceback\n  y\nValueError: a", "KeyError: 'b'", None]
    rows = [cell(cell_id=f"c{n}", seed=n, status="failed", error=error) for n, error in enumerate(errors)]
    store.write_part("j", "cells", rows, part="p")
    found = content.failures(Results(store.root), "j")
    assert (found[0].cells, found[0].reason) == (2, "ValueError: a")
    assert {one.reason for one in found} == {"ValueError: a", "KeyError: 'b'", "no reason is known"}


def test_contrasts_are_those_of_the_command(store: Store) -> None:
    write(store)
    results = Results(store.root)
    same = compared(results, "j", by="schedule", metrics=["w1"]).contrasts
    body = re.sub(r"\s+", " ", parts(results, ["j"]).body)
    for one in same:
        cells = [one.ours, one.theirs, one.within, "W1"]
        assert "</td><td>".join(cells) in body
        assert f"{one.difference.mean:+.3g}" in body


def test_nothing_in_the_data_ends_its_element(store: Store) -> None:
    store.write_part("j", "cells", [cell(loss="</script><b>", schedule="<!--", w1=0.5)], part="p")
    page = parts(Results(store.root), ["j"]).page()
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, flags=re.DOTALL)
    (job,) = json.loads(data)["jobs"]
    assert job["rows"][0][job["details"].index("loss")] == "</script><b>"
    assert "<b>" not in page.split("</main>")[0].split("<main")[1]


def test_a_page_names_nothing_of_the_network(store: Store) -> None:
    write(store)
    page = parts(Results(store.root), ["j"]).page()
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//""", page)
    assert not re.search(r"@import|url\(\s*['\"]?https?:", page)


def test_the_command_writes_a_page_and_names_mistakes(store: Store, tmp_path: Path) -> None:
    write(store)
    output = tmp_path / "r.html"
    done = command("report", "j", "--results", store.root, "-o", str(output))
    assert done.returncode == 0, done.stderr
    assert output.read_text(encoding="utf-8").startswith("<!doctype html>")
    for arguments, said in (
        (["k"], "no job 'k'"),
        (["j", "-o", str(tmp_path / "r.pdf")], "must end in .html"),
        (["j", "-o", str(tmp_path / "none" / "r.html")], "there is no folder"),
    ):
        failed = command("report", *arguments, "--results", store.root)
        assert failed.returncode == 2
        assert said in failed.stderr


def test_a_report_that_cannot_be_written_leaves_nothing(store: Store, tmp_path: Path) -> None:
    write(store)
    (tmp_path / "r.html").mkdir()
    with pytest.raises(HarnessError, match="cannot be written"):
        write_report(Results(store.root), ["j"], tmp_path / "r.html")
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".r")] == []


def test_a_job_without_rows_has_a_page(store: Store) -> None:
    store.write_job("empty", "name: empty\n")
    write(store)
    assert "No cell has a row yet." in parts(Results(store.root), ["empty"]).body


def test_rows_packed_by_column_lose_nothing() -> None:
    rows: list[dict[str, object]] = [{"a": 1.5, "b": "x"}, {"a": None, "b": "y", "c": [1, None]}, {"a": 2, "b": "x"}]
    assert packed(rows) == {
        "length": 3,
        "columns": {
            "a": [1.5, None, 2],
            "b": {"of": ["x", "y"], "at": [0, 1, 0]},
            "c": {"of": [[1, None]], "at": [-1, 0, -1]},
        },
    }


def test_a_job_of_which_nothing_completed_has_a_page_without_pictures(store: Store) -> None:
    rows = [
        cell(cell_id=f"d{place}", schedule=str(place), sigma=float(place), status="diverged", tv=0.5, error="overflow")
        for place in range(3)
    ]
    store.write_part("j", "cells", rows, part="p")
    found = parts(Results(store.root), ["j"])
    (job,) = json.loads(found.data)["jobs"]
    assert [picture["name"] for picture in job["pictures"] if picture["name"] in ("by-schedule", "map")] == []
    assert "3 diverged" in found.body


def test_of_many_groups_every_value_of_an_axis_is_left(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "MAX_GROUPS", 40)
    rows = [
        cell(cell_id=f"{place}-{rate}", schedule=str(place), sigma=float(place), learning_rate=rate, w1=1.0 + place)
        for place in range(60)
        for rate in (0.001, 0.01)
    ]
    store.write_part("j", "cells", rows, part="p")
    found = parts(Results(store.root), ["j"])
    (job,) = json.loads(found.data)["jobs"]
    rates = job["tables"]["groups"]["columns"]["learning_rate"]
    assert {0.001, 0.01} == set(rates)
    assert "120 combinations" in found.body
    assert "show 40 of them" in found.body
