"""Lines and heat maps: axes that are chosen, what is said, and what is drawn."""

from __future__ import annotations

from itertools import combinations, product
from pathlib import Path
from typing import Any

import pytest

from harness.errors import HarnessError
from harness.figures.heatmap import heatmap
from harness.figures.lines import lines
from harness.figures.picture import Picture, Width, save
from harness.figures.selection import MAX_LINES, View, selected
from harness.storage.query import Results
from harness.storage.store import Store
from harness.storage.writer import new_part
from tests.figures.scene import drawn
from tests.figures.test_tables import cell


def write(store: Store, rows: list[dict[str, Any]]) -> Results:
    store.write_part(
        "job", "cells", [{**row, "cell_id": str(index)} for index, row in enumerate(rows)], part=new_part()
    )
    return Results(store.root)


def test_what_varies_is_shown_by_itself(real: Results) -> None:
    found = selected(real, "tiny", View())
    assert (found.x, found.by, found.panels) == ("epoch", "loss", "schedule")
    assert not found.fixed
    picture = lines(real, "tiny", View())
    assert picture.tables["groups"] == found.rows
    assert picture.num_panels == 2
    assert "over epochs of training, a panel for each schedule" in picture.caption
    assert "means over 2 seeds, bands 95 % t intervals of the mean" in picture.caption


def test_points_are_drawn_at_the_means_of_the_groups(real: Results) -> None:
    view = View("w1", x="epoch", by="loss", panels="none", where={"schedule": "0.2"})
    picture = lines(real, "tiny", view, band="none")
    found = drawn(picture)
    points, said = found.marks("symbol", "means"), found.said("symbol", "means")
    means = real.query(
        "SELECT loss, epoch, avg(w1) AS w1 FROM cells WHERE job = 'tiny' AND schedule = '0.2' GROUP BY ALL"
    ).to_pylist()
    shown = {(one["loss"], one["epoch"]): float(one["mean"]) for one in said}
    assert shown == {(row["loss"], str(row["epoch"])): pytest.approx(row["w1"], rel=1e-4) for row in means}
    by_height = sorted(zip(points, said, strict=True), key=lambda pair: pair[0]["y"])
    heights = [float(one["mean"]) for _, one in by_height]
    assert heights == sorted(heights, reverse=True)  # y goes down


def test_seeds_are_small_points_in_their_own_panels_alone(real: Results) -> None:
    found = drawn(lines(real, "tiny", View()))
    points = found.said("symbol", "seeds")
    assert len(points) == 16  # in two panels; Vega-Lite has shown all in each
    assert {point["seed"] for point in points} == {"0", "1"}


def test_where_some_groups_have_many_seeds_the_means_of_all_are_shown(store: Store) -> None:
    numbers = {"minimax": 12, "hinge": 3}  # as in a job that is half done
    rows = [
        cell(seed, loss=loss, epoch=epoch, w1=1.0 + seed)
        for loss, number in numbers.items()
        for epoch in (1, 3)
        for seed in range(number)
    ]
    picture = lines(write(store, rows), "job", View("w1", x="epoch", by="loss", panels="none"))
    assert {float(one["mean"]) for one in drawn(picture).said("symbol", "means")} == {6.5, 2.0}
    assert "small points" not in picture.caption


def test_a_name_that_varies_and_is_not_shown_is_the_first_and_said(real: Results) -> None:
    picture = lines(real, "tiny", View(x="epoch", by="none", panels="schedule"))
    assert {row["loss"] for row in picture.tables["groups"]} == {"minimax"}
    assert "Of several, the first: minimax (choose others with --where)." in picture.caption
    picture = lines(real, "tiny", View(x="epoch", by="none", panels="schedule", where={"loss": "non_saturating"}))
    assert {row["loss"] for row in picture.tables["groups"]} == {"non_saturating"}
    assert "Shown at non saturating." in picture.caption


def test_a_penalty_that_goes_with_its_loss_does_not_drop_the_loss(store: Store) -> None:
    rows = [
        cell(seed, loss=loss, penalty=penalty, epoch=epoch, w1=1.0)
        for loss, penalty in (("minimax", "none"), ("wasserstein", "clip"))
        for seed in (0, 1)
        for epoch in (1, 2)
    ]
    found = selected(write(store, rows), "job", View(x="epoch", by="loss", panels="none"))
    assert {row["loss"] for row in found.rows} == {"minimax", "wasserstein"}
    assert not found.fixed


