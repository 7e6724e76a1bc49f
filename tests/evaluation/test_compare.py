"""``harness evaluate``: any two sample sets, from files, against each other.

Expected numbers come from scipy: assignments, quadrature, quantiles of one-dimensional distributions, distances.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.optimize import brentq, linear_sum_assignment
from scipy.spatial.distance import cdist, pdist
from scipy.stats import chi, norm, wasserstein_distance
from sklearn.datasets import load_digits

from harness.errors import HarnessError
from harness.evaluation import compare as comparison
from harness.evaluation import sets as evaluation
from harness.evaluation.compare import compare
from harness.evaluation.files import StoredSamples, open_samples
from harness.storage.records import CELLS
from harness.theory import samples
from harness.theory.bounds import Bound

from ..in_process import harness

Array = NDArray[Any]
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def saved(tmp_path: Path) -> Callable[[str, Array], str]:
    def save(name: str, array: Array) -> str:
        np.save(tmp_path / f"{name}.npy", array)
        return str(tmp_path / f"{name}.npy")

    return save


def strict_json(text: str) -> Any:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


def evaluated(real: str, fake: str, *more: str) -> list[dict[str, Any]]:
    """The rows of a command that succeeds."""
    answer = harness("evaluate", "--real", real, "--fake", fake, "--json", *more)
    assert answer.returncode == 0, answer.stderr
    rows: list[dict[str, Any]] = strict_json(answer.stdout)
    return rows


def assert_alike(found: list[dict[str, Any]], expected: list[dict[str, Any]], *, tolerance: float) -> None:
    """Rows with the same texts, flags and nulls, and numbers that differ by the tolerance at most."""
    assert [list(row) for row in found] == [list(row) for row in expected]
    for row, wanted in zip(found, expected, strict=True):
        for name, value in wanted.items():
            is_number = isinstance(value, float)
            assert row[name] == (pytest.approx(value, rel=tolerance, abs=tolerance) if is_number else value), name


def in_memory(array: Array) -> StoredSamples:
    return StoredSamples((len(array), array[0].size), lambda index: array[index])


def normal(*shape: int, seed: int, shift: float = 0.0) -> Array:
    return np.random.default_rng(seed).normal(size=shape) + shift


def images(num: int, *, seed: int = 0, size: tuple[int, int] = (5, 4)) -> NDArray[np.uint8]:
    """``[n, h, w, 3]``"""
    return np.random.default_rng(seed).integers(0, 256, (num, *size, 3), dtype=np.uint8)


def save_images(folder: Path, pictures: Array) -> str:
    folder.mkdir()
    for index, picture in enumerate(pictures):
        Image.fromarray(picture).save(folder / f"{index:03}.png")
    return str(folder)


# --- independent values ----------------------------------------------------------------------------------------


def w1_by_assignment(real: Array, fake: Array) -> float:
    """Exact for sets of any size: points are repeated until both sets have as many."""
    num = math.lcm(len(real), len(fake))
    cost = cdist(np.repeat(real, num // len(real), 0), np.repeat(fake, num // len(fake), 0))
    return float(cost[linear_sum_assignment(cost)].mean())


def densities_1d(real: Array, fake: Array, sigma: float) -> tuple[Array, Array, Array, float]:
    """A grid, both noisy densities on it, and its step."""
    x, step = np.linspace(-14, 14, 3001, retstep=True)
    p, q = (norm.pdf(x[:, None], centres[:, 0], sigma).mean(1) for centres in (real, fake))
    return x, p, q, float(step)


def jsd_1d(real: Array, fake: Array, sigma: float) -> float:
    _, p, q, step = densities_1d(real, fake, sigma)
    middle = np.maximum((p + q) / 2, 1e-300)
    parts = [np.where(density > 0, density * np.log(np.maximum(density, 1e-300) / middle), 0) for density in (p, q)]
    return float((parts[0] + parts[1]).sum() * step / 2)


def paper_formula(jsd: float, *, sigma: float, dimension: int, diameter: float) -> float:
    """Theorem 3.3 with noise within ``sigma (sqrt d + 5)``."""
    noisy = diameter + 2 * sigma * (math.sqrt(dimension) + 5)
    return 2 * math.sqrt(dimension) * sigma + 2 * noisy * math.sqrt(max(jsd, 0))


def sharp_formula(jsd: float, *, sigma: float, dimension: int, diameter: float) -> float:
    """With Topsoe's ``phi(TV) <= JSD`` and the mean of the chi distribution; truncation changes it by 2e-9."""

    def excess(t: float) -> float:
        return ((1 + t) * math.log(1 + t) + (1 - t) * math.log1p(-t)) / 2 - jsd

    variation = 1.0 if jsd >= math.log(2) - 1e-15 else brentq(excess, 0, 1 - 1e-15)
    noisy = diameter + 2 * sigma * (math.sqrt(dimension) + 5)
    return float(2 * sigma * chi(dimension).mean() + noisy * variation)


