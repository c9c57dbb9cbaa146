"""cluster.yaml is what Ray's own schema accepts, checked without network."""

import copy
import socket
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture
def config() -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load((ROOT / "cluster.yaml").read_text())
    return config


def validate(config: dict[str, Any]) -> dict[str, Any]:
    prepared: dict[str, Any] = prepare_config(copy.deepcopy(config))
    validate_config(prepared)
    return prepared


def test_ray_accepts_it(config: dict[str, Any]) -> None:
    prepared = validate(config)
    types = prepared["available_node_types"]
    assert types[prepared["head_node_type"]]["resources"] == {"CPU": 0}
    assert types["gpu"]["resources"]["GPU"] >= 1
    assert types["gpu"]["min_workers"] >= 1  # RayPool takes GPUs where it sees one
    assert types["gpu"]["max_workers"] <= prepared["max_workers"]


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (["max_wrokers"], 2),
        (["max_workers"], "many"),
        (["head_node_type"], "heda"),
        (["available_node_types", "gpu", "min_workers"], 9),
        (["available_node_types", "gpu", "resources", "GPU"], "one"),
        (["available_node_types", "gpu", "node_confg"], {}),
        (["setup_commands"], [3]),
        (["provider"], {}),
    ],
)
def test_its_schema_finds_mistakes(config: dict[str, Any], keys: list[str], value: object) -> None:
    place = config
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    with pytest.raises((jsonschema.ValidationError, ValueError, KeyError)):
        validate(config)


def test_the_nodes_get_what_the_head_has(config: dict[str, Any]) -> None:
    """Ray demands the same versions everywhere: all nodes install what constraints.txt pins."""
    commands = " ".join(config["setup_commands"])
    assert "make install" in commands
    assert "-c constraints.txt" in commands
    starts = config["head_start_ray_commands"] + config["worker_start_ray_commands"]
    assert all("~/mupc/.venv/bin/ray" in command for command in starts)
