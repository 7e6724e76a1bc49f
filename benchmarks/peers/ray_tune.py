"""The 32 runs of `ring_32.yaml` with Ray Tune, as its documentation shows: a function a trial. It evaluates nothing.

python benchmarks/peers/ray_tune.py OUT
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import numpy as np
import ray
import torch
from ray import tune


def trial(config: dict[str, Any]) -> None:
    """One run; reports the samples at the end."""
    sys.path.insert(0, config["root"])
    from benchmarks.peers.torch_loop import mlps, ring, train

    torch.set_num_threads(1)
    torch.manual_seed(config["seed"])
    generator, discriminator = mlps()
    train(
        generator,
        discriminator,
        ring,
        latent=8,
        batch=128,
        steps=1000,
        sigma=config["sigma"],
        saturating=config["loss"] == "minimax",
    )
    with torch.no_grad():
        tune.report({"samples": generator(torch.randn(1000, 8)).tolist()})


def main() -> None:
    """Trains, and saves the samples ``[32, 1000, 2]``, by loss, sigma and seed."""
    ray.init(address="local", include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    tuner = tune.Tuner(
        tune.with_resources(trial, {"cpu": 1}),
        param_space={
            "root": str(Path(__file__).resolve().parents[2]),
            "loss": tune.grid_search(["minimax", "non_saturating"]),
            "sigma": tune.grid_search([0.0, 0.05, 0.1, 0.5]),
            "seed": tune.grid_search([0, 1, 2, 3]),
        },
        run_config=tune.RunConfig(verbose=0),
    )
    results = tuner.fit()
    found = sorted(results, key=lambda result: tuple(result.config[name] for name in ("loss", "sigma", "seed")))
    np.save(sys.argv[1], np.array([result.metrics["samples"] for result in found]))


if __name__ == "__main__":
    main()
