"""Clusters of several nodes: what fits on none is said, nodes that join are used, those that go cost no attempt."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import harness
import harness.execution.ray.executor
from harness.errors import ClusterError
from harness.execution.ray import loading
from harness.execution.state import State
from harness.job.job import Job
from harness.storage.query import Results
from harness.storage.store import Store

pytestmark = [pytest.mark.ray, pytest.mark.slow]

JobMaker = Callable[..., Job]
NUMBERS = "SELECT cell_id, status, d_loss, w1, bound_best FROM cells ORDER BY cell_id"


@pytest.fixture
def cluster() -> Iterator[Any]:
    """A head with one CPU, to which nodes can be added; the driver is connected to it."""
    import ray
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    ray.init(made.address, log_to_driver=False)
    yield made
    ray.shutdown()
    made.shutdown()


def once(condition: Callable[[State], bool], act: Callable[[], None]) -> Callable[[State], None]:
    """An observer that acts the first time a condition holds."""
    done: list[bool] = []

    def observe(state: State) -> None:
        if not done and condition(state):
            done.append(True)
            act()

    return observe


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Does not wait for an autoscaler, of which there is none."""
    monkeypatch.setattr(harness.execution.ray.executor, "_AUTOSCALER_SECONDS", 2.0)


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        (
            {"cpus_per_actor": 2, "gpus_per_actor": 0},
            "room for 0 actors of 2 CPU; .* Nodes: .*1 of 1 CPU and 0 GPU",
        ),
        ({"gpus_per_actor": 3}, "room for 0 actors of 3 GPU and 1 CPU"),
    ],
)
@pytest.mark.usefixtures("hasty")
def test_what_fits_on_no_node_is_said_before_any_work(
    cluster: Any, train_job: JobMaker, store: Store, asked: dict[str, Any], text: str
) -> None:
    """Together the nodes have three CPUs and four GPUs."""
    cluster.add_node(num_cpus=1, num_gpus=2)
    cluster.add_node(num_cpus=1, num_gpus=2)
    cluster.wait_for_nodes()
    with pytest.raises(ClusterError, match=text):
        harness.run(train_job(resources=asked), results=store.root, address=cluster.address)
    assert not store.parts("cells")


def test_a_node_that_joins_in_mid_run_is_used(cluster: Any, train_job: JobMaker, store: Store) -> None:
    job = train_job(training={"steps_per_epoch": 2000}, resources={"pack": 1, "gpus_per_actor": 0})
    most: list[int] = []
    join = once(lambda state: state.work_done > 0, lambda: cluster.add_node(num_cpus=2))

    def observe(state: State) -> None:
        join(state)
        most.append(state.num_running)

    outcome = harness.run(job, results=store.root, address=cluster.address, observer=observe)
    assert outcome.is_complete
    assert most[0] <= 1
    assert max(most) == 3


def test_a_node_lost_without_grace_costs_no_attempt(
    cluster: Any, train_job: JobMaker, store: Store, tmp_path: Path
) -> None:
    job = train_job(training={"steps_per_epoch": 400}, resources={"pack": 2, "gpus_per_actor": 0, "retries": 0})
    worker = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    lose = once(
        lambda state: state.num_running == 2 and state.work_done > 0.1 * state.work_total,
        lambda: cluster.remove_node(worker, allow_graceful=False),
    )
    outcome = harness.run(job, results=store.root, address=cluster.address, observer=lose)
    assert outcome.statuses == {"completed": 16}
    assert Results(store.root).query("SELECT max(attempt) AS most FROM cells").to_pylist() == [{"most": 1}]
    undisturbed = tmp_path / "undisturbed"
    harness.run(job, results=undisturbed, executor="serial")
    assert Results(store.root).query(NUMBERS).to_pylist() == Results(undisturbed).query(NUMBERS).to_pylist()
    assert len(store.dataset("cells").to_table()) == 16


