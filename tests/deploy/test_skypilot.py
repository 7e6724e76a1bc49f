"""deploy/skypilot.yaml against SkyPilot's own schema of a task, and what we promise about it."""

from __future__ import annotations

import subprocess
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML

from tests.conftest import oracle

ROOT = Path(__file__).parents[2]
FILE = ROOT / "deploy" / "skypilot.yaml"


@pytest.fixture
def task() -> dict[str, Any]:
    content: dict[str, Any] = YAML(typ="safe").load(FILE.read_text())
    return content


def check(task: dict[str, Any]) -> None:
    jsonschema.validate(task, oracle("skypilot"), cls=jsonschema.Draft202012Validator)


def test_each_field_is_one_of_a_task(task: dict[str, Any]) -> None:
    check(task)


@pytest.mark.parametrize(
    "change",
    [
        {"setupp": "true"},
        {"resources": {"use_spott": True}},
        {"resources": {"infra": "asw"}},
        {"resources": {"job_recovery": {"max_restarts_on_errors": -1}}},
        {"envs": {"no-name": "x"}},
        {"num_nodes": "two"},
    ],
)
def test_what_a_task_does_not_have_is_refused(change: dict[str, Any], task: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        check({**task, **change})


def test_a_machine_that_is_taken_away_is_replaced(task: dict[str, Any]) -> None:
    resources = task["resources"]
    assert resources["use_spot"] is True
    assert resources["job_recovery"]["strategy"] == "EAGER_NEXT_REGION"
    assert resources["job_recovery"]["max_restarts_on_errors"] == 0
    assert all(number == 1 for number in resources["accelerators"].values())


def test_the_results_go_where_the_machine_does_not_take_them_along(task: dict[str, Any]) -> None:
    assert task["envs"]["RESULTS"] is None  # SkyPilot then asks for --env RESULTS=...
    assert "--env RESULTS=s3://" in FILE.read_text()
    assert '--results "$RESULTS"' in task["run"]
    assert (ROOT / task["envs"]["JOB"]).is_file()


@pytest.mark.parametrize("part", ["setup", "run"])
def test_its_commands_are_bash(part: str, task: dict[str, Any]) -> None:
    subprocess.run(["bash", "-n", "-c", task[part]], check=True)


def test_it_has_a_python_that_the_package_accepts(task: dict[str, Any]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f"--python {project['requires-python'].removeprefix('>=')} " in task["setup"]
