"""Families of noise in whole jobs: what is drawn, which columns are filled, and packs of several families."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

import harness
from harness.errors import HarnessError
from harness.job.job import Job
from harness.job.parts.noise import NOISES, FullCovariance, Noise
from harness.planning.cells import Run
from harness.planning.grid import expand
from harness.problems.sources import Source
from harness.storage.query import Results
from harness.storage.store import Store
from harness.theory.noise import data_covariance
from harness.training.members import Members
from harness.training.noise import noise_families
from harness.training.streams import Streams
from harness.training.train import Epoch, train
from tests.conftest import PROBE, TRAIN, make_job

CPU = torch.device("cpu")
JobMaker = Callable[..., Job]
COVARIANCE = ((2.0, 0.6), (0.6, 1.0))
GIVEN = {"name": "full_covariance", "covariance": [list(row) for row in COVARIANCE]}
EVERY = ["truncated", "gaussian", "cauchy", "full_covariance", "mixed_levels", "diffusion"]
NULL_WITHOUT_A_RADIUS = {
    "diameter",
    "vacuous",
    "real_bound_paper",
    *(f"bound_paper{part}" for part in ("", "_upper", "_noise_term", "_divergence_term")),
    *(f"bound_sharp{part}" for part in ("", "_upper")),
}
NULL_WITHOUT_A_VARIANCE = {"noise_variance", "bound_weighted", "bound_weighted_upper"}
NULL_BY_FAMILY = {
    "truncated": set(),
    "gaussian": NULL_WITHOUT_A_RADIUS,
    "full_covariance": NULL_WITHOUT_A_RADIUS,
    "cauchy": NULL_WITHOUT_A_RADIUS | NULL_WITHOUT_A_VARIANCE,
    "mixed_levels": set(),
    "diffusion": set(),
}
SHARE_OF_VARIANCE = {"mixed_levels": 0.5, "diffusion": 0.125902}
"""Of d sigma^2: half of the samples; and ``sum_j w_j m_j^2`` by the table of `test_the_variance_of_a_chains_noise`."""


def run(job: Job, store: Store) -> harness.Outcome:
    return harness.run(job, results=store.root, executor="serial")


def rows_of(store: Store) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = Results(store.root).table("cells").to_pylist()
    return rows


def family(name: str) -> Noise:
    return NOISES[name]()


def digits() -> Source:
    job = make_job(PROBE)
    return job.problem.source(job.problem.load(), device=CPU)


def ring() -> Source:
    return make_job(TRAIN).problem.source(None, device=CPU)


# What is drawn


def test_the_covariance_of_the_data_has_trace_d_and_is_positive_definite_on_digits() -> None:
    """Digits have pixels that never vary: their own covariance is singular."""
    held_out = digits().held_out_samples(10_000)
    flat = held_out.flatten(1).double().numpy()
    plain = np.cov(flat, rowvar=False)
    assert np.linalg.eigvalsh(plain).min() < 1e-9
    covariance = data_covariance(held_out.flatten(1)).numpy()
    assert np.trace(covariance) == pytest.approx(64)
    assert np.linalg.eigvalsh(covariance).min() >= 0.1 - 1e-9
    np.testing.assert_allclose(covariance, 0.9 * 64 * plain / np.trace(plain) + 0.1 * np.eye(64), atol=1e-6)


def test_noise_of_the_datas_covariance_has_it() -> None:
    noise = family("full_covariance").family(ring().training_samples)
    draws = noise.training_draws(40_000, 2, generator=torch.Generator().manual_seed(0)).double()
    # the ring is isotropic: its covariance, scaled to trace 2, is the identity
    np.testing.assert_allclose(np.cov(draws.numpy(), rowvar=False), np.eye(2), atol=0.03)


def test_noise_of_a_given_covariance_has_it() -> None:
    noise = FullCovariance(covariance=COVARIANCE).family(ring().training_samples)
    for draw in (noise.training_draws, noise.unit):
        draws = draw(40_000, 2, generator=torch.Generator().manual_seed(0)).double()
        np.testing.assert_allclose(np.cov(draws.numpy(), rowvar=False), COVARIANCE, atol=0.05)


@pytest.mark.parametrize(
    ("name", "marginal"),
    [("truncated", stats.norm), ("gaussian", stats.norm), ("cauchy", stats.cauchy)],
)
def test_a_coordinate_of_a_members_stream_has_the_familys_marginal_distribution(name: str, marginal: Any) -> None:
    streams = Streams("train", [3, 4], device=CPU)
    noises = noise_families([family(name)] * 2, digits())
    stream = streams.unit_noise("noise", 16, (1, 8, 8), noises)
    draws = torch.stack([stream.next() for _ in range(40)]).numpy()  # [40, k, b, *shape]
    assert draws.shape == (40, 2, 16, 1, 8, 8)
    for member in range(2):
        assert stats.kstest(draws[:, member, :, 0, 2, 5].ravel(), marginal.cdf).pvalue > 1e-3


def test_constant_samples_have_no_covariance_to_follow() -> None:
    with pytest.raises(ValueError, match="needs samples that differ from each other"):
        data_covariance(torch.ones(20, 3))


def test_a_covariance_too_large_to_factorise_is_refused_before_any_work() -> None:
    with pytest.raises(HarnessError, match="at most 4096 coordinates"):
        make_job(
            TRAIN,
            problem={"name": "segments", "dimension": 4097},
            grid={"sigma": [{"sigma": 0.2, "noise": "full_covariance"}]},
        )


def test_members_that_name_the_same_family_share_it() -> None:
    noises = noise_families([family(name) for name in ("full_covariance", "cauchy", "full_covariance")], digits())
    assert noises[0] is noises[2]
    assert [noise.name for noise in noises] == ["full_covariance", "cauchy", "full_covariance"]


def test_each_member_of_a_mixed_pack_gets_the_noise_it_would_get_alone() -> None:
    source, seeds = digits(), [7, 7, 8, 9, 9, 7]
    noises = noise_families([family(name) for name in EVERY], source)
    together = Streams("train", seeds, device=CPU).unit_noise("noise", 16, (1, 8, 8), noises)
    alone = [
        Streams("train", [seed], device=CPU).unit_noise("noise", 16, (1, 8, 8), [noise])
        for seed, noise in zip(seeds, noises, strict=True)
    ]
    for _ in range(260):  # past the end of a block
        of_pack = together.next()
        for member, stream in enumerate(alone):
            assert torch.equal(of_pack[member], stream.next()[0])


def mixed_runs() -> tuple[list[Run], Source]:
    sigmas: list[Any] = [{"sigma": 0.3, "noise": name} for name in EVERY]
    job = make_job(TRAIN, grid={"loss": ["minimax"], "sigma": [*sigmas, 0], "epoch": [2], "seed": [5]})
    return [cell.run for cell in expand(job)], job.problem.source(None, device=CPU)


def test_every_run_has_the_same_curve_alone_and_in_a_pack_of_all_families() -> None:
    runs, source = mixed_runs()
    together, alone = Members(runs, source, num_epochs=2), [Members([run], source, num_epochs=2) for run in runs]
    for step in range(10):
        packed = [together.discriminator_step(together.sigma(step)), together.generator_step(together.sigma(step))]
        for member, one in enumerate(alone):
            single = [one.discriminator_step(one.sigma(step)), one.generator_step(one.sigma(step))]
            for of_pack, of_one in zip(packed, single, strict=True):
                torch.testing.assert_close(of_pack[member], of_one[0], atol=2e-4, rtol=2e-4)


def test_members_of_different_families_differ_from_each_other() -> None:
    runs, source = mixed_runs()
    *_, last = train(runs, source, num_epochs=2)
    assert isinstance(last, Epoch)
    assert last.diverged_at == [-1] * 7
    assert len(set(last.d_loss)) >= 6  # truncated and plain Gaussian noise rarely differ: a draw in 5e8


# What is stored


def check(row: dict[str, Any], *, dimension: int) -> None:
    """A completed row: nulls exactly where `records` says so."""
    name = row["noise"]
    assert row["status"] == "completed", row["error"]
    bounds = {column for column in row if column.startswith(("bound_", "real_bound_"))}
    empty = {column for column in (*bounds, "diameter", "vacuous", "noise_variance") if row[column] is None}
    assert empty == NULL_BY_FAMILY[name]
    for column in ("jsd_mixture", "tv", "w1", "w1_sliced", "data_diameter", "real_jsd_mixture", "real_w1"):
        assert math.isfinite(row[column])
    assert 0 <= row["jsd_mixture"] <= math.log(2) + 5 * row["jsd_mixture_se"] + 1e-9
    assert row["bound_holds"]
    if name != "cauchy" and "((" not in row["schedule"]:  # the data's covariance has trace d, as the identity has
        share = SHARE_OF_VARIANCE.get(name, 1.0)
        assert row["noise_variance"] == pytest.approx(share * dimension * row["sigma"] ** 2, rel=1e-3)


def test_a_train_job_of_all_families_completes(store: Store) -> None:
    sigmas: list[Any] = [{"sigma": 0.5, "noise": name} for name in EVERY]
    sigmas += [{"sigma": 0.2, "noise": GIVEN}, {"schedule": "linear", "start": 1, "end": 0.5, "noise": "cauchy"}]
    job = make_job(TRAIN, grid={"loss": ["non_saturating"], "sigma": sigmas, "epoch": [1, 2], "seed": [0]})
    assert run(job, store).statuses == {"completed": 16}
    rows = rows_of(store)
    assert {row["schedule"] for row in rows} == {
        "0.5",
        "0.5 gaussian",
        "0.5 cauchy",
        "0.5 full_covariance",
        "0.5 mixed_levels",
        "0.5 diffusion",
        "0.2 full_covariance(((2.0, 0.6), (0.6, 1.0)))",
        "linear(end=0.5, start=1) cauchy",
    }
    for row in rows:
        check(row, dimension=2)
        if "((" in row["schedule"]:
            assert row["noise_variance"] == pytest.approx(0.2**2 * (2 + 1))  # sigma^2 tr S
        if row["schedule"].startswith("linear"):
            assert row["sigma"] == pytest.approx({1: 0.75, 2: 0.5}[row["epoch"]])
    assert run(job, store).num_computed == 0


def test_a_probe_job_of_all_families_completes(store: Store) -> None:
    sigmas: list[Any] = [{"sigma": 0.5, "noise": name} for name in EVERY]
    grid = {"loss": ["minimax", "non_saturating"], "sigma": sigmas, "epoch": [1], "seed": [0]}
    job = make_job(PROBE, grid=grid, reference={"sigma": {"sigma": 0.1, "noise": "gaussian"}})
    assert run(job, store).statuses == {"completed": 12}
    rows = rows_of(store)
    assert len({row["run_id"] for row in rows}) == 1  # one reference run, whatever is probed
    for row in rows:
        check(row, dimension=64)
        pair = [other for other in rows if other["schedule"] == row["schedule"]]
        assert len({other["d_loss"] for other in pair}) == 1  # both losses share the probe
        assert math.isfinite(row["grad_norm"])
    by_family = {row["noise"]: row["d_loss"] for row in rows}
    assert len(set(by_family.values())) >= 3
    # the heavy tails of Cauchy noise hide more than Gaussian noise of equal scale
    assert {row["noise"]: row["tv"] for row in rows}["cauchy"] < {row["noise"]: row["tv"] for row in rows}["gaussian"]


def test_without_noise_the_family_does_not_matter(store: Store) -> None:
    sigmas: list[Any] = [{"sigma": 0, "noise": name} for name in ("truncated", "cauchy")]
    run(make_job(TRAIN, grid={"loss": ["minimax"], "sigma": sigmas, "epoch": [1], "seed": [0]}), store)
    first, second = rows_of(store)
    assert {first["noise"], second["noise"]} == {"truncated", "cauchy"}
    for column in ("d_loss", "accuracy", "jsd_mixture", "bound_paper", "w1", "noise_variance", "vacuous"):
        assert first[column] == pytest.approx(second[column], rel=1e-5)


def test_truncated_noise_has_the_numbers_of_a_plain_number(store: Store) -> None:
    grid = {"loss": ["minimax"], "epoch": [1], "seed": [0]}
    assert run(make_job(TRAIN, grid={**grid, "sigma": [0.2]}), store).num_computed == 1
    again = run(make_job(TRAIN, grid={**grid, "sigma": [{"sigma": 0.2, "noise": "truncated"}]}), store)
    assert again.num_computed == 0


@pytest.mark.parametrize("base", [TRAIN, PROBE])
def test_a_covariance_of_another_dimension_is_refused_before_any_work(base: dict[str, Any]) -> None:
    three = {"name": "full_covariance", "covariance": [[1, 0, 0], [0, 1, 0], [0, 0, 1]]}
    with pytest.raises(HarnessError, match="3"):
        make_job(base, grid={"sigma": [0, {"sigma": 0.2, "noise": three}]})


# In whose steps it is


def test_the_variance_of_a_chains_noise() -> None:
    """By the chain itself, in numpy: 16 groups of its 500 steps, each as noisy as its last, step t as likely as t."""
    abar = np.cumprod(1 - np.linspace(1e-4, 2e-2, 500))
    squares = (1 - abar) / abar
    ends = np.round(np.arange(17) * 500 / 16).astype(int)
    shares = [np.arange(before + 1, end + 1).sum() / 125_250 for before, end in itertools.pairwise(ends)]
    expected = 0.5 * (np.array(shares) * squares[ends[1:] - 1]).sum() / squares[-1]
    assert SHARE_OF_VARIANCE["diffusion"] == pytest.approx(expected, rel=1e-3)
    assert family("diffusion").family(ring().training_samples).variance(sigma=1.0, dimension=1) == pytest.approx(
        expected
    )


@pytest.mark.parametrize("base", [TRAIN, PROBE])
def test_noise_in_the_discriminators_step_alone_is_another_cell_with_other_numbers(
    base: dict[str, Any], store: Store
) -> None:
    sigmas: list[Any] = [0.5, {"sigma": 0.5, "noise_on": "discriminator"}]
    job = make_job(base, grid={"loss": ["minimax"], "sigma": sigmas, "epoch": [1], "seed": [0]})
    assert run(job, store).statuses == {"completed": 2}
    both, alone = sorted(rows_of(store), key=lambda row: row["schedule"])
    assert (both["schedule"], alone["schedule"]) == ("0.5", "0.5 discriminator only")
    assert both["sigma"] == alone["sigma"] == 0.5
    assert both["grad_norm"] != alone["grad_norm"]
    if base is PROBE:  # which moves the discriminator alone, and judges it at noisy samples
        assert both["d_loss"] == pytest.approx(alone["d_loss"], rel=1e-5)
    else:
        assert both["w1"] != pytest.approx(alone["w1"], rel=1e-6)
    assert "noise_on" not in both["identity"]
    assert '"noise_on":"discriminator"' in alone["identity"]
    assert run(job, store).num_computed == 0


def test_noise_in_both_steps_is_what_it_always_was(store: Store) -> None:
    grid = {"loss": ["minimax"], "epoch": [1], "seed": [0]}
    assert run(make_job(TRAIN, grid={**grid, "sigma": [0.2]}), store).num_computed == 1
    again = run(make_job(TRAIN, grid={**grid, "sigma": [{"sigma": 0.2, "noise_on": "both"}]}), store)
    assert again.num_computed == 0


@pytest.mark.parametrize(
    ("sigma", "message"),
    [
        ({"sigma": 0.5, "noise_on": "generator"}, "noise_on says in whose steps noise is added: both or discriminator"),
        ({"sigma": 0, "noise_on": "discriminator"}, "there is none at sigma 0"),
        ({"sigma": 1, "noise": {"name": "mixed_levels", "levels": [0, 0.5]}}, "multiples of sigma, the largest"),
        ({"sigma": 1, "noise": {"name": "mixed_levels", "levels": [0, 1e-7, 1]}}, "0 or at least 1e-06"),
        ({"sigma": 1, "noise": {"name": "mixed_levels", "levels": [1, 1]}}, "distinct"),
        ({"sigma": 1, "noise": {"name": "mixed_levels", "weights": [1]}}, "2 levels and 1 weights"),
        ({"sigma": 1, "noise": {"name": "mixed_levels", "weights": [0, 1]}}, "weights must be > 0"),
        ({"sigma": 1, "noise": {"name": "diffusion", "clean": 1}}, "clean: must be less than 1"),
        ({"sigma": 1, "noise": {"name": "diffusion", "distribution": "linear"}}, "Valid: priority, uniform"),
    ],
)
def test_what_is_no_noise_is_refused_before_any_work(sigma: Any, message: str) -> None:
    with pytest.raises(HarnessError, match=message):
        make_job(TRAIN, grid={"sigma": [sigma]})
