"""How many actors nodes hold, by hand."""

from __future__ import annotations

from typing import Any

import pytest

from harness.execution.ray.capacity import Node, Shape, shape_with_gpus, shape_without_gpus, too_small
from harness.job.parts.settings import Resources


@pytest.mark.parametrize(
    ("asked", "nodes", "shape", "room"),
    [
        ({}, [Node(2, 4)], Shape(0.5, 1), 4),
        ({}, [Node(64, 8)], Shape(1.0, 1), 8),
        ({"gpus_per_actor": 0.25}, [Node(16, 2)], Shape(1.0, 0.25), 8),
        ({"gpus_per_actor": 0.5}, [Node(16, 1)], Shape(1.0, 0.5), 2),
        ({"gpus_per_actor": 2}, [Node(16, 5)], Shape(1.0, 2), 2),
        ({"cpus_per_actor": 4}, [Node(6, 8)], Shape(4, 1), 1),
        ({"actors": 1}, [Node(2, 4)], Shape(1.0, 1), 2),
        ({}, [Node(4, 0), Node(2, 4), Node(8, 1)], Shape(0.5, 1), 5),  # a head without GPUs beside two workers
        ({"gpus_per_actor": 3}, [Node(8, 2), Node(8, 2)], Shape(1.0, 3), 0),
        ({"gpus_per_actor": 0.25}, [Node(2, 1), Node(1, 3), Node(8, 0)], Shape(0.0833, 0.25), 16),  # of different kinds
        ({}, [Node(4, 0)], Shape(1.0, 1), 0),  # an autoscaler is yet to start a node with a GPU
    ],
)
def test_actors_with_gpus(asked: dict[str, Any], nodes: list[Node], shape: Shape, room: int) -> None:
    found = shape_with_gpus(Resources(**asked), nodes)
    assert found == shape
    assert found.room(nodes) == room


@pytest.mark.parametrize(
    ("asked", "nodes", "shape", "room"),
    [
        ({}, [Node(2, 0)], Shape(1.0, 0), 2),
        ({"gpus_per_actor": 0}, [Node(3, 8)], Shape(1.0, 0), 3),
        ({"cpus_per_actor": 2}, [Node(8, 0)], Shape(2, 0), 4),
        ({"cpus_per_actor": 2}, [Node(1, 0), Node(1, 0)], Shape(2, 0), 0),
        ({"cpus_per_actor": 2}, [Node(3, 0), Node(5, 0)], Shape(2, 0), 3),
        ({"memory_gb": 4}, [Node(8, 0, 9e9), Node(8, 0, 3.9e9)], Shape(1.0, 0, 4e9), 2),
        ({}, [Node(8, 0, 9e9)], Shape(1.0, 0), 8),
    ],
)
def test_actors_without_gpus(asked: dict[str, Any], nodes: list[Node], shape: Shape, room: int) -> None:
    found = shape_without_gpus(Resources(**asked))
    assert found == shape
    assert found.room(nodes) == room


def test_what_is_too_small_is_said_with_its_nodes() -> None:
    resources = Resources(cpus_per_actor=2, actors=3)
    error = too_small(shape_without_gpus(resources), resources, [Node(1, 0), Node(1, 0), Node(4, 0)], where="it")
    assert str(error) == (
        "it has room for 2 actors of 2 CPU; the job asks for 3 of them, one node for each (resources.actors, "
        "cpus_per_actor, gpus_per_actor, memory_gb). Nodes: 2 of 1 CPU and 0 GPU, 1 of 4 CPU and 0 GPU"
    )
