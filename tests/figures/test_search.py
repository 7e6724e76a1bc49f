"""The figure of a search: what is drawn are the trials of the store, by formulas and ranks computed here."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.errors import HarnessError
from harness.figures.picture import Picture, save
from harness.figures.search import search
from harness.search import importance as study
from harness.storage.query import Results
from harness.storage.store import Store
from harness.storage.writer import new_part
from tests.figures.scene import drawn
from tests.figures.test_lines import assert_readable

Row = dict[str, Any]
LINEAR = {"start": 1.0, "end": 0.25}


def trial(
    number: int,
    value: float | None,
    distance: float | None = None,
    *,
    state: str = "complete",
    family: str = "linear",
    own: Mapping[str, float] = LINEAR,
    **others: Any,
) -> Row:
    """A row of trials; `own` are the parameters of its schedule, `others` those beside it."""
    parameters = {"schedule": family, **{f"{family}.{name}": item for name, item in own.items()}, **others}
    row = {"trial": number, "state": state, "family": family, "parameters": json.dumps(parameters, sort_keys=True)}
    return {**row, "value": value, "distance": distance}


Draw = Callable[[Sequence[Row]], Picture]


@pytest.fixture
def draw(store: Store) -> Draw:
    def draw_(rows: Sequence[Row]) -> Picture:
        for row in reversed(rows):  # a part each, as a search writes them, in any order
            store.write_part("job", "trials", [row], part=new_part())
        return search(Results(store.root), "job")

    return draw_


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[Mapping[str, Any]]]:
    """What importances were asked of; they are unknown."""
    calls: list[Sequence[Mapping[str, Any]]] = []

    def importances(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        calls.append(rows)
        return {}

    monkeypatch.setattr(study, "importances", importances)
    return calls


def kinds(picture: Picture, needs: str = "value") -> dict[str, set[tuple[int, float]]]:
    """Trials and values that are points, by how they are drawn."""
    found: dict[str, set[tuple[int, float]]] = {}
    for row in picture.tables["trials"]:
        if row["value"] is not None and row[needs] is not None and row["kind"] != "fail":
            found.setdefault(row["kind"], set()).add((row["trial"], row["value"]))
    return found


def panels(picture: Picture) -> dict[str, Any]:
    """The specification of each panel by the letter of its title."""
    rows = picture.spec()["vconcat"][-2:]
    views = [view for row in rows for view in row["hconcat"]]
    return {view["title"]["text"][0]: view for view in views}


def scale(panel: Any, axis: str) -> str:
    """Of the marks of trials."""
    found = {
        layer["encoding"][axis]["scale"].get("type", "linear")
        for layer in panel["layer"]
        if "tooltip" in layer["encoding"]
    }
    assert len(found) == 1
    return str(*found)


def said(picture: Picture) -> list[str]:
    return [box.text for box in drawn(picture).texts()]


# --- a: the best schedules


def test_the_five_best_schedules_are_drawn_as_their_formulas_and_the_best_strongest(draw: Draw) -> None:
    rows = [
        trial(0, 0.5, family="constant", own={"sigma": 0.3}),
        trial(1, 0.9, family="constant", own={"sigma": 9.0}),
        trial(2, 0.3, family="exponential", own={"start": 2.0, "end": 0.02, "fraction": 0.5}, learning_rate=1e-3),
        trial(3, 0.4),
        trial(4, 0.1, state="pruned"),
        trial(5, 0.6, family="inverse_time", own={"start": 1.0, "decay": 3.0}),
        trial(6, 0.35, family="step", own={"start": 0.75, "end": 0.0, "at": 0.3}),
        trial(7, 0.01, state="fail"),
    ]
    picture = draw(rows)
    t = np.linspace(0, 1, 101)
    expected = {
        "2: 0.3, exponential 2\u21920.02, fraction 0.5": 2 * 0.01 ** np.minimum(t / 0.5, 1),
        "6: 0.35, step 0.75\u21920, at 0.3": np.where(t < 0.3, 0.75, 0),
        "3: 0.4, linear 1\u21920.25": 1 - 0.75 * t,
        "0: 0.5, constant 0.3": np.full(len(t), 0.3),
        "5: 0.6, inverse_time 1, decay 3": 1 / (1 + 3 * t),
    }
    assert [row["label"] for row in picture.tables["key"]] == list(expected)
    for key, values in zip(picture.tables["key"], expected.values(), strict=True):
        own = [row["sigma"] for row in picture.tables["best"] if row["trial"] == key["trial"]]
        assert own == pytest.approx(values)
    found = drawn(picture)
    widths = {item["stroke"]: item["strokeWidth"] for item in found.marks("line") if item.get("strokeWidth", 0) > 1}
    assert sorted(widths.values()) == [1.2, 1.2, 1.2, 1.2, 2.6]
    assert widths["#0072B2"] == 2.6
    assert picture.tables["best"][-1]["rank"] == 0  # drawn last
    assert set(expected) <= set(said(picture))
    assert_readable(found)


def test_of_equal_trials_the_first_is_the_best(draw: Draw) -> None:
    key = draw([trial(number, 1.0) for number in range(7)]).tables["key"]
    assert [row["trial"] for row in key] == [0, 1, 2, 3, 4]


def test_an_adaptive_schedule_is_named_but_not_drawn(draw: Draw) -> None:
    adaptive = trial(0, 0.1, 0.1, family="adaptive", own={"start": 0.5, "target": 0.8, "rate": 5.0})
    picture = draw([adaptive, trial(1, 0.2, 0.1), trial(2, 0.3, 0.1)])
    assert picture.tables["key"][0]["label"] == "0: 0.1, adaptive 0.5, target 0.8, rate 5 (no function of t)"
    assert {row["trial"] for row in picture.tables["best"] if row["sigma"] is not None} == {1, 2}
    assert len(kinds(picture)["best"]) == 3


# --- b: the course


def test_the_course_has_every_value_and_the_least_of_the_complete_ones_so_far(draw: Draw) -> None:
    values = [2.0, 2.5, 1.9, 1.5, 1.6, 1.7, 1.2, 1.8]
    rows = [trial(number, value, 1.0) for number, value in enumerate(values)]
    rows += [trial(8, 1.1, 1.0, state="pruned"), trial(9, 1.3, 1.0), trial(10, 2.2, 1.0, state="pruned")]
    picture = draw(rows)
    found = kinds(picture)
    assert found["pruned"] == {(8, 1.1), (10, 2.2)}
    assert found["best"] == {(6, 1.2), (9, 1.3), (3, 1.5), (4, 1.6), (5, 1.7)}
    assert found["complete"] == {(0, 2.0), (1, 2.5), (2, 1.9), (7, 1.8)}
    least = [(row["trial"], row["value"]) for row in picture.tables["least"]]
    assert least == list(
        zip([0, 1, 2, 3, 4, 5, 6, 7, 9, 10], [2.0, 2.0, 1.9, 1.5, 1.5, 1.5, 1.2, 1.2, 1.2, 1.2], strict=True)
    )
    told = panels(picture)["b"]["title"]["subtitle"].replace("\u00a0", " ")
    assert told.split() == ["\u25cf", "9", "complete", "\u25cb", "2", "pruned"]
    scene = drawn(picture)
    assert len(scene.marks("symbol")) >= 2 * 11
    assert_readable(scene)


def test_failed_trials_are_at_the_top_edge_whatever_their_value(draw: Draw) -> None:
    rows = [trial(0, None, state="fail"), trial(1, 1.0, 0.5), trial(2, 1.5, 0.5), trial(3, 900.0, 900.0, state="fail")]
    picture = draw(rows)
    course = panels(picture)["b"]
    assert scale(course, "y") == "linear"
    crosses = [item for item in drawn(picture).marks("text") if item.get("text") == "\u00d7"]
    assert [item["y"] for item in crosses] == [0, 0]  # from the top
    assert set().union(*kinds(picture).values()) == {(1, 1.0), (2, 1.5)}
    assert [row["trial"] for row in picture.tables["least"]] == [1, 2, 3]
    assert "2 failed" in course["title"]["subtitle"]


@pytest.mark.parametrize(
    ("values", "kind"), [([1.0, 4.9], "linear"), ([1.0, 5.1], "log"), ([0.0, 9.0], "linear"), ([1e-3, 1e3], "log")]
)
def test_an_axis_is_logarithmic_for_values_that_span_more_than_a_factor_of_five(
    draw: Draw, values: list[float], kind: str
) -> None:
    picture = draw([trial(number, value, value) for number, value in enumerate(values)])
    found = panels(picture)
    assert scale(found["b"], "y") == scale(found["d"], "x") == scale(found["d"], "y") == kind
    assert_readable(drawn(picture))


def test_a_value_that_is_not_finite_is_no_point(draw: Draw) -> None:
    picture = draw([trial(0, math.inf, 1.0), trial(1, math.nan, 1.0), trial(2, 2.0, math.inf), trial(3, 3.0, 1.0)])
    assert set().union(*kinds(picture).values()) == {(2, 2.0), (3, 3.0)}
    assert set().union(*kinds(picture, "distance").values()) == {(3, 3.0)}


# --- c: the parameters


def test_importances_are_bars_the_largest_on_top(
    draw: Draw, monkeypatch: pytest.MonkeyPatch, asked: list[Sequence[Mapping[str, Any]]]
) -> None:
    shares = {"linear.start": 0.25, "learning_rate": 0.7, "linear.end": 0.05}

    def importances(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        asked.append(rows)
        return shares

    monkeypatch.setattr(study, "importances", importances)
    rows = [
        trial(0, 1.0, family="constant", own={"sigma": 0.1}),
        trial(1, 0.5),
        trial(2, 0.4, state="pruned", family="constant", own={"sigma": 0.2}),
    ]
    picture = draw(rows)
    assert [[row["trial"] for row in call] for call in asked] == [[0, 1, 2]]
    found = picture.tables["importances"]
    assert [(row["parameter"], row["share"]) for row in found] == [
        ("learning_rate", 0.7),
        ("linear.start", 0.25),
        ("linear.end", 0.05),
    ]
    names = [box for box in drawn(picture).texts() if box.text in ("learning rate", "linear.start", "linear.end")]
    assert [box.text for box in sorted(names, key=lambda box: box.top)] == [
        "learning rate",
        "linear.start",
        "linear.end",
    ]
    assert {"0.70", "0.25", "0.05"} <= set(said(picture))
    assert_readable(drawn(picture))


def test_without_importances_the_panel_says_why(draw: Draw) -> None:
    picture = draw([trial(0, 1.0, family="cosine")])
    assert "too few trials" in said(picture)
    assert picture.tables["importances"] == []


# --- d: the truth


def test_the_objective_is_compared_with_the_exact_distance_by_ranks(draw: Draw) -> None:
    distances, values = [0.3, 0.1, 0.4, 0.2, 0.5], [1.3, 1.2, 1.6, 1.1, 1.5]
    states = ["complete", "pruned", "complete", "complete", "pruned"]
    rows = [
        trial(number, value, distance, state=state)
        for number, (value, distance, state) in enumerate(zip(values, distances, states, strict=True))
    ]
    picture = draw([*rows, trial(5, 1.4), trial(6, 0.1, 9.0, state="fail"), trial(7, None, state="fail")])
    # ranks 3 1 4 2 5 and 3 2 5 1 4: differences 0 1 1 1 1
    rho = 1 - 6 * 4 / (5 * 24)
    truth = panels(picture)["d"]
    assert truth["title"]["text"].endswith(f"Spearman's rho {rho:.2f}")
    points = kinds(picture, "distance")
    assert set().union(*points.values()) == set(enumerate(values))
    assert points["pruned"] == {(1, 1.2), (4, 1.5)}
    (equal,) = [layer for layer in truth["layer"] if layer.get("data", {}).get("name") == "equal"]
    assert all(row["distance"] == row["value"] for row in equal["data"]["values"])
    assert "dashed: objective = distance" in truth["title"]["subtitle"]


def test_an_objective_far_above_the_distance_is_not_pressed_into_a_strip(draw: Draw) -> None:
    picture = draw([trial(number, 1.0 + 0.05 * number, 0.1 + 0.01 * number) for number in range(4)])
    truth = panels(picture)["d"]
    assert not [layer for layer in truth["layer"] if layer.get("data", {}).get("name") == "equal"]
    assert "dashed" not in truth["title"]["subtitle"]


@pytest.mark.parametrize(
    "pairs", [[(1.0, 0.5)], [(1.0, 0.5), (2.0, 0.6)], [(1.0, 0.5)] * 4, [(1.0, 0.1), (1.0, 0.2), (1.0, 0.3)]]
)
@pytest.mark.filterwarnings("error")
def test_too_few_or_equal_trials_have_no_rank_correlation(draw: Draw, pairs: list[tuple[float, float]]) -> None:
    picture = draw([trial(number, *pair) for number, pair in enumerate(pairs)])
    assert panels(picture)["d"]["title"]["text"].endswith("no correlation")
    assert_readable(drawn(picture))


# --- the whole


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("state", ["fail", "pruned"])
def test_a_search_without_a_complete_trial_says_so(draw: Draw, state: str) -> None:
    value = 1.0 if state == "pruned" else None
    picture = draw([trial(number, value, value, state=state) for number in range(3)])
    texts = said(picture)
    assert {"no trial completed", "too few trials"} <= set(texts)
    assert ("no trial has a value" in texts) == (state == "fail")
    assert picture.tables["least"] == picture.tables["key"] == []
    assert "none complete" in picture.caption


def test_a_job_without_trials_is_told_what_to_do(store: Store) -> None:
    store.write_part("other", "trials", [trial(0, 1.0)], part=new_part())
    store.write_job("jo'b", "name: job")
    with pytest.raises(HarnessError, match=r"job 'jo'b' has no trials.*harness tune"):
        search(Results(store.root), "jo'b")


def test_trials_of_another_job_are_not_drawn(store: Store, draw: Draw) -> None:
    store.write_part("other", "trials", [trial(7, 0.5, 0.25)], part=new_part())
    assert set().union(*kinds(draw([trial(0, 1.0, 0.5)])).values()) == {(0, 1.0)}


LONG = {
    "exponential": {"start": 1.2345, "end": 0.012345, "fraction": 0.87654},
    "polynomial": {"start": 0.0012345, "end": 0.00012345, "power": 0.12345, "fraction": 0.012345},
    "adaptive": {"start": 0.012345, "target": 0.87654, "rate": 0.012345},
}


@pytest.mark.parametrize(("num_trials", "factor"), [(1, 1.0), (2, 3e3), (40, 0.04), (1200, 1e-4), (1200, 3e3)])
def test_no_text_is_cut_off_or_covers_another(
    draw: Draw, monkeypatch: pytest.MonkeyPatch, store: Store, num_trials: int, factor: float
) -> None:
    names = ["exponential.fraction", "exponential.start", "exponential.end", "zero_centred.weight", "learning_rate"]
    shares = dict.fromkeys([*names, "discriminator_steps", "gradient_penalty.weight"], 1 / 7)
    monkeypatch.setattr(study, "importances", lambda rows: shares)
    random = np.random.default_rng(0)
    rows = []
    for number in range(num_trials):
        distance = factor * float(random.uniform(0.1, 1) ** 2)
        family = list(LONG)[number % 3]
        state = random.choice(["complete", "complete", "pruned", "fail"]) if number else "complete"
        rows.append(trial(number, 2.3 * distance, distance, state=str(state), family=family, own=LONG[family]))
    store.write_part("job", "trials", rows, part=new_part())
    assert_readable(drawn(draw([])))


def test_the_same_trials_give_the_same_bytes(draw: Draw, store: Store, tmp_path: Path) -> None:
    first = draw([trial(number, 1.0 + number, 0.5 + number) for number in range(4)])
    again = search(Results(store.root), "job")
    paths = [tmp_path / "first.svg", tmp_path / "again.svg"]
    for picture, path in zip((first, again), paths, strict=True):
        save(picture, path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
