"""cluster.yaml against Ray's own validation, and what we promise about it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

FILE = Path(__file__).parents[2] / "cluster.yaml"


@pytest.fixture
def config() -> dict[str, Any]:
    content: dict[str, Any] = YAML(typ="safe").load(FILE.read_text())
    return content


def test_ray_accepts_it(config: dict[str, Any]) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    validate_config(prepare_config(config))


def test_ray_rejects_a_misspelt_key(config: dict[str, Any]) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    with pytest.raises(Exception, match="max_wrokers"):
        validate_config(prepare_config({**config, "max_wrokers": 3}))


def test_workers_have_gpus_and_the_head_does_not(config: dict[str, Any]) -> None:
    types = config["available_node_types"]
    assert types["gpu"]["resources"]["GPU"] >= 1
    assert types["gpu"]["min_workers"] == 0 < types["gpu"]["max_workers"]  # actors have them started
    assert "GPU" not in types[config["head_node_type"]]["resources"]


def test_ray_is_pinned_and_every_node_asks_for_the_token(config: dict[str, Any]) -> None:
    assert config["docker"]["image"].startswith("rayproject/ray:2.")
    for commands in ("head_start_ray_commands", "worker_start_ray_commands"):
        start = next(command for command in config[commands] if "ray start" in command)
        assert "RAY_AUTH_MODE=token" in start
    assert "~/.ray/auth_token" in config["file_mounts"]


def test_the_nodes_get_the_dependencies_of_the_package(config: dict[str, Any]) -> None:
    import tomllib

    project = tomllib.loads((FILE.parent / "pyproject.toml").read_text())["project"]
    (install,) = config["setup_commands"]
    for requirement in project["dependencies"]:
        assert requirement.startswith("ray") or f'"{requirement}"' in install