# --- what can be read ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["<f4", "<f8", ">f4", "|u1", "<i2", "<f2"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(7, 6), (7, 1, 2, 3), (7, 3, 2, 1)])
def test_an_array_of_any_kind_order_and_shape_is_read_as_rows_of_float64(
    saved: Callable[[str, Array], str], kind: str, order: Any, shape: tuple[int, ...]
) -> None:
    array = np.asarray(np.random.default_rng(0).integers(0, 200, shape) / (1 if kind[1] in "ui" else 8), dtype=kind)
    expected = np.stack([[float(value) for value in sample.flat] for sample in array])
    found = open_samples(saved("a", np.asarray(array, order=order)))
    assert found.shape == (7, 6)
    assert len(found) == 7
    assert found[:].dtype == torch.float64
    assert np.array_equal(found[:].numpy(), expected)
    assert np.array_equal(found[2:5].numpy(), expected[2:5])
    assert np.array_equal(found[torch.tensor([6, 0, 6])].numpy(), expected[[6, 0, 6]])
    assert found[torch.tensor([], dtype=torch.long)].shape == (0, 6)


def test_storage_makes_no_difference_to_the_numbers(saved: Callable[[str, Array], str]) -> None:
    real, fake = (np.random.default_rng(seed).integers(0, 9, (20, 1, 2, 3)) for seed in (0, 1))
    arguments = ("--sigma", "0.5", "--draws", "50")
    plain = evaluated(
        saved("a", real.reshape(20, 6).astype(np.float64)), saved("b", fake.astype(np.float64)), *arguments
    )
    for kind in (np.float32, np.uint8):
        files = saved("c", np.asfortranarray(real.astype(kind))), saved("d", fake.astype(kind))
        assert evaluated(*files, *arguments) == plain


