"""A user's own losses."""

from __future__ import annotations

import time

import torch
from torch import Tensor

from harness.theory.losses import CROSS_ENTROPY, Loss, Objective


def _sleep(logits: Tensor) -> Tensor:
    time.sleep(3600)
    return logits


def _explode(logits: Tensor) -> Tensor:
    raise RuntimeError("this loss always fails")


def _starve(logits: Tensor) -> Tensor:
    if logits.shape[0] > 2:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
    return -logits


def _gorge(logits: Tensor) -> Tensor:
    return logits + torch.empty(4_000_000_000, dtype=torch.float32).sum()


def _assert(logits: Tensor) -> Tensor:
    beyond = torch.full((1,), 5, device=logits.device)
    return logits + logits.flatten()[:1].expand(2)[beyond]


asserting = Loss("asserting", CROSS_ENTROPY, generator_fake=_assert)  # in a kernel, where there is a GPU
starving = Loss("starving", CROSS_ENTROPY, generator_fake=_starve)  # as more than two members do not fit on a GPU
gorging = Loss("gorging", CROSS_ENTROPY, generator_fake=_gorge)  # 16 GB

# shares the cross-entropy discriminator, so it shares packs with minimax
exploding = Loss("exploding", CROSS_ENTROPY, generator_fake=_explode)

hanging = Loss("hanging", CROSS_ENTROPY, generator_fake=_sleep)

# an objective with the name of a built-in one, but a wider margin
wide_hinge = Loss(
    "wide_hinge",
    Objective("hinge", real=lambda t: (2 - t).relu(), fake=lambda t: (2 + t).relu(), threshold=0.0),
    generator_fake=lambda t: -t,
)
