"""Single pieces of work, timed in a process of their own; each prints its figures last. See benchmarks/compare.py.

python benchmarks/parts.py member_step | compiled | evaluation | alone WIDTH | mixture | density | many FOLDER |
                                  aggregate FOLDER
"""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))  # the peers are not in the checkout of an older commit
from benchmarks.peers.torch_loop import ring  # noqa: E402


def best(work: Callable[[], object], repeats: int = 5) -> float:
    """The best time of some repeats, after a warm-up."""
    times = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times[1:])


def prepare_process() -> None:
    """What a worker of the commit does at its start."""
    try:
        from harness.worker import devices
    except ImportError:  # commit 2d32b23
        torch.set_num_threads(1)
    else:
        devices.prepare(num_threads=1)


def member_step() -> None:
    """Milliseconds of a member-step of `ring_32.yaml` in a pack of 16."""
    members = _members()

    def steps() -> None:
        for step in range(100):
            members.discriminator_step(members.sigma(step))
            members.generator_step(members.sigma(step))

    print(1e3 * best(steps) / 100 / 16)


def compiled() -> None:
    """The gradients of both players' losses as they are and by `torch.compile`: milliseconds each, seconds to compile.

    What `docs/benchmarks.md` says of compiling; the harness itself does not.
    """
    from harness.training.members import Members, grouped_generator_loss
    from harness.training.updates import gradient_of

    members: Members = _members()
    sigma, players, batches = members.sigma(0), members.players, members._batches
    (real,), fake = batches.real(sigma), batches.frozen_fake(members.generators, sigma)
    latents = torch.randn(16, 128, 8)

    def of_discriminators(weights: torch.Tensor) -> torch.Tensor:
        return members.objective(*players.logits(weights, real, fake))

    def of_generators(weights: torch.Tensor) -> torch.Tensor:
        logits = players.discriminator(members.discriminators, players.generator(weights, latents))
        return grouped_generator_loss(members._groups, None, logits)

    for name, loss, start in (
        ("discriminators", of_discriminators, members.discriminators),
        ("generators", of_generators, members.generators),
    ):
        weights = start.detach().requires_grad_()
        fused = torch.compile(loss)
        started = time.perf_counter()
        gradient_of(fused(weights), weights)
        seconds = time.perf_counter() - started
        times = [best(partial(_gradient, form, weights), repeats=200) for form in (loss, fused)]
        print(f"{name}: {1e3 * times[0]:.2f} ms, compiled {1e3 * times[1]:.2f} ms after {seconds:.0f} s")


def _gradient(loss: Callable[[torch.Tensor], torch.Tensor], weights: torch.Tensor) -> torch.Tensor:
    from harness.training.updates import gradient_of

    return gradient_of(loss(weights), weights)


def _members() -> Any:
    """The pack of `member_step`."""
    from harness.job.job import Job
    from harness.job.reading import load_job
    from harness.planning.grid import expand
    from harness.training.members import Members
    from harness.worker import devices

    devices.prepare(num_threads=1)
    job = load_job(str(ROOT / "benchmarks" / "ring_32.yaml"))
    assert isinstance(job, Job)
    runs = list({cell.run.run_id: cell.run for cell in expand(job)}.values())[:16]
    return Members(runs, job.problem.source(None, device=torch.device("cpu")), num_epochs=10)


def evaluation() -> None:
    """Seconds to measure 1,000 samples of the ring against 1,000."""
    from harness.theory.bounds import pooled_diameter

    prepare_process()
    torch.manual_seed(0)
    real, fakes = ring(1000), [0.97 * ring(1000) for _ in range(6)]
    settings: dict[str, Any] = {"num_draws": 2000, "num_directions": 64}

    def measure() -> object:
        generator = torch.Generator().manual_seed(1)
        try:
            from harness.evaluation.sets import SetPair, log_spaced_sigmas
        except ImportError:  # commit 2d32b23
            before: Any = importlib.import_module("harness.evaluation")
            grid = before.log_spaced_sigmas(pooled_diameter(real, real), 2)
            return before.measure_sets(real, fakes.pop(), sigmas=[0.1], grid=grid, generator=generator, **settings)
        grid = log_spaced_sigmas(pooled_diameter(real, real), 2)
        return SetPair(real, fakes.pop(), grid=grid, generator=generator, **settings).columns([0.1])

    print(best(measure))


