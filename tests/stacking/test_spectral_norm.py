"""Spectral normalisation against singular value decompositions, finite differences and the Lipschitz constant."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import harness
from harness.planning.grid import expand
from harness.stacking.module import StackedModule, spectrally_normalised, weight_matrices
from harness.storage.query import Results
from harness.storage.store import Store
from harness.training.members import Members
from tests.conftest import PROBE, TRAIN, make_job

CPU = torch.device("cpu")
LAYERS = {
    "wide": (5, 12),
    "tall": (12, 5),
    "square": (16, 16),
    "one logit": (1, 20),
    "one input": (20, 1),
    "conv": (8, 3, 4, 4),
    "conv with many channels": (40, 2, 4, 4),
}


def singular_values(weights: Tensor) -> Tensor:
    """Of every member's matrix ``[out, rest]``, the largest first: ``[k, ...]``."""
    values: Tensor = torch.linalg.svdvals(weights.double().flatten(2))
    return values


def with_singular_values(values: Tensor, rows: int, columns: int, *, seed: int) -> Tensor:
    """A random matrix that has them: ``[1, rows, columns]``, float32."""
    generator = torch.Generator().manual_seed(seed)
    left, right = (
        torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.float64))[0][:, : len(values)]
        for size in (rows, columns)
    )
    matrix: Tensor = ((left * values) @ right.mT)[None].float()
    return matrix


@pytest.mark.parametrize("shape", LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_the_largest_singular_value_becomes_one(shape: tuple[int, ...], scale: float) -> None:
    weights = scale * torch.randn(6, *shape, generator=torch.Generator().manual_seed(0))
    normalised = spectrally_normalised(weights)
    assert normalised.shape == weights.shape
    assert normalised.dtype == weights.dtype
    largest = singular_values(normalised)[:, 0]
    torch.testing.assert_close(largest, torch.ones_like(largest), atol=1e-4, rtol=0)
    # and nothing else happens to the matrix
    exact = weights.double() / singular_values(weights)[:, 0].view(-1, *[1] * len(shape))
    torch.testing.assert_close(normalised.double(), exact, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("gap", [0.0, 1e-6, 1e-4, 1e-3, 4e-3, 1e-2, 0.1])
@pytest.mark.parametrize("num_others", [1, 31])
def test_nearly_equal_singular_values_cost_little_accuracy(gap: float, num_others: int) -> None:
    """The worst gap is about 0.4 %: too wide to be harmless, too narrow for 128 power iterations."""
    for seed in range(5):
        values = torch.cat([torch.ones(1), torch.full((num_others,), 1 - gap)])
        largest = singular_values(spectrally_normalised(with_singular_values(values, 32, 48, seed=seed)))[0, 0].item()
        assert 1 - 1e-5 <= largest <= 1 + 3e-3  # the estimate never exceeds the largest singular value
        if gap >= 0.05 or gap <= 1e-6:
            assert largest == pytest.approx(1, abs=1e-5)


def test_a_matrix_of_zeros_stays_finite() -> None:
    weights = torch.zeros(2, 3, 4, requires_grad=True)
    normalised = spectrally_normalised(weights)
    assert (normalised == 0).all()
    (gradient,) = torch.autograd.grad(normalised.sum(), weights)
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (4, 2, 2, 2)])
def test_the_gradient_is_that_of_the_exact_quotient(shape: tuple[int, ...]) -> None:
    """Singular vectors are stationary: where the largest singular value is simple, fixing them costs nothing."""
    generator = torch.Generator().manual_seed(1)
    weights = torch.randn(1, *shape, generator=generator, dtype=torch.float64)
    direction = torch.randn(1, *shape, generator=generator, dtype=torch.float64)
    assert (singular_values(weights)[0, :2].diff() < -0.1).all()  # simple

    def exact(w: Tensor) -> float:
        return float((direction * w / singular_values(w)[0, 0]).sum())

    (gradient,) = torch.autograd.grad((direction * spectrally_normalised(weights.requires_grad_())).sum(), weights)
    with torch.no_grad():
        for index in range(weights.numel()):
            step = torch.zeros(weights.numel(), dtype=torch.float64)
            step[index] = 1e-6
            slope = (exact(weights + step.view_as(weights)) - exact(weights - step.view_as(weights))) / 2e-6
            assert gradient.flatten()[index].item() == pytest.approx(slope, abs=1e-6)


