"""Adaptive noise in training: where sigma goes, and that nobody else in the pack notices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import harness
from harness.errors import HarnessError
from harness.planning.cells import Run
from harness.planning.grid import expand
from harness.problems.sources import Source
from harness.storage.query import Results
from harness.storage.store import Store
from harness.theory.losses import LOSSES, overconfidence
from harness.training import members as training
from harness.training.adaptive import Adaptation
from harness.training.members import Members, MemberState
from harness.training.train import Epoch, train
from tests.conftest import TRAIN, make_job

CPU = torch.device("cpu")
ADAPTIVE: dict[str, Any] = {"schedule": "adaptive", "start": 0.2, "target": 0.6, "rate": 4.0}
GENTLE: dict[str, Any] = {"schedule": "adaptive", "start": 0.5, "target": 0.9, "rate": 1.0}
CHAIN: dict[str, Any] = {"schedule": "overconfidence", "rate": 8.0, "scale": 0.4, "shortest": 4, "longest": 60}
LINEAR = {"schedule": "linear", "start": 0.5, "end": 0.1}


def runs_of(*sigmas: Any, epoch: int = 2, **changes: Any) -> tuple[list[Run], Source]:
    grid = {"loss": ["minimax"], "sigma": list(sigmas), "epoch": [epoch], "seed": [0]}
    job = make_job(TRAIN, grid=grid, **changes)
    return [cell.run for cell in expand(job)], job.problem.source(None, device=CPU)


def fix_accuracy(monkeypatch: pytest.MonkeyPatch, value: float) -> None:
    """Whatever the discriminators do, this share of their answers counts as right."""

    def accuracy(objective: Any, real: Tensor, fake: Tensor) -> Tensor:
        return torch.full((len(fake),), value, device=fake.device)

    monkeypatch.setattr(training, "accuracy", accuracy)


def closed_form(*, start: float, target: float, rate: float, accuracy: float, done: int, total: int) -> float:
    """sigma after `done` of `total` steps at one accuracy.

    After i steps the running accuracy, which begins at the target, exceeds it by ``(accuracy - target) (1 - 0.99^i)``;
    the sum over i = 1..n of ``1 - 0.99^i`` is ``n - 99 (1 - 0.99^n)``.
    """
    excess = (accuracy - target) * (done - 99 * (1 - 0.99**done))
    return start * math.exp(rate / total * excess)


@pytest.mark.parametrize("accuracy", [1.0, 0.8, 0.6, 0.3])
@pytest.mark.parametrize("discriminator_steps", [1, 3])
def test_under_a_constant_accuracy_sigma_follows_the_closed_form(
    monkeypatch: pytest.MonkeyPatch, accuracy: float, discriminator_steps: int
) -> None:
    fix_accuracy(monkeypatch, accuracy)
    settings = {"discriminator_steps": discriminator_steps, "steps_per_epoch": 20}
    (run,), source = runs_of({**ADAPTIVE, "rate": 40.0}, training=settings)
    epochs = [result for result in train([run], source, num_epochs=2) if isinstance(result, Epoch)]
    for epoch in epochs:
        expected = closed_form(
            start=0.2,
            target=0.6,
            rate=40.0,
            accuracy=accuracy,
            done=20 * discriminator_steps * epoch.epoch[0],
            total=40 * discriminator_steps,
        )
        assert epoch.sigma == [pytest.approx(expected, rel=1e-4)]  # float32, step by step


def test_each_member_follows_its_own_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    fix_accuracy(monkeypatch, 1.0)
    runs, source = runs_of(ADAPTIVE, LINEAR, GENTLE, 0.3)
    *_, last = train(runs, source, num_epochs=2)
    assert isinstance(last, Epoch)
    rules = [{key: value for key, value in rule.items() if key != "schedule"} for rule in (ADAPTIVE, GENTLE)]
    first, second = (closed_form(**rule, accuracy=1.0, done=20, total=20) for rule in rules)
    assert last.sigma == pytest.approx([first, 0.1, second, 0.3], rel=1e-5)


def test_sigma_stays_within_a_thousandfold_of_its_start(monkeypatch: pytest.MonkeyPatch) -> None:
    for accuracy, expected in ((1.0, 200.0), (0.0, 0.0002)):
        fix_accuracy(monkeypatch, accuracy)
        (run,), source = runs_of({**ADAPTIVE, "rate": 1e5})
        members = Members([run], source, num_epochs=2)
        for step in range(5):
            members.discriminator_step(members.sigma(step))
        assert members.sigma_after([1]) == [pytest.approx(expected)]


def test_the_step_is_taken_with_the_sigma_the_last_one_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both players of an iteration see one sigma; the first iteration sees the start."""
    fix_accuracy(monkeypatch, 1.0)
    (run,), source = runs_of({**ADAPTIVE, "rate": 40.0})
    members = Members([run], source, num_epochs=2)
    for step in range(3):
        expected = closed_form(start=0.2, target=0.6, rate=40.0, accuracy=1.0, done=step, total=20)
        assert members.sigma(step).tolist() == [pytest.approx(expected, rel=1e-6)]
        members.discriminator_step(members.sigma(step))
        members.generator_step(members.sigma(step))