def test_a_folder_of_images_is_the_array_of_their_pixels_in_minus_1_to_1(
    tmp_path: Path, saved: Callable[[str, Array], str]
) -> None:
    pictures = [images(12), images(12, seed=1) // 2]
    folders = [save_images(tmp_path / name, part) for name, part in zip("ab", pictures, strict=True)]
    scaled = [part.transpose(0, 3, 1, 2) / 127.5 - 1 for part in pictures]
    assert np.allclose(open_samples(folders[0])[:].numpy(), scaled[0].reshape(12, -1), rtol=0, atol=1e-15)
    arguments = ("--sigma", "0.3", "--sigma", "0", "--draws", "50")
    by_images = evaluated(*folders, *arguments)
    by_arrays = evaluated(saved("c", scaled[0]), saved("d", scaled[1]), *arguments)
    assert_alike(by_images, by_arrays, tolerance=1e-9)


def test_images_of_different_sizes_are_resized_on_request(tmp_path: Path) -> None:
    folder = Path(save_images(tmp_path / "a", images(3)))
    Image.fromarray(images(1, size=(9, 7))[0]).save(folder / "other.png")
    found = open_samples(str(folder), size=6)
    assert found.shape == (4, 6 * 6 * 3)
    assert found[:].min() >= -1
    assert found[:].max() <= 1


# --- the numbers -----------------------------------------------------------------------------------------------


def test_json_is_an_object_a_sigma_with_columns_of_the_table_of_cells(saved: Callable[[str, Array], str]) -> None:
    files = saved("a", normal(20, 3, seed=0)), saved("b", normal(20, 3, seed=1, shift=1))
    rows = evaluated(*files, "--sigma", "0.5", "--sigma", "0", "--sigma", "2", "--sigma", "0.5", "--draws", "50")
    assert [row["sigma"] for row in rows] == [0.5, 0, 2]
    order = {name: place for place, name in enumerate(CELLS.names)}
    for row in rows:
        assert set(row) <= set(CELLS.names)
        assert [order[name] for name in row] == sorted(order[name] for name in row)
        assert set(row) == set(rows[0])
        assert row["noise"] == "truncated"
        assert row["bound_holds"] is True


def test_without_a_sigma_there_are_13_up_to_a_noise_term_of_twice_the_diameter(
    saved: Callable[[str, Array], str],
) -> None:
    real, fake = normal(20, 3, seed=0), normal(20, 3, seed=1, shift=1)
    rows = evaluated(saved("a", real), saved("b", fake), "--draws", "100")
    sigmas = np.array([row["sigma"] for row in rows])
    assert len(sigmas) == 13
    assert np.allclose(np.diff(np.log(sigmas)), np.log(sigmas[1] / sigmas[0]))
    assert 2 * math.sqrt(3) * sigmas[-1] == pytest.approx(2 * pdist(np.concatenate([real, fake])).max())
    least = min(rows, key=lambda row: row["bound_paper"])
    assert {row["bound_best"] for row in rows} == {least["bound_paper"]}
    assert {row["bound_best_sigma"] for row in rows} == {least["sigma"]}
    least = min(rows, key=lambda row: row["bound_sliced"])
    assert {row["bound_sliced_best"] for row in rows} == {least["bound_sliced"]}
    assert {row["bound_sliced_best_sigma"] for row in rows} == {least["sigma"]}
    assert all(row["bound_holds"] for row in rows)


@pytest.mark.parametrize(("num_real", "num_fake", "dimension"), [(40, 40, 3), (30, 20, 2), (12, 36, 50)])
def test_transport_diameter_and_bounds_are_the_exact_ones(
    saved: Callable[[str, Array], str], num_real: int, num_fake: int, dimension: int
) -> None:
    real, fake = normal(num_real, dimension, seed=0), 2 * normal(num_fake, dimension, seed=1, shift=0.3)
    diameter = pdist(np.concatenate([real, fake])).max()
    rows = evaluated(saved("a", real), saved("b", fake), "--sigma", "0.4", "--sigma", "3", "--draws", "500")
    for row in rows:
        assert row["w1"] == pytest.approx(w1_by_assignment(real, fake))
        assert row["data_diameter"] == pytest.approx(diameter)
        assert row["num_samples"] == num_fake
        known: dict[str, Any] = {"sigma": row["sigma"], "dimension": dimension, "diameter": diameter}
        assert row["bound_paper"] == pytest.approx(paper_formula(row["jsd_mixture"], **known))
        assert row["bound_sharp"] == pytest.approx(sharp_formula(row["jsd_mixture"], **known))
        assert row["noise_variance"] == pytest.approx(dimension * row["sigma"] ** 2)
        assert row["bound_paper_upper"] >= row["bound_paper"] >= row["bound_sharp"]
        assert row["bound_holds"] is True


@pytest.mark.parametrize(("num_real", "num_fake"), [(25, 25), (30, 17)])
@pytest.mark.parametrize("sigma", [0.1, 0.5, 1.5])
def test_in_one_dimension_everything_is_what_quadrature_says(num_real: int, num_fake: int, sigma: float) -> None:
    real, fake = normal(num_real, 1, seed=2), 0.6 * normal(num_fake, 1, seed=3, shift=0.5)
    x, p, q, step = densities_1d(real, fake, sigma)
    jsd, both = jsd_1d(real, fake, sigma), np.concatenate([real, fake])
    assert np.abs(both).max() + 6 * sigma < 14  # what lies beyond the grid is below 1e-10
    (row,), _ = compare(in_memory(real), in_memory(fake), sigmas=[sigma], num_draws=8000)
    assert row["jsd_mixture"] == pytest.approx(jsd, abs=4 * row["jsd_mixture_se"])
    assert 0 < row["jsd_mixture_se"] < 0.01
    assert row["tv"] == pytest.approx(np.abs(p - q).sum() * step / 2, abs=0.02)
    weighted = (np.abs(x - both.mean()) * np.abs(p - q)).sum() * step + 2 * sigma * math.sqrt(2 / math.pi)
    assert row["bound_weighted"] == pytest.approx(weighted, rel=0.03)
    exact = wasserstein_distance(real[:, 0], fake[:, 0])
    assert row["w1"] == pytest.approx(exact)
    assert row["w1_sliced"] == pytest.approx(exact)
    assert row["bound_sliced"] == pytest.approx(
        paper_formula(jsd, sigma=sigma, dimension=1, diameter=np.ptp(both)), rel=1e-6
    )
    assert row["bound_holds"]


def test_kullback_leibler_divergences_are_what_quadrature_says() -> None:
    real, fake = normal(20, 1, seed=4), 0.3 * normal(20, 1, seed=5, shift=3)
    _, p, q, step = densities_1d(real, fake, 1.0)
    (row,), _ = compare(in_memory(real), in_memory(fake), sigmas=[1.0], num_draws=10_000)
    p, q = np.maximum(p, 1e-300), np.maximum(q, 1e-300)
    forward, backward = ((a * np.log(a / b)).sum() * step for a, b in ((p, q), (q, p)))
    assert abs(forward - backward) > 0.2  # so that one is not mistaken for the other
    assert row["kl_real_fake"] == pytest.approx(forward, abs=0.05)
    assert row["kl_fake_real"] == pytest.approx(backward, abs=0.05)


@pytest.mark.parametrize("num_fake", [20, 33])
def test_the_sliced_distance_is_the_mean_of_one_dimensional_ones(num_fake: int) -> None:
    real, fake = normal(20, 2, seed=0) * [1, 3], normal(num_fake, 2, seed=1, shift=0.5)
    angles = np.linspace(0, np.pi, 720, endpoint=False)
    by_angle = [
        wasserstein_distance(real @ direction, fake @ direction)
        for direction in np.stack([np.cos(angles), np.sin(angles)], 1)
    ]
    (row,), _ = compare(in_memory(real), in_memory(fake), sigmas=[1.0], num_draws=10, num_directions=2000)
    standard_error = np.std(by_angle) / math.sqrt(2000)
    assert row["w1_sliced"] == pytest.approx(np.mean(by_angle), abs=4 * standard_error)
    assert standard_error < 0.01 * row["w1_sliced"]


def test_without_noise_the_divergences_are_those_of_the_points_themselves(saved: Callable[[str, Array], str]) -> None:
    real = np.array([[0.0, 0], [1, 0], [2, 0], [3, 0]])
    fake = np.array([[0.0, 0], [1, 0], [5, 0], [-0.0, 0]])
    # masses: (1/4, 1/2) at 0, (1/4, 1/4) at 1, (1/4, 0) twice, (0, 1/4) once
    p, q = np.array([1, 1, 1, 1, 0]) / 4, np.array([2, 1, 0, 0, 1]) / 4
    middle = (p + q) / 2
    jsd = sum((a[a > 0] * np.log(a[a > 0] / middle[a > 0])).sum() for a in (p, q)) / 2
    (row,) = evaluated(saved("a", real), saved("b", fake), "--sigma", "0")
    assert row["jsd_mixture"] == pytest.approx(jsd)
    assert row["jsd_mixture_se"] == 0
    assert row["tv"] == pytest.approx(np.abs(p - q).sum() / 2)
    assert (row["kl_real_fake"], row["kl_fake_real"]) == (math.inf, math.inf)
    assert row["bound_paper"] == pytest.approx(2 * 5 * math.sqrt(jsd))
    assert row["bound_sliced"] is None
    assert row["bound_holds"] is True


def test_a_set_against_itself_is_at_distance_0(saved: Callable[[str, Array], str]) -> None:
    file = saved("a", normal(30, 4, seed=0))
    for row in evaluated(file, file, "--sigma", "0.01", "--sigma", "0", "--sigma", "1", "--draws", "100"):
        assert row["w1"] == pytest.approx(0, abs=1e-12)
        assert row["w1_sliced"] == pytest.approx(0, abs=1e-12)
        assert row["jsd_mixture"] == pytest.approx(0, abs=1e-9)
        assert row["bound_holds"] is True


def test_the_seed_decides_draws_and_directions(saved: Callable[[str, Array], str]) -> None:
    files = saved("a", normal(20, 3, seed=0)), saved("b", normal(20, 3, seed=1))
    first, again, other = (evaluated(*files, "--sigma", "1", "--draws", "50", "--seed", seed) for seed in "001")
    assert first == again
    assert first[0]["w1"] == other[0]["w1"]
    assert all(first[0][name] != other[0][name] for name in ("jsd_mixture", "w1_sliced"))


def test_the_exact_w1_of_larger_sets_is_left_out_with_a_remark(saved: Callable[[str, Array], str]) -> None:
    files = saved("a", normal(20, 3, seed=0)), saved("b", normal(30, 3, seed=1))
    arguments = ("evaluate", "--real", files[0], "--fake", files[1], "--json", "--sigma", "1", "--draws", "50")
    without = harness(*arguments, "--w1-samples", "29")
    assert without.returncode == 0
    (row,) = strict_json(without.stdout)
    assert row["w1"] is None
    assert row["bound_holds"] is True
    assert "w1 is left out: a set has more than 29 samples (--w1-samples)" in without.stderr
    within = harness(*arguments, "--w1-samples", "30")
    assert strict_json(within.stdout)[0]["w1"] > 0
    assert "left out" not in within.stderr


def test_beyond_what_is_feasible_the_diameter_is_an_upper_limit_with_a_remark(
    saved: Callable[[str, Array], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparison, "_MAX_FOR_DIAMETER", 50**2 * 3 - 1)
    real, fake = normal(20, 3, seed=0), normal(30, 3, seed=1)
    both = np.concatenate([real, fake])
    answer = harness(
        "evaluate", "--real", saved("a", real), "--fake", saved("b", fake), "--json", "--sigma", "1", "--draws", "50"
    )
    (row,) = strict_json(answer.stdout)
    radii = np.linalg.norm(both - both.mean(0), axis=1)
    assert row["data_diameter"] == pytest.approx(np.sort(radii)[-2:].sum())
    assert row["data_diameter"] > pdist(both).max()
    assert "data_diameter is an upper limit" in answer.stderr


def test_a_table_shows_what_json_says(saved: Callable[[str, Array], str]) -> None:
    files = saved("a", normal(20, 3, seed=0)), saved("b", normal(20, 3, seed=1))
    answer = harness("evaluate", "--real", files[0], "--fake", files[1], "--sigma", "0.5", "--w1-samples", "5")
    (row,) = evaluated(*files, "--sigma", "0.5", "--w1-samples", "5")
    lines = dict(line.split() for line in answer.stdout.splitlines() if len(line.split()) == 2)
    assert lines["w1"] == "-"
    assert lines["w1_sliced"] == f"{row['w1_sliced']:.6g}"
    assert f"{row['bound_paper']:.4g}" in answer.stdout


def test_a_bound_that_does_not_hold_is_reported(
    saved: Callable[[str, Array], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "sharp_bound", lambda **_: Bound(0.0, 0.0))
    file, other = saved("a", normal(20, 3, seed=0)), saved("b", normal(20, 3, seed=1))
    answer = harness("evaluate", "--real", file, "--fake", other, "--json", "--sigma", "1", "--draws", "50")
    assert strict_json(answer.stdout)[0]["bound_holds"] is False
    assert "a bound is below the distance it bounds" in answer.stderr


# --- reading in parts ------------------------------------------------------------------------------------------


def test_the_size_of_the_parts_does_not_change_the_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    real, fake = in_memory(normal(50, 4, seed=0)), in_memory(normal(33, 4, seed=1, shift=1))
    settings: dict[str, Any] = {"sigmas": [0, 0.2, 1], "num_draws": 60}
    whole, _ = compare(real, fake, **settings)
    for size in (7, 1):
        monkeypatch.setattr(samples, "ROWS_AT_ONCE", size)
        assert [len(part) for _, part in samples.chunks(fake)] == [size] * (33 // size) + [33 % size] * (33 % size > 0)
        parts, _ = compare(real, fake, **settings)
        assert_alike(parts, whole, tolerance=1e-6)  # log densities are sums in float32, see theory/kernels.py


def test_sets_larger_than_a_part_that_lie_apart_can_be_compared() -> None:
    """The points farthest from the middle are then all of one set, so that a part has none of the other."""
    real, fake = normal(1100, 2, seed=0), 30 * normal(1500, 2, seed=1)
    (row,), _ = compare(in_memory(real), in_memory(fake), sigmas=[1.0], num_draws=20, num_directions=2, max_for_w1=0)
    assert row["data_diameter"] == pytest.approx(pdist(np.concatenate([real, fake])).max())


def test_no_set_is_ever_read_as_a_whole_unless_for_the_exact_w1() -> None:
    largest = 0
    array = normal(2500, 2, seed=0)

    def read(index: Any) -> Array:
        nonlocal largest
        largest = max(largest, len(array[index]))
        part: Array = array[index]
        return part

    recording = StoredSamples(array.shape, read)
    arguments: dict[str, Any] = {"sigmas": [0, 1], "num_draws": 20, "num_directions": 2}
    compare(recording, recording, **arguments, max_for_w1=2499)
    assert 0 < largest <= 1024
    small = StoredSamples((50, 2), lambda index: read(np.arange(50)[index]))
    largest = 0
    compare(small, small, **arguments)
    assert largest == 50


@pytest.mark.parametrize("kind", ["<f4", "|u1"])
def test_a_file_is_not_read_into_memory_as_a_whole(saved: Callable[[str, Array], str], kind: str) -> None:
    file = saved("a", np.ones((40_000, 64), dtype=kind))
    tracemalloc.start()
    try:
        found = open_samples(file)
        total = sum(float(part.sum()) for _, part in samples.chunks(found))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert total == 40_000 * 64
    assert peak < 4 * 1024 * 64 * 8  # a few parts of 1024 rows as float64, of 40 there are


# --- order -----------------------------------------------------------------------------------------------------


def test_bounds_order_sets_as_the_distances_do() -> None:
    digits = load_digits().images / 8 - 1
    random = np.random.default_rng(0)
    digits = digits[random.permutation(len(digits))].reshape(-1, 64)
    real, other = digits[:800], digits[800:1600]
    fakes = {"half": other, "shuffled": random.permuted(other, axis=1), "contrast": 0.5 * other}
    found = {
        name: compare(in_memory(real), in_memory(fake), sigmas=[0], num_draws=10, max_for_w1=0)[0][0]
        for name, fake in fakes.items()
    }
    by_distance, by_bound = (
        sorted(found, key=lambda name: found[name][column]) for column in ("w1_sliced", "bound_sliced_best")
    )
    assert by_distance == by_bound
    assert by_bound[0] == "half"
    for row in found.values():
        assert row["w1_sliced"] <= row["bound_sliced_best"]
        assert row["bound_holds"]
    assert found[by_bound[1]]["bound_sliced_best"] > 1.5 * found["half"]["bound_sliced_best"]


# --- mistakes --------------------------------------------------------------------------------------------------

GOOD = normal(9, 3, seed=0)


def with_value(value: float) -> Array:
    array = GOOD.copy()
    array[6, 1] = value
    return array


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (normal(9, 4, seed=1), "dimensions differ: a real sample has 3 coordinates, a fake one has 4"),
        (with_value(math.nan), "b.npy: sample 6 holds a value that is NaN or infinite"),
        (with_value(-math.inf), "b.npy: sample 6 holds a value that is NaN or infinite"),
        (with_value(1e200), "b.npy: sample 6 holds a value beyond 1e+100"),
        (GOOD[:0], "b.npy: has shape [0, 3]; needed: [n, ...]"),
        (GOOD[0], "b.npy: has shape [3]; needed: [n, ...]"),
        (np.float64(3), "b.npy: has shape []; needed: [n, ...]"),
        (GOOD.astype(complex), "b.npy: holds complex128; needed: real numbers"),
        (GOOD.astype(str), "needed: real numbers"),
        (GOOD > 0, "b.npy: holds bool; needed: real numbers"),
        (GOOD.astype(object), "b.npy: is not a readable .npy file"),
    ],
    ids=lambda value: value[:45] if isinstance(value, str) else "",
)
def test_an_array_that_cannot_be_compared_is_a_clear_message_and_exit_code_2(
    saved: Callable[[str, Array], str], array: Array, message: str
) -> None:
    answer = harness("evaluate", "--real", saved("a", GOOD), "--fake", saved("b", array))
    assert (answer.returncode, answer.stdout) == (2, "")
    assert message in answer.stderr


def test_a_nan_is_found_beyond_the_first_part(saved: Callable[[str, Array], str]) -> None:
    array = np.zeros((3000, 2))
    array[2345, 1] = math.nan
    answer = harness("evaluate", "--real", saved("a", array), "--fake", saved("b", GOOD))
    assert answer.returncode == 2
    assert "a.npy: sample 2345 holds" in answer.stderr


def folder_without_images(path: Path) -> str:
    path.mkdir()
    return str(path)


def folder_with_another_size(path: Path) -> str:
    save_images(path, images(3))
    Image.fromarray(images(1, size=(9, 7))[0]).save(path / "other.png")
    return str(path)


def folder_with_a_broken_image(path: Path) -> str:
    save_images(path, images(3))
    (path / "broken.png").write_bytes((path / "000.png").read_bytes()[:40])
    return str(path)


def archive(path: Path) -> str:
    np.savez(path.with_suffix(".npz"), GOOD)
    return str(path.with_suffix(".npz"))


def cut_off(path: Path) -> str:
    np.save(path.with_suffix(".npy"), GOOD)
    content = path.with_suffix(".npy").read_bytes()
    path.write_bytes(content[:-8])
    return str(path)


def empty(path: Path) -> str:
    path.touch()
    return str(path)


def text(path: Path) -> str:
    path.write_text("1,2,3\n")
    return str(path)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: str(path), "fake: no such file or folder"),
        (folder_without_images, "has no images (.png"),
        (
            folder_with_another_size,
            "other.png' is 7x9, the images before it are 4x5; give a size to resize them all",
        ),
        (folder_with_a_broken_image, "broken.png' is not a readable image"),
        (archive, "fake.npz: holds several arrays; needed: one array"),
        (cut_off, "fake: is not a readable .npy file"),
        (empty, "fake: is not a readable .npy file"),
        (text, "fake: is not a readable .npy file"),
    ],
)
def test_a_file_that_cannot_be_read_is_a_clear_message_and_exit_code_2(
    tmp_path: Path, saved: Callable[[str, Array], str], make: Callable[[Path], str], message: str
) -> None:
    answer = harness("evaluate", "--real", saved("a", GOOD), "--fake", make(tmp_path / "fake"))
    assert (answer.returncode, answer.stdout) == (2, "")
    assert message in answer.stderr


