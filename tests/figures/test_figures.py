"""Figures of probes, paths and noise, and the commands: what is drawn are the rows of the store."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from harness.cli.app import app
from harness.errors import HarnessError
from harness.figures import paths, probes, sigma
from harness.figures.picture import FORMATS, Picture, save
from harness.figures.probes import Selection
from harness.job.parts.schedules import Linear
from harness.storage.query import Results
from harness.storage.store import Store
from harness.storage.writer import new_part
from tests.figures.scene import drawn
from tests.figures.test_lines import assert_readable

ITERATIONS = [1, 10, 100]
# made up: seed s, epoch e -> cross-entropy at each iteration
D_LOSS = {
    (1, 0): [1.0, 0.1, 0.01],
    (1, 1): [2.0, 0.3, 0.03],
    (1, 2): [3.0, 0.2, 0.02],
    (10, 0): [1.2, 1.1, 0.9],
}


def add_probe(store: Store, epoch: int, seed: int, *, loss: str = "minimax", sigma: float = 0.0) -> None:
    part, cell = new_part(), f"{loss}-{epoch}-{seed}-{sigma}"
    row = {"cell_id": cell, "status": "completed", "protocol": "probe", "loss": loss, "sigma": sigma, "epoch": epoch}
    store.write_part("job", "cells", [{**row, "seed": seed, "schedule": str(sigma), "batch_norm": "joint"}], part=part)
    points: list[dict[str, Any]] = [
        {
            "cell_id": cell,
            "iteration": iteration,
            "d_loss": value + sigma,
            "accuracy": 1 - value / 4,
            "grad_norm_minimax": 10 * value,
            "grad_norm_non_saturating": 5 / value,
            "grad_variance": 7 / value,
        }
        for iteration, value in zip(ITERATIONS, D_LOSS[epoch, seed], strict=True)
    ]
    store.write_part("job", "curves", points, part=part)


@pytest.fixture
def root(store: Store) -> str:
    """Of a store with probes."""
    for epoch, seed in D_LOSS:
        for loss in ("minimax", "non_saturating"):
            add_probe(store, epoch, seed, loss=loss)
    add_probe(store, 1, 0, sigma=0.5)
    return store.root


@pytest.fixture
def results(root: str) -> Results:
    return Results(root)


def curves(picture: Picture, column: str, by: str = "epoch") -> dict[Any, list[float]]:
    """The rows of a picture of probes, which are drawn as they are."""
    found: dict[Any, list[float]] = {}
    for row in picture.tables["curves"]:
        found.setdefault(row[by], []).append(row[column])
    return found


def test_figure_1_shows_medians_over_seeds_by_epoch(results: Results) -> None:
    picture = probes.probes(results, "job", 1)
    assert curves(picture, "d_loss") == {1: [2.0, 0.2, 0.02], 10: [1.2, 1.1, 0.9]}
    assert curves(picture, "accuracy")[1] == pytest.approx([0.5, 0.95, 0.995])
    assert curves(picture, "iteration")[1] == ITERATIONS
    error, right = picture.spec()["hconcat"]
    fields = [[layer["encoding"]["y"]["field"] for layer in panel["layer"]] for panel in (error, right)]
    assert fields == [["low", "d_loss"], ["low", "accuracy"]]
    scales = [panel["layer"][1]["encoding"][axis]["scale"].get("type") for panel in (error, right) for axis in "xy"]
    assert scales == ["log", "log", "log", None]
    assert_readable(drawn(picture))


def test_the_band_is_the_range_over_seeds(results: Results) -> None:
    picture = probes.probes(results, "job", 1)
    first = picture.tables["curves"][0]
    assert (first["d_loss_min"], first["d_loss_max"], first["n"]) == (1.0, 3.0, 3)
    assert "medians over 1 to 3 seeds, bands their range" in picture.caption


def test_figures_2_and_3_show_the_two_gradients(results: Results) -> None:
    assert curves(probes.probes(results, "job", 2), "grad_norm_minimax")[10] == pytest.approx([12, 11, 9])
    third = probes.probes(results, "job", 3)
    assert {row["loss"] for row in third.tables["curves"]} == {"non_saturating"}
    assert curves(third, "grad_norm_non_saturating")[10] == pytest.approx([5 / 1.2, 5 / 1.1, 5 / 0.9])
    assert curves(third, "grad_variance")[10] == pytest.approx([7 / 1.2, 7 / 1.1, 7 / 0.9])


def test_lines_may_be_told_apart_by_sigma(results: Results) -> None:
    picture = probes.probes(results, "job", 1, Selection(by="sigma", epoch=1))
    assert curves(picture, "d_loss", "sigma") == {0.0: [2.0, 0.2, 0.02], 0.5: [1.5, 0.6, 0.51]}


def test_a_loss_of_zero_does_not_break_the_logarithm(store: Store) -> None:
    add_probe(store, 1, 0)
    part = new_part()
    cell = {"cell_id": "zero", "status": "completed", "protocol": "probe", "loss": "minimax", "sigma": 0.0, "epoch": 1}
    store.write_part("job", "cells", [{**cell, "seed": 1, "schedule": "0.0", "batch_norm": "joint"}], part=part)
    rows = [{"cell_id": "zero", "iteration": n, "d_loss": 0.0, "accuracy": 1.0} for n in ITERATIONS]
    store.write_part("job", "curves", rows, part=part)
    found = drawn(probes.probes(Results(store.root), "job", 1))
    lowest = [item["y2"] for item in found.marks("area") if "y2" in item]
    assert all(-1e-6 <= y <= found.height for y in lowest)


@pytest.mark.parametrize("suffix", FORMATS)
def test_the_command_writes_every_format_and_says_the_caption(root: str, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"figure{suffix}"
    arguments = ["figure", "probes", "--which", "1", "--job", "job", "--results", root, "-o", str(path)]
    answer = CliRunner().invoke(app, arguments)
    assert answer.exit_code == 0, answer.output
    assert answer.stdout.startswith("Job job: error and accuracy")
    magic = {".png": b"\x89PNG", ".pdf": b"%PDF", ".svg": b"<svg", ".html": b"<!DOCTYPE html>"}[suffix]
    assert path.read_bytes().startswith(magic)
    if suffix == ".svg":
        assert "epoch 10" in path.read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["probes", "-o", "a.gif", "--job", "job"], "must end in .png, .pdf, .svg"),
        (["probes", "-o", "a.png", "--job", "jb"], "Did you mean 'job'"),
        (["probes", "-o", "a.png", "--job", "job", "--by", "sigma", "--epoch", "3"], "has no epoch 3"),
        (["paths", "-o", "a.png", "--job", "job"], "no trajectories"),
        (["sigma", "-o", "a.png", "--job", "job"], "no runs with a noise"),
        (["search", "-o", "a.png", "--job", "job"], "no trials"),
        (["samples", "-o", "a.png", "--job", "job"], "no job file in the store"),
        (["spectrum", "-o", "a.png", "--job", "job"], "no tails of gradients"),
        (["lines", "-o", "a.png", "--job", "job"], "no completed cell with a value"),
        (["lines", "-o", "a.png", "--job", "job", "--where", "loss"], "--where loss: give an axis and its value"),
        *(
            ([name, "-o", "a.png", "--job", "jb"], "Did you mean 'job'")
            for name in ("lines", "heatmap", "samples", "bound", "compare", "spectrum", "paths", "sigma", "search")
        ),
        (["sigma", "-o", "nowhere/a.png", "--job", "job"], "--output nowhere/a.png: there is no folder nowhere"),
        (["schedules", "-o", "a.png", "--schedule", "{schedule: linar}"], "Did you mean 'linear'"),
        (
            ["schedules", "-o", "a.png", "--schedule", "{schedule: adaptive, start: 1, target: 0.8, rate: 5}"],
            "adaptive",
        ),
    ],
)
def test_mistakes_have_clear_messages(root: str, arguments: list[str], message: str) -> None:
    of_store = [] if arguments[0] == "schedules" else ["--results", root]
    answer = CliRunner().invoke(app, ["figure", *arguments, *of_store])
    assert isinstance(answer.exception, HarnessError)
    assert message in str(answer.exception)


OWN = {
    "lines": {"--job", "--results", "--y", "--x", "--by", "--panels", "--band", "--where"},
    "heatmap": {"--job", "--results", "--y", "--x", "--by", "--panels", "--where"},
    "samples": {"--job", "--results", "--where"},
    "bound": {"--job", "--results", "--panels", "--where"},
    "compare": {"--job", "--results", "--other", "--by", "--metric", "--against", "--epoch"},
    "probes": {"--job", "--results", "--which", "--by", "--epoch", "--sigma", "--batch-norm"},
    "spectrum": {"--job", "--results", "--x", "--by", "--band", "--where"},
    **{name: {"--job", "--results"} for name in ("paths", "sigma", "search")},
    "schedules": {"--schedule"},
}


@pytest.mark.parametrize("name", OWN)
def test_a_figure_has_its_own_options_and_no_others(name: str) -> None:
    answer = CliRunner().invoke(app, ["figure", name, "--help"])
    assert set(re.findall(r"^ +(?:-\w, )?(--[a-z-]+)", answer.output, re.M)) == OWN[name] | {
        "--output", "--width", "--dark", "--help"
    }  # fmt: skip
    others = set().union(*OWN.values()) - OWN[name]
    for option in others:
        answer = CliRunner().invoke(app, ["figure", name, "-o", "a.png", option, "1"])
        assert answer.exit_code == 2
        assert f"No such option: {option}" in answer.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["linse", "--job", "job", "-o", "a.png"], "No such command 'linse'. Did you mean 'lines'"),
        (["fig1", "--job", "job", "-o", "a.png"], "No such command 'fig1'. Did you mean 'probes --which 1'"),
        (["fig3"], "Did you mean 'probes --which 3'"),
        (["trajectories"], "Did you mean 'paths'"),
        (["schedule"], "Did you mean 'schedules'"),
        (["probes", "--which", "4", "--job", "job", "-o", "a.png"], "Invalid value for '--which'"),
        (["probes", "-o", "a.png"], "Missing option '--job'"),
        (["probes", "--job", "job"], "Missing option '--output'"),
        (["schedules", "-o", "a.png"], "Missing option '--schedule'"),
        (["lines", "--job", "job", "-o", "a.png", "--width", "triple"], "'triple' is not one of 'single', 'double'"),
    ],
)
def test_wrong_usage_is_told_with_exit_code_2(arguments: list[str], message: str) -> None:
    answer = CliRunner().invoke(app, ["figure", *arguments])
    assert answer.exit_code == 2
    assert message in answer.output


def test_schedules_are_drawn_by_the_command(tmp_path: Path) -> None:
    path = tmp_path / "a.svg"
    two = ["--schedule", "{schedule: linear, start: 1, end: 0}", "--schedule", "0.2"]
    answer = CliRunner().invoke(app, ["figure", "schedules", *two, "-o", str(path)])
    assert answer.exit_code == 0, answer.output
    assert "linear 1\u21920" in path.read_text()


def test_a_schedule_is_drawn_as_its_formula() -> None:
    rows = sigma.schedules({"linear": Linear(start=1.0, end=0.0)}).tables["schedules"]
    assert [row["sigma"] for row in rows] == pytest.approx([1 - row["t"] for row in rows])
    assert (rows[0]["t"], rows[-1]["t"]) == (0, 1)


def test_the_noise_of_a_job_is_drawn_as_it_was(store: Store) -> None:
    part = new_part()
    cell = {"status": "completed", "protocol": "train", "schedule": "adaptive", "epoch": 1}
    cells = [{**cell, "cell_id": f"c{seed}", "run_id": f"r{seed}", "seed": seed} for seed in (0, 1)]
    store.write_part("job", "cells", cells, part=part)
    rows = [{"run_id": f"r{s}", "epoch": n, "step": 10 * n, "sigma": (1 + s) / n} for s in (0, 1) for n in (1, 2, 4)]
    store.write_part("job", "training", rows, part=part)
    picture = sigma.noise_over_training(Results(store.root), "job")
    found = [(row["step"], row["sigma_min"], row["sigma"], row["sigma_max"]) for row in picture.tables["noise"]]
    assert found == [(10, 1.0, 1.5, 2.0), (20, 0.5, 0.75, 1.0), (40, 0.25, 0.375, 0.5)]
    assert "up to 2 runs, bands their range" in picture.caption


def add_game(store: Store, updates: str, verdict: str, rate: float, path: list[tuple[float, float]]) -> None:
    part, cell = new_part(), f"{updates}-{rate}"
    row = {"cell_id": cell, "status": "completed", "protocol": "dirac", "loss": "minimax", "penalty": "none"}
    place = {"schedule": "0", "sigma": 0.0, "learning_rate": rate, "updates": updates, "verdict": verdict}
    store.write_part("job", "cells", [{**row, **place}], part=part)
    points = [{"cell_id": cell, "iteration": n, "theta": theta, "psi": psi} for n, (theta, psi) in enumerate(path)]
    store.write_part("job", "trajectories", points, part=part)


def test_paths_of_games_have_a_panel_each_and_say_how_they_ended(store: Store) -> None:
    add_game(store, "simultaneous", "diverges", 0.1, [(1.0, 1.0), (2.0, 0.0), (2.0, 0.0), (-4.0, 1.0)])
    add_game(store, "alternating", "cycles", 0.1, [(1.0, 1.0), (0.0, -1.0), (1.0, 1.0)])
    picture = paths.paths(Results(store.root), "job")
    assert picture.num_panels == 1
    rows = [row for row in picture.tables["paths"] if row["updates"] == "simultaneous"]
    assert [(row["theta"], row["psi"]) for row in rows] == [
        (1.0, 1.0),
        (2.0, 0.0),
        (-4.0, 1.0),
        (-4.0, 1.0),
    ]  # and its end
    assert rows[-1]["end"] == "last"
    found = drawn(picture)
    (header,) = [box.text for box in found.texts() if box.text.startswith("minimax")]
    assert header == "minimax\nno help\ndiverges, cycles"  # in the order of the legend
    assert [box.text for box in found.texts()][:1] != []
    assert len(found.marks("symbol", "cells")) == 2


def test_games_that_differ_in_their_learning_rate_have_panels_of_their_own(store: Store) -> None:
    for rate in (0.1, 0.2):
        add_game(store, "simultaneous", "cycles", rate, [(1.0, 1.0), (0.0, 1.0)])
    picture = paths.paths(Results(store.root), "job")
    assert picture.num_panels == 2
    assert {row["game"].split("\n")[1] for row in picture.tables["paths"]} == {"rate 0.1", "rate 0.2"}


def test_long_paths_are_thinned_and_keep_their_ends(store: Store) -> None:
    add_game(store, "simultaneous", "diverges", 0.1, [(n * 1.0, (-1.0) ** n) for n in range(10_001)])
    rows = paths.paths(Results(store.root), "job").tables["paths"]
    assert len(rows) < 1600
    assert (rows[0]["iteration"], rows[-1]["iteration"]) == (0, 10_000)


def test_a_seed_that_diverged_ends_its_part_of_the_line_alone(store: Store) -> None:
    add_probe(store, 1, 0)
    add_probe(store, 1, 1)
    part = new_part()
    cell = {"cell_id": "short", "status": "diverged", "protocol": "probe", "loss": "minimax", "sigma": 0.0, "epoch": 1}
    store.write_part("job", "cells", [{**cell, "seed": 2, "schedule": "0.0", "batch_norm": "joint"}], part=part)
    store.write_part("job", "curves", [{"cell_id": "short", "iteration": 1, "d_loss": 9.0, "accuracy": 0.5}], part=part)
    picture = probes.probes(Results(store.root), "job", 1)
    assert curves(picture, "d_loss")[1] == pytest.approx([2.0, 0.2, 0.02])  # medians of 1, 2, 9; of 0.1, 0.3; ...


REFERENCE = Path(__file__).parents[2] / "results" / "reference"


def test_the_reference_results_are_complete_and_no_bound_is_violated() -> None:
    (counts,) = (
        Results(REFERENCE)
        .query(
            """SELECT count(*) AS cells, bool_and(status = 'completed') AS completed, bool_and(bound_holds) AS holds,
                      count(DISTINCT seed) AS seeds, count(DISTINCT batch_norm) AS modes FROM cells"""
        )
        .to_pylist()
    )
    assert counts == {"cells": 150, "completed": True, "holds": True, "seeds": 3, "modes": 3}


@pytest.mark.parametrize("which", [1, 2, 3])
def test_the_papers_figures_regenerate_from_the_reference_results(which: Any, tmp_path: Path) -> None:
    picture = probes.probes(Results(REFERENCE), "figures", which)
    assert list(curves(picture, "iteration")) == [1, 10, 25]
    assert picture.tables["curves"][-1]["iteration"] == 4000
    save(picture, tmp_path / "figure.png")
