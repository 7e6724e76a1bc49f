"""Training steps against a plain PyTorch loop written here, and what divergence and schedules do."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from harness.job.parts.noise import NOISE_ON
from harness.planning.grid import expand
from harness.theory.noise import Truncated
from harness.training.members import Members, sigma_table
from harness.training.streams import Streams
from harness.training.train import Epoch, train
from tests.conftest import TRAIN, make_job

CPU = torch.device("cpu")
TARGETS = {
    "minimax": lambda f: -nn.functional.softplus(f).mean(),
    "non_saturating": lambda f: nn.functional.softplus(-f).mean(),
}


def plain_module(members: Members, which: str) -> nn.Module:
    """A module of the member's architecture and initial weights, without stacks or vmap."""
    stack = getattr(members.players, which)
    weights = getattr(members, f"{which}s")[0]
    module: nn.Module = stack.template.to_empty(device="cpu")
    module.load_state_dict(stack.unflatten(weights))
    return module


@pytest.mark.parametrize("loss", TARGETS)
@pytest.mark.parametrize("discriminator_steps", [1, 2])
@pytest.mark.parametrize("noise_on", NOISE_ON)
def test_a_run_of_one_follows_a_plain_loop(loss: str, discriminator_steps: int, noise_on: str) -> None:
    grid = {"loss": [loss], "sigma": [{"sigma": 0.3, "noise_on": noise_on}], "epoch": [1], "seed": [4]}
    job = make_job(TRAIN, grid=grid, training={"discriminator_steps": discriminator_steps})
    run = expand(job)[0].run
    source = job.problem.source(None, device=CPU)
    members = Members([run], source, num_epochs=1)
    import copy

    generator = copy.deepcopy(plain_module(members, "generator"))
    discriminator = copy.deepcopy(plain_module(members, "discriminator"))
    optimizers = [torch.optim.Adam(module.parameters(), 2e-4, (0.5, 0.999)) for module in (discriminator, generator)]
    streams = Streams("train", [4], device=CPU)
    real = streams.real("train data", source, 32)
    latents = streams.normal("train latents", 32, 4)
    real_noise, fake_noise = (
        streams.unit_noise(f"train {kind} noise", 32, (2,), [Truncated()]) for kind in ("real", "fake")
    )

    def noisy(samples: Tensor, noise: Tensor) -> Tensor:
        return samples + 0.3 * noise

    for step in range(10):
        for _ in range(discriminator_steps):
            d_loss = members.discriminator_step(members.sigma(step))
            x = noisy(real.next()[0], real_noise.next()[0])
            y = noisy(generator(latents.next()[0]).detach(), fake_noise.next()[0])
            expected = nn.functional.binary_cross_entropy_with_logits(
                discriminator(x), torch.ones(32)
            ) + nn.functional.binary_cross_entropy_with_logits(discriminator(y), torch.zeros(32))
            optimizers[0].zero_grad()
            expected.backward()
            optimizers[0].step()
            assert d_loss.item() == pytest.approx(expected.item(), abs=1e-5)
        g_loss = members.generator_step(members.sigma(step))
        z, noise = latents.next()[0], fake_noise.next()[0]
        judged = noisy(generator(z), noise) if noise_on == "both" else generator(z)
        expected = TARGETS[loss](discriminator(judged))
        optimizers[1].zero_grad()
        expected.backward()
        optimizers[1].step()
        assert g_loss.item() == pytest.approx(expected.item(), abs=1e-5)


def test_a_generator_without_noise_in_its_step_is_compared_with_real_samples_without_noise() -> None:
    """A relativistic loss sees both: the gradient by a plain backward pass, at the first step."""
    sigma = {"sigma": 0.3, "noise_on": "discriminator"}
    job = make_job(TRAIN, grid={"loss": ["relativistic"], "sigma": [sigma, 0.3], "epoch": [1], "seed": [4]})
    runs, source = [cell.run for cell in expand(job)], job.problem.source(None, device=CPU)
    members = Members(runs, source, num_epochs=1)  # both ways in one pack
    members.discriminator_step(members.sigma(0))
    generator, discriminator = plain_module(members, "generator"), plain_module(members, "discriminator")
    streams = Streams("train", [4], device=CPU)
    x, latents = streams.real("train data", source, 32).next()[0], streams.normal("train latents", 32, 4)
    noises = [streams.unit_noise(f"train {kind} noise", 32, (2,), [Truncated()]) for kind in ("real", "fake")]
    real_noise, _, z = noises[0].next()[0], latents.next(), latents.next()[0]
    _, fake_noise = noises[1].next(), noises[1].next()[0]

    def value(scale: float) -> float:
        difference = discriminator(x + scale * real_noise) - discriminator(generator(z) + scale * fake_noise)
        return nn.functional.softplus(difference).mean().item()

    assert value(0.0) != pytest.approx(value(0.3), abs=1e-3)
    assert members.generator_step(members.sigma(0)).tolist() == pytest.approx([value(0.0), value(0.3)], abs=1e-5)


def test_weights_stay_within_the_clip() -> None:
    job = make_job(TRAIN, grid={"loss": ["wasserstein"], "seed": [0]})
    run = expand(job)[0].run
    *_, last = train([run], job.problem.source(None, device=CPU), num_epochs=1)
    assert isinstance(last, Epoch)
    assert last.members.discriminators.abs().max() <= 0.01
    assert last.members.generators.abs().max() > 0.01


def test_sigma_follows_its_schedule_step_by_step() -> None:
    sigma = {"schedule": "linear", "start": 1.0, "end": 0.0}
    job = make_job(TRAIN, grid={"loss": ["minimax"], "sigma": [sigma, 0.5], "epoch": [2, 4], "seed": [0]})
    runs = list({cell.run.run_id: cell.run for cell in expand(job)}.values())
    table = sigma_table(runs, num_epochs=4, starts=[0] * len(runs))
    assert table.shape == (40, 2)
    torch.testing.assert_close(table[:, 0], 1 - torch.arange(40) / 40)
    assert (table[:, 1] == 0.5).all()
    assert [cell.sigma_value for cell in expand(job)] == pytest.approx([0.5, 0.0, 0.5, 0.5])


def test_a_relativistic_generator_learns_from_real_logits_too() -> None:
    job = make_job(TRAIN, grid={"loss": ["relativistic_average"], "seed": [0]})
    *_, last = train([expand(job)[0].run], job.problem.source(None, device=CPU), num_epochs=2)
    assert isinstance(last, Epoch)
    assert last.diverged_at == [-1]
    assert 0 < last.d_loss[0] < 2