@pytest.mark.parametrize("sigma", ["-1", "nan", "inf", "1e-200", "1e200", "1e-30", "x"])
def test_a_sigma_that_makes_no_sense_is_a_clear_message_and_exit_code_2(
    saved: Callable[[str, Array], str], sigma: str
) -> None:
    files = saved("a", GOOD), saved("b", normal(9, 3, seed=1))
    answer = harness("evaluate", "--real", files[0], "--fake", files[1], "--sigma", sigma)
    assert (answer.returncode, answer.stdout) == (2, "")
    assert "--sigma" in answer.stderr


@pytest.mark.parametrize("size", [20, 3000])
def test_samples_that_are_all_one_point_are_a_clear_message_and_exit_code_2(
    saved: Callable[[str, Array], str], size: int
) -> None:
    """Distances to their mean are not 0: ten times 0.1 is not 1."""
    file = saved("a", np.full((size, 64), 0.1))
    answer = harness("evaluate", "--real", file, "--fake", file)
    assert answer.returncode == 2
    assert "all samples of both sets are one and the same point" in answer.stderr


def test_two_sets_of_one_point_each_are_a_distance_apart(saved: Callable[[str, Array], str]) -> None:
    files = saved("a", np.full((5, 4), 0.1)), saved("b", np.full((6, 4), 0.6))
    (row,) = evaluated(*files, "--sigma", "0.1", "--draws", "50")
    assert row["w1"] == pytest.approx(1.0)  # 0.5 in each of 4 coordinates
    assert row["bound_holds"] is True


