"""Contrasts as a picture: the differences of `harness compare`, verdicts by shape."""

from __future__ import annotations

import harness
from harness.figures.contrasts import contrasts
from harness.storage.query import Results
from harness.storage.store import Store
from harness.storage.writer import new_part
from tests.figures.scene import drawn
from tests.figures.test_lines import assert_readable
from tests.figures.test_tables import cell


def write(store: Store, gains: dict[str, float], seeds: int = 6) -> Results:
    spread = [0.0, 0.02, 0.01, 0.03, 0.02, 0.01]
    rows = [
        cell(seed, loss=loss, w1=1.0 + seed + gain * (1 + spread[seed]), epoch=1)
        for loss, gain in {"minimax": 0.0, **gains}.items()
        for seed in range(seeds)
    ]
    rows = [{**row, "cell_id": f"c{index}"} for index, row in enumerate(rows)]
    store.write_part("job", "cells", rows, part=new_part())
    return Results(store.root)


def test_the_rows_are_those_of_harness_compare(real: Results) -> None:
    found = contrasts(real, "tiny", by="loss", metrics=("w1", "modes")).tables["contrasts"]
    expected = harness.compare("tiny", results=real.store.root, by="loss", metrics=("w1", "modes"))
    assert [(row["ours"], row["metric"], row["difference"]) for row in found] == [
        (one.ours, one.metric, one.difference.mean) for one in expected
    ]
    assert [(row["low"], row["high"]) for row in found if row["low"] is not None] == [
        one.interval for one in expected if one.interval[1] < float("inf")
    ]


def test_verdicts_are_told_by_shape(store: Store) -> None:
    results = write(store, {"hinge": -0.5, "wasserstein": 0.7, "non_saturating": 0.0})
    picture = contrasts(results, "job", metrics=("w1",), against="minimax")
    verdicts = {row["ours"]: row["verdict"] for row in picture.tables["contrasts"]}
    assert verdicts == {"hinge": "better", "wasserstein": "worse", "non_saturating": "undecided"}
    found = drawn(picture)
    shapes = {item["shape"] for item in found.marks("symbol", "means")}
    assert shapes == {"triangle-up", "triangle-down", "circle"}
    assert "corrected for 3 contrasts (Holm, 5 %)" in picture.caption
    assert "of 6 pairs of seeds" in picture.caption
    for width in ("single", "double"):
        assert_readable(drawn(picture, width))


def test_better_lies_left_of_zero_for_a_distance(store: Store) -> None:
    picture = contrasts(write(store, {"hinge": -0.5}), "job", metrics=("w1",), against="minimax")
    found = drawn(picture)
    (point,) = found.marks("symbol", "means")
    (zero,) = [item for item in found.marks("rule") if item.get("strokeDash")]
    assert point["x"] < zero["x"]


def test_one_pair_has_a_point_and_no_interval(store: Store) -> None:
    picture = contrasts(write(store, {"hinge": -0.5}, seeds=1), "job", metrics=("w1",), against="minimax")
    (row,) = picture.tables["contrasts"]
    assert (row["low"], row["high"], row["verdict"]) == (None, None, "undecided")
    assert len(drawn(picture).marks("symbol", "means")) == 1