def test_data_whose_only_copies_are_lost_are_loaded_again(
    train_job: JobMaker, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The head holds no actor, so that the one node has the data, which another loads again when it is gone."""
    import ray
    from ray.cluster_utils import Cluster

    monkeypatch.setitem(loading._OPTIONS, "resources", {"data": 0.01})
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    ray.init(made.address, log_to_driver=False)
    try:
        first = made.add_node(num_cpus=1, resources={"data": 1})
        made.wait_for_nodes()

        def replace() -> None:
            made.remove_node(first, allow_graceful=False)
            made.add_node(num_cpus=1, resources={"data": 1})

        job = train_job(
            problem={"name": "digits"},
            grid={"loss": ["minimax"], "sigma": [0], "epoch": [1], "seed": [0, 1, 2, 3]},
            training={"steps_per_epoch": 60},
            resources={"pack": 1, "gpus_per_actor": 0},
        )
        act = once(lambda state: state.work_done > 0.3 * state.work_total, replace)
        assert harness.run(job, results=store.root, address=made.address, observer=act).is_complete
    finally:
        ray.shutdown()
        made.shutdown()


def test_a_node_that_is_to_be_taken_away_keeps_its_state_and_is_left_alone(
    cluster: Any, train_job: JobMaker, store: Store, tmp_path: Path
) -> None:
    """As a cloud or an autoscaler announces it: no new work goes there, and training goes on from where it stood."""
    import time

    import ray
    from ray.core.generated import autoscaler_pb2

    grid = {"loss": ["minimax"], "sigma": [0], "epoch": [40], "seed": [0, 1]}
    resources = {"pack": 1, "gpus_per_actor": 0, "retries": 0}
    job = train_job(grid=grid, training={"steps_per_epoch": 400}, resources=resources)
    leaving = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    kept: set[tuple[str, int]] = set()

    def announce() -> None:
        reason = autoscaler_pb2.DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
        deadline = int(1000 * (time.time() + 60))
        accepted, problem = ray._raylet.GcsClient(cluster.address).drain_node(leaving.node_id, reason, "spot", deadline)
        assert accepted, problem

    act = once(lambda state: state.num_running == 2 and state.work_done > 0.1 * state.work_total, announce)
    running: list[int] = []

    def observe(state: State) -> None:
        act(state)
        kept.update(store.checkpoints(job.name).kept())
        if kept:
            running.append(state.num_running)

    outcome = harness.run(job, results=store.root, address=cluster.address, observer=observe)
    assert outcome.statuses == {"completed": 2}
    assert (
        len({run_id for run_id, _ in kept}) == 1
    )  # that of the leaving node; no checkpoint is due in the first minutes
    assert set(running[running.index(1) :]) == {0, 1}  # the head alone works on
    assert Results(store.root).query("SELECT max(attempt) AS most FROM cells").to_pylist() == [{"most": 1}]
    undisturbed = tmp_path / "undisturbed"
    harness.run(job, results=undisturbed, executor="serial")
    assert Results(store.root).query(NUMBERS).to_pylist() == Results(undisturbed).query(NUMBERS).to_pylist()


def test_halves_of_gpus_on_nodes_of_different_kinds(cluster: Any, train_job: JobMaker, store: Store) -> None:
    """Four on the node with two GPUs, whose one CPU they share, and two on the other; the head has none."""
    cluster.add_node(num_cpus=1, num_gpus=2)
    cluster.add_node(num_cpus=2, num_gpus=1)
    cluster.wait_for_nodes()
    most: list[int] = []
    job = train_job(training={"steps_per_epoch": 1500}, resources={"gpus_per_actor": 0.5, "pack": 1})
    outcome = harness.run(
        job, results=store.root, address=cluster.address, observer=lambda state: most.append(state.num_running)
    )
    assert outcome.is_complete
    assert "6 Ray actors, 0.5 GPU and 0.25 CPU each" in outcome.executor
    assert max(most) == 6


@pytest.mark.usefixtures("hasty")
def test_a_cluster_without_gpus_computes_on_cpus_and_says_so(cluster: Any, train_job: JobMaker, store: Store) -> None:
    outcome = harness.run(train_job(), results=store.root, address=cluster.address)
    assert outcome.is_complete
    assert "(no GPU in the cluster: CPUs compute, though resources.gpus_per_actor is 1)" in outcome.executor


@pytest.mark.usefixtures("hasty")
def test_a_cluster_without_gpus_is_refused_where_they_are_required(
    cluster: Any, train_job: JobMaker, store: Store
) -> None:
    job = train_job(resources={"gpus": "required"})
    with pytest.raises(ClusterError, match="room for 0 actors of 1 GPU and 1 CPU"):
        harness.run(job, results=store.root, address=cluster.address)
    assert not store.parts("cells")
