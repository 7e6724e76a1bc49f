"""The report in a real browser: what a reader chooses, sorts, filters and follows, and that nothing is fetched."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.report.page import parts, write_report
from harness.storage.query import Results
from harness.storage.store import Store
from tests.browser import Tab, chromium
from tests.storage.test_store import cell

NASTY = "<script>document.title='x'</script>"
ERROR = "Traceback\n  <b>bold</b>\nValueError: <img src=x onerror=\"document.title='x'\"> & more"
SIGMAS = {"0": 0.0, "0.1": 0.1, "exponential(start=0.5, end=0.05)": 0.05}


def w1(loss: str, schedule: str, epoch: int, seed: int) -> float:
    """Any values that differ everywhere."""
    return round(0.4 + 0.1 * len(loss) / (1 + epoch) + SIGMAS[schedule] + 0.013 * seed + 1e-7 / 3, 9)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    store = Store(tmp_path_factory.mktemp("results"))
    rows = [
        cell(
            cell_id=f"{loss}-{place}-{epoch}-{seed}",
            job="grid",
            loss=loss,
            schedule=schedule,
            sigma=sigma,
            epoch=epoch,
            seed=seed,
            w1=w1(loss, schedule, epoch, seed),
            bound_best=2 * w1(loss, schedule, epoch, seed),
            data_diameter=9.0,
            accuracy=0.5 + 0.01 * seed,
        )
        for loss in ("minimax", "hinge")
        for place, (schedule, sigma) in enumerate(SIGMAS.items())
        for epoch in (1, 10)
        for seed in range(3)
    ]
    store.write_part("grid", "cells", rows, part="p1")
    failed = cell(cell_id="failed-1", job="grid", loss=NASTY, schedule="0", epoch=10, status="failed", error=ERROR)
    store.write_part("grid", "cells", [failed], part="p2")
    store.write_part(NASTY.replace("/", ""), "cells", [cell(cell_id="n", w1=0.5, schedule="0", epoch=1)], part="p3")
    return Results(store.root)


@pytest.fixture(scope="module")
def report(results: Results, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(results, ("grid", NASTY.replace("/", "")), path)
    assert path.stat().st_size < 6e6
    return path.as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def tab(browser: Any, report: str) -> Iterator[Tab]:
    tab = Tab(browser)
    tab.open(report)
    yield tab
    assert tab.requests == []
    assert [text for text in tab.complaints if "warning" not in text] == []
    assert tab.page.title() != "x"


def control(tab: Tab, name: str) -> Any:
    return tab.page.locator("article").first.locator(f"select[name={name}]")


def shown_rows(tab: Tab) -> list[dict[str, Any]]:
    """What the first job's table has, sorted and filtered as it is."""
    rows: list[dict[str, Any]] = tab.page.evaluate(
        "window.report.jobs[0].grid.rows({order: 'applied', search: 'applied'}).data().toArray()"
    )
    return rows


def drawn(tab: Tab, picture: str) -> list[dict[str, Any]]:
    """The groups that a picture of the first job shows."""
    rows: list[dict[str, Any]] = tab.page.evaluate(
        f"window.report.jobs[0].pictures.find((one) => one.name === '{picture}').view.data('groups')"
    )
    return rows


def test_a_choice_of_loss_is_followed_everywhere(tab: Tab) -> None:
    before = {row["loss"] for row in drawn(tab, "over-epochs")}
    control(tab, "loss").select_option(label="hinge")
    tab.page.wait_for_function(
        "window.report.jobs[0].pictures[0].view.data('groups').every((row) => row.loss === 'hinge')"
    )
    assert before == {"minimax", "hinge"}
    assert {row["loss"] for row in drawn(tab, "by-schedule")} == {"hinge"}
    assert {row["loss"] for row in shown_rows(tab)} == {"hinge"}
    assert len(shown_rows(tab)) == 3 * 3  # noise and seeds at the last epoch


def test_a_choice_of_epoch_is_followed_by_what_is_of_one_epoch(tab: Tab) -> None:
    assert {row["epoch"] for row in shown_rows(tab)} == {10}
    control(tab, "epoch").select_option(label="1")
    tab.page.wait_for_function("window.report.jobs[0].pictures[1].view.data('groups').every((row) => row.epoch === 1)")
    assert {row["epoch"] for row in shown_rows(tab)} == {1}
    assert {row["epoch"] for row in drawn(tab, "over-epochs")} == {1, 10}


def test_another_metric_is_another_axis(tab: Tab) -> None:
    texts = tab.page.locator("article").first.locator("figure").first.locator("svg.marks")
    assert "w1, data units" in texts.text_content()
    control(tab, "metric").select_option(
        value=control(tab, "metric").locator("option", has_text="bound, best").first.get_attribute("value")
    )
    tab.page.wait_for_function("document.querySelector('figure svg.marks').textContent.includes('bound best')")
    assert "w1, data units" not in texts.text_content()


def test_the_table_sorts_and_filters(tab: Tab, results: Results) -> None:
    head = tab.page.locator("article").first.locator("thead th", has_text="W1").first
    head.click()
    tab.page.locator("article").first.locator("th[aria-sort=ascending]").first.wait_for()  # it is done a moment later
    values = [row["w1"] for row in shown_rows(tab) if row["w1"] is not None]
    least = results.query("SELECT min(w1) AS m FROM cells WHERE job = 'grid' AND epoch = 10")["m"].to_pylist()
    assert values == sorted(values)
    assert values[0] == least[0]
    tab.page.locator("article").first.locator("input[type=search]").fill("exponential")
    tab.page.wait_for_function("window.report.jobs[0].grid.rows({search: 'applied'}).count() === 6")
    assert {row["schedule"] for row in shown_rows(tab)} == {"exponential(start=0.5, end=0.05)"}


