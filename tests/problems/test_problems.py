"""Problems: one contract for all of them, and what makes each one itself."""

from __future__ import annotations

import gzip
import math
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import TypeAdapter, ValidationError
from scipy import stats

from harness.job.parts.problem import Problem
from harness.job.parts.problems import PROBLEMS, AnyProblem
from harness.problems.sources import Source

CPU = torch.device("cpu")
RNG = np.random.default_rng(0)


def spec_of(**content: Any) -> Problem:
    spec: Problem = TypeAdapter(AnyProblem).validate_python(content)
    return spec


def source_of(spec: Problem) -> Source:
    return spec.source(spec.load(), device=CPU)


def write_idx(path: Path, array: np.ndarray, *, zipped: bool) -> None:
    content = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    if zipped:
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(content))
    else:
        path.write_bytes(content)


def idx_folder(folder: Path, *, zipped: bool) -> Path:
    for split, num in (("train", 40), ("t10k", 24)):
        images = RNG.integers(0, 256, (num, 28, 28), dtype=np.uint8)
        write_idx(folder / f"{split}-images-idx3-ubyte", images, zipped=zipped)
        write_idx(folder / f"{split}-labels-idx1-ubyte", np.zeros(num, np.uint8), zipped=zipped)
    return folder


def cifar_folder(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    from torchvision.datasets import CIFAR10

    monkeypatch.setattr(CIFAR10, "_check_integrity", lambda self: True)
    monkeypatch.setattr(CIFAR10, "_load_meta", lambda self: None)
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    for name in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]:
        batch = {"data": RNG.integers(0, 256, (8, 3072), dtype=np.uint8), "labels": [0] * 8}
        (folder / name).write_bytes(pickle.dumps(batch))
    return root