def alone(width: str) -> None:
    """Milliseconds of a step of one DCGAN on 32x32 images, alone in its pack, and in a plain loop."""
    from benchmarks.peers.torch_loop import train
    from harness.job.job import Job
    from harness.job.parts.networks import DCGAN
    from harness.job.reading import load_job
    from harness.planning.grid import expand
    from harness.problems.sources import Source
    from harness.training.members import Members
    from harness.worker import devices

    devices.prepare(num_threads=1)
    images = torch.rand(2000, 1, 32, 32) * 2 - 1
    job = load_job(
        {
            "name": "alone",
            "protocol": "train",
            "problem": {"name": "fashion_mnist", "root": "/usr/share/datasets/fashion-mnist", "size": 32},
            "networks": {"name": "dcgan", "width": int(width), "latent": 32, "batch_norm": "separate"},
            "training": {"batch": 64, "steps_per_epoch": 20},
            "grid": {"loss": ["non_saturating"], "sigma": [0.1], "epoch": [1], "seed": [0]},
        }
    )
    assert isinstance(job, Job)
    (cell,) = expand(job)
    members = Members([cell.run], Source((1, 32, 32), images.device, training=images, held_out=images), num_epochs=1)

    def steps() -> None:
        for step in range(20):
            members.discriminator_step(members.sigma(step))
            members.generator_step(members.sigma(step))

    networks = DCGAN(width=int(width), latent=32)
    generator, discriminator = networks.generator((1, 32, 32)), networks.discriminator((1, 32, 32))

    def loop() -> None:
        train(
            generator,
            discriminator,
            lambda num: images[torch.randint(len(images), (num,))],
            latent=32,
            batch=64,
            steps=20,
            sigma=0.1,
            saturating=False,
            separate=True,
        )

    repeats = 3 if width == "64" else 5
    print(1e3 * best(steps, repeats) / 20, 1e3 * best(loop, repeats) / 20)


def mixture() -> None:
    """Seconds of the mixture JSD of two sets of 10,000 in 1,024 dimensions at 8 sigmas, and of 8 such products."""
    from harness.theory.divergences import noisy_divergences

    generator = torch.Generator().manual_seed(0)
    real, fake = (0.3 * torch.randn(10_000, 1024, generator=generator) + shift for shift in (0.0, 0.02))
    products = 8 * _product_seconds(torch.randn(20_000, 1024))
    started = time.perf_counter()
    sigmas = [0.05 * 1.6**index for index in range(8)]
    noisy_divergences(real, fake, sigmas=sigmas, num_draws=10_000, generator=generator)
    print(time.perf_counter() - started, products)


def _product_seconds(factor: torch.Tensor) -> float:
    product = torch.empty(len(factor), len(factor))
    return best(lambda: torch.mm(factor, factor.T, out=product), repeats=2)


def density() -> None:
    """Seconds of the log densities of both noisy sets at 2,000 draws from each, by kernels and by scikit-learn."""
    import numpy as np
    from sklearn.neighbors import KernelDensity

    from harness.theory.kernels import Centres, Draws, log_kernel_sums
    from harness.theory.noise import Gaussian
    from harness.theory.samples import chunks

    prepare_process()
    torch.manual_seed(0)
    sigma, sets = 0.2, [ring(2000).double(), 0.97 * ring(2000).double()]
    centres, units = torch.cat(sets), torch.randn(4000, 2, dtype=torch.float64)
    points = (centres + sigma * units).numpy()

    def ours() -> torch.Tensor:
        blocks = list(Draws(centres, units).in_blocks())
        found = torch.full((2, 4000), -np.inf, dtype=torch.float64)
        for which, samples in enumerate(sets):
            for _, part in chunks(samples):
                others = Centres(part)
                for index, block in blocks:
                    sums = log_kernel_sums(block, others, sigmas=[sigma], noise=Gaussian())[:, 0]
                    found[which, index] = torch.logaddexp(found[which, index], sums)
        log_densities: torch.Tensor = found - np.log(2000 * 2 * np.pi * sigma**2)
        return log_densities

    def theirs() -> list[Any]:
        return [KernelDensity(bandwidth=sigma, rtol=0, atol=0).fit(part.numpy()).score_samples(points) for part in sets]

    error = np.abs(ours().numpy() - np.array(theirs())).max()
    if error > 1e-4:
        raise SystemExit(f"the log densities differ by {error}")
    print(best(ours), best(theirs))


def many(folder: str) -> None:
    """Seconds of the 20,000 cells after start-up; every one is there once, and the driver's memory hardly grows."""
    import resource

    import harness

    sizes: list[int] = []

    def observe(_state: object) -> None:
        sizes.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)

    job = str(ROOT / "benchmarks" / "trivial_20000.yaml")
    outcome = harness.run(job, results=folder, observer=observe)
    query = harness.open_results(folder).query("SELECT count(*) AS rows, count(DISTINCT cell_id) AS cells FROM cells")
    print(outcome, query.to_pylist(), f"the driver grew by {(sizes[-1] - sizes[0]) / 1024:.0f} MB")
    print(outcome.seconds)


def aggregate(folder: str) -> None:
    """Seconds to open a large store and to average over all rows of curves, before and after it is compacted."""
    import harness
    from benchmarks import large_store

    large_store.make(Path(folder))
    times = []
    for _ in range(2):
        times.append(best(lambda: _average(folder), repeats=3))
        assert _average(folder) == large_store.PARTS * large_store.CELLS_A_PART * large_store.ROWS_A_CELL
        harness.open_results(folder).store.compact(large_store.JOB)
    print(*times)


def _average(folder: str) -> int:
    """How many rows an average was taken of."""
    import harness

    answer = harness.open_results(folder).query(
        "SELECT iteration, avg(grad_norm), count(*) AS num FROM curves GROUP BY 1"
    )
    return sum(answer["num"].to_pylist())


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
