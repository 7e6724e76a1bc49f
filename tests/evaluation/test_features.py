"""Features in the evaluation of cells: each computed once, networks trained once, and what is no feature."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Generator, Tensor

import harness
from harness.evaluation.features import FeatureSpaces
from harness.evaluation.metrics import MetricValue, measure_metrics
from harness.job.parts.datasets import Digits
from harness.job.parts.features import Classifier, Extract, Features, Keep
from harness.job.parts.metrics import FeatureMetric, FeatureSets
from harness.job.parts.problem import Problem
from harness.job.parts.problems import Ring
from harness.problems import classifier
from harness.problems.sources import Source
from harness.storage.store import Store
from harness.storage.writer import FEATURES
from harness.theory import features as theory
from tests.conftest import TRAIN, make_job, near

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")
NAMES = ["frechet_distance", "kid", "precision", "recall", "density", "coverage", "memorisation"]
calls: list[int] = []


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=Generator().manual_seed(seed))


TRAINING, HELD_OUT, FAKE = normal(2500, 3, seed=0), normal(80, 3, seed=1), 0.3 + normal(80, 3, seed=2)
SOURCE = Source((3,), CPU, training=TRAINING, held_out=HELD_OUT)


class Halves(Features):
    """Half of each coordinate, and how often that was asked for"""

    name: str = "halves"

    def function(self, problem: Problem, source: Source, keep: Keep) -> Extract:
        def extract(samples: Tensor) -> Tensor:
            calls.append(len(samples))
            return samples / 2

        return extract


class Gives(Features):
    """Whatever is returned"""

    name: str = "gives"
    answer: Callable[[Tensor], Any]

    @property
    def canonical(self) -> str:
        return "gives"

    def function(self, problem: Problem, source: Source, keep: Keep) -> Extract:
        return self.answer


@pytest.fixture(autouse=True)
def uncounted() -> None:
    calls.clear()


def metrics_in(features: Any, *names: Any) -> tuple[Any, ...]:
    """Metrics of a job, in a feature space."""
    job = make_job({**TRAIN, "problem": {"name": "digits"}}, evaluation={"metrics": [*(names or NAMES)]})
    return tuple(metric.model_copy(update={"features": features}) for metric in job.evaluation.metrics)


def measured(
    metrics: Any, spaces: FeatureSpaces, fake: Tensor = FAKE, problem: Problem | None = None
) -> list[MetricValue]:
    return measure_metrics(metrics, HELD_OUT, fake, problem=problem or Digits(), seed=0, spaces=spaces)


def test_each_metric_has_the_value_of_its_features() -> None:
    values = {value.name: value for value in measured(metrics_in(Halves()), FeatureSpaces(SOURCE, HELD_OUT))}
    real, fake, training = HELD_OUT / 2, FAKE / 2, TRAINING / 2
    kid = theory.kernel_distance(real, fake)
    copies = theory.share_closer(*(theory.nearest_distances(points, training) for points in (fake, real)))
    expected = {
        "frechet_distance": (theory.frechet_distance(real, fake), None),
        "kid": (kid.value, kid.standard_error),
        "precision": (theory.precision(real, fake, k=3), None),
        "recall": (theory.precision(fake, real, k=3), None),
        "density": (theory.density(real, fake, k=5), None),
        "coverage": (theory.coverage(real, fake, k=5), None),
        "memorisation": (copies.value, copies.standard_error),
    }
    assert values == {
        f"{name}[halves]": MetricValue(f"{name}[halves]", near(value, rel=1e-12), error and near(error, rel=1e-12))
        for name, (value, error) in expected.items()
    }
    assert len({value for value, _ in expected.values()}) == len(NAMES)  # none stands for another


def test_features_are_computed_once_a_generator_and_those_of_real_samples_once_a_problem() -> None:
    spaces = FeatureSpaces(SOURCE, HELD_OUT)
    for seed in range(3):
        measured(metrics_in(Halves()), spaces, normal(80, 3, seed=seed))
    # the first generator's and the held-out ones, the training set in parts, then two more generators
    assert calls == [80, 80, 1000, 1000, 500, 80, 80]


def test_without_memorisation_the_training_set_has_no_features() -> None:
    measured(metrics_in(Halves(), *NAMES[:-1]), FeatureSpaces(SOURCE, HELD_OUT))
    assert calls == [80, 80]


def test_a_generator_of_training_samples_is_seen_and_a_new_set_is_not() -> None:
    spaces = FeatureSpaces(SOURCE, HELD_OUT)
    metrics = metrics_in(None, "memorisation")
    (copied,), (new,) = (measured(metrics, spaces, fake) for fake in (TRAINING[:80], normal(80, 3, seed=3)))
    assert copied == MetricValue("memorisation", 1.0, 0.0)
    assert new.value is not None
    assert abs(new.value - 0.5) < 4 * math.sqrt(161 / (12 * 80 * 80))


class OwnMetric(FeatureMetric):
    """Largest first feature"""

    name: str = "own"

    def of(self, sets: FeatureSets) -> float:
        return float(sets.fake[:, 0].max())


def test_a_users_own_metric_of_features_is_given_them() -> None:
    (found,) = measured([OwnMetric(features=Halves())], FeatureSpaces(SOURCE, HELD_OUT))
    assert found == MetricValue("own[halves]", float(FAKE[:, 0].max()) / 2)


def test_generated_samples_whose_features_are_not_finite_have_no_values() -> None:
    spaces = FeatureSpaces(SOURCE, HELD_OUT)
    fake = FAKE.clone()
    fake[0] = 7.0
    space = Gives(answer=lambda samples: torch.where(samples == 7.0, math.inf, samples))
    assert {value.value for value in measured(metrics_in(space), spaces, fake)} == {None}
    assert None not in {value.value for value in measured(metrics_in(space), spaces)}


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda samples: samples[:, 0], r"gives gave torch.float32 of shape \[80\]; needed: real numbers \[80, f\]"),
        (lambda samples: samples[1:], r"of shape \[79, 3\]; needed: real numbers \[80, f\]"),
        (lambda samples: samples.long(), r"gave torch.int64 of shape \[80, 3\]; needed: real numbers"),
        (lambda samples: torch.where(samples == FAKE, samples, math.nan), "of real samples that are NaN or infinite"),
    ],
)
def test_what_is_no_feature_is_an_error(answer: Callable[[Tensor], Tensor], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        measured(metrics_in(Gives(answer=answer)), FeatureSpaces(SOURCE, HELD_OUT))


def test_a_problem_without_training_set_has_none_to_be_near_to() -> None:
    source = Source((2,), CPU, draw=Ring().draw)
    spaces = FeatureSpaces(source, HELD_OUT[:, :2])
    (metric,) = metrics_in(None, "memorisation")
    with pytest.raises(ValueError, match="there is no training set"):
        measured([metric], spaces, FAKE[:, :2])


# --- networks that are kept


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Seeds of the classifiers that are trained."""
    seeds: list[int] = []
    train = classifier.train
    monkeypatch.setattr(classifier, "_STEPS", 20)

    def counted(*data: Any, seed: int, **more: Any) -> Any:
        seeds.append(seed)
        return train(*data, seed=seed, **more)

    monkeypatch.setattr(classifier, "train", counted)
    return seeds