@pytest.mark.parametrize(("num_real", "num_fake"), [(1, 1), (1, 20), (20, 1)])
def test_sets_of_one_sample_have_all_measures(num_real: int, num_fake: int) -> None:
    real, fake = normal(num_real, 1, seed=2), 0.6 * normal(num_fake, 1, seed=3, shift=1.5)
    _, p, q, step = densities_1d(real, fake, 1.0)
    jsd, both = jsd_1d(real, fake, 1.0), np.concatenate([real, fake])
    (row,), remarks = compare(in_memory(real), in_memory(fake), sigmas=[1.0], num_draws=8000)
    assert remarks == []
    assert [name for name, value in row.items() if isinstance(value, float) and math.isnan(value)] == []
    exact = np.abs(real - fake).mean()  # one set is a point: all mass goes there
    assert (row["w1"], row["w1_sliced"]) == (pytest.approx(exact), pytest.approx(exact))
    assert row["data_diameter"] == pytest.approx(np.ptp(both))
    assert row["jsd_mixture"] == pytest.approx(jsd, abs=4 * row["jsd_mixture_se"])
    assert 0 < row["jsd_mixture_se"] < 0.01
    assert row["tv"] == pytest.approx(np.abs(p - q).sum() * step / 2, abs=0.02)
    known: dict[str, Any] = {"sigma": 1.0, "dimension": 1, "diameter": np.ptp(both)}
    assert row["bound_paper"] == pytest.approx(paper_formula(row["jsd_mixture"], **known))
    assert row["bound_sliced"] == pytest.approx(paper_formula(jsd, **known), rel=1e-6)
    assert row["bound_holds"] is True


