"""Protocol dirac: from the job file to rows, against the closed forms of Mescheder et al. (2018) and plain loops."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import harness
from harness.cli.app import app
from harness.dirac.cells import DiracPack, expand
from harness.dirac.play import game_of
from harness.errors import JobError
from harness.job.dirac import DiracJob
from harness.job.parts.penalties import Penalty
from harness.job.reading import dump_job, load_grid, load_job, parse_job
from harness.planning.plan import make_plan
from harness.storage.query import Results
from harness.storage.store import Store
from harness.theory import dirac as theory
from harness.theory.dirac import LinearPenalty

GAME = """\
name: game
protocol: dirac
grid:
  loss: [minimax, non_saturating]
  penalty: [none, {name: r1, gamma: 0.3}]
  sigma: [0, 0.7]
  updates: [simultaneous, alternating 5]
dynamics: {steps: 300, start: [0.1, 0.1], tolerance: 0.001}
"""


class Flattened(Penalty):
    """mean D^2 on real samples; it does not say what it is on the Dirac-GAN"""

    def __call__(self, discriminator: Any, real: Any, fake: Any, draws: Any) -> Any:
        return discriminator(real).square().mean(-1)


STEPS, RATE, START = 300, 0.1, (0.1, 0.1)


def game_job(*grids: dict[str, Any], name: str = "game", **dynamics: Any) -> DiracJob:
    settings = {"steps": STEPS, "start": START, "tolerance": 0.001, **dynamics}
    job = parse_job(json.dumps({"name": name, "protocol": "dirac", "grid": list(grids), "dynamics": settings}))
    assert isinstance(job, DiracJob)
    return job


def run(job: DiracJob, store: Store) -> harness.Outcome:
    return harness.run(job, results=store.root, executor="serial")


def rows_of(store: Store, table: str = "cells") -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = Results(store.root).table(table).to_pylist()
    return rows


# The job file


def test_the_job_that_ships_has_30_games_and_survives_the_round_trip() -> None:
    job = load_job("jobs/dirac.yaml")
    assert isinstance(job, DiracJob)
    assert len(expand(job)) == (2 + 2 + 4 + 2) * 3
    assert parse_job(dump_job(job)) == job


def test_the_grid_is_the_product_of_its_axes_and_absent_ones_have_their_defaults() -> None:
    job = parse_job(GAME)
    assert isinstance(job, DiracJob)
    assert len({cell.cell_id for cell in expand(job)}) == 16
    (first, second) = expand(game_job({"loss": ["minimax"]}))
    assert (first.updates, second.updates) == ("simultaneous", "alternating")
    assert (first.sigma, first.learning_rate, first.penalty.name) == (0, 0.1, "none")


def test_a_game_in_several_grids_is_one_cell() -> None:
    both = game_job({"loss": ["minimax", "hinge"], "sigma": [0]}, {"loss": ["hinge"], "sigma": [0, 1]})
    assert len(expand(both)) == 2 * (2 + 1)


def test_one_spelling_stands_for_each_kind_of_updates() -> None:
    for text, meaning in [("alternating 1", "alternating"), ("alternating 05", "alternating 5"), ("alternating", None)]:
        (cell,) = expand(game_job({"loss": ["minimax"], "updates": [text]}))
        assert cell.updates == (meaning or text)
    with pytest.raises(JobError, match="duplicate value alternating"):
        game_job({"loss": ["minimax"], "updates": ["alternating", "alternating 1"]})


@pytest.mark.parametrize(
    ("old", "new", "place", "says"),
    [
        ("simultaneous", "sequential", "7:13", "grid.updates[0]: unknown updates 'sequential'. Valid: simultaneous, a"),
        ("alternating 5", "alternating 0", "7:27", "grid.updates[1]: unknown updates 'alternating 0'"),
        ("alternating 5", "alternating -1", "7:27", "unknown updates 'alternating -1'"),
        ("alternating 5", "alternating x", "7:27", "unknown updates 'alternating x'"),
        ("alternating 5", "simultaneous 2", "7:27", "unknown updates 'simultaneous 2'"),
        ("alternating 5", "alternating 2 3", "7:27", "unknown updates 'alternating 2 3'"),
        ("non_saturating", "non_saturatng", "4:19", "grid.loss[1]: unknown loss 'non_saturatng'. Did you mean 'non_"),
        ("name: r1", "name: r3", "5:26", "unknown penalty 'r3'"),
        ("gamma", "gama", "5:30", "grid.penalty[1].gama: unknown key. Did you mean 'gamma'?"),
        ("  sigma", "  sgima", "6:3", "grid.sgima: unknown key"),
        ("0.7", "-0.7", "6:14", "grid.sigma[1]: must be greater than or equal to 0"),
        ("0.7", "{sigma: 1, noise: cauchy}", "6:14", "grid.sigma[1]: must be a number: the Dirac-GAN's"),
        ("0.7", "{sigma: 1, noise_on: discriminator}", "6:14", "families and noise_on belong to protocol: train"),
        ("steps: 300", "stepz: 300", "8:12", "dynamics.stepz: unknown key. Did you mean 'steps'?"),
        ("steps: 300", "steps: 19", "8:19", "dynamics.steps: must be greater than or equal to 20"),
        ("name: game", "name: snapshots", "1:7", "'snapshots' is the store's own folder"),
        ("name: game", "name: a/b", "1:7", "name: String should match pattern"),
        ("dynamics", "networks: {name: mlp}\ndynamics", "8:1", "networks: unknown key"),
        ("dynamics", "problem: {name: ring}\ndynamics", "8:17", "problem.name: got 'ring'"),
        ("  loss: [minimax, non_saturating]\n", "", "3:1", "grid: 'loss' is missing"),
    ],
)
def test_a_mistake_is_reported_with_its_place(old: str, new: str, place: str, says: str) -> None:
    assert GAME.count(old) == 1
    with pytest.raises(JobError) as caught:
        parse_job(GAME.replace(old, new), source="game.yaml")
    assert f"game.yaml:{place}: " in str(caught.value)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("penalty", "says"),
    [
        (
            "{sum: [r1, {name: r2, gamma: {schedule: cosine, start: 1, end: 0}}]}",
            "r2(gamma=cosine(end=0, start=1)) changes",
        ),
        (
            "{sum: [r1, 'tests.dirac.test_dirac_job:Flattened']}",
            "test_dirac_job:Flattened does not say what it is on the Dirac-GAN (on_linear)",
        ),
        ("{sum: [r1]}", "a sum has at least two penalties"),
    ],
)
def test_a_penalty_that_cannot_be_played_is_refused(penalty: str, says: str) -> None:
    with pytest.raises(JobError) as caught:
        parse_job(GAME.replace("{name: r1, gamma: 0.3}", penalty), source="game.yaml")
    assert str(caught.value).startswith("game.yaml:5:")
    assert f"grid.penalty[1]{'.sum' if 'least' in says else ''}: " in str(caught.value)
    assert says in str(caught.value)


def test_roths_penalty_is_refused_with_a_loss_that_is_no_cross_entropy() -> None:
    with pytest.raises(
        JobError, match=r"grid\[0\]\.penalty\[0\]: roth weighs gradients .* loss hinge has another objective"
    ):
        game_job({"loss": ["minimax", "hinge"], "penalty": ["roth"]})


def test_a_mistake_in_the_second_of_two_grids_is_reported_there() -> None:
    text = GAME.split("grid:")[0] + "grid:\n  - loss: [minimax]\n  - loss: [hinge]\n    updates: [alternating, both]\n"
    with pytest.raises(JobError, match=r"^<job>:6:28: grid\[1\]\.updates\[1\]: unknown updates 'both'"):
        parse_job(text)


# The rows

GRIDS = (
    {"loss": ["non_saturating"], "updates": ["simultaneous", "alternating", "alternating 3"]},
    {"loss": ["non_saturating"], "sigma": [0.7, 1.5], "updates": ["simultaneous"]},
    {"loss": ["non_saturating"], "penalty": [{"name": "r1", "gamma": 0.3}, {"name": "r1", "gamma": 1.2}]},
    {"loss": ["wasserstein"], "penalty": [{"name": "gradient_penalty", "weight": 1}], "updates": ["simultaneous"]},
    {"loss": ["non_saturating"], "penalty": [{"sum": ["roth", {"name": "r2", "gamma": 0.3}]}]},
)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The games above, with fewer iterations for the moduli: their digits are the theory's own tests' affair."""
    store = Store(tmp_path_factory.mktemp("dirac") / "results")
    with pytest.MonkeyPatch.context() as patch:
        exact = theory.measured_modulus
        patch.setattr(theory, "measured_modulus", lambda game, descent: exact(game, descent, num_steps=600))
        outcome = run(game_job(*GRIDS), store)
    assert outcome.statuses == {"completed": 12}
    return store