def image_folder(folder: Path, *, sizes: tuple[int, ...] = (16,) * 24) -> Path:
    (folder / "sub").mkdir(parents=True)
    for index, size in enumerate(sizes):
        pixels = RNG.integers(0, 256, (size, size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "sub" / f"{index:02}.png")
    return folder


def array_file(path: Path) -> Path:
    np.save(path, RNG.normal(size=(30, 5)))
    return path


MAKERS: dict[str, Callable[[Path, pytest.MonkeyPatch], Problem]] = {
    "ring": lambda path, patch: spec_of(name="ring"),
    "grid": lambda path, patch: spec_of(name="grid"),
    "segments": lambda path, patch: spec_of(name="segments", dimension=3),
    "gaussian": lambda path, patch: spec_of(name="gaussian"),
    "line": lambda path, patch: spec_of(name="line"),
    "circle": lambda path, patch: spec_of(name="circle"),
    "four_lines": lambda path, patch: spec_of(name="four_lines"),
    "dirac": lambda path, patch: spec_of(name="dirac"),
    "digits": lambda path, patch: spec_of(name="digits"),
    "arrays": lambda path, patch: spec_of(name="arrays", path=str(array_file(path / "a.npy"))),
    "mnist": lambda path, patch: spec_of(
        name="mnist", root=str(idx_folder(path / "MNIST" / "raw", zipped=False).parents[1])
    ),
    "fashion_mnist": lambda path, patch: spec_of(
        name="fashion_mnist", root=str(idx_folder(path, zipped=True)), size=32
    ),
    "cifar10": lambda path, patch: spec_of(name="cifar10", root=str(cifar_folder(path, patch))),
    "image_folder": lambda path, patch: spec_of(name="image_folder", root=str(image_folder(path / "images"))),
}


def test_every_problem_is_tested_by_being_listed() -> None:
    assert set(MAKERS) == set(PROBLEMS)


@pytest.mark.parametrize("name", MAKERS)
def test_a_problem_keeps_its_promises(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = MAKERS[name](tmp_path, monkeypatch)
    facts, source = spec.info(), source_of(spec)
    assert source.shape == facts.shape
    if source.draw is not None:
        batch = source.draw(50, torch.Generator().manual_seed(1))
    else:
        assert source.training is not None
        batch = source.training
        if name != "cifar10":  # the made files are smaller than the real ones
            assert len(source.training) == facts.num_training
            assert source.held_out is not None
            assert len(source.held_out) == facts.num_held_out
    assert batch.shape[1:] == facts.shape
    assert batch.dtype == torch.float32
    assert torch.isfinite(batch).all()
    real = source.held_out_samples(10)
    assert torch.equal(real, source.held_out_samples(10))
    others = [source.real_samples(len(real), index) for index in (0, 1, 0)]
    assert torch.equal(others[0], others[2])
    assert [len(other) for other in others] == [len(real)] * 3
    for other in (others[1], real):
        assert torch.equal(others[0], other) == (name == "dirac")  # all its mass is in one point
    if len(facts.shape) == 3:
        assert -1 <= batch.min() < -0.5 < 0.5 < batch.max() <= 1


def test_ring_samples_lie_around_eight_modes_on_the_unit_circle() -> None:
    source = source_of(spec_of(name="ring"))
    assert source.draw is not None
    samples = source.draw(8000, torch.Generator().manual_seed(0))
    angle = torch.atan2(samples[:, 1], samples[:, 0]) / (2 * torch.pi / 8)
    mode = angle.round()
    assert torch.bincount((mode % 8).long(), minlength=8).min() > 850
    centre = torch.stack([torch.cos(mode * torch.pi / 4), torch.sin(mode * torch.pi / 4)], dim=1)
    spread = (samples - centre).std(0)
    assert spread == pytest.approx([0.02, 0.02], rel=0.05)


def test_segments_are_parallel_unit_segments_at_their_distance() -> None:
    source = source_of(spec_of(name="segments", dimension=4, distance=0.3))
    assert source.draw is not None
    samples = source.draw(4000, torch.Generator().manual_seed(0))
    assert samples[:, 0].abs().max() <= 0.5
    assert samples[:, 0].var() == pytest.approx(1 / 12, rel=0.05)
    assert samples[:, 1].unique().tolist() == pytest.approx([-0.15, 0.15], abs=1e-7)
    assert (samples[:, 2:] == 0).all()


def drawn(num: int = 20_000, **content: Any) -> torch.Tensor:
    source = source_of(spec_of(**content))
    assert source.draw is not None
    return source.draw(num, torch.Generator().manual_seed(0))


def is_uniform(values: torch.Tensor, low: float, high: float) -> bool:
    """By the Kolmogorov-Smirnov test, and without a value outside."""
    inside = low <= values.min() and values.max() <= high
    return bool(inside) and stats.kstest(values.double().numpy(), stats.uniform(low, high - low).cdf).pvalue > 1e-3


@pytest.mark.parametrize("std", [0.5, 2.0])
def test_a_gaussian_is_isotropic_about_the_origin(std: float) -> None:
    samples = drawn(name="gaussian", std=std)
    assert samples.shape == (20_000, 2)
    for axis in ([1.0, 0.0], [0.0, 1.0], [0.6, 0.8], [0.6, -0.8]):
        projected = (samples @ torch.tensor(axis)).double().numpy()
        assert stats.kstest(projected, stats.norm(0, std).cdf).pvalue > 1e-3


def test_the_default_gaussian_has_standard_deviation_one_half() -> None:
    assert drawn(name="gaussian").std(0) == pytest.approx([0.5, 0.5], rel=0.03)


def test_a_line_is_the_segment_from_minus_1_to_1_on_the_first_axis() -> None:
    samples = drawn(name="line")
    assert is_uniform(samples[:, 0], -1, 1)
    assert not is_uniform(samples[:, 0], -1.1, 1.1)
    assert (samples[:, 1] == 0).all()


@pytest.mark.parametrize("radius", [1.0, 0.3])
def test_a_circle_has_uniform_angles_and_one_radius(radius: float) -> None:
    samples = drawn(name="circle", radius=radius)
    torch.testing.assert_close(samples.norm(dim=1), torch.full((20_000,), radius))
    assert is_uniform(torch.atan2(samples[:, 1], samples[:, 0]), -math.pi, math.pi)


def test_four_lines_are_four_equally_likely_segments_of_length_2() -> None:
    samples = drawn(name="four_lines")
    heights, counts = samples[:, 1].unique(return_counts=True)
    assert heights.tolist() == pytest.approx([-1, -1 / 3, 1 / 3, 1], abs=1e-6)
    assert stats.chisquare(counts.numpy()).pvalue > 1e-3
    for height in heights:  # along each of them
        assert is_uniform(samples[samples[:, 1] == height, 0], -1, 1)


def test_grid_samples_lie_around_25_points_one_apart_about_the_origin() -> None:
    samples = drawn(20_000, name="grid")
    place = samples.round()
    assert sorted({tuple(point) for point in place.tolist()}) == [(x, y) for x in range(-2, 3) for y in range(-2, 3)]
    assert torch.bincount((5 * (place[:, 0] + 2) + place[:, 1] + 2).long()).min() > 600
    assert (samples - place).std(0) == pytest.approx([0.05, 0.05], rel=0.05)


@pytest.mark.parametrize(
    "content", [{"name": "ring", "modes": 5, "radius": 2.0}, {"name": "grid", "side": 3, "spacing": 0.5}]
)
def test_the_modes_that_a_mixture_names_are_those_it_draws_from(content: dict[str, Any]) -> None:
    problem = spec_of(**content, std=1e-3)
    mixture = problem.mixture()
    assert mixture is not None
    assert mixture.std == 1e-3
    samples = problem.draw(2000, torch.Generator().manual_seed(0))
    distances, nearest = torch.cdist(samples, torch.tensor(mixture.centres)).min(1)
    assert distances.max() < 6e-3
    assert torch.bincount(nearest, minlength=len(mixture.centres)).min() > 0.5 * 2000 / len(mixture.centres)


def test_the_dirac_problem_has_all_its_mass_at_0_in_1_d() -> None:
    samples = drawn(50, name="dirac")
    assert samples.shape == (50, 1)
    assert (samples == 0).all()


@pytest.mark.parametrize("name", ["ring", "grid", "segments", "gaussian", "line", "circle", "four_lines"])
def test_draws_depend_on_the_generator_alone_and_differ_between_seeds(name: str) -> None:
    source = source_of(spec_of(name=name))
    assert source.draw is not None
    first, again, other = (source.draw(50, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"name": "gaussian", "std": 0}, "greater than 0"),
        ({"name": "circle", "radius": -1}, "greater than 0"),
        ({"name": "line", "length": 3}, "Extra inputs are not permitted"),
        ({"name": "dirac", "dimension": 2}, "Extra inputs are not permitted"),
    ],
)
def test_unusable_options_of_the_plane_problems_are_refused(content: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        spec_of(**content)


def test_digits_are_scikit_learns_each_of_them_once() -> None:
    from sklearn.datasets import load_digits

    source = source_of(spec_of(name="digits"))
    assert source.training is not None
    assert source.held_out is not None
    both = torch.cat([source.training, source.held_out]).flatten(1)
    theirs = torch.from_numpy(load_digits().data / 8 - 1).float()
    order = sorted(map(tuple, both.tolist()))
    assert order == sorted(map(tuple, theirs.tolist()))


def test_a_training_split_trains_and_the_test_split_is_held_out(tmp_path: Path) -> None:
    source = source_of(spec_of(name="fashion_mnist", root=str(idx_folder(tmp_path, zipped=True))))
    assert source.training is not None
    assert source.held_out is not None
    assert (len(source.training), len(source.held_out)) == (40, 24)
    with gzip.open(tmp_path / "train-images-idx3-ubyte.gz") as file:
        pixels = np.frombuffer(file.read()[16:], np.uint8).reshape(40, 28, 28)
    torch.testing.assert_close(source.training[:, 0], torch.from_numpy(pixels / 127.5 - 1).float())


def test_a_constant_image_stays_constant_when_resized(tmp_path: Path) -> None:
    for index in range(9):
        Image.new("RGB", (20, 30), (255, 0, 127)).save(tmp_path / f"{index}.png")
    source = source_of(spec_of(name="image_folder", root=str(tmp_path), size=8))
    assert source.training is not None
    expected = torch.tensor([1.0, -1.0, 127 / 127.5 - 1]).view(1, 3, 1, 1).expand_as(source.training)
    torch.testing.assert_close(source.training, expected)


def test_images_of_different_sizes_need_a_size(tmp_path: Path) -> None:
    root = image_folder(tmp_path, sizes=(16,) * 8 + (20,))
    with pytest.raises(ValueError, match=r"08\.png' is 20x20, the images before it are 16x16; give a size"):
        spec_of(name="image_folder", root=str(root)).load()
    assert spec_of(name="image_folder", root=str(root), size=16).load() is not None


def test_samples_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.full((20, 2), np.nan))
    with pytest.raises(ValueError, match="NaN or infinite"):
        spec_of(name="arrays", path=str(tmp_path / "a.npy")).load()


