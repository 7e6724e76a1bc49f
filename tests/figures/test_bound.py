"""The bound against sigma, and the tails of gradients, with their references."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from harness.errors import HarnessError
from harness.figures.bound import METRICS, bound, bound_again
from harness.figures.selection import View
from harness.figures.spectrum import ADVANTAGE, INDEX, REFERENCES, spectrum
from harness.storage.query import Results
from tests.figures.scene import drawn
from tests.figures.test_lines import assert_readable


def test_the_curve_is_the_mean_of_the_stores_bounds(real: Results) -> None:
    rows = bound(real, "probed").tables["groups"]
    expected = real.query(
        f"""SELECT epoch, sigma, {", ".join(f"avg({name}) AS {name}" for name in METRICS)} FROM cells
            WHERE job = 'probed' AND loss = 'minimax' GROUP BY epoch, sigma ORDER BY sigma, epoch"""
    ).to_pylist()
    found = [{name: row[name] for name in ("epoch", "sigma", *METRICS)} for row in rows]
    found.sort(key=lambda row: (row["sigma"], row["epoch"]))
    assert found == [{name: pytest.approx(value) for name, value in row.items()} for row in expected]
    for row in rows:
        terms = row["bound_paper_noise_term"] + row["bound_paper_divergence_term"]
        assert terms == pytest.approx(row["bound_paper"])


def test_where_the_bound_says_nothing_is_grey_from_the_diameter_up(real: Results) -> None:
    picture = bound(real, "probed", panels="none", where={"epoch": "1"})
    found = drawn(picture)
    (row, *_) = picture.tables["groups"]
    (grey,) = [item for item in found.marks("rect") if item.get("opacity", 1) < 0.2]
    scale = picture.spec()["layer"][0]["encoding"]["y"]["scale"]["domain"]
    share = math.log(row["data_diameter"] / scale[0]) / math.log(scale[1] / scale[0])
    spans = [item for item in found.marks("group") if item.get("height", 0) > grey["height"]]
    assert grey["y"] == pytest.approx(0)
    assert grey["height"] == pytest.approx(min(item["height"] for item in spans) * (1 - share), abs=0.5)
    assert "vacuous" in [box.text for box in found.texts()]
    assert_readable(found)


def test_a_term_that_is_zero_is_no_point_of_a_log_axis(real: Results) -> None:
    found = drawn(bound(real, "probed", panels="none", where={"epoch": "1"}))
    lines = [one for one in found.said("symbol") if one.get("line") == "bound_paper_noise_term"]
    assert {float(one["sigma"]) for one in lines} == {0.5}


def test_a_job_of_training_is_told_why_it_has_no_curve(real: Results) -> None:
    with pytest.raises(HarnessError, match=r"each is trained and measured at its own.*measures them again"):
        bound(real, "tiny")


def test_generators_of_training_are_measured_again_over_the_evaluations_sigmas(real: Results) -> None:
    picture = bound_again(real, "tiny", where={"loss": "minimax", "seed": "1"})
    rows = picture.tables["bounds"]
    expected = real.query(
        """SELECT cell_id, w1, bound_best, real_w1 FROM cells
           WHERE job = 'tiny' AND loss = 'minimax' AND seed = 1 AND epoch = 3"""
    ).to_pylist()
    assert {row["cell_id"]: (row["w1"], row["bound_paper"], row["real_w1"]) for row in rows} == {
        row["cell_id"]: (pytest.approx(row["w1"], rel=1e-6), pytest.approx(row["bound_best"]), row["real_w1"])
        for row in expected
    }
    assert "One generator each, of seed 1 at epoch 3." in picture.caption
    assert_readable(drawn(picture))


def test_tails_are_drawn_beside_their_references(real: Results) -> None:
    picture = spectrum(real, "probed", View(x="sigma", by="epoch"))
    found = drawn(picture)
    assert {"Cauchy", "normal"} <= {box.text for box in found.texts()}
    rows = picture.tables["groups"]
    assert {INDEX, ADVANTAGE} <= set(rows[0])
    assert_readable(found)


def test_the_references_are_what_numpys_samples_show() -> None:
    """Coordinates of 16 draws each, less their median in units of their median absolute deviation, pooled."""
    random = np.random.default_rng(0)
    for name, draws in (
        ("normal", random.standard_normal((16, 100_000))),
        ("Cauchy", random.standard_cauchy((16, 100_000))),
    ):
        centred = draws - np.median(draws, axis=0)
        pooled = np.abs(centred / np.median(np.abs(centred), axis=0)).ravel()
        largest = np.sort(pooled)[-pooled.size // 20 - 1 :]
        hill = 1 / np.mean(np.log(largest[1:] / largest[0]))
        assert hill == pytest.approx(REFERENCES[INDEX][name], rel=0.02)
        if name == "normal":
            assert advantage(pooled) == pytest.approx(REFERENCES[ADVANTAGE][name], abs=0.01)
        else:
            assert advantage(pooled) > 1


def advantage(values: Any) -> float:
    """Mean log-likelihood of a Cauchy less that of a normal, by scipy."""
    from scipy import stats

    cauchy = stats.cauchy.logpdf(values, scale=np.median(values)).mean()
    return float(cauchy - stats.norm.logpdf(values, scale=np.sqrt(np.mean(values**2))).mean())