def one(store: Store, *, penalty: str = "none", sigma: float = 0.0, updates: str = "simultaneous") -> dict[str, Any]:
    (row,) = [
        row
        for row in rows_of(store)
        if row["penalty"].startswith(penalty) and row["sigma"] == sigma and row["updates"] == updates
    ]
    return row


def test_every_game_has_one_row_that_says_which_it_is(played: Store) -> None:
    rows = rows_of(played)
    assert len(rows) == len({row["cell_id"] for row in rows}) == 12
    for row in rows:
        assert (row["protocol"], row["problem"], row["network"]) == ("dirac", "dirac", "dirac")
        assert (row["optimizer"], row["learning_rate"], row["noise"]) == ("sgd", RATE, "gaussian")
        assert (row["status"], row["error"], row["iterations"]) == ("completed", None, STEPS)
        for name in ("epoch", "seed", "batch_norm", "w1", "bound_paper", "accuracy", "run_id"):
            assert row[name] is None
    single = {"none", "r1(gamma=0.3)", "r1(gamma=1.2)", "gradient_penalty(weight=1)"}
    assert {row["penalty"] for row in rows} == {*single, "roth(gamma=0.1) + r2(gamma=0.3)"}


def by_noise(sigma: float) -> list[complex]:
    """``f''(0) s^2 +- sqrt(f''(0)^2 s^4 - f'(0)^2)`` with f'(0) = 1/2, f''(0) = -1/4 (Lemma 3.2)."""
    root = np.emath.sqrt(sigma**4 / 16 - 1 / 4)
    return [complex(-(sigma**2) / 4 - root), complex(-(sigma**2) / 4 + root)]


