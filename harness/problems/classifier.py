"""A small classifier of a problem's labels, whose last hidden layer is a feature space.

It is trained on the CPU by one thread, from random numbers of its own, so that on one kind of processor its weights are
the same wherever it is trained.
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from ..identity import stream_seed
from ..threads import one_thread

VERSION = 1
"""Raised when the same samples and labels give other weights, so that kept ones are not used."""
WIDTH = 64
"""Features."""
_STEPS, _BATCH, _RATE = 1200, 128, 1e-3


def network(shape: tuple[int, ...], num_classes: int) -> nn.Sequential:
    """From samples ``[b, *shape]`` to logits ``[b, num_classes]``; all but its last layer give the features.

    Of images two convolutions that halve them, and a hidden layer; of anything else two hidden layers.
    """
    if len(shape) == 3:
        inner = 32 * math.prod(-(-side // 4) for side in shape[1:])
        first: list[nn.Module] = [
            nn.Conv2d(shape[0], 16, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
        ]
    else:
        inner = 2 * WIDTH
        first = [nn.Flatten(), nn.Linear(math.prod(shape), inner)]
    last = [nn.ReLU(), nn.Flatten(), nn.Linear(inner, WIDTH), nn.ReLU(), nn.Linear(WIDTH, num_classes)]
    return nn.Sequential(*first, *last)


def train(samples: Tensor, labels: Tensor, *, num_classes: int, seed: int) -> dict[str, Tensor]:
    """Weights of a `network` after some passes of Adam over labelled samples, by cross-entropy.

    Args:
      samples: ``[n, *shape]``.
      labels: ``[n]``, from 0.
      num_classes: How many there are.
      seed: Of the first weights and of the batches.

    Raises:
      ValueError: If a label is none of the classes.
    """
    if not 0 <= int(labels.min()) <= int(labels.max()) < num_classes:
        raise ValueError(f"labels from {int(labels.min())} to {int(labels.max())}; needed: 0 to {num_classes - 1}")
    source = Generator().manual_seed(stream_seed("classifier", seed))
    with one_thread(), torch.enable_grad():
        model, samples = network(tuple(samples.shape[1:]), num_classes), samples.cpu()
        _draw_weights(model, source)
        optimizer = torch.optim.Adam(model.parameters(), lr=_RATE)
        for _ in range(_STEPS):
            batch = torch.randint(len(samples), (_BATCH,), generator=source)
            optimizer.zero_grad()
            functional.cross_entropy(model(samples[batch]), labels[batch]).backward()
            optimizer.step()
    return {name: value.detach() for name, value in model.state_dict().items()}


def restored(weights: dict[str, Tensor], shape: tuple[int, ...], num_classes: int) -> nn.Sequential:
    """The network that has these weights."""
    with torch.device("meta"):
        model = network(shape, num_classes)
    model.load_state_dict(weights, assign=True)
    return model.requires_grad_(requires_grad=False)


@torch.no_grad()
def _draw_weights(model: nn.Module, source: Generator) -> None:
    """He et al. (2015) for layers before a ReLU; no biases."""
    for parameter in model.parameters():
        if parameter.ndim == 1:
            parameter.zero_()
        else:
            parameter.normal_(0, math.sqrt(2 / parameter[0].numel()), generator=source)