def test_a_pack_without_an_adaptive_member_has_no_adaptation() -> None:
    runs, _ = runs_of(LINEAR, 0.3)
    assert Adaptation.of(runs, CPU) is None
    assert Adaptation.of(runs_of(LINEAR, ADAPTIVE)[0], CPU) is not None


def curves(runs: list[Run], source: Source) -> list[Epoch]:
    return [result for result in train(runs, source, num_epochs=2) if isinstance(result, Epoch)]


@pytest.mark.parametrize(
    "sigmas",
    [
        (ADAPTIVE, GENTLE),
        (LINEAR, ADAPTIVE, 0, GENTLE, {"sigma": 0.3, "noise": "cauchy"}),
        (CHAIN, {**CHAIN, "target": 0.2, "noise": "diffusion"}, 0.3, ADAPTIVE),
        (
            {**ADAPTIVE, "noise": "diffusion"},
            {**GENTLE, "noise_on": "discriminator"},
            {**LINEAR, "noise": "mixed_levels"},
        ),
    ],
    ids=["two adaptive", "all kinds", "chains", "levels and steps"],
)
def test_members_of_a_pack_do_what_they_would_do_alone(sigmas: tuple[Any, ...]) -> None:
    runs, source = runs_of(*sigmas)
    together = curves(runs, source)
    for member, run in enumerate(runs):
        for of_pack, of_one in zip(together, curves([run], source), strict=True):
            assert of_pack.sigma[member] == pytest.approx(of_one.sigma[0], rel=1e-3)
            assert of_pack.d_loss[member] == pytest.approx(of_one.d_loss[0], abs=2e-4)
            assert of_pack.g_loss[member] == pytest.approx(of_one.g_loss[0], abs=2e-4)
            assert of_pack.diverged_at[member] == of_one.diverged_at[0] == -1


def test_a_discriminator_that_is_too_often_right_gets_more_noise() -> None:
    """Against a generator far away: without patched accuracies, in a training that does not diverge."""
    settings = {"steps_per_epoch": 150, "optimizer": {"name": "adam", "learning_rate": 5e-3}}
    rising = {**ADAPTIVE, "rate": 30.0}
    (run,), source = runs_of(rising, training=settings, problem={"name": "ring", "radius": 10.0})
    *_, last = train([run], source, num_epochs=1)
    assert isinstance(last, Epoch)
    assert last.diverged_at == [-1]
    # at most as if every answer were right, from the first step on
    limit = closed_form(start=0.2, target=0.6, rate=30.0, accuracy=1.0, done=150, total=300)
    assert 0.2 * 1.2 < last.sigma[0] <= limit * (1 + 1e-5)


