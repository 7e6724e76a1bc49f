"""The 32 runs of `ring_32.yaml` in JAX: `jit` of `vmap` over runs of `scan` over steps. It evaluates nothing.

python benchmarks/peers/jax_ring.py OUT [--runs 16 --repeat 5]
"""

from __future__ import annotations

import argparse
import itertools
import time
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

BATCH, WIDTH, LATENT, STEPS = 128, 64, 8, 1000
RATE, BETAS = 1e-3, (0.5, 0.9)
Weights = list[tuple[jax.Array, jax.Array]]


def network(key: jax.Array, sizes: tuple[int, ...]) -> Weights:
    """Layers with weights and biases uniform in +-1/sqrt(fan in), as torch has them."""
    layers = []
    for inputs, outputs in itertools.pairwise(sizes):
        key, first, second = jax.random.split(key, 3)
        limit = inputs**-0.5
        layers.append(
            (
                jax.random.uniform(first, (inputs, outputs), minval=-limit, maxval=limit),
                jax.random.uniform(second, (outputs,), minval=-limit, maxval=limit),
            )
        )
    return layers


def forward(weights: Weights, x: jax.Array, slope: float) -> jax.Array:
    """ReLU for slope 0, leaky for others."""
    for matrix, bias in weights[:-1]:
        x = x @ matrix + bias
        x = jnp.where(x > 0, x, slope * x)
    matrix, bias = weights[-1]
    return x @ matrix + bias


def adam(weights: Any, gradient: Any, state: tuple[Any, Any], count: jax.Array) -> tuple[Any, tuple[Any, Any]]:
    """One update."""
    first, second = BETAS
    mean = jax.tree.map(lambda m, g: first * m + (1 - first) * g, state[0], gradient)
    square = jax.tree.map(lambda v, g: second * v + (1 - second) * g * g, state[1], gradient)
    moved = jax.tree.map(
        lambda w, m, v: w - RATE * (m / (1 - first**count)) / (jnp.sqrt(v / (1 - second**count)) + 1e-8),
        weights,
        mean,
        square,
    )
    return moved, (mean, square)


def ring(key: jax.Array) -> jax.Array:
    """Eight Gaussians of deviation 0.05 on the unit circle."""
    which, noise = jax.random.split(key)
    angles = jax.random.randint(which, (BATCH,), 0, 8) * (2 * jnp.pi / 8)
    return jnp.stack([jnp.cos(angles), jnp.sin(angles)], 1) + 0.05 * jax.random.normal(noise, (BATCH, 2))


def train(sigma: jax.Array, saturating: jax.Array, seed: jax.Array, num_steps: int) -> jax.Array:
    """One run; the generator's samples at the end."""
    start, draws, last = jax.random.split(jax.random.PRNGKey(seed), 3)
    g = network(start, (LATENT, WIDTH, WIDTH, 2))
    d = network(jax.random.fold_in(start, 1), (2, WIDTH, WIDTH, 1))
    zeros = partial(jax.tree.map, jnp.zeros_like)

    def fakes(g: Weights, key: jax.Array) -> jax.Array:
        latent, noise = jax.random.split(key)
        return forward(g, jax.random.normal(latent, (BATCH, LATENT)), 0.0) + sigma * jax.random.normal(
            noise, (BATCH, 2)
        )

    def step(state: Any, index: jax.Array) -> tuple[Any, None]:
        g, d, g_state, d_state = state
        keys = jax.random.split(jax.random.fold_in(draws, index), 4)
        real = ring(keys[0]) + sigma * jax.random.normal(keys[1], (BATCH, 2))
        fake = fakes(g, keys[2])

        def d_loss(d: Weights) -> jax.Array:
            logits = forward(d, jnp.concatenate([real, fake]), 0.2)[:, 0]
            return jax.nn.softplus(-logits[:BATCH]).mean() + jax.nn.softplus(logits[BATCH:]).mean()

        d, d_state = adam(d, jax.grad(d_loss)(d), d_state, index + 1.0)

        def g_loss(g: Weights) -> jax.Array:
            logits = forward(d, fakes(g, keys[3]), 0.2)[:, 0]
            return jnp.where(saturating, -jax.nn.softplus(logits), jax.nn.softplus(-logits)).mean()

        g, g_state = adam(g, jax.grad(g_loss)(g), g_state, index + 1.0)
        return (g, d, g_state, d_state), None

    state: Any = (g, d, (zeros(g), zeros(g)), (zeros(d), zeros(d)))
    (g, *_), _ = jax.lax.scan(step, state, jnp.arange(num_steps))
    return forward(g, jax.random.normal(last, (1000, LATENT)), 0.0)


def main() -> None:
    """Trains, and saves the samples ``[runs, 1000, 2]``; with --repeat, also the time without compilation."""
    parser = argparse.ArgumentParser()
    parser.add_argument("out")
    parser.add_argument("--runs", type=int, default=32)
    parser.add_argument("--repeat", type=int, default=0)
    parser.add_argument("--steps", type=int, default=STEPS)
    options = parser.parse_args()
    grid = [
        (sigma, saturating, seed)
        for saturating in (True, False)
        for sigma in (0.0, 0.05, 0.1, 0.5)
        for seed in range(4)
    ][: options.runs]
    sigma, saturating, seed = (jnp.array(column) for column in zip(*grid, strict=True))
    run = jax.jit(jax.vmap(partial(train, num_steps=options.steps)))
    samples = np.asarray(run(sigma, saturating, seed))
    np.save(options.out, samples)
    best = float("inf")
    for _ in range(options.repeat):
        started = time.perf_counter()
        run(sigma, saturating, seed).block_until_ready()
        best = min(best, time.perf_counter() - started)
    if options.repeat:
        print(1e3 * best / options.steps / options.runs)


if __name__ == "__main__":
    main()