def by_r1(gamma: float) -> list[complex]:
    """``-gamma/2 +- sqrt(gamma^2/4 - f'(0)^2)`` (Lemma 3.3)."""
    root = np.emath.sqrt(gamma**2 / 4 - 1 / 4)
    return [complex(-gamma / 2 - root), complex(-gamma / 2 + root)]


@pytest.mark.parametrize(
    ("which", "expected"),
    [
        ({}, [-0.5j, 0.5j]),
        ({"updates": "alternating"}, [-0.5j, 0.5j]),
        ({"sigma": 0.7}, by_noise(0.7)),  # rotates: s < sqrt 2
        ({"sigma": 1.5}, by_noise(1.5)),  # does not: s > sqrt 2
        ({"penalty": "r1(gamma=0.3)"}, by_r1(0.3)),
        ({"penalty": "r1(gamma=1.2)", "updates": "alternating"}, by_r1(1.2)),
        ({"penalty": "roth"}, by_r1(0.1 / 2 + 0.3)),  # roth's damping is gamma/2
    ],
    ids=str,
)
def test_measured_and_predicted_eigenvalues_are_the_closed_forms(
    played: Store, which: dict[str, Any], expected: list[complex]
) -> None:
    row = one(played, **which)
    for prefix in ("", "predicted_"):
        parts = zip(row[f"{prefix}eigenvalues_real"], row[f"{prefix}eigenvalues_imag"], strict=True)
        np.testing.assert_allclose([complex(*pair) for pair in parts], expected, atol=1e-9)


