"""How many actors a cluster's nodes hold. An actor is on one node, so nodes are what counts, not their sum."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ...errors import ClusterError
from ...job.parts.settings import Resources

GB = 1e9


@dataclass(frozen=True)
class Node:
    """What a node has in all, used or not."""

    cpus: float
    gpus: float
    memory: float = math.inf  # bytes


@dataclass(frozen=True)
class Shape:
    """What one actor holds; `memory` is 0 where the job names none, so that no node is too small."""

    cpus: float
    gpus: float
    memory: float = 0.0  # bytes

    def __str__(self) -> str:
        memory = f" and {self.memory / GB:g} GB" if self.memory else ""
        return f"{self.gpus:g} GPU and {self.cpus:g} CPU{memory}" if self.gpus else f"{self.cpus:g} CPU{memory}"

    def fitting(self, node: Node) -> int:
        """How many such actors a node holds."""
        by_memory = node.memory // self.memory if self.memory else math.inf
        return int(min(_by_gpus(node, self.gpus), math.floor(node.cpus / self.cpus + 1e-9), by_memory))

    def room(self, nodes: Sequence[Node]) -> int:
        """How many such actors some nodes hold."""
        return sum(self.fitting(node) for node in nodes)


def shape_with_gpus(resources: Resources, nodes: Sequence[Node]) -> Shape:
    """What an actor holds that has the GPUs the job asks for, whether there are any yet or not.

    ``cpus_per_actor: auto`` is an even share of the CPUs beside a GPU, at most one CPU.
    """
    each = resources.gpus_per_actor
    if resources.cpus_per_actor != "auto":
        return Shape(resources.cpus_per_actor, each, _memory(resources))
    wanted = math.inf if resources.actors == "auto" else resources.actors
    shares = [node.cpus / min(_by_gpus(node, each), wanted) for node in nodes if _by_gpus(node, each) >= 1]
    return Shape(math.floor(1e4 * min([1.0, *shares])) / 1e4, each, _memory(resources))


def shape_without_gpus(resources: Resources) -> Shape:
    """What an actor holds that computes on CPUs."""
    cpus = 1.0 if resources.cpus_per_actor == "auto" else resources.cpus_per_actor
    return Shape(cpus, 0.0, _memory(resources))


def too_small(shape: Shape, resources: Resources, nodes: Sequence[Node], *, where: str) -> ClusterError:
    """That no node holds an actor, or all of them not as many as the job asks for."""
    kinds: dict[Node, int] = {}
    for node in nodes:
        kinds[node] = kinds.get(node, 0) + 1
    has = ", ".join(f"{count} of {_described(node, shape)}" for node, count in kinds.items())
    wanted = "" if resources.actors == "auto" else f"{resources.actors} of them, "
    return ClusterError(
        f"{where} has room for {shape.room(nodes)} actors of {shape}; the job asks for {wanted}one node for each "
        f"(resources.actors, cpus_per_actor, gpus_per_actor, memory_gb). Nodes: {has or 'none'}"
    )


def _described(node: Node, shape: Shape) -> str:
    memory = f" and {node.memory / GB:.3g} GB" if shape.memory else ""
    return f"{node.cpus:g} CPU and {node.gpus:g} GPU{memory}"


def _memory(resources: Resources) -> float:
    return 0.0 if resources.memory_gb == "auto" else resources.memory_gb * GB


def _by_gpus(node: Node, each: float) -> float:
    if each == 0:
        return math.inf
    return node.gpus // each if each >= 1 else int(node.gpus) * round(1 / each)
