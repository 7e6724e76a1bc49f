"""deploy/kuberay.yaml against the documented fields of a RayJob, and what we promise about it."""

from __future__ import annotations

import copy
import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import typer.main
from ruamel.yaml import YAML

from harness.cli.app import app
from tests.conftest import oracle

FILE = Path(__file__).parents[2] / "deploy" / "kuberay.yaml"


@pytest.fixture
def rayjob() -> dict[str, Any]:
    content = YAML(typ="safe").load(FILE.read_text())
    whole: dict[str, Any] = json.loads(json.dumps(content))  # what anchors share becomes copies
    return whole


def containers(rayjob: dict[str, Any]) -> list[dict[str, Any]]:
    cluster = rayjob["spec"]["rayClusterSpec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    return [container for group in groups for container in group["template"]["spec"]["containers"]]


def test_each_field_is_one_of_a_rayjob(rayjob: dict[str, Any]) -> None:
    jsonschema.validate(rayjob, oracle("rayjob"), cls=jsonschema.Draft202012Validator)


@pytest.mark.parametrize(
    ("place", "old", "new"),
    [
        (lambda job: job["spec"], "backoffLimit", "backofLimit"),
        (lambda job: job["spec"], "shutdownAfterJobFinishes", "shutdownAfterJobFinish"),
        (lambda job: job["spec"]["rayClusterSpec"], "authOptions", "auth"),
        (lambda job: job["spec"]["rayClusterSpec"]["authOptions"], "mode", "type"),
        (lambda job: job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0], "minReplicas", "minReplica"),
        (lambda job: job["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"], "containers", "container"),
        (lambda job: containers(job)[0], "envFrom", "envfrom"),
        (lambda job: containers(job)[1]["securityContext"], "capabilities", "capability"),
    ],
)
def test_a_misspelt_field_is_refused(
    place: Callable[[dict[str, Any]], dict[str, Any]], old: str, new: str, rayjob: dict[str, Any]
) -> None:
    changed = copy.deepcopy(rayjob)
    place(changed)[new] = place(changed).pop(old)
    with pytest.raises(jsonschema.ValidationError, match=new):
        jsonschema.validate(changed, oracle("rayjob"), cls=jsonschema.Draft202012Validator)


def test_the_cluster_asks_for_a_token_and_goes_when_the_job_ends(rayjob: dict[str, Any]) -> None:
    spec = rayjob["spec"]
    assert spec["rayClusterSpec"]["authOptions"] == {"mode": "token"}
    assert spec["shutdownAfterJobFinishes"] is True
    assert "deletionStrategy" not in spec  # KubeRay refuses its rules beside the field above
    assert spec["backoffLimit"] > 0
    assert spec["suspend"] is False


def test_workers_have_gpus_from_none_and_the_head_has_none(rayjob: dict[str, Any]) -> None:
    cluster = rayjob["spec"]["rayClusterSpec"]
    assert cluster["enableInTreeAutoscaling"] is True
    (workers,) = cluster["workerGroupSpecs"]
    assert workers["replicas"] == workers["minReplicas"] == 0 < workers["maxReplicas"]
    head, worker = (container["resources"]["limits"] for container in containers(rayjob))
    assert int(worker["nvidia.com/gpu"]) >= 1
    assert "nvidia.com/gpu" not in head
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"


def test_containers_have_limits_and_no_more_rights_than_they_need(rayjob: dict[str, Any]) -> None:
    for container in containers(rayjob):
        assert container["resources"]["limits"] == container["resources"]["requests"]
        assert {"cpu", "memory"} <= set(container["resources"]["limits"])
        assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    cluster = rayjob["spec"]["rayClusterSpec"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        assert group["template"]["spec"]["securityContext"]["runAsNonRoot"] is True


def test_keys_come_from_a_secret_alone(rayjob: dict[str, Any]) -> None:
    for container in containers(rayjob):
        assert container["envFrom"] == [{"secretRef": {"name": "harness-store", "optional": True}}]
        assert "env" not in container


def test_the_entrypoint_is_a_command_of_ours_with_the_mounted_job(rayjob: dict[str, Any]) -> None:
    words = shlex.split(rayjob["spec"]["entrypoint"])
    assert words[:4] == ["python", "-m", "harness", "run"]
    command: Any = typer.main.get_command(app)
    parsed = command.commands["run"].make_context("run", words[4:])
    assert parsed.params["results"].startswith("s3://")
    (mount,) = containers(rayjob)[0]["volumeMounts"]
    assert str(parsed.params["job"]) == f"{mount['mountPath']}/job.yaml"
    assert "create configmap harness-job --from-file=job.yaml=" in FILE.read_text()
    (volume,) = rayjob["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]["volumes"]
    assert volume == {"name": mount["name"], "configMap": {"name": "harness-job"}}


def test_ray_has_the_version_of_the_image(rayjob: dict[str, Any]) -> None:
    dockerfile = (FILE.parent / "Dockerfile").read_text()
    assert f"ARG RAY_VERSION={rayjob['spec']['rayClusterSpec']['rayVersion']}\n" in dockerfile
    assert {container["image"] for container in containers(rayjob)} == {"IMAGE"}