def test_moduli_are_those_of_the_closed_forms(played: Store) -> None:
    expected: dict[tuple[tuple[str, Any], ...], float] = {
        (): math.sqrt(1 + RATE**2 / 4),  # |1 +- i h/2|: SimGD leaves
        (("updates", "alternating"),): 1.0,  # AltGD neither arrives nor leaves
        (("sigma", 1.5),): max(abs(1 + RATE * value) for value in by_noise(1.5)),
        (("penalty", "r1(gamma=0.3)"),): max(abs(1 + RATE * value) for value in by_r1(0.3)),
    }
    for which, modulus in expected.items():
        row = one(played, **dict(which))
        assert row["predicted_modulus"] == pytest.approx(modulus, abs=1e-12)
        assert row["modulus"] == pytest.approx(modulus, abs=2e-3)


def test_a_penalty_with_a_kink_has_neither_eigenvalues_nor_moduli(played: Store) -> None:
    row = one(played, penalty="gradient_penalty")
    for name in ("eigenvalues_real", "eigenvalues_imag", "modulus"):
        assert row[name] is None
        assert row[f"predicted_{name}"] is None
    assert row["verdict"] in ("cycles", "stalls", "diverges")  # WGAN-GP does not converge on it


def test_verdicts_are_those_of_the_paper(played: Store) -> None:
    assert one(played)["verdict"] == "diverges"
    assert one(played, updates="alternating")["verdict"] == "cycles"
    assert one(played, sigma=1.5)["verdict"] == "converges"
    assert one(played, penalty="r1(gamma=1.2)")["verdict"] == "converges"


def plain_path(num_discriminator_steps: int, *, simultaneous: bool) -> list[tuple[float, float]]:
    """Gradient descent on ``sp(psi theta)`` and ``sp(-psi theta)``, written out."""
    (theta, psi), path = START, [START]
    for _ in range(STEPS):
        old = psi
        for _ in range(num_discriminator_steps):
            psi -= RATE * theta / (1 + math.exp(-psi * theta))
        seen = old if simultaneous else psi
        theta += RATE * seen / (1 + math.exp(seen * theta))
        path.append((theta, psi))
    return path