def test_two_single_samples_are_their_distance_apart(saved: Callable[[str, Array], str], tmp_path: Path) -> None:
    files = saved("a", np.array([[0.0, 0.0]])), saved("b", np.array([[3.0, 4.0]]))
    none, much = evaluated(*files, "--sigma", "0", "--sigma", "2", "--draws", "500", "--directions", "4000")
    for row in (none, much):
        assert (row["w1"], row["data_diameter"]) == (pytest.approx(5), pytest.approx(5))
        assert row["w1_sliced"] == pytest.approx(5 * 2 / math.pi, rel=0.03)  # mean of |cos|
        assert row["bound_holds"] is True
    assert (none["jsd_mixture"], none["jsd_mixture_se"], none["tv"]) == (pytest.approx(math.log(2)), 0, 1)
    assert none["bound_sharp"] == pytest.approx(5)
    assert much["jsd_mixture"] < 0.6
    images_ = [save_images(tmp_path / name, images(1)) for name in ("c", "d")]
    assert "one and the same point" in harness("evaluate", "--real", images_[0], "--fake", images_[1]).stderr


def test_samples_too_near_each_other_for_their_squares_are_a_clear_message(saved: Callable[[str, Array], str]) -> None:
    answer = harness("evaluate", "--real", saved("a", 1e-200 * GOOD), "--fake", saved("b", -1e-200 * GOOD))
    assert answer.returncode == 2
    assert "rescale" in answer.stderr


def test_the_command_itself_ends_without_a_traceback(tmp_path: Path, saved: Callable[[str, Array], str]) -> None:
    """The one test in a process of its own."""
    answer = subprocess.run(
        [sys.executable, "-m", "harness", "evaluate", "--real", saved("a", GOOD), "--fake", "nowhere.npy"],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert (answer.returncode, answer.stdout) == (2, "")
    assert "nowhere.npy: no such file or folder" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_draws_that_would_not_fit_in_memory_are_refused() -> None:
    huge = StoredSamples((10, 3 * 1024 * 1024), lambda index: np.zeros((0, 1)))
    with pytest.raises(HarnessError, match="use at most --draws 21, or smaller images"):
        compare(huge, huge, num_draws=2000)
