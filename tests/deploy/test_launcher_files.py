"""The files for Ray's cluster launcher against Ray's own validation, and what we promise about them."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
FILES = ("cluster.yaml", "deploy/gcp.yaml", "deploy/on-premise.yaml")
CLOUDS = ("cluster.yaml", "deploy/gcp.yaml")


def read(file: str) -> dict[str, Any]:
    content: dict[str, Any] = YAML(typ="safe").load((ROOT / file).read_text())
    return content


def checked(config: dict[str, Any]) -> dict[str, Any]:
    """With the defaults of the provider, as ``ray up`` sees it.

    Raises:
      Exception: Of Ray, if it does not accept it.
    """
    from ray.autoscaler._private.util import prepare_config, validate_config

    whole: dict[str, Any] = prepare_config(config)
    validate_config(whole)
    return whole


@pytest.mark.parametrize("file", FILES)
def test_ray_accepts_it(file: str) -> None:
    checked(read(file))


@pytest.mark.parametrize("file", FILES)
def test_ray_rejects_a_misspelt_key(file: str) -> None:
    with pytest.raises(Exception, match="max_wrokers"):
        checked({**read(file), "max_wrokers": 3})


@pytest.mark.parametrize("file", CLOUDS)
def test_workers_have_gpus_and_the_head_does_not(file: str) -> None:
    config = checked(read(file))
    types = config["available_node_types"]
    assert types["gpu"]["resources"]["GPU"] >= 1
    assert types["gpu"]["min_workers"] == 0 < types["gpu"]["max_workers"]  # actors have them started
    assert "GPU" not in types[config["head_node_type"]]["resources"]


def test_machines_of_ones_own_are_all_started() -> None:
    """Ray does not know what they hold before it runs on them, so nothing that is asked for would start one."""
    config = checked(read("deploy/on-premise.yaml"))
    (only,) = config["available_node_types"].values()
    assert only["min_workers"] == only["max_workers"] == len(config["provider"]["worker_ips"]) == 2


@pytest.mark.parametrize("file", FILES)
def test_ray_is_pinned_to_one_version_everywhere(file: str) -> None:
    assert read(file)["docker"]["image"] == read("cluster.yaml")["docker"]["image"]
    assert re.fullmatch(r"rayproject/ray:2\.\d+\.\d+-py311-gpu", read(file)["docker"]["image"])
    assert read(file)["docker"]["image"].split(":")[1].split("-")[0] in (ROOT / file).read_text().split("docker:")[0]


@pytest.mark.parametrize("file", FILES)
def test_every_node_asks_for_the_token_and_the_dashboard_is_for_the_head_alone(file: str) -> None:
    config = checked(read(file))
    assert "~/.ray/auth_token" in config["file_mounts"]
    for commands in ("head_start_ray_commands", "worker_start_ray_commands"):
        starts = [command for command in config[commands] if "ray start" in command]
        assert ["RAY_AUTH_MODE=token" in command for command in starts] == [True]
    (head,) = [command for command in config["head_start_ray_commands"] if "ray start" in command]
    assert re.findall(r"--dashboard-host=(\S+)", head) == ["127.0.0.1"]


@pytest.mark.parametrize("file", FILES)
def test_the_nodes_get_the_dependencies_of_the_package_and_nothing_else(file: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (install,) = read(file)["setup_commands"]
    wanted = {requirement for requirement in project["dependencies"] if not requirement.startswith("ray")}
    assert set(re.findall(r'"([^"]+)"', install)) == wanted