def test_the_gradient_is_that_of_miyato_et_al() -> None:
    """Their eq. 12: ``(G - (W_n : G) u v^T) / sigma``, with u, v the first singular vectors."""
    generator = torch.Generator().manual_seed(2)
    weights = torch.randn(1, 6, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    upstream = torch.randn(6, 4, generator=generator, dtype=torch.float64)
    (gradient,) = torch.autograd.grad((upstream * spectrally_normalised(weights)).sum(), weights)
    u, s, vt = torch.linalg.svd(weights[0].detach())
    along = (weights[0].detach() / s[0] * upstream).sum()
    torch.testing.assert_close(gradient[0], (upstream - along * torch.outer(u[:, 0], vt[0])) / s[0])


def test_scaling_a_weight_changes_nothing_and_gets_no_gradient() -> None:
    weights = torch.randn(2, 4, 6, generator=torch.Generator().manual_seed(3), dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(spectrally_normalised(7 * weights), spectrally_normalised(weights))
    (gradient,) = torch.autograd.grad(spectrally_normalised(weights).square().sum(), weights)
    radial = (gradient * weights).sum((1, 2))
    torch.testing.assert_close(radial, torch.zeros_like(radial), atol=1e-10, rtol=0)


def test_a_members_matrix_is_the_same_alone_and_in_a_pack() -> None:
    weights = (
        torch.randn(7, 16, 24, generator=torch.Generator().manual_seed(4)) * torch.logspace(-3, 3, 7)[:, None, None]
    )
    together = spectrally_normalised(weights)
    for member in range(7):
        alone = spectrally_normalised(weights[member : member + 1])[0]
        torch.testing.assert_close(together[member], alone, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("base", [TRAIN, PROBE], ids=["mlp", "dcgan"])
def test_a_discriminator_is_torchs_own_with_normalised_weights(base: dict[str, Any]) -> None:
    """Against `torch.nn.utils.parametrizations.spectral_norm`, iterated until it has converged."""
    job = make_job(base, networks={"spectral_norm": True})
    shape = job.problem.info().shape
    stack = StackedModule.discriminator(job.networks, shape)
    weights = torch.stack([5 * stack.initial(torch.Generator().manual_seed(s)) for s in range(2)])
    inputs = torch.randn(2, 8, *shape, generator=torch.Generator().manual_seed(5))
    outputs = stack(weights, inputs)
    for member in range(2):
        plain = copy.deepcopy(stack.template).to_empty(device="cpu")
        plain.load_state_dict({name: value[member] for name, value in stack.unflatten(weights).items()})
        torch.manual_seed(0)
        for layer in list(plain.modules()):
            if isinstance(layer, (nn.Linear, nn.Conv2d)):
                nn.utils.parametrizations.spectral_norm(layer, n_power_iterations=3000)
        plain.eval()
        for layer in plain.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.train()
        torch.testing.assert_close(outputs[member], plain(inputs[member]), atol=1e-3, rtol=1e-3)


def test_weights_of_all_linear_and_convolutional_layers_count_and_biases_and_scales_do_not() -> None:
    dcgan = make_job(PROBE).networks.discriminator((1, 8, 8))
    named = dict(dcgan.named_parameters())
    assert set(weight_matrices(dcgan)) == {name for name, value in named.items() if value.ndim >= 2}
    mlp = make_job(TRAIN).networks.discriminator((2,))
    assert len(weight_matrices(mlp)) == 3


def members_of(base: dict[str, Any], *, spectral_norm: bool) -> Members:
    networks = {**base["networks"], "spectral_norm": spectral_norm}
    job = make_job({**base, "protocol": "train", "probe": None}, networks=networks)
    source = job.problem.source(job.problem.load(), device=CPU)
    return Members([expand(job)[0].run], source, num_epochs=1)


def test_the_discriminator_is_normalised_and_the_generator_is_not() -> None:
    members = members_of(TRAIN, spectral_norm=True)
    latents, points = torch.randn(1, 9, 4), torch.randn(1, 9, 2)
    generator, discriminator = members.players.generator, members.players.discriminator
    # the last layer's weights doubled: a normalised network does not notice
    for player, weights, inputs, notices in (
        (generator, members.generators, latents, True),
        (discriminator, members.discriminators, points, False),
    ):
        named = player.unflatten(weights.clone())
        last = [name for name in player.names if name.endswith("weight")][-1]
        doubled = torch.cat([(2 * value if name == last else value).flatten(1) for name, value in named.items()], dim=1)
        assert torch.allclose(player(doubled, inputs), player(weights, inputs), atol=1e-5) != notices


@pytest.mark.parametrize("depth", [1, 3])
def test_a_normalised_mlp_is_1_lipschitz(depth: int) -> None:
    """LeakyReLU has slopes at most 1, so the product of the layers' norms bounds the network's."""
    job = make_job(TRAIN, networks={"width": 32, "depth": depth})
    template = job.networks.discriminator((2,))
    weights = 20 * StackedModule.discriminator(job.networks, (2,)).initial(torch.Generator().manual_seed(6))[None]
    generator = torch.Generator().manual_seed(7)
    x = 3 * torch.randn(1, 5000, 2, generator=generator, dtype=torch.float64)
    y = x + 0.1 * torch.randn(1, 5000, 2, generator=generator, dtype=torch.float64)

    def steepest(*, spectral_norm: bool) -> float:
        stack = StackedModule(job.networks, template, spectral_norm=spectral_norm)
        rise = (stack(weights.double(), x) - stack(weights.double(), y)).abs()
        return float((rise / (x - y).norm(dim=2)).max())

    assert 0.01 < steepest(spectral_norm=True) <= 1 + 1e-3
    assert steepest(spectral_norm=False) > 10


@pytest.mark.parametrize("base", [TRAIN, PROBE], ids=["mlp", "dcgan"])
def test_a_job_with_spectral_norm_completes_and_differs_from_one_without(base: dict[str, Any], store: Store) -> None:
    grid = {"loss": ["hinge", "minimax"], "sigma": [0.2], "epoch": [1], "seed": [0]}
    for spectral_norm in (True, False):
        networks = {"spectral_norm": spectral_norm}
        job = make_job(base, name=f"normalised-{spectral_norm}", grid=grid, networks=networks)
        outcome = harness.run(job, results=store.root, executor="serial")
        assert outcome.statuses == {"completed": 2}
    rows = Results(store.root).table("cells").to_pylist()
    assert len({row["d_loss"] for row in rows}) == 4
    for row in rows:
        assert f"spectral_{row['job'].replace('normalised-', 'norm=')}" in row["network"]
        assert row["bound_holds"]


def test_a_normalised_pack_does_what_its_members_do_alone() -> None:
    job = make_job(TRAIN, networks={"spectral_norm": True}, grid={"loss": ["minimax"], "epoch": [1]})
    runs = [cell.run for cell in expand(job)]
    source = job.problem.source(None, device=CPU)
    together = Members(runs, source, num_epochs=1)
    alone = [Members([run], source, num_epochs=1) for run in runs]
    for step in range(10):
        of_pack = together.discriminator_step(together.sigma(step)), together.generator_step(together.sigma(step))
        for member, one in enumerate(alone):
            of_one = one.discriminator_step(one.sigma(step)), one.generator_step(one.sigma(step))
            for packed, single in zip(of_pack, of_one, strict=True):
                torch.testing.assert_close(packed[member], single[0], atol=2e-4, rtol=2e-4)