def test_the_row_has_the_sigma_that_was_reached(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    fix_accuracy(monkeypatch, 1.0)
    job = make_job(TRAIN, grid={"loss": ["minimax"], "sigma": [ADAPTIVE, LINEAR, 0.3], "epoch": [1, 2], "seed": [0]})
    outcome = harness.run(job, results=store.root, executor="serial")
    assert outcome.statuses == {"completed": 6}
    rows = Results(store.root).table("cells").to_pylist()
    rule: dict[str, Any] = {"start": 0.2, "target": 0.6, "rate": 4.0, "accuracy": 1.0, "total": 20}
    for row in rows:
        expected = {
            "adaptive(rate=4, start=0.2, target=0.6)": closed_form(**rule, done=10 * row["epoch"]),
            "linear(end=0.1, start=0.5)": {1: 0.3, 2: 0.1}[row["epoch"]],
            "0.3": 0.3,
        }[row["schedule"]]
        assert row["sigma"] == pytest.approx(expected, rel=1e-5)
        assert row["noise_variance"] == pytest.approx(2 * expected**2, rel=1e-5)
        assert row["bound_holds"]
    training_rows = Results(store.root).table("training").to_pylist()
    assert {row["sigma"] for row in training_rows} == {row["sigma"] for row in rows}
    assert harness.run(job, results=store.root, executor="serial").num_computed == 0


def test_an_adaptive_schedule_spends_its_rate_over_the_whole_training() -> None:
    """So a job with a later last epoch has another trajectory: the runs must not be taken for each other."""
    (short,), _ = runs_of(ADAPTIVE, epoch=2)
    (long,), _ = runs_of(ADAPTIVE, epoch=4)
    assert short.run_id != long.run_id
    assert short.sigma_at(1) is None


# --- chains whose length follows the discriminator's overconfidence


def last_sigma(length: int, *, scale: float) -> float:
    """Noise over signal of the last step of a chain of this length, by its definition, in numpy."""
    abar = np.prod(1 - np.linspace(1e-4, 2e-2, length))
    return float(scale * np.sqrt((1 - abar) / abar))


def lengths(confidences: Sequence[float], *, rate: float, num_steps: int, shortest: int, longest: int) -> list[int]:
    """T after each discriminator step, as Wang et al. (2022) move it: every four, by the sign of the mean of four."""
    p, since, found = 0.0, list[float](), []
    for confidence in confidences:
        since.append(confidence)
        if len(since) == 4:
            p = min(max(p + np.sign(np.mean(since) - 0.6) * 4 * rate / num_steps, 0.0), 1.0)
            since = []
        found.append(shortest + round(p * (longest - shortest)))
    return found


def test_the_length_of_a_chain_moves_every_four_steps_by_the_sign_of_the_overconfidence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pattern = [0.9, 0.9, 0.1, 0.9, 0.9, 0.2, 0.2, 0.2, *[1.0] * 22, *[-1.0] * 4, 0.9, 0.9]  # 0.7, 0.375, 1, ..., -1
    given = iter(pattern)
    monkeypatch.setattr(training, "overconfidence", lambda objective, real: torch.full((len(real),), next(given)))
    (run,), source = runs_of(CHAIN, training={"steps_per_epoch": 18})
    members = Members([run], source, num_epochs=2)
    expected = lengths(pattern, rate=8.0, num_steps=36, shortest=4, longest=60)
    assert {4, 60} < set(expected)  # it moves, and reaches both ends
    for step, length in enumerate([4, *expected[:-1]]):
        assert members.sigma(step).tolist() == [pytest.approx(last_sigma(length, scale=0.4), rel=1e-5)]
        members.discriminator_step(members.sigma(step))
    assert members.sigma_after([2]) == [pytest.approx(last_sigma(expected[-1], scale=0.4), rel=1e-5)]


def test_overconfidence_is_the_mean_sign_of_logits_beyond_the_threshold() -> None:
    logits = torch.tensor([[-1.0, 0.2, 0.7, 0.9]])
    assert overconfidence(LOSSES["minimax"].objective, logits).tolist() == [0.5]
    assert overconfidence(LOSSES["least_squares"].objective, logits).tolist() == [0.0]  # its threshold is 1/2
    assert overconfidence(LOSSES["wasserstein"].objective, logits).tolist() == [0.5]


def test_a_discriminator_that_is_too_sure_of_real_samples_gets_a_longer_chain() -> None:
    """Against a generator far away: without made up confidences."""
    settings = {"steps_per_epoch": 50, "optimizer": {"name": "adam", "learning_rate": 5e-3}}
    ring = {"name": "ring", "radius": 10.0}
    (run,), source = runs_of({**CHAIN, "rate": 4.0}, epoch=6, training=settings, problem=ring)
    *_, last = train([run], source, num_epochs=1)
    assert isinstance(last, Epoch)
    assert last.diverged_at == [-1]
    limit = lengths([1.0] * 50, rate=4.0, num_steps=300, shortest=4, longest=60)[-1]
    assert last_sigma(20, scale=0.4) < last.sigma[0] <= last_sigma(limit, scale=0.4) * (1 + 1e-5)


def test_a_chain_that_is_stopped_between_two_moves_goes_on_where_it_was() -> None:
    """After 10 steps an epoch: two of the four that the next move looks at are behind it."""
    chains = [{**CHAIN, "rate": 1.0, "target": target} for target in (-0.4, -0.3, -0.2, 0.2, 0.3, 0.4, 0.5)]
    runs, source = runs_of(0.3, *chains, epoch=4, problem={"name": "ring", "radius": 10.0})
    whole = [result for result in train(runs, source, num_epochs=4) if isinstance(result, Epoch)]
    states: dict[int, MemberState] = {}
    for uninterrupted in whole:
        *_, part = train(runs, source, num_epochs=1, states=states)
        assert isinstance(part, Epoch)
        assert part.sigma == uninterrupted.sigma
        states = {member: part.state(member) for member in range(len(runs))}
    assert max(len(set(sigmas)) for sigmas in zip(*(epoch.sigma for epoch in whole), strict=True)) > 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target": 1}, "target must be in"),
        ({"shortest": 2.5}, "shortest must be a whole number of steps from 1 to 1000; got 2.5"),
        ({"longest": 5000}, "longest must be a whole number"),
        ({"shortest": 61}, "shortest must not exceed longest, got 61 and 60"),
        ({"scale": 0}, "needs scale > 0"),
        ({"rte": 1}, "schedule overconfidence takes rate and may have scale, shortest, longest, target"),
    ],
)
def test_a_chain_that_cannot_be_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(HarnessError, match=message):
        runs_of({**CHAIN, **change})