def test_categories_are_rows_whose_names_have_room(store: Store) -> None:
    names = ["0", "exponential(end=0.005, fraction=0.78, start=0.887)", "linear(end=0.01, fraction=0.8, start=0.9)"]
    rows = [cell(seed, schedule=name, w1=1.0 + seed) for name in names for seed in range(3)]
    results = write(store, rows)
    for width in ("single", "double"):
        found = drawn(lines(results, "job", View(x="schedule")), width)
        texts = [box.text for box in found.texts()]
        assert "exponential 0.887\u21920.005, fraction 0.78" in texts
        assert_readable(found)


@pytest.mark.parametrize(("width", "panels"), list(product(("single", "double"), (1, 3, 5))))
def test_no_text_is_cut_or_covers_another(store: Store, width: Width, panels: int) -> None:
    names = [
        f"polynomial(end=0.0{n}12345, fraction=0.87654, power=0.12345, start=0.{n}2345)" for n in range(1, panels + 1)
    ]
    losses = ["relativistic_average_least_squares", "non_saturating", "minimax", "hinge"]
    rows = [
        cell(seed, schedule=name, loss=loss, epoch=epoch, w1=10.0 ** (seed - epoch / 4))
        for name in names
        for loss in losses
        for epoch in (1, 10, 25)
        for seed in (0, 1, 2)
    ]
    results = write(store, rows)
    assert_readable(drawn(lines(results, "job", View(x="epoch", by="loss", panels="schedule")), width))


def assert_readable(found: Any) -> None:
    texts = [box for box in found.texts() if box.text != "\u00d7"]  # which is a mark
    for box in texts:
        assert box.left >= -1, box
        assert box.top >= -1, box
        assert box.right <= found.width + 1, box
        assert box.bottom <= found.height + 1, box
    assert [pair for pair in combinations(texts, 2) if pair[0].overlaps(pair[1])] == []


def test_an_axis_is_logarithmic_where_values_span_decades(store: Store) -> None:
    rows = [
        cell(seed, sigma=sigma, schedule=str(sigma), w1=10.0**-sigma + seed / 1e9)
        for sigma in (0.0, 0.01, 3.0)
        for seed in (0, 1)
    ]
    spec = lines(write(store, rows), "job", View(x="sigma", by="none", panels="none")).spec()
    scales = [layer["encoding"]["y"]["scale"].get("type") for layer in spec["layer"]]
    assert set(scales) == {"log"}
    assert spec["layer"][0]["encoding"]["x"]["scale"]["type"] == "symlog"  # sigma has a 0


def test_bands_end_at_zero_where_nothing_is_below_it(store: Store) -> None:
    rows = [cell(seed, epoch=epoch, w1=value) for epoch in (1, 2) for seed, value in enumerate((0.0, 1.0))]
    picture = lines(write(store, rows), "job", View(by="none", panels="none"))
    assert picture.tables["groups"][0]["w1_low"] < -5  # t of one degree: 0.5 - 12.7 * 0.5
    found = drawn(picture)
    (area,) = [mark for mark in found._marks(found.scene) if mark["marktype"] == "area"]
    assert {item["y2"] for item in area["items"]} | {item["y"] for item in area["items"]} <= set(_between(found, area))


def _between(found: Any, area: Any) -> list[float]:
    return [item[name] for item in area["items"] for name in ("y", "y2") if 0 <= item[name] <= found.height]


def test_two_groups_at_one_place_are_refused(store: Store) -> None:
    rows = [
        cell(0, schedule=name, sigma=0.1, epoch=epoch, w1=1.0)
        for name in ("0.1", "linear(end=0.1, start=1)")
        for epoch in (1, 2)
    ]
    with pytest.raises(HarnessError, match=r"schedule 0\.1 and linear.* are at one place of sigma.*--where schedule="):
        lines(write(store, rows), "job", View(x="sigma", by="epoch", panels="none"))


@pytest.mark.parametrize(
    ("view", "message"),
    [
        (View("w2"), r"--y w2: job 'tiny' has no values of it\.\s+Valid: accuracy"),
        (View(x="epok"), "--x epok: no such axis. Did you mean 'epoch'"),
        (View(x="epoch", by="epoch"), "--by epoch: is shown already"),
        (View(where={"loss": "minmax"}), "--where loss=minmax: no such loss. Did you mean 'minimax'"),
        (View(where={"los": "minimax"}), "--where los: no such axis. Did you mean 'loss'"),
    ],
)
def test_wrong_names_are_told_what_was_meant(real: Results, view: View, message: str) -> None:
    with pytest.raises(HarnessError, match=message):
        lines(real, "tiny", view)


