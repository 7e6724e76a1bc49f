"""Labels of problems, and the classifier that is trained on them for its features."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor

from harness.identity import stream_seed
from harness.job.parts.datasets import Digits
from harness.job.parts.problem import DataSet
from harness.job.parts.problems import PROBLEMS
from harness.problems import classifier
from harness.problems.sources import Samples
from tests.problems.test_problems import cifar_folder, fashion_mnist_root, spec_of, write_idx

pytestmark = pytest.mark.usefixtures("one_thread")


def test_labels_of_a_set_that_is_split_follow_its_samples() -> None:
    """Each digit's label is scikit-learn's of the same picture."""
    samples = Digits().load()
    assert samples is not None
    digits = load_digits()
    known = {
        image.astype(np.float32).tobytes(): label for image, label in zip(digits.images, digits.target, strict=True)
    }
    for pictures, labels in (
        (samples.training, samples.training_labels),
        (samples.held_out, samples.held_out_labels),
    ):
        assert labels is not None
        grey = ((pictures[:, 0] + 1) * 8).astype(np.float32)
        assert [known[image.tobytes()] for image in grey] == labels.tolist()


def test_labels_of_idx_files_are_those_of_each_split(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = {"train": rng.integers(0, 10, 40), "t10k": rng.integers(0, 10, 24)}
    for split, classes in labels.items():
        write_idx(tmp_path / f"{split}-images-idx3-ubyte", np.zeros((len(classes), 28, 28), np.uint8), zipped=True)
        write_idx(tmp_path / f"{split}-labels-idx1-ubyte", classes.astype(np.uint8), zipped=True)
    samples = spec_of(name="fashion_mnist", root=str(tmp_path)).load()
    assert samples is not None
    assert samples.training_labels is not None
    assert samples.held_out_labels is not None
    assert samples.training_labels.tolist() == labels["train"].tolist()
    assert samples.held_out_labels.tolist() == labels["t10k"].tolist()


def test_cifar10_has_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = spec_of(name="cifar10", root=str(cifar_folder(tmp_path, monkeypatch))).load()
    assert samples is not None
    assert samples.training_labels is not None
    assert samples.training_labels.shape == (40,)


def test_the_problems_that_promise_labels() -> None:
    labelled = {name for name, problem in PROBLEMS.items() if problem.num_classes}
    assert labelled == {"digits", "mnist", "fashion_mnist", "cifar10"}
    assert {PROBLEMS[name].num_classes for name in labelled} == {10}


def test_samples_are_split_as_they_were_before_there_were_labels() -> None:
    samples = np.arange(60, dtype=np.float32).reshape(20, 3)
    order = np.random.default_rng(stream_seed("split")).permutation(20)
    plain = Samples.split(samples, num_training=13, name="any")
    labelled = Samples.split(samples, num_training=13, name="any", labels=np.arange(20))
    for found in (plain, labelled):
        assert np.array_equal(np.concatenate([found.training, found.held_out]), samples[order])
    assert plain.training_labels is None
    assert labelled.training_labels is not None
    assert labelled.training_labels.tolist() == order[:13].tolist()


class Promised(DataSet):
    """A user's own set"""

    num_classes: ClassVar[int] = 2
    name: str = "promised"
    given: int | None = None

    def samples(self) -> Any:
        return np.zeros((12, 2), np.float32)

    def labels(self) -> Any:
        return None if self.given is None else [0] * self.given


def test_promised_labels_must_be_there_one_a_sample() -> None:
    with pytest.raises(ValueError, match="promised labels of 2 classes and has none"):
        Promised().load()
    with pytest.raises(ValueError, match=r"has 12 samples and labels of shape \[11\]"):
        Promised(given=11).load()
    assert Promised(given=12).load() is not None


def trained(seed: int = 0) -> tuple[Samples, dict[str, Tensor]]:
    samples = Digits().load()
    assert samples is not None
    training, labels = torch.from_numpy(samples.training), torch.tensor(samples.training_labels)
    return samples, classifier.train(training, labels, num_classes=10, seed=seed)


def fingerprint(weights: dict[str, Tensor]) -> str:
    return hashlib.sha256(b"".join(weights[name].numpy().tobytes() for name in sorted(weights))).hexdigest()


def test_it_tells_held_out_digits_and_its_features_group_them() -> None:
    """Better than chance by far, and by one neighbour in features better than by one in pixels."""
    samples, weights = trained()
    model = classifier.restored(weights, (1, 8, 8), 10)
    pictures, labels = torch.from_numpy(samples.held_out), torch.tensor(samples.held_out_labels)
    assert (model(pictures).argmax(1) == labels).float().mean() > 0.95
    features = model[:-1](pictures)
    assert features.shape == (len(pictures), classifier.WIDTH)

    def spread(points: Tensor) -> float:
        """Mean squared distance from the class means, over that from the mean."""
        within = sum(((points[labels == c] - points[labels == c].mean(0)) ** 2).sum() for c in range(10))
        return float(within / ((points - points.mean(0)) ** 2).sum())

    assert spread(features) < 0.6 * spread(pictures.flatten(1))


def test_its_weights_depend_on_the_seed_alone_not_on_threads_or_what_was_drawn_before() -> None:
    _, weights = trained()
    torch.set_num_threads(2)
    torch.rand(7)
    with torch.no_grad():  # as where evaluation may call it
        _, again = trained()
    assert torch.get_num_threads() == 2
    assert fingerprint(weights) == fingerprint(again)
    assert fingerprint(weights) != fingerprint(trained(seed=1)[1])


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 28, 28), (1, 5, 7), (9,), (4, 3)])
def test_samples_of_any_shape_have_64_features(shape: tuple[int, ...]) -> None:
    model = classifier.network(shape, 4)
    assert model(torch.zeros(2, *shape)).shape == (2, 4)
    assert model[:-1](torch.zeros(2, *shape)).shape == (2, 64)


def test_labels_that_are_no_classes_are_refused() -> None:
    with pytest.raises(ValueError, match="labels from 1 to 5; needed: 0 to 4"):
        classifier.train(torch.zeros(4, 2), torch.tensor([1, 2, 5, 3]), num_classes=5, seed=0)


@pytest.mark.slow
@pytest.mark.skipif(not fashion_mnist_root().is_dir(), reason="Debian's dataset-fashion-mnist is not installed")
def test_it_tells_six_of_seven_held_out_pieces_of_fashion() -> None:
    samples = spec_of(name="fashion_mnist", root=str(fashion_mnist_root())).load()
    assert samples is not None
    training, labels = torch.from_numpy(samples.training), torch.tensor(samples.training_labels)
    model = classifier.restored(classifier.train(training, labels, num_classes=10, seed=0), (1, 28, 28), 10)
    right = model(torch.from_numpy(samples.held_out)).argmax(1) == torch.tensor(samples.held_out_labels)
    assert right.float().mean() > 6 / 7
