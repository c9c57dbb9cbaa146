"""Cluster configurations against the schemas of Ray and, if it is available, of KubeRay.

No test here uses the network.
"""

import copy
import os
import socket
from importlib.metadata import version
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


VARIANTS = ("cluster.yaml", "examples/cluster/on-premise.yaml")


@pytest.fixture(params=VARIANTS)
def config(request: pytest.FixtureRequest) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load((ROOT / request.param).read_text())
    return config


@pytest.fixture
def on_aws() -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load((ROOT / "cluster.yaml").read_text())
    return config


def validate(config: dict[str, Any]) -> dict[str, Any]:
    prepared: dict[str, Any] = prepare_config(copy.deepcopy(config))
    validate_config(prepared)
    return prepared


def test_ray_accepts_the_configuration(config: dict[str, Any]) -> None:
    validate(config)


def test_gpu_workers_scale(on_aws: dict[str, Any]) -> None:
    prepared = validate(on_aws)
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
def test_schema_rejects_mistakes(on_aws: dict[str, Any], keys: list[str], value: object) -> None:
    place = on_aws
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    with pytest.raises((jsonschema.ValidationError, ValueError, KeyError)):
        validate(on_aws)


def test_all_nodes_install_the_same_versions(config: dict[str, Any]) -> None:
    """All nodes install the versions in constraints.txt, because Ray requires equal versions."""
    commands = " ".join(config["setup_commands"])
    assert "make install" in commands
    assert "-c constraints.txt" in commands
    starts = config["head_start_ray_commands"] + config["worker_start_ray_commands"]
    assert all("~/mupc/.venv/bin/ray" in command for command in starts)


def test_every_node_requires_the_token_and_keeps_it_private(config: dict[str, Any]) -> None:
    path = "~/.ray/auth_token"
    assert config["file_mounts"][path] == path
    assert f"chmod 600 {path}" in config["setup_commands"]
    for kind in ("head", "worker"):
        *_, start = config[f"{kind}_start_ray_commands"]
        assert "export RAY_AUTH_MODE=token " in start
        assert " PATH=~/mupc/.venv/bin:$PATH" in start  # where a job's `python` is looked for
    assert "MUPC_LEDGER=" in config["head_start_ray_commands"][-1]
    assert "--dashboard-host" not in str(config)  # the job server stays on the head's loopback


@pytest.fixture
def manifests() -> dict[str, dict[str, Any]]:
    text = (ROOT / "examples" / "cluster" / "kuberay.yaml").read_text()
    return {manifest["kind"]: manifest for manifest in yaml.safe_load_all(text)}


def test_kuberay_parts_match(manifests: dict[str, dict[str, Any]]) -> None:
    """Check what KubeRay's schema cannot: the parts match each other and this project."""
    cluster = manifests["RayCluster"]["spec"]
    head, (workers,) = cluster["headGroupSpec"], cluster["workerGroupSpecs"]
    (driver,), (trainer,) = (group["template"]["spec"]["containers"] for group in (head, workers))
    assert cluster["rayVersion"] == version("ray")
    assert cluster["authOptions"]["mode"] == "token"
    assert driver["image"] == trainer["image"]
    assert head["rayStartParams"] == {"num-cpus": "0", "num-gpus": "0"}
    assert trainer["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert 1 <= workers["minReplicas"] <= workers["replicas"] <= workers["maxReplicas"]
    (volume,) = head["template"]["spec"]["volumes"]
    claim = volume["persistentVolumeClaim"]["claimName"]
    assert claim == manifests["PersistentVolumeClaim"]["metadata"]["name"]
    (mount,) = driver["volumeMounts"]
    assert mount["name"] == volume["name"]
    ledger = {entry["name"]: entry["value"] for entry in driver["env"]}["MUPC_LEDGER"]
    assert ledger.startswith(mount["mountPath"] + "/")


def test_image_has_the_pinned_ray(manifests: dict[str, dict[str, Any]]) -> None:
    text = (ROOT / "examples" / "cluster" / "Dockerfile").read_text()
    assert f"FROM rayproject/ray:{version('ray')}-py311-gpu" in text
    assert f"ray=={version('ray')}" in (ROOT / "constraints.txt").read_text().splitlines()


@pytest.mark.skipif("KUBERAY_CRD" not in os.environ, reason="KUBERAY_CRD names no schema")
def test_kuberay_accepts_its_manifest(manifests: dict[str, dict[str, Any]]) -> None:
    """KUBERAY_CRD: the file ray.io_rayclusters.yaml of a KubeRay release, which is not ours."""
    definition = yaml.safe_load(Path(os.environ["KUBERAY_CRD"]).read_text())
    manifest = manifests["RayCluster"]
    (schema,) = (
        served["schema"]["openAPIV3Schema"]
        for served in definition["spec"]["versions"]
        if manifest["apiVersion"] == f"{definition['spec']['group']}/{served['name']}"
    )
    jsonschema.validate(manifest, closed(schema))


def closed(schema: Any) -> Any:
    """The schema with unknown fields refused, which Kubernetes would drop with a warning."""
    if isinstance(schema, list):
        return [closed(entry) for entry in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {key: closed(value) for key, value in schema.items()}
    if schema.pop("x-kubernetes-int-or-string", False):
        return {"type": ["integer", "string"]}
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
        schema.setdefault("additionalProperties", False)
    return schema