def test_a_mark_leads_to_its_row(tab: Tab) -> None:
    """A real click on a small point, which is one cell."""
    point = tab.page.evaluate(
        """() => { const marks = [...document.querySelectorAll('figure svg.marks path')];
                   const point = marks.filter((one) => one.__data__?.datum?.cell_id)[4];
                   point.scrollIntoView({block: 'center'});
                   const box = point.getBoundingClientRect();
                   return {id: point.__data__.datum.cell_id, x: box.x + box.width / 2, y: box.y + box.height / 2}; }"""
    )
    tab.page.mouse.click(point["x"], point["y"])
    chosen = tab.page.locator("tr.chosen")
    assert chosen.count() == 1
    followed = chosen.get_attribute("id").split("-row-")[1]
    aside = tab.page.locator("aside.row").first
    assert followed in aside.inner_text()
    at = tab.page.evaluate("(id) => window.report.jobs[0].rows.find((row) => row.cell_id === id)", followed)
    mine = tab.page.evaluate("(id) => window.report.jobs[0].rows.find((row) => row.cell_id === id)", point["id"])
    assert {name: at[name] for name in ("loss", "schedule", "epoch")} == {
        name: mine[name] for name in ("loss", "schedule", "epoch")
    }


def test_the_theme_changes_page_and_pictures(tab: Tab) -> None:
    page = tab.page
    text = "document.querySelector('figure svg.marks text').getAttribute('fill')"
    look = f"[getComputedStyle(document.body).backgroundColor, {text}]"
    light = page.evaluate(look)
    page.locator("#theme").focus()
    page.keyboard.press("Enter")  # system -> light
    page.keyboard.press("Enter")  # light -> dark
    page.wait_for_function(f"{look}[1] !== '{light[1]}'")
    dark = page.evaluate(look)
    assert all(a != b for a, b in zip(light, dark, strict=True))
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_ten_values_are_those_of_a_query(tab: Tab, results: Results) -> None:
    rows = results.query(
        "SELECT cell_id, w1, bound_best, accuracy FROM cells WHERE job = 'grid' AND epoch = 10 AND w1 IS NOT NULL "
        "ORDER BY cell_id LIMIT 4"
    ).to_pylist()
    checked = 0
    for row in rows:
        tab.page.evaluate(
            "(id) => { location.hash = `${window.report.jobs[0].article.id}-row-${id}`; }", row["cell_id"]
        )
        tab.page.locator("aside.row h4", has_text=row["cell_id"]).wait_for()
        told = dict(zip(*(tab.page.locator(f"aside.row {tag}").all_inner_texts() for tag in ("dt", "dd")), strict=True))
        for name in ("w1", "bound_best", "accuracy"):
            assert math.isclose(float(told[name]), row[name], rel_tol=1e-3)
            assert (
                tab.page.evaluate(
                    "([id, name]) => window.report.jobs[0].rows.find((row) => row.cell_id === id)[name]",
                    [row["cell_id"], name],
                )
                == row[name]
            )
            checked += 1
    assert checked >= 10


def test_names_and_errors_are_text(tab: Tab) -> None:
    text = tab.page.locator("main").inner_text()
    assert NASTY.replace("/", "") in text
    assert "ValueError: <img src=x onerror=\"document.title='x'\"> & more" in text
    assert tab.page.locator("main img[src=x]").count() == 0
    assert tab.page.locator("main b").count() == 0


@pytest.mark.parametrize("width", [400, 1400])
def test_no_page_is_wider_than_its_screen(browser: Any, report: str, width: int) -> None:
    tab = Tab(browser, width=width, scheme="dark")
    tab.open(report)
    assert tab.page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_live_page_keeps_what_is_chosen(tab: Tab, results: Results) -> None:
    control(tab, "loss").select_option(label="hinge")
    fresh = parts(results, ("grid",))
    tab.page.evaluate("([body, data]) => window.report.replace(body, JSON.parse(data))", [fresh.body, fresh.data])
    assert control(tab, "loss").evaluate("(select) => select.selectedOptions[0].label") == "hinge"
    assert {row["loss"] for row in shown_rows(tab)} == {"hinge"}


def test_a_choice_stays_where_the_list_of_values_has_grown(tab: Tab, tmp_path: Path) -> None:
    """By its value, not by its place in the list; a name with dots and brackets is no path."""
    control(tab, "loss").select_option(label="minimax")
    store = Store(tmp_path / "grown")
    rows = [
        cell(cell_id=f"{loss}-{place}", loss=loss, schedule=schedule, sigma=sigma, epoch=10, w1=0.5 + sigma)
        for loss in ("a_loss", "minimax", "hinge")
        for place, (schedule, sigma) in enumerate(SIGMAS.items())
    ]
    store.write_part("grid", "cells", rows, part="p1")
    told = [{"cell_id": row["cell_id"], "name": "kid[x.y]()", "value": 0.125} for row in rows]
    store.write_part("grid", "metrics", told, part="p1")
    fresh = parts(Results(store.root), ("grid",))
    tab.page.evaluate("([body, data]) => window.report.replace(body, JSON.parse(data))", [fresh.body, fresh.data])
    assert control(tab, "loss").evaluate("(select) => select.selectedOptions[0].label") == "minimax"
    assert {row["loss"] for row in shown_rows(tab)} == {"minimax"}
    assert "0.125" in tab.page.locator("article").first.locator("section.rows tbody tr").first.inner_text()