@pytest.mark.parametrize(
    ("updates", "expected"),
    [
        ("simultaneous", plain_path(1, simultaneous=True)),
        ("alternating", plain_path(1, simultaneous=False)),
        ("alternating 3", plain_path(3, simultaneous=False)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_path_is_that_of_a_plain_loop(played: Store, updates: str, expected: list[tuple[float, float]]) -> None:
    row = one(played, updates=updates)
    path = [point for point in rows_of(played, "trajectories") if point["cell_id"] == row["cell_id"]]
    assert [point["iteration"] for point in path] == list(range(STEPS + 1))
    assert (path[0]["theta"], path[0]["psi"]) == START
    np.testing.assert_allclose([(point["theta"], point["psi"]) for point in path], expected, atol=1e-12)


def test_steps_to_tolerance_is_when_the_path_comes_to_stay(played: Store) -> None:
    row = one(played, sigma=1.5)
    path = [point for point in rows_of(played, "trajectories") if point["cell_id"] == row["cell_id"]]
    outside = [point["iteration"] for point in path if math.hypot(point["theta"], point["psi"]) > 0.001]
    assert row["steps_to_tolerance"] == outside[-1] + 1
    assert one(played)["steps_to_tolerance"] is None


# Plans and stores


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Games without the slow part, where only the bookkeeping matters."""
    monkeypatch.setattr(theory, "measured_modulus", lambda game, descent: 1.0)


SMALL = {"loss": ["minimax"], "updates": ["simultaneous"]}


@pytest.mark.usefixtures("quick")
def test_running_again_computes_nothing_and_a_new_value_only_itself(store: Store) -> None:
    assert run(game_job(SMALL, steps=30), store).num_computed == 1
    before = rows_of(store)
    assert run(game_job(SMALL, steps=30), store).num_computed == 0
    assert run(game_job({**SMALL, "sigma": [0, 0.5]}, steps=30), store).num_computed == 1
    after = rows_of(store)
    assert len(after) == 2
    assert before[0] in after
    assert len(rows_of(store, "trajectories")) == 2 * 31


@pytest.mark.usefixtures("quick")
def test_changed_steps_supersede_the_row_and_its_path(store: Store) -> None:
    run(game_job(SMALL, steps=30), store)
    changed = make_plan(game_job(SMALL, steps=40), store, slots=1)
    assert changed.difference.reasons == {"dynamics.steps: 30 -> 40": 1}
    assert run(game_job(SMALL, steps=40), store).num_computed == 1
    (row,) = rows_of(store)
    assert row["iterations"] == 40
    assert [point["iteration"] for point in rows_of(store, "trajectories")] == list(range(41))


@pytest.mark.usefixtures("quick")
def test_a_game_that_raises_fails_alone(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    simulate = theory.simulate

    def failing(game: theory.DiracGAN, *arguments: Any, **more: Any) -> Any:
        if game.sigma == 0.5:
            raise RuntimeError("this game always fails")
        return simulate(game, *arguments, **more)

    monkeypatch.setattr(theory, "simulate", failing)
    outcome = run(game_job({**SMALL, "sigma": [0, 0.5, 1]}, steps=30), store)
    assert outcome.statuses == {"completed": 2, "failed": 1}
    (failed,) = [row for row in rows_of(store) if row["status"] == "failed"]
    assert failed["sigma"] == 0.5
    assert "this game always fails" in failed["error"]


@pytest.mark.usefixtures("quick")
def test_a_path_that_overflows_has_only_its_finite_points(store: Store) -> None:
    """Least squares under far too large steps: theta and psi grow doubly exponentially."""
    run(game_job({"loss": ["least_squares"], "updates": ["simultaneous"], "learning_rate": [50.0]}, steps=60), store)
    (row,) = rows_of(store)
    path = rows_of(store, "trajectories")
    assert row["verdict"] == "diverges"
    assert 1 < len(path) < 61
    assert all(math.isfinite(point["theta"]) and math.isfinite(point["psi"]) for point in path)


@pytest.mark.usefixtures("quick")
def test_a_long_path_is_kept_in_even_strides(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.dirac.play._POINTS_KEPT", 100)
    run(game_job(SMALL, steps=201), store)
    assert [point["iteration"] for point in rows_of(store, "trajectories")] == list(range(0, 202, 3))


def test_all_cells_of_a_plan_are_in_exactly_one_pack(store: Store) -> None:
    job = load_grid("jobs/dirac.yaml")
    for slots in (1, 2, 7):
        made = make_plan(job, store, slots=slots)
        packed = [cell.cell_id for pack in made.packs for cell in pack.cells]
        assert sorted(packed) == sorted(cell.cell_id for cell in made.cells)
        assert len(made.packs) >= slots
        assert all(isinstance(pack, DiracPack) for pack in made.packs)


def test_the_plan_command_counts_games(tmp_path: Path) -> None:
    arguments = ["plan", "jobs/dirac.yaml", "--results", str(tmp_path / "results")]
    answer = CliRunner().invoke(app, arguments)
    assert answer.exit_code == 0, answer.output
    assert "protocol dirac" in answer.output
    assert re.search(r"30 cells to compute \(30 new\)", answer.output)
    facts = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).output)
    assert (facts["cells"], facts["new"], facts["runs"], facts["done"]) == (30, 30, 0, {})


@pytest.mark.parametrize(
    ("penalty", "expected"),
    [
        ({"name": "weight_clip", "limit": 0.5}, LinearPenalty(clip=0.5)),
        ({"name": "dragan", "weight": 2}, LinearPenalty(2.0, target=1.0)),
        ({"name": "zero_centred", "weight": 3}, LinearPenalty(3.0)),
        ({"name": "gradient_penalty", "weight": 4}, LinearPenalty(4.0, target=1.0)),
        ({"name": "r2", "gamma": 0.6}, LinearPenalty(0.3)),  # gamma/2 ||grad D||^2
        ({"name": "r1", "gamma": 0}, LinearPenalty()),
        ("none", LinearPenalty()),
    ],
)
def test_a_penalty_of_the_job_file_is_the_games(penalty: Any, expected: LinearPenalty) -> None:
    (cell,) = expand(game_job({**SMALL, "penalty": [penalty], "sigma": [0.4]}))
    game = game_of(cell)
    assert (game.penalty, game.sigma, game.loss.name) == (expected, 0.4, "minimax")
