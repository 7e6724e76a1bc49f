"""Slips in parts of a user's own: each is named before any work, or at the first step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import harness
from harness.job.parts.networks import MLP
from harness.job.parts.penalties import Penalty
from harness.job.parts.problems import Ring
from harness.training.penalties import StackedPenalty
from harness.training.players import Players
from tests.conftest import TRAIN

SLIPS = '''
from pydantic import Field
from harness.job.parts.metrics import Metric
from harness.job.parts.networks import Network
from harness.job.parts.noise import Noise
from harness.job.parts.optimizers import Optimizer
from harness.job.parts.penalties import Penalty
from harness.job.parts.problem import DataSet, Problem
from harness.job.parts.schedules import Schedule


class Misspelt(Penalty):
    """A penalty that does nothing"""

    def __cal__(self, discriminator, real, fake, draws):
        return real.sum()


class Weighted(Penalty):
    """A penalty with a weight"""

    weight: float = Field(1.0, ge=0)

    def __call__(self, discriminator, real, fake, draws):
        return self.weight * discriminator(real).mean(-1)


class EmptyNetwork(Network):
    """Half a network"""

    def generator(self, shape):
        return None


class EmptyNoise(Noise):
    """Nothing"""


class EmptyOptimizer(Optimizer):
    """Nothing"""

    learning_rate: float = 0.1


class EmptySchedule(Schedule):
    """Nothing"""


class EmptyProblem(Problem):
    """Nothing"""

    def find_info(self):
        return None


class EmptyData(DataSet):
    """Nothing"""


class EmptyMetric(Metric):
    """Nothing"""
'''


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "slips_of_mine.py").write_text(SLIPS, encoding="utf-8")
    (tmp_path / "breaks_of_mine.py").write_text("import a_package_nobody_has\n", encoding="utf-8")
    (tmp_path / "unreadable_of_mine.py").write_text("def f(:\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)


def message(**parts: Any) -> str:
    with pytest.raises(harness.JobError) as caught:
        harness.load_job({**TRAIN, **parts})
    return str(caught.value)


def with_penalty(penalty: Any) -> str:
    return message(grid={**TRAIN["grid"], "penalty": [penalty]})


@pytest.mark.parametrize(
    ("parts", "missing"),
    [
        ({"grid": {**TRAIN["grid"], "penalty": ["slips_of_mine:Misspelt"]}}, "no __call__ or constrain; a penalty"),
        ({"networks": {"name": "slips_of_mine:EmptyNetwork"}}, "no discriminator; a network"),
        (
            {"grid": {**TRAIN["grid"], "sigma": [{"sigma": 1.0, "noise": "slips_of_mine:EmptyNoise"}]}},
            "no family; a noise",
        ),
        ({"training": {**TRAIN["training"], "optimizer": "slips_of_mine:EmptyOptimizer"}}, "no step; an optimizer"),
        ({"grid": {**TRAIN["grid"], "sigma": [{"schedule": "slips_of_mine:EmptySchedule"}]}}, "no __call__; a"),
        ({"problem": {"name": "slips_of_mine:EmptyProblem"}}, "no draw or load; a problem"),
        ({"problem": {"name": "slips_of_mine:EmptyData"}}, "no samples; a problem"),
        ({"evaluation": {"metrics": ["slips_of_mine:EmptyMetric"]}}, "no __call__; a metric"),
    ],
)
def test_a_class_without_what_its_kind_does_is_refused(parts: dict[str, Any], missing: str) -> None:
    assert missing in message(**parts)


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_a_number_that_is_not_finite_is_refused_without_the_class_saying_so(value: float) -> None:
    assert "weight: must be a finite number" in with_penalty({"name": "slips_of_mine:Weighted", "weight": value})


@pytest.mark.parametrize(
    ("name", "way_out"),
    [
        ("slips_of_mine:Weightd", "did you mean 'slips_of_mine:Weighted'?"),
        ("slips_of_mine:Zzz", "slips_of_mine has no such name"),
        ("nowhere_at_all:Weighted", "it must be package.module:name on the Python path"),
        ("breaks_of_mine:Weighted", "importing breaks_of_mine raises ModuleNotFoundError"),
        ("unreadable_of_mine:Weighted", "importing unreadable_of_mine raises SyntaxError"),
    ],
)
def test_what_cannot_be_imported_says_why(name: str, way_out: str) -> None:
    assert way_out in with_penalty(name)


class Mean(Penalty):
    """One value for the whole pack"""

    def __call__(self, discriminator: Any, real: Any, fake: Any, draws: Any) -> Any:
        return discriminator(real).mean()


class PerSample(Penalty):
    """One value per sample"""

    def __call__(self, discriminator: Any, real: Any, fake: Any, draws: Any) -> Any:
        return discriminator(real)


class Undeclared(Penalty):
    """Random numbers that nobody asked for"""

    def __call__(self, discriminator: Any, real: Any, fake: Any, draws: Any) -> Any:
        return discriminator(real + draws["u"]).mean(-1)


@pytest.mark.parametrize(
    ("penalty", "says"),
    [
        (Mean(), r"gives values of shape \[\] for 3 members; it must give one value per member"),
        (PerSample(), r"gives values of shape \[3, 5\] for 3 members"),
        (Undeclared(), r"takes draws\['u'\] without asking for it; its shape goes into draws\(batch, shape\)"),
    ],
)
def test_a_penalty_that_breaks_its_contract_says_so_at_the_first_step(penalty: Penalty, says: str) -> None:
    source = Ring().source(None, device=torch.device("cpu"))
    players = Players("train", MLP(width=4, latent=2), source, seeds=[0, 1, 2], batch=5, families=None)
    weights = players.initial(players.discriminator, "discriminator")
    samples = torch.zeros(3, 5, 2)
    with pytest.raises(ValueError, match=says):
        StackedPenalty(penalty, players)(weights, samples, samples)
