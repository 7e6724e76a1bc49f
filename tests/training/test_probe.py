"""Probes: what they measure against plain autograd, and section 2 of Arjovsky & Bottou (2017) in small."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable

import pytest
import torch

from harness.job.parts.noise import NOISE_ON
from harness.planning.cells import Probe
from harness.planning.grid import expand
from harness.problems.sources import Source
from harness.stacking.module import StackedModule
from harness.theory.noise import Truncated
from harness.training.measurement import Measurement
from harness.training.probe import Probed, log_spaced, probe
from harness.training.streams import Streams
from tests.conftest import PROBE, TRAIN, make_job

CPU = torch.device("cpu")
LOSSES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "minimax": lambda d: torch.log(1 - d),
    "non_saturating": lambda d: -torch.log(d),
}
"""Of the generator, on D in (0, 1)."""


def probes_of(**changes: object) -> tuple[list[Probe], torch.Tensor, Source]:
    job = make_job(PROBE, **changes)
    probes = list({cell.probe.probe_id: cell.probe for cell in expand(job) if cell.probe}.values())
    source = job.problem.source(job.problem.load(), device=CPU)
    stack = StackedModule.generator(job.networks, source.shape)
    weights = torch.stack([stack.initial(torch.Generator().manual_seed(9)) for _ in probes])
    return probes, weights, source


@pytest.mark.parametrize("noise_on", NOISE_ON)
def test_measured_gradients_are_those_of_a_plain_backward_pass(noise_on: str) -> None:
    """With noise in the discriminator's step alone they are those at the generator's samples as they are."""
    in_generator_step = 0.5 if noise_on == "both" else 0.0
    grid = {"loss": ["minimax"], "sigma": [{"sigma": 0.5, "noise_on": noise_on}], "epoch": [1], "seed": [3]}
    probes, snapshots, source = probes_of(grid=grid, probe={"iterations": 3, "measurements": 1})
    *_, measurement, _, probed = probe(probes, ["minimax"], snapshots, source)
    assert isinstance(measurement, Measurement)
    assert isinstance(probed, Probed)
    players = probed.players
    generator, discriminator = (
        copy.deepcopy(stack.template.to_empty(device="cpu")) for stack in (players.generator, players.discriminator)
    )
    generator.load_state_dict(players.generator.unflatten(snapshots[0]))
    discriminator.load_state_dict(players.discriminator.unflatten(probed.discriminators[0].detach()))
    streams = Streams("probe", [3], device=CPU)
    real = streams.real("measure data", source, 32)
    latents = streams.normal("measure latents", 32, 8)
    noises = [streams.unit_noise(f"measure {kind} noise", 32, (1, 8, 8), [Truncated()]) for kind in ("real", "fake")]
    norms: dict[str, list[float]] = {"minimax": [], "non_saturating": []}
    d_losses = []
    for _ in range(2):
        x, real_noise = real.next()[0], noises[0].next()[0]
        z, noise = latents.next()[0], noises[1].next()[0]
        judged = discriminator(torch.cat([x + 0.5 * real_noise, generator(z) + 0.5 * noise])).detach()
        d_losses.append((torch.nn.functional.softplus(judged * torch.tensor([-1.0, 1.0]).repeat_interleave(32))).mean())
        for name, of in LOSSES.items():
            generator.zero_grad()
            batch = [x + in_generator_step * real_noise, generator(z) + in_generator_step * noise]
            logits = discriminator(torch.cat(batch))[32:]  # joint batch norm
            of(torch.sigmoid(logits)).mean().backward()
            gradients = [parameter.grad for parameter in generator.parameters() if parameter.grad is not None]
            assert len(gradients) == len(list(generator.parameters()))
            squares = [gradient.square().sum() for gradient in gradients]
            norms[name].append(torch.stack(squares).sum().sqrt().item())
    for name, values in norms.items():
        assert measurement.grad_norm[name][0] == pytest.approx(sum(values) / 2, rel=1e-3)
        assert measurement.grad_norm_std[name][0] == pytest.approx(torch.tensor(values).std().item(), rel=1e-2)
    # what the discriminator says is asked at its own noisy samples, either way; a sum of two means over 32 each
    assert measurement.d_loss[0] == pytest.approx(2 * torch.stack(d_losses).mean().item(), rel=1e-4)


def test_measuring_does_not_disturb_the_probe() -> None:
    probes, snapshots, source = probes_of()
    ends = []
    for measurements in (1, 4):
        changed = [
            dataclasses.replace(p, settings=p.settings.model_copy(update={"measurements": measurements}))
            for p in probes[:2]
        ]
        *_, probed = probe(changed, ["minimax"], snapshots[:2], source)
        assert isinstance(probed, Probed)
        ends.append(probed.discriminators)
    assert torch.equal(ends[0], ends[1])


def test_a_scheduled_strength_follows_the_probes_own_iterations() -> None:
    """Off from the first half of them on: until then the probe is that of a constant strength."""
    settings = {"iterations": 20, "measurements": 60, "optimizer": {"name": "adam", "learning_rate": 1e-2}}
    grid = {"loss": ["minimax"], "sigma": [0.5], "epoch": [1], "seed": [3]}
    losses: dict[str, dict[int, float]] = {}
    stepped = {"schedule": "step", "start": 50, "end": 0, "at": 0.5}
    for name, gamma in (("scheduled", stepped), ("constant", 50), ("none", 0)):
        penalty = [{"sum": [{"name": "r1", "gamma": gamma}, {"name": "r2", "gamma": 0.1}]}]
        networks = {"batch_norm": "none"}
        probes, snapshots, source = probes_of(grid={**grid, "penalty": penalty}, probe=settings, networks=networks)
        curve = [m for m in probe(probes, ["minimax"], snapshots, source) if isinstance(m, Measurement)]
        losses[name] = {m.iteration[0]: m.d_loss[0] for m in curve}
    early, late = ([i for i in losses["none"] if i > 3 and (i <= 10) == is_early] for is_early in (True, False))
    assert [losses["scheduled"][i] for i in early] == [losses["constant"][i] for i in early]
    assert all(losses["scheduled"][i] != losses["constant"][i] for i in late)
    assert all(losses["scheduled"][i] != losses["none"][i] for i in early)


def test_against_a_distant_generator_accuracy_reaches_1_and_the_minimax_gradient_vanishes() -> None:
    """Figures 2 and 3 in small: an untrained generator on the ring is easily told apart."""
    job = make_job(
        TRAIN,
        protocol="probe",
        problem={"name": "ring", "radius": 3.0},
        grid={"loss": ["minimax"], "sigma": [0], "epoch": [1], "seed": [0]},
        probe={"iterations": 400, "batch": 64, "measurements": 6, "optimizer": {"name": "adam", "learning_rate": 1e-2}},
    )
    (cell,) = expand(job)
    assert cell.probe is not None
    source = job.problem.source(None, device=CPU)
    stack = StackedModule.generator(job.networks, (2,))
    snapshot = stack.initial(torch.Generator().manual_seed(0))[None]
    curve = [m for m in probe([cell.probe], ["minimax"], snapshot, source) if isinstance(m, Measurement)]
    assert curve[-1].accuracy == [1.0]
    minimax = [m.grad_norm["minimax"][0] for m in curve]
    saturating = [m.grad_norm["non_saturating"][0] for m in curve]
    assert minimax[-1] < max(minimax) / 20
    assert saturating[-1] > 100 * minimax[-1]
    assert curve[-1].d_loss[0] < 0.01


def test_measurements_are_log_spaced_and_include_both_ends() -> None:
    assert log_spaced(4, last=1000) == [1, 10, 100, 1000]
    assert log_spaced(1, last=50) == [50]
    assert log_spaced(20, last=5) == [1, 2, 3, 4, 5]


def test_members_that_share_a_generator_have_its_samples_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    grid = {"loss": ["minimax"], "sigma": [0, 0.3, 1.0], "epoch": [1], "seed": [0, 1]}
    probes, snapshots, source = probes_of(grid=grid, probe={"iterations": 5, "measurements": 1})
    computed: list[int] = []
    plain = StackedModule.__call__

    def counting(self: StackedModule, flat: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
        if not torch.is_grad_enabled():
            computed.append(len(flat))
        return plain(self, flat, inputs)

    monkeypatch.setattr(StackedModule, "__call__", counting)
    *_, probed = probe(probes, ["minimax"], snapshots, source)
    assert computed == [2] * 5
    assert isinstance(probed, Probed)
    *_, alone = probe([probes[4]], ["minimax"], snapshots[4:5], source)
    assert isinstance(alone, Probed)
    torch.testing.assert_close(probed.discriminators[4], alone.discriminators[0], atol=1e-4, rtol=1e-4)