def test_one_seed_is_drawn_without_intervals_and_says_so(store: Store) -> None:
    rows = [cell(0, epoch=epoch, w1=float(epoch)) for epoch in (1, 2, 3)]
    picture = lines(write(store, rows), "job", View())
    assert "1 seed each, so without intervals" in picture.caption
    assert len(drawn(picture).marks("symbol", "means")) == 3


def test_a_job_whose_cells_all_failed_is_told(store: Store) -> None:
    results = write(store, [cell(seed, status="failed", error="no") for seed in (0, 1)])
    with pytest.raises(HarnessError, match="job 'job' has no completed cell with a value to draw"):
        lines(results, "job", View())


def test_cells_that_did_not_complete_are_counted(store: Store) -> None:
    rows = [
        cell(seed, epoch=epoch, w1=1.0, status="completed" if seed else "diverged")
        for epoch in (1, 2)
        for seed in (0, 1, 2)
    ]
    assert lines(write(store, rows), "job", View()).caption.endswith("2 diverged left out.")


def test_names_with_quotes_and_markup_are_text(store: Store, tmp_path: Path) -> None:
    name = "mine:<script>alert('\"')</script>"
    rows = [
        cell(seed, loss=loss, epoch=epoch, w1=1.0) for loss in (name, "minimax") for epoch in (1, 2) for seed in (0, 1)
    ]
    picture = lines(write(store, rows), "job", View(by="loss"))
    assert any(box.text == name for box in drawn(picture).texts())
    for suffix in (".svg", ".html"):
        path = tmp_path / f"a{suffix}"
        save(picture, path)
        assert "<script>alert(" not in path.read_text()


def test_metrics_with_dots_and_brackets_are_drawn(store: Store) -> None:
    part = new_part()
    rows = [{**cell(seed, epoch=epoch), "cell_id": f"{seed}-{epoch}"} for epoch in (1, 2) for seed in (0, 1)]
    store.write_part("job", "cells", rows, part=part)
    name = "my.kid[a(k=3)]'\""
    metrics = [{"cell_id": row["cell_id"], "name": name, "value": 2.0 + row["seed"]} for row in rows]
    store.write_part("job", "metrics", metrics, part=part)
    found = drawn(lines(Results(store.root), "job", View(name)))
    assert {(point["epochs of training"], point["mean"]) for point in found.said("symbol", "means")} == {
        ("1", "2.5000"),
        ("2", "2.5000"),
    }
    assert len(found.marks("symbol", "seeds")) == 4
    heat = drawn(heatmap(Results(store.root), "job", View(name)))
    assert [float(mark["mean"]) for mark in heat.said("rect", "means")] == [2.5, 2.5]


def test_a_hundred_thousand_cells_are_a_picture_of_groups(store: Store) -> None:
    rows = [
        {
            **cell(seed, learning_rate=1e-4 * (1 + rate), epoch=1 + epoch, w1=seed + 0.5),
            "cell_id": f"{rate}-{epoch}-{seed}",
        }
        for rate in range(100)
        for epoch in range(50)
        for seed in range(20)
    ]
    store.write_part("job", "cells", rows, part=new_part())
    picture = lines(Results(store.root), "job", View(x="epoch", by="learning_rate"))
    assert len(picture.tables["groups"]) == MAX_LINES * 50
    assert f"The first {MAX_LINES} of 100 lines by learning_rate are shown" in picture.caption
    assert all(row["w1"] == 10.0 and "w1_values" not in row for row in picture.tables["groups"])
    assert len(drawn(picture).marks("symbol", "means")) == MAX_LINES * 50


def test_a_heat_map_has_the_means_as_colours_and_numbers(real: Results) -> None:
    picture = heatmap(real, "tiny", View("w1", x="epoch", by="schedule", panels="loss"))
    found = drawn(picture)
    cells = found.marks("rect", "means")
    means = real.query("SELECT avg(w1) AS w1 FROM cells WHERE job = 'tiny' GROUP BY loss, schedule, epoch")[
        "w1"
    ].to_pylist()
    assert sorted(float(one["mean"]) for one in found.said("rect", "means")) == pytest.approx(sorted(means), rel=1e-4)
    assert len({mark["fill"] for mark in cells}) > 4
    assert_readable(found)


def test_the_description_says_from_where_to_where(real: Results) -> None:
    picture: Picture = lines(real, "tiny", View(x="epoch", by="none", panels="none"))
    first, last = real.query(
        """SELECT avg(w1) AS w1 FROM cells WHERE job = 'tiny' AND loss = 'minimax' AND schedule = '0'
           GROUP BY epoch ORDER BY epoch"""
    )["w1"].to_pylist()
    assert f"{first:.3g} to {last:.3g}" in picture.description
