"""Groups and cells: what SQL says by another route, with intervals of scipy."""

from __future__ import annotations

import math
from statistics import fmean
from typing import Any

import pytest
from scipy import stats

from harness.errors import HarnessError
from harness.figures import tables
from harness.storage.query import Results
from harness.storage.store import Store
from harness.storage.writer import new_part


def cell(number: int, **columns: Any) -> dict[str, Any]:
    own = {"cell_id": f"c{number}", "status": "completed", "protocol": "train", "loss": "minimax", "penalty": "none"}
    place = {"schedule": "0", "sigma": 0.0, "noise": "truncated", "learning_rate": 1e-3, "epoch": 1, "seed": number}
    return {**own, **place, **columns}


def test_a_groups_mean_and_t_interval_are_scipys(real: Results) -> None:
    groups = tables.groups(real, "tiny", ["w1"])
    cells = real.query("SELECT loss, schedule, epoch, seed, w1 FROM cells WHERE job = 'tiny'").to_pylist()
    assert len(groups) == 8
    for group in groups:
        own = [row for row in cells if all(row[axis] == group[axis] for axis in ("loss", "schedule", "epoch"))]
        values = [row["w1"] for row in sorted(own, key=lambda row: row["seed"])]
        low, high = stats.t.interval(0.95, len(values) - 1, loc=fmean(values), scale=stats.sem(values))
        assert (group["w1"], group["w1_low"], group["w1_high"]) == pytest.approx((fmean(values), low, high))
        assert (group["w1_min"], group["w1_max"], group["w1_values"]) == (min(values), max(values), values)
        assert (group["n"], group["seeds"]) == (2, [0, 1])


def test_a_metric_of_the_job_is_a_column_like_the_others(real: Results) -> None:
    assert "modes" in tables.metric_names(real, "tiny")
    found = {tuple(row[axis] for axis in tables.PLACE): row["modes"] for row in tables.groups(real, "tiny", ["modes"])}
    rows = real.query(
        f"""SELECT {", ".join(tables.PLACE)}, avg(value) AS modes FROM metrics
            WHERE job = 'tiny' AND name = 'modes' GROUP BY {", ".join(tables.PLACE)}"""
    ).to_pylist()
    assert found == {tuple(row[axis] for axis in tables.PLACE): pytest.approx(row["modes"]) for row in rows}


def test_one_seed_has_no_interval_and_what_is_not_finite_no_value(store: Store) -> None:
    rows = [cell(0, w1=1.0, tv=math.inf), cell(2, w1=1.0, tv=1.0), cell(1, loss="hinge", w1=2.0)]
    store.write_part("job", "cells", rows, part=new_part())
    hinge, minimax = sorted(tables.groups(Results(store.root), "job", ["w1", "tv"]), key=lambda row: str(row["loss"]))
    assert (hinge["w1"], hinge["w1_low"], hinge["w1_high"]) == (2.0, None, None)
    assert (minimax["tv"], minimax["tv_high"]) == (None, None)  # one that is infinite leaves no mean
    assert hinge["tv"] is None


def test_only_completed_cells_count(store: Store) -> None:
    rows = [cell(0, w1=1.0), cell(1, w1=9.0, status="diverged"), cell(2, w1=None, status="failed")]
    store.write_part("job", "cells", rows, part=new_part())
    results = Results(store.root)
    (group,) = tables.groups(results, "job", ["w1"])
    assert (group["w1"], group["n"]) == (1.0, 1)
    assert tables.not_completed(results, "job") == {"diverged": 1, "failed": 1}


def test_axes_are_ordered_as_in_the_job_file_and_not_by_the_alphabet(real: Results) -> None:
    assert tables.orders(real, "probed")["loss"] == ["minimax", "non_saturating"]
    assert tables.orders(real, "tiny")["schedule"] == ["0", "0.2"]


def test_an_unreadable_job_file_leaves_the_order_of_size(store: Store) -> None:
    schedules = ["10", "9", "linear(end=0, start=1)", "0.5"]
    rows = [cell(number, schedule=schedule, w1=1.0) for number, schedule in enumerate(schedules)]
    store.write_part("job", "cells", rows, part=new_part())
    store.write_job("job", "protocol: of tomorrow")
    assert tables.orders(Results(store.root), "job")["schedule"] == ["0.5", "9", "10", "linear(end=0, start=1)"]


def test_the_job_file_orders_schedules(store: Store) -> None:
    text = """
name: job
protocol: train
problem: {name: ring}
networks: {name: mlp, width: 8, depth: 1, latent: 2}
training: {steps_per_epoch: 2}
grid: {loss: [hinge, minimax], sigma: [1, {schedule: linear, start: 1, end: 0}, 0.1], epoch: [1], seed: [0]}
"""
    schedules = ["0.1", "1", "linear(end=0, start=1)"]
    rows = [
        cell(n, schedule=schedule, loss=loss, w1=1.0)
        for n, schedule in enumerate(schedules)
        for loss in ("hinge", "minimax")
    ]
    rows = [{**row, "cell_id": str(index)} for index, row in enumerate(rows)]
    store.write_part("job", "cells", rows, part=new_part())
    store.write_job("job", text)
    found = tables.orders(Results(store.root), "job")
    assert found["schedule"] == ["1", "linear(end=0, start=1)", "0.1"]
    assert found["loss"] == ["hinge", "minimax"]


def test_groups_of_many_seeds_do_not_list_them(store: Store) -> None:
    store.write_part("job", "cells", [cell(seed, w1=float(seed)) for seed in range(11)], part=new_part())
    (group,) = tables.groups(Results(store.root), "job", ["w1"])
    assert (group["n"], group["w1"], group.get("w1_values"), group.get("seeds")) == (11, 5.0, None, None)


def test_a_shares_of_a_flag_is_a_metric(store: Store) -> None:
    store.write_part("job", "cells", [cell(seed, w1=1.0, vacuous=seed < 3) for seed in range(4)], part=new_part())
    (group,) = tables.groups(Results(store.root), "job", ["vacuous"])
    assert group["vacuous"] == 0.75


def test_an_unknown_job_or_metric_is_told_what_was_meant(real: Results) -> None:
    with pytest.raises(HarnessError, match="Did you mean 'tiny'"):
        tables.groups(real, "tny")
    with pytest.raises(HarnessError, match=r"--y bound_bst.*Did you mean 'bound_best'"):
        tables.check_metric(real, "tiny", "bound_bst")


def test_titles_have_the_unit_of_the_records() -> None:
    assert tables.metric_title("w1") == "w1, data units"
    assert tables.metric_title("jsd_mixture") == "jsd mixture, nats"
    assert tables.metric_title("kid[classifier]") == "kid[classifier]"
