"""What packs gain: time a member-step in packs of 1, 4 and 16, as ratios within one run.

python benchmarks/packing.py
"""

from __future__ import annotations

import time

import torch

from harness.job.job import Job
from harness.job.reading import load_job
from harness.planning.cells import Run
from harness.planning.grid import expand
from harness.training.members import Members
from harness.worker import devices

SIZES = (1, 4, 16)
GPU_SIZES = (1, 16, 64, 256)
STEPS = 40


def runs_of(job: Job, num: int) -> list[Run]:
    """Runs of a job that differ in their seeds alone."""
    first = job.grid[0]
    grid = first.model_copy(update={"seed": tuple(range(num)), "loss": first.loss[:1], "sigma": first.sigma[:1]})
    cells = expand(job.model_copy(update={"grid": (grid,)}))
    return list({cell.run.run_id: cell.run for cell in cells}.values())


def seconds_per_member_step(job: Job, num: int) -> float:
    """The best of five repeats, after a warm-up."""
    device = devices.choose_device()
    members = Members(runs_of(job, num), job.problem.source(job.problem.load(), device=device), num_epochs=1)
    sigma = members.sigma(0)
    best = float("inf")
    for repeat in range(6):
        started = time.perf_counter()
        for _ in range(STEPS):
            members.discriminator_step(sigma)
            members.generator_step(sigma)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        if repeat:
            best = min(best, time.perf_counter() - started)
    return best / STEPS / num


def main() -> None:
    """Prints a line a job and pack size."""
    devices.prepare(num_threads=1)
    for path in ("jobs/ring.yaml", "jobs/quickstart.yaml"):
        job = load_job(path)
        assert isinstance(job, Job)
        alone = seconds_per_member_step(job, 1)
        for num in GPU_SIZES if torch.cuda.is_available() else SIZES:
            packed = seconds_per_member_step(job, num)
            print(
                f"{job.name:<12} pack of {num:>3}: {1e3 * packed:7.3f} ms a member-step, {alone / packed:4.1f}x alone"
            )


if __name__ == "__main__":
    main()