def test_a_changed_file_is_another_problem_and_a_moved_one_is_not(tmp_path: Path) -> None:
    first = array_file(tmp_path / "a.npy")
    moved = tmp_path / "b.npy"
    moved.write_bytes(first.read_bytes())
    identity = spec_of(name="arrays", path=str(first)).identity()
    assert identity == spec_of(name="arrays", path=str(moved)).identity()
    np.save(first, RNG.normal(size=(30, 5)))
    assert identity != spec_of(name="arrays", path=str(first)).identity()


def made_samples(*, num: int) -> np.ndarray:
    """A user's own problem."""
    return RNG.normal(size=(num, 3))


def test_a_users_own_problem() -> None:
    spec = spec_of(name="tests.problems.test_problems:made_samples", options={"num": 30})
    source = source_of(spec)
    assert source.shape == (3,)
    assert source.training is not None
    assert len(source.training) == 20


def fashion_mnist_root() -> Path:
    return Path("/usr/share/datasets/fashion-mnist")


@pytest.mark.skipif(not fashion_mnist_root().is_dir(), reason="Debian's dataset-fashion-mnist is not installed")
def test_the_real_fashion_mnist_has_70000_images() -> None:
    spec = spec_of(name="fashion_mnist", root=str(fashion_mnist_root()))
    assert (spec.info().num_training, spec.info().num_held_out) == (60_000, 10_000)
    samples = spec.load()
    assert samples is not None
    assert samples.training.shape == (60_000, 1, 28, 28)
    # the published mean of the training pixels is 0.2860 of full scale
    assert (samples.training.mean() + 1) / 2 == pytest.approx(0.2860, abs=1e-4)