def digit_spaces(store: Store | None) -> FeatureSpaces:
    source = Digits().source(Digits().load(), device=CPU)
    real = source.held_out_samples(60)
    return FeatureSpaces(source, real, None if store is None else store.networks)


def test_a_classifier_is_trained_once_and_found_in_the_store(trainings: list[int], store: Store) -> None:
    fake = normal(60, 1, 8, 8, seed=4)
    metrics = metrics_in(Classifier(), "kid", "frechet_distance")
    first, again = (measured(metrics, digit_spaces(store), fake) for _ in range(2))
    assert first == again == measured(metrics, digit_spaces(None), fake)
    assert trainings == [0, 0]  # the store's, and that of no store
    other = measured(metrics_in(Classifier(seed=1), "kid"), digit_spaces(store), fake)
    assert trainings == [0, 0, 1]
    assert other[0].name == "kid[classifier(seed=1)]"
    assert other[0].value != first[0].value
    assert len(list((Path(store.root) / FEATURES).iterdir())) == 2


def test_another_share_held_out_is_another_classifier(trainings: list[int], store: Store) -> None:
    metrics, fake = metrics_in(Classifier(), "kid"), normal(60, 1, 8, 8, seed=4)
    for problem in (Digits(), Digits(held_out=0.5), Digits()):
        measured(metrics, digit_spaces(store), fake, problem)
    assert trainings == [0, 0]


def test_of_two_workers_at_once_the_second_takes_what_the_first_kept(
    trainings: list[int], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whose machine rounds otherwise; the file that comes first by name is everybody's."""
    counted, metrics, fake = classifier.train, metrics_in(Classifier(), "kid"), normal(60, 1, 8, 8, seed=4)
    spaces = digit_spaces(store)

    def elsewhere(*data: Any, **more: Any) -> Any:
        monkeypatch.setattr(classifier, "train", counted)
        measured(metrics, digit_spaces(store), fake)  # another worker, meanwhile
        return {name: value + 1e-3 for name, value in counted(*data, **more).items()}

    monkeypatch.setattr(classifier, "train", elsewhere)
    (here,) = measured(metrics, spaces, fake)
    assert len(list((Path(store.root) / FEATURES).iterdir())) == 2
    assert [here] == measured(metrics, digit_spaces(store), fake)
    assert trainings == [0, 0]


def test_the_evaluator_measures_in_the_space_of_the_job(trainings: list[int], tmp_path: Path) -> None:
    """A whole job: one network for all of its cells, and the rows of both spaces."""
    job = {
        **TRAIN,
        "problem": {"name": "digits"},
        "grid": {"loss": ["minimax"], "sigma": [0], "epoch": [1, 2], "seed": [0, 1]},
        "evaluation": {
            **TRAIN["evaluation"],
            "features": "classifier",
            "metrics": [*NAMES, *({"name": name, "features": "pixels"} for name in NAMES)],
        },
    }
    assert harness.run(job, results=tmp_path, executor="serial").statuses == {"completed": 4}
    assert trainings == [0]
    rows = harness.open_results(tmp_path).query("SELECT * FROM metrics").to_pylist()
    assert sorted({row["name"] for row in rows}) == sorted([*NAMES, *(f"{name}[classifier]" for name in NAMES)])
    assert len(rows) == 4 * 2 * len(NAMES)
    assert all(row["value"] is not None for row in rows)
    with_error = {row["name"].split("[")[0] for row in rows if row["standard_error"] is not None}
    assert with_error == {"kid", "memorisation"}
