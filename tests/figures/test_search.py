"""The figure of a search: what is drawn are the trials of the store, by formulas and ranks computed here."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from harness.figures.style import save
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.transforms import Bbox

from harness.errors import HarnessError
from harness.figures.search import search
from harness.search import importance as study
from harness.storage.query import Results
from harness.storage.store import Store
from harness.storage.writer import new_part
from tests.figures.lines import xs

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


Draw = Callable[[Sequence[Row]], Figure]


@pytest.fixture
def draw(store: Store) -> Draw:
    def drawn(rows: Sequence[Row]) -> Figure:
        for row in reversed(rows):  # a part each, as a search writes them, in any order
            store.write_part("job", "trials", [row], part=new_part())
        return search(Results(store.root), "job")

    return drawn


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[Mapping[str, Any]]]:
    """What importances were asked of; they are unknown."""
    calls: list[Sequence[Mapping[str, Any]]] = []

    def importances(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        calls.append(rows)
        return {}

    monkeypatch.setattr(study, "importances", importances)
    return calls


def points(axes: Any) -> dict[tuple[float, float], str]:
    """Every point of a panel and how it is drawn: hollow, grey, or the colour of one of the best."""
    found: dict[tuple[float, float], str] = {}
    for collection in axes.collections:
        faces = collection.get_facecolors()
        for index, (x, y) in enumerate(collection.get_offsets()):
            colour = to_hex(faces[index % len(faces)]).upper() if len(faces) else "hollow"
            found[float(x), float(y)] = "grey" if colour == "#8C8C8C" else colour
    return found


def line(axes: Any, label: str) -> Any:
    (found,) = [line for line in axes.lines if line.get_label().startswith(label)]
    return found


def legend_of(holder: Any) -> list[str]:
    return [text.get_text() for text in holder.get_texts()]


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
    axes = draw(rows).axes[0]
    t = xs(axes.lines[0])
    assert (t[0], t[-1]) == (0, 1)
    expected = {
        "2: 0.3, exponential 2 to 0.02, fraction 0.5": 2 * 0.01 ** np.minimum(t / 0.5, 1),
        "6: 0.35, step 0.75 to 0, at 0.3": np.where(t < 0.3, 0.75, 0),
        "3: 0.4, linear 1 to 0.25": 1 - 0.75 * t,
        "0: 0.5, constant 0.3": np.full(len(t), 0.3),
        "5: 0.6, inverse_time 1, decay 3": 1 / (1 + 3 * t),
    }
    assert [line.get_label() for line in axes.lines] == list(expected)
    assert legend_of(axes.get_legend()) == list(expected)
    for drawn, values in zip(axes.lines, expected.values(), strict=True):
        assert drawn.get_ydata() == pytest.approx(values)
    best, *others = axes.lines
    assert all(best.get_linewidth() > 2 * line.get_linewidth() for line in others)
    assert all(best.get_zorder() > line.get_zorder() for line in others)
    assert len({line.get_color() for line in axes.lines}) == 5
    assert axes.get_ylabel() == "sigma, data units"


def test_of_equal_trials_the_first_is_the_best(draw: Draw) -> None:
    axes = draw([trial(number, 1.0) for number in range(7)]).axes[0]
    assert [str(line.get_label()).split(":")[0] for line in axes.lines] == ["0", "1", "2", "3", "4"]


def test_an_adaptive_schedule_is_named_but_not_drawn(draw: Draw) -> None:
    adaptive = trial(0, 0.1, 0.1, family="adaptive", own={"start": 0.5, "target": 0.8, "rate": 5.0})
    figure = draw([adaptive, trial(1, 0.2, 0.1), trial(2, 0.3, 0.1)])
    found, course, mattered, _ = figure.axes
    assert [line.get_label() for line in found.lines] == ["1: 0.2, linear 1 to 0.25", "2: 0.3, linear 1 to 0.25"]
    assert legend_of(found.get_legend())[0] == "0: 0.1, adaptive 0.5, target 0.8, rate 5 (no function of t)"
    assert max(line.get_linewidth() for line in found.lines) < 2  # the best is another
    assert mattered.get_title("left") == "c   what matters"
    assert len(points(course)) == 3


def test_a_search_of_adaptive_schedules_alone_has_their_names(draw: Draw) -> None:
    adaptive = trial(0, 0.1, 0.1, family="adaptive", own={"start": 0.5, "target": 0.8, "rate": 5.0})
    axes = draw([adaptive]).axes[0]
    assert not axes.lines
    assert len(legend_of(axes.get_legend())) == 1


# --- b: the course


def test_the_course_has_every_value_and_the_least_of_the_complete_ones_so_far(draw: Draw) -> None:
    values = [2.0, 2.5, 1.9, 1.5, 1.6, 1.7, 1.2, 1.8]
    rows = [trial(number, value, 1.0) for number, value in enumerate(values)]
    rows += [trial(8, 1.1, 1.0, state="pruned"), trial(9, 1.3, 1.0), trial(10, 2.2, 1.0, state="pruned")]
    figure = draw(rows)
    found, course = figure.axes[:2]
    drawn = points(course)
    assert drawn.keys() == {(row["trial"], row["value"]) for row in rows}
    assert [place for place, look in drawn.items() if look == "hollow"] == [(8, 1.1), (10, 2.2)]
    best = [(6, 1.2), (9, 1.3), (3, 1.5), (4, 1.6), (5, 1.7)]
    assert {place for place, look in drawn.items() if look not in ("hollow", "grey")} == set(best)
    assert [drawn[place] for place in best] == [line.get_color() for line in found.lines]
    assert [tuple(place) for place in np.asarray(course.collections[-1].get_offsets())] == best[::-1]  # the best on top
    least = line(course, "least so far")
    assert list(least.get_xdata()) == [0, 1, 2, 3, 4, 5, 6, 7, 9, 10]
    assert list(least.get_ydata()) == [2.0, 2.0, 1.9, 1.5, 1.5, 1.5, 1.2, 1.2, 1.2, 1.2]
    assert least.get_drawstyle() == "steps-post"
    labels = legend_of(figure.legends[0])
    assert labels[:2] == ["9 complete", "2 pruned"]
    assert not any("failed" in label for label in labels)


def test_failed_trials_are_at_the_top_edge_whatever_their_value(draw: Draw) -> None:
    rows = [trial(0, None, state="fail"), trial(1, 1.0, 0.5), trial(2, 1.5, 0.5), trial(3, 900.0, 900.0, state="fail")]
    figure = draw(rows)
    _, course, _, truth = figure.axes
    marks = line(course, "2 failed")
    assert list(marks.get_xdata()) == [0, 3]
    x, y = course.transAxes.inverted().transform(marks.get_transform().transform([(0, 1.0), (3, 1.0)])).T
    assert list(marks.get_ydata()) == [1.0, 1.0]
    assert y == pytest.approx([1, 1])
    assert 0 < x[0] < x[1] < 1
    assert course.get_yscale() == "linear"
    assert course.get_ylim()[1] < 2
    assert set(points(course)) == {(1, 1.0), (2, 1.5)}
    assert set(points(truth)) == {(0.5, 1.0), (0.5, 1.5)}
    assert list(line(course, "least so far").get_xdata()) == [1, 2, 3]


@pytest.mark.parametrize(
    ("values", "scale"), [([1.0, 4.9], "linear"), ([1.0, 5.1], "log"), ([0.0, 9.0], "linear"), ([1e-3, 1e3], "log")]
)
def test_an_axis_is_logarithmic_for_values_that_span_more_than_a_factor_of_five(
    draw: Draw, values: list[float], scale: str
) -> None:
    figure = draw([trial(number, value, value) for number, value in enumerate(values)])
    _, course, _, truth = figure.axes
    assert course.get_yscale() == truth.get_xscale() == truth.get_yscale() == scale
    figure.draw_without_rendering()
    for axis, low, high in ((truth.xaxis, *truth.get_xlim()), (course.yaxis, *course.get_ylim())):
        shown = [
            (float(text.get_text()), position)
            for text, position in zip(axis.get_ticklabels(), axis.get_ticklocs(), strict=True)
            if low <= position <= high
        ]
        assert len(shown) >= 2
        assert all(text == pytest.approx(position) for text, position in shown)


def test_a_value_that_is_not_finite_is_no_point(draw: Draw) -> None:
    figure = draw([trial(0, math.inf, 1.0), trial(1, math.nan, 1.0), trial(2, 2.0, math.inf), trial(3, 3.0, 1.0)])
    _, course, _, truth = figure.axes
    assert set(points(course)) == {(2, 2.0), (3, 3.0)}
    assert set(points(truth)) == {(1.0, 3.0)}


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
    axes = draw(rows).axes[2]
    assert [[row["trial"] for row in call] for call in asked] == [[0, 1, 2]]
    names = [label.get_text() for label in axes.get_yticklabels()]
    drawn = [bar for bar in axes.patches if isinstance(bar, Rectangle)]
    bars = sorted(zip(names, drawn, strict=True), key=lambda pair: -pair[1].get_y())
    assert [(name, bar.get_width()) for name, bar in bars] == [
        ("learning_rate", 0.7),
        ("linear.start", 0.25),
        ("linear.end", 0.05),
    ]
    assert [text.get_text() for text in axes.texts] == ["0.05", "0.25", "0.70"]


def test_without_importances_the_panel_says_why(draw: Draw) -> None:
    axes = draw([trial(0, 1.0, family="cosine")]).axes[2]
    assert [text.get_text() for text in axes.texts] == ["too few trials"]
    assert not axes.patches


# --- d: the truth


def test_the_objective_is_compared_with_the_exact_distance_by_ranks(draw: Draw) -> None:
    distances, values = [0.3, 0.1, 0.4, 0.2, 0.5], [1.3, 1.2, 1.6, 1.1, 1.5]
    states = ["complete", "pruned", "complete", "complete", "pruned"]
    rows = [
        trial(number, value, distance, state=state)
        for number, (value, distance, state) in enumerate(zip(values, distances, states, strict=True))
    ]
    axes = draw([*rows, trial(5, 1.4), trial(6, 0.1, 9.0, state="fail"), trial(7, None, state="fail")]).axes[3]
    # ranks 3 1 4 2 5 and 3 2 5 1 4: differences 0 1 1 1 1
    rho = 1 - 6 * 4 / (5 * 24)
    assert axes.get_title("left").endswith(f"Spearman's rho {rho:.2f}")
    drawn = points(axes)
    assert drawn.keys() == set(zip(distances, values, strict=True))
    assert {place for place, look in drawn.items() if look == "hollow"} == {(0.1, 1.2), (0.5, 1.5)}
    equal = line(axes, "objective = distance")
    assert list(equal.get_xdata()) == list(equal.get_ydata())
    assert equal.get_xdata()[0] < 0.1
    assert equal.get_xdata()[-1] > 0.5
    assert axes.get_ylim()[0] < 0.1
    assert axes.get_xlabel() == "exact distance, data units"
    assert axes.get_ylabel() == "objective (a bound), data units"


def test_an_objective_far_above_the_distance_is_not_pressed_into_a_strip(draw: Draw) -> None:
    rows = [trial(number, 1.0 + 0.05 * number, 0.1 + 0.01 * number) for number in range(4)]
    figure = draw(rows)
    axes = figure.axes[3]
    assert set(points(axes)) == {(row["distance"], row["value"]) for row in rows}
    assert not axes.lines
    assert not any("objective = distance" in text for text in legend_of(figure.legends[0]))
    low, high = axes.get_ylim()
    assert 0.75 * (high - low) < 0.15  # the values' span fills the panel


@pytest.mark.parametrize(
    "pairs", [[(1.0, 0.5)], [(1.0, 0.5), (2.0, 0.6)], [(1.0, 0.5)] * 4, [(1.0, 0.1), (1.0, 0.2), (1.0, 0.3)]]
)
@pytest.mark.filterwarnings("error")
def test_too_few_or_equal_trials_have_no_rank_correlation(draw: Draw, pairs: list[tuple[float, float]]) -> None:
    figure = draw([trial(number, *pair) for number, pair in enumerate(pairs)])
    figure.draw_without_rendering()
    truth = figure.axes[3]
    assert truth.get_title("left").endswith("no correlation")
    assert set(points(truth)) == {(distance, value) for value, distance in pairs}


# --- the whole


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("state", ["fail", "pruned"])
def test_a_search_without_a_complete_trial_says_so(draw: Draw, state: str) -> None:
    value = 1.0 if state == "pruned" else None
    figure = draw([trial(number, value, value, state=state) for number in range(3)])
    figure.draw_without_rendering()
    found, course, mattered, truth = figure.axes
    assert [text.get_text() for text in found.texts] == ["no trial completed"]
    assert [text.get_text() for text in mattered.texts] == ["too few trials"]
    assert mattered.get_title("left") == "c   what matters"
    assert not any(str(line.get_label()).startswith("least") for line in course.lines)
    assert len(points(course)) == len(set(points(truth))) * 3 == (3 if state == "pruned" else 0)
    assert [len(axes.texts) for axes in (course, truth)] == ([0, 0] if state == "pruned" else [1, 1])


def test_a_job_without_trials_is_told_what_to_do(store: Store) -> None:
    store.write_part("other", "trials", [trial(0, 1.0)], part=new_part())
    store.write_job("jo'b", "name: job")
    with pytest.raises(HarnessError, match=r"job 'jo'b' has no trials.*harness tune"):
        search(Results(store.root), "jo'b")


def test_trials_of_another_job_are_not_drawn(store: Store, draw: Draw) -> None:
    store.write_part("other", "trials", [trial(7, 0.5, 0.25)], part=new_part())
    assert set(points(draw([trial(0, 1.0, 0.5)]).axes[1])) == {(0, 1.0)}


def texts(figure: Figure) -> dict[str, Bbox]:
    """Where every text is, by panel and text."""
    found = {f"figure: {text.get_text()}": text for text in figure.legends[0].get_texts()}
    for name, axes in zip("abcd", figure.axes, strict=True):
        titles = [axes.title, axes.xaxis.label, axes.yaxis.label, *axes.texts]
        ticks = [
            tick.label1
            for axis in (axes.xaxis, axes.yaxis)
            for tick in axis.get_major_ticks()
            if min(axis.get_view_interval()) <= tick.get_loc() <= max(axis.get_view_interval())
        ]
        legend = axes.get_legend()
        inside = [] if legend is None else [legend.get_title(), *legend.get_texts()]
        own = [*titles, axes._left_title, *ticks, *inside]  # type: ignore[attr-defined]  # a private one
        found.update({f"{name}{index}: {text.get_text()}": text for index, text in enumerate(own) if text.get_text()})
    return {name: text.get_window_extent() for name, text in found.items()}


LONG = {
    "exponential": {"start": 1.2345, "end": 0.012345, "fraction": 0.87654},
    "polynomial": {"start": 0.0012345, "end": 0.00012345, "power": 0.12345, "fraction": 0.012345},
    "adaptive": {"start": 0.012345, "target": 0.87654, "rate": 0.012345},
}


@pytest.mark.parametrize(
    ("num_trials", "factor", "dpi"),
    [(1, 1.0, 160), (2, 3e3, 160), (40, 0.04, 160), (40, 1.0, 100), (1200, 1e-4, 160), (1200, 3e3, 160)],
)
def test_no_text_is_cut_off_or_covers_another(
    draw: Draw, monkeypatch: pytest.MonkeyPatch, store: Store, num_trials: int, factor: float, dpi: int
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
    figure = draw([])
    figure.set_dpi(dpi)
    figure.draw_without_rendering()
    boxes = texts(figure)
    for name, box in boxes.items():
        assert box.x0 >= 0, name
        assert box.y0 >= 0, name
        assert box.x1 <= figure.bbox.x1, name
        assert box.y1 <= figure.bbox.y1, name
    overlapping = [
        pair
        for pair in itertools.combinations(boxes, 2)
        if Bbox.intersection(*(boxes[name] for name in pair)) is not None
    ]
    assert overlapping == []
    found = figure.axes[0]
    legend = found.get_legend()
    assert legend is not None
    inside = legend.get_window_extent()
    assert inside.x0 >= found.bbox.x0
    assert all(line.get_window_extent().y1 < inside.y0 for line in found.lines)


def test_the_same_trials_give_the_same_bytes(draw: Draw, store: Store, tmp_path: Any) -> None:
    first = draw([trial(number, 1.0 + number, 0.5 + number) for number in range(4)])
    again = search(Results(store.root), "job")
    paths = [tmp_path / "first.svg", tmp_path / "again.svg"]
    for figure, path in zip((first, again), paths, strict=True):
        save(figure, path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
