"""Figures: what is drawn are the rows of the store, and mistakes are told apart."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from harness.cli.app import app
from harness.errors import HarnessError
from harness.figures import paths, probes, sigma, style
from harness.figures.probes import Selection
from harness.job.parts.schedules import Linear
from harness.storage.query import Results
from harness.storage.store import Store
from harness.storage.writer import new_part
from tests.figures.lines import xs, ys

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


def drawn(axes: Any) -> dict[str, list[float]]:
    return {line.get_label(): [float(y) for y in ys(line)] for line in axes.lines}


def test_figure_1_shows_medians_over_seeds_by_epoch(results: Results) -> None:
    error, right = probes.figure_1(results, "job", Selection()).axes
    assert drawn(error) == {"1": [2.0, 0.2, 0.02], "10": [1.2, 1.1, 0.9]}
    assert drawn(right)["1"] == pytest.approx([0.5, 0.95, 0.995])
    assert list(xs(error.lines[0])) == ITERATIONS
    assert (error.get_xscale(), error.get_yscale(), right.get_yscale()) == ("log", "log", "linear")


def test_the_band_is_the_range_over_seeds(results: Results) -> None:
    error, _ = probes.figure_1(results, "job", Selection()).axes
    heights = np.asarray(error.collections[0].get_paths()[0].vertices)[:, 1]
    assert (heights.min(), heights.max()) == (0.01, 3.0)


def test_figures_2_and_3_show_the_two_gradients(results: Results) -> None:
    (minimax,) = probes.figure_2(results, "job", Selection()).axes
    assert drawn(minimax)["10"] == pytest.approx([12, 11, 9])
    norm, variance = probes.figure_3(results, "job", Selection()).axes
    assert drawn(norm)["10"] == pytest.approx([5 / 1.2, 5 / 1.1, 5 / 0.9])
    assert drawn(variance)["10"] == pytest.approx([7 / 1.2, 7 / 1.1, 7 / 0.9])
    assert minimax.get_yscale() == norm.get_yscale() == "log"


def test_lines_may_be_told_apart_by_sigma(results: Results) -> None:
    error, _ = probes.figure_1(results, "job", Selection(by="sigma", epoch=1)).axes
    assert drawn(error) == {"0": [2.0, 0.2, 0.02], "0.5": [1.5, 0.6, 0.51]}


@pytest.mark.parametrize("suffix", style.FORMATS)
def test_the_command_writes_every_format(root: str, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"figure{suffix}"
    answer = CliRunner().invoke(app, ["figure", "fig1", "--job", "job", "--results", root, "-o", str(path)])
    assert answer.exit_code == 0, answer.output
    magic = {".png": b"\x89PNG", ".pdf": b"%PDF", ".svg": b"<?xml"}[suffix]
    assert path.read_bytes().startswith(magic)
    if suffix == ".svg":
        assert "epochs of training" in path.read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fig1", "-o", "a.gif", "--job", "job"], "must end in .png, .pdf, .svg"),
        (["fig1", "-o", "a.png", "--job", "jb"], "Did you mean 'job'"),
        (["fig1", "-o", "a.png", "--job", "job", "--by", "sigma", "--epoch", "3"], "no epoch 3. Valid: 1, 10"),
        (["trajectories", "-o", "a.png", "--job", "job"], "no trajectories"),
        (["sigma", "-o", "a.png", "--job", "job"], "no runs with a noise"),
        (["search", "-o", "a.png", "--job", "job"], "no trials"),
        *(([name, "-o", "a.png", "--job", "jb"], "Did you mean 'job'") for name in ("trajectories", "sigma", "search")),
        (["sigma", "-o", "nowhere/a.png", "--job", "job"], "--output nowhere/a.png: there is no folder nowhere"),
        (["schedule", "-o", "a.png", "--schedule", "{schedule: linar}"], "Did you mean 'linear'"),
        (["schedule", "-o", "a.png", "--schedule", "{schedule: adaptive, start: 1, target: 0.8, rate: 5}"], "adaptive"),
    ],
)
def test_mistakes_have_clear_messages(root: str, arguments: list[str], message: str) -> None:
    of_store = [] if arguments[0] == "schedule" else ["--results", root]
    answer = CliRunner().invoke(app, ["figure", *arguments, *of_store])
    assert isinstance(answer.exception, HarnessError)
    assert message in str(answer.exception)


OWN = {
    **{name: {"--job", "--results", "--by", "--epoch", "--sigma", "--batch-norm"} for name in ("fig1", "fig2", "fig3")},
    **{name: {"--job", "--results"} for name in ("trajectories", "sigma", "search")},
    "schedule": {"--schedule"},
}


@pytest.mark.parametrize("name", OWN)
def test_a_figure_has_its_own_options_and_no_others(name: str) -> None:
    answer = CliRunner().invoke(app, ["figure", name, "--help"])
    assert set(re.findall(r"--[a-z-]+", answer.output)) == OWN[name] | {"--output", "--help"}
    others = set().union(*OWN.values()) - OWN[name]
    for option in others:
        answer = CliRunner().invoke(app, ["figure", name, "-o", "a.png", option, "1"])
        assert answer.exit_code == 2
        assert f"No such option: {option}" in answer.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fgi1", "--job", "job", "-o", "a.png"], "No such command 'fgi1'. Did you mean 'fig1'"),
        (["fig1", "-o", "a.png"], "Missing option '--job'"),
        (["fig1", "--job", "job"], "Missing option '--output'"),
        (["schedule", "-o", "a.png"], "Missing option '--schedule'"),
    ],
)
def test_wrong_usage_is_told_with_exit_code_2(arguments: list[str], message: str) -> None:
    answer = CliRunner().invoke(app, ["figure", *arguments])
    assert answer.exit_code == 2
    assert message in answer.output


def test_schedules_are_drawn_by_the_command(tmp_path: Path) -> None:
    path = tmp_path / "a.svg"
    two = ["--schedule", "{schedule: linear, start: 1, end: 0}", "--schedule", "0.2"]
    answer = CliRunner().invoke(app, ["figure", "schedule", *two, "-o", str(path)])
    assert answer.exit_code == 0, answer.output
    assert "linear(end=0, start=1)" in path.read_text()


def test_a_schedule_is_drawn_as_its_formula() -> None:
    (axes,) = sigma.schedules({"linear": Linear(start=1.0, end=0.0)}).axes
    (line,) = axes.lines
    assert ys(line) == pytest.approx(1 - xs(line))


def test_the_noise_of_a_job_is_drawn_as_it_was(store: Store) -> None:
    part = new_part()
    cells = [
        {
            "cell_id": "c",
            "status": "completed",
            "protocol": "train",
            "run_id": "r",
            "schedule": "adaptive",
            "epoch": 1,
            "seed": 0,
        }
    ]
    store.write_part("job", "cells", cells, part=part)
    rows = [{"run_id": "r", "epoch": n, "step": 10 * n, "sigma": 1 / n} for n in (1, 2, 4)]
    store.write_part("job", "training", rows, part=part)
    (axes,) = sigma.noise_over_training(Results(store.root), "job").axes
    assert drawn(axes) == {"adaptive": [1.0, 0.5, 0.25]}
    assert list(xs(axes.lines[0])) == [10, 20, 40]


def test_paths_of_games_have_a_panel_each_and_say_how_they_ended(store: Store) -> None:
    for penalty, verdict in (("none", "cycles"), ("r1(gamma=1)", "converges")):
        part = new_part()
        cell = {"cell_id": penalty, "status": "completed", "loss": "minimax", "penalty": penalty, "sigma": 0.0}
        store.write_part("job", "cells", [{**cell, "updates": "simultaneous", "verdict": verdict}], part=part)
        path = [{"cell_id": penalty, "iteration": n, "theta": 1.0 / (n + 1), "psi": 0.5 * n} for n in range(3)]
        store.write_part("job", "trajectories", path, part=part)
    panels = paths.trajectories(Results(store.root), "job").axes
    assert [panel.get_title().splitlines()[-1] for panel in panels] == ["cycles", "converges"]
    assert list(xs(panels[0].lines[0])) == [1.0, 0.5, pytest.approx(1 / 3)]
    assert list(ys(panels[0].lines[0])) == [0.0, 0.5, 1.0]


def test_games_that_differ_in_their_learning_rate_have_panels_of_their_own(store: Store) -> None:
    for rate in (0.1, 0.5):
        part = new_part()
        cell = {"cell_id": str(rate), "status": "completed", "loss": "minimax", "penalty": "none", "sigma": 0.0}
        row = {**cell, "updates": "simultaneous", "verdict": "cycles", "learning_rate": rate}
        store.write_part("job", "cells", [row], part=part)
        path = [{"cell_id": str(rate), "iteration": n, "theta": rate * n, "psi": 0.0} for n in range(3)]
        store.write_part("job", "trajectories", path, part=part)
    panels = paths.trajectories(Results(store.root), "job").axes
    assert [list(xs(panel.lines[0])) for panel in panels] == [[0, 0.1, 0.2], [0, 0.5, 1.0]]
    assert "learning rate 0.5" in panels[1].get_title()


def test_a_seed_that_diverged_ends_its_part_of_the_line_alone(store: Store) -> None:
    add_probe(store, 1, 0)
    add_probe(store, 1, 1)
    part = new_part()
    cell = {"cell_id": "short", "status": "diverged", "protocol": "probe", "loss": "minimax", "sigma": 0.0, "epoch": 1}
    store.write_part("job", "cells", [{**cell, "seed": 2, "schedule": "0", "batch_norm": "joint"}], part=part)
    store.write_part("job", "curves", [{"cell_id": "short", "iteration": 1, "d_loss": 9.0, "accuracy": 0.5}], part=part)
    error, _ = probes.figure_1(Results(store.root), "job", Selection()).axes
    assert drawn(error)["1"] == pytest.approx([2.0, 0.2, 0.02])  # medians of 1, 2, 9; of 0.1, 0.3; of 0.01, 0.03


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


@pytest.mark.parametrize("draw", [probes.figure_1, probes.figure_2, probes.figure_3])
def test_the_papers_figures_regenerate_from_the_reference_results(draw: Any, tmp_path: Path) -> None:
    figure = draw(Results(REFERENCE), "figures", Selection())
    assert [line.get_label() for line in figure.axes[0].lines] == ["1", "10", "25"]
    assert xs(figure.axes[0].lines[0])[-1] == 4000
    style.save(figure, tmp_path / "figure.png")
