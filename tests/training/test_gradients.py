"""Moments and tails of gradients over batches, against NumPy on the same gradients."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import harness
from harness.storage.query import Results
from harness.storage.store import Store
from harness.theory.statistics import cauchy_advantage, hill_tail_index, standardised
from harness.training.gradients import GRADIENT_SUMMARY, MIN_BATCHES_FOR_TAILS, GradientMoments
from tests.conftest import PROBE, TRAIN, make_job


def gradients(num_batches: int, num_members: int = 3, num_coordinates: int = 400, *, seed: int = 0) -> Tensor:
    """Normal gradients about a mean far from 0, of another scale for every member: ``[batches, k, p]``."""
    generator = torch.Generator().manual_seed(seed)
    mean = 5 * torch.randn(num_members, num_coordinates, generator=generator)
    noise = torch.randn(num_batches, num_members, num_coordinates, generator=generator)
    return mean + noise * torch.logspace(-1, 1, num_members)[:, None]


def summary_of(batches: Sequence[Tensor] | Tensor) -> dict[str, list[float]]:
    moments = GradientMoments(len(batches))
    for gradient in batches:
        moments.add(gradient)
    return moments.summary()


@pytest.mark.parametrize("num_batches", [2, 4, 16, 33])
def test_norms_and_variances_are_numpys(num_batches: int) -> None:
    batches = gradients(num_batches)
    found, values = summary_of(batches), batches.double().numpy()
    norms = np.linalg.norm(values, axis=2)  # [batches, k]
    np.testing.assert_allclose(found["grad_norm"], norms.mean(0), rtol=1e-5)
    np.testing.assert_allclose(found["grad_norm_std"], norms.std(0, ddof=1), rtol=1e-3)
    # E||g - E g||^2, without bias
    np.testing.assert_allclose(found["grad_variance"], values.var(0, ddof=1).sum(1), rtol=1e-4)


def test_the_variance_survives_a_mean_far_larger_than_the_spread() -> None:
    """The mean square less the squared mean would lose all digits in float32."""
    batches = 1e4 + gradients(16, 1)
    np.testing.assert_allclose(
        summary_of(batches)["grad_variance"], batches.double().numpy().var(0, ddof=1).sum(1), rtol=1e-2
    )


def test_equal_gradients_have_no_variance_and_no_tails() -> None:
    found = summary_of([torch.ones(2, 300)] * 16)
    assert found["grad_variance"] == [0, 0]
    assert found["grad_norm_std"] == [0, 0]
    assert all(math.isnan(value) for name in ("grad_tail_index", "grad_cauchy_advantage") for value in found[name])


def test_gradients_are_not_changed_by_being_added() -> None:
    """The caller's tensors are autograd's own; the running mean must not write into them."""
    batches = list(gradients(4))
    before = [gradient.clone() for gradient in batches]
    summary_of(batches)
    for gradient, copy in zip(batches, before, strict=True):
        assert torch.equal(gradient, copy)


def test_tails_are_null_below_8_batches() -> None:
    assert MIN_BATCHES_FOR_TAILS == 16
    for num_batches, is_known in ((15, False), (16, True)):
        found = summary_of(gradients(num_batches))
        assert set(found) == set(GRADIENT_SUMMARY)
        for name in ("grad_tail_index", "grad_cauchy_advantage"):
            assert [math.isfinite(value) for value in found[name]] == [is_known] * 3


def test_tails_are_those_of_each_members_own_coordinates() -> None:
    generator = torch.Generator().manual_seed(0)
    batches = torch.randn(32, 2, 1000, generator=generator)
    batches[:, 1] /= torch.randn(32, 1000, generator=generator)  # Cauchy
    found = summary_of(batches)
    assert found["grad_cauchy_advantage"][0] < 0 < 1 < found["grad_cauchy_advantage"][1]
    assert found["grad_tail_index"][1] == pytest.approx(1, abs=0.15)
    assert found["grad_tail_index"][0] > 3
    for member in range(2):
        pooled = standardised(batches[:, member])
        assert found["grad_tail_index"][member] == hill_tail_index(pooled)
        assert found["grad_cauchy_advantage"][member] == cauchy_advantage(pooled)


def test_of_a_large_gradient_evenly_spaced_coordinates_count() -> None:
    """10,000 coordinates, Cauchy where they are kept (every third) and constant elsewhere."""
    generator = torch.Generator().manual_seed(0)
    batches = torch.ones(16, 1, 10_000)
    kept = batches[:, :, ::3]
    kept[:] = torch.randn(kept.shape, generator=generator) / torch.randn(kept.shape, generator=generator)
    assert kept.shape[2] <= 4096
    assert summary_of(batches)["grad_tail_index"][0] == hill_tail_index(standardised(kept[:, 0]))
    others = batches.clone()
    others[:, :, ::3] = 1.0
    assert math.isnan(summary_of(others)["grad_tail_index"][0])


def test_a_member_alone_has_the_summary_it_has_in_a_pack() -> None:
    batches = gradients(16, 4)
    together = summary_of(batches)
    for member in range(4):
        alone = summary_of(batches[:, member : member + 1])
        for name in GRADIENT_SUMMARY:
            assert alone[name][0] == pytest.approx(together[name][member], rel=1e-5)


@pytest.mark.parametrize("generator_batches", [15, 16])
def test_a_probes_rows_and_curves_have_tails_from_16_batches_on(store: Store, generator_batches: int) -> None:
    grid: dict[str, Any] = {"loss": ["minimax", "wasserstein"], "sigma": [0.5], "epoch": [1], "seed": [0]}
    settings = {"generator_batches": generator_batches, "iterations": 3, "measurements": 2}
    job = make_job(PROBE, grid=grid, probe=settings)
    assert harness.run(job, results=store.root, executor="serial").statuses == {"completed": 2}
    results = Results(store.root)
    for row in results.table("cells").to_pylist() + results.table("curves").to_pylist():
        assert (row["grad_tail_index"] is not None) == (generator_batches == 16)
        assert (row["grad_cauchy_advantage"] is not None) == (generator_batches == 16)
        assert row["grad_variance"] > 0
        assert row["grad_norm"] > 0


def test_a_train_jobs_rows_have_variances_but_no_tails(store: Store) -> None:
    job = make_job(TRAIN, grid={"loss": ["minimax"], "sigma": [0.2], "epoch": [1], "seed": [0]})
    harness.run(job, results=store.root, executor="serial")
    (row,) = Results(store.root).table("cells").to_pylist()
    assert row["grad_variance"] > 0
    assert row["grad_tail_index"] is None
    assert row["grad_cauchy_advantage"] is None
