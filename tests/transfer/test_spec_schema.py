"""The JSON Schema of a spec: as committed, for editors, and as strict as reading a spec."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from transfer_fakes import spec
from typer.testing import CliRunner

import pccore
from jobs.cli.main import app
from transfer import VARIANTS, Experiment, SpecError
from transfer.search.samplers import SAMPLERS
from transfer.spec.transfer_rules import TRANSFER_RULES
from transfer.spec.yaml import read_yaml

ROOT = Path(__file__).parents[2]
COMMITTED = ROOT / "examples" / "schema.json"
SPECS = [
    path for path in sorted((ROOT / "examples").rglob("*.yaml")) if path.parent.name != "cluster"
]
SCHEMA = json.loads(COMMITTED.read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def test_committed_schema_is_what_the_command_prints() -> None:
    printed = CliRunner().invoke(app, ["schema"]).stdout
    assert printed == COMMITTED.read_text(), "run: mupc schema > examples/schema.json"


def test_schema_is_valid_draft_2020_12() -> None:
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_example_matches_the_schema_that_its_first_line_names(path: Path) -> None:
    first = path.read_text().splitlines()[0]
    prefix = "# yaml-language-server: $schema="
    assert first.startswith(prefix)
    assert (path.parent / first.removeprefix(prefix)).resolve() == COMMITTED
    VALIDATOR.validate(read_yaml(path).value)


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_written_spec_matches_the_schema(path: Path) -> None:
    VALIDATOR.validate(Experiment.from_dict(read_yaml(path).value).to_dict())


SHORT_FORMS: list[dict[str, Any]] = [
    {"network": {"activation": "tanh"}},
    {"network": {"activation": ["tanh", "relu"]}},
    {"variants": ["mupc", {"name": "bp", "weight_lr": [1e-2]}]},
    {"training": {"optimiser": "sgd"}},
    {"training": {"optimiser": {"name": "sgd", "momentum": 0.9}}},
    {"training": {"inference": "gradient_descent"}},
    {"training": {"inference": {"steps": 3}}},
    {"training": {"inference": {"scheme": "optax", "steps": "depth", "optimiser": "lion"}}},
    {"training": {"start": "normal", "penalties": [{"name": "weight_decay", "strength": 1e-4}]}},
    {"tune": {"seeds": 2}},
    {"tune": {"seeds": [3, 5]}},
    {"tune": {"weight_lr": {"low": 0.01, "high": 1}, "sampler": "tpe", "trials": 3}},
    {"transfer": {"neighbourhood": "all"}},
    {"transfer": {"rules": "depth_mup"}},
    {"transfer": {"rules": ["zero_shot", {"rule": "exponents", "weight_lr": {"depth": -0.5}}]}},
    {"transfer": {"depths": None, "targets": [{"width": 3, "depth": 5}]}},
]


@pytest.mark.parametrize("changes", SHORT_FORMS, ids=str)
def test_short_forms_match_the_schema(changes: dict[str, Any]) -> None:
    values = spec(**changes)
    Experiment.from_dict(values)
    VALIDATOR.validate(values)


WRONG: list[dict[str, Any]] = [
    {"nmae": "x"},
    {"name": "../up"},
    {"dataset": "minst"},
    {"network": {"activation": "rleu"}},
    {"network": {"activation": []}},
    {"network": {"residual": "yes"}},
    {"variants": ["mupcc"]},
    {"variants": ["mupc", "mupc"]},
    {"training": {"steps": 0}},
    {"training": {"optimiser": "adma"}},
    {"training": {"optimiser": {"name": "adam", "epz": 1}}},
    {"training": {"inference": {"scheme": "newton"}}},
    {"training": {"inference": {"scheme": "halving", "steps": 4}}},
    {"training": {"inference": "error_based"}},
    {"training": {"inference": {"scheme": "optax", "steps": 3, "optimiser": "sgdd"}}},
    {"training": {"penalties": "weight_decay"}},
    {"tune": {"width": "8"}},
    {"tune": {"depth": 5000}},
    {"tune": {"weight_lr": [0.1, -0.1]}},
    {"tune": {"weight_lr": {"low": 1}}},
    {"tune": {"sampler": "gird"}},
    {"tune": {"seeds": [1, 1]}},
    {"transfer": {"neighbourhood": "al"}},
    {"transfer": {"rules": [{"rule": "fitted", "depth": [1, 3]}]}},
    {"transfer": {"depths": None, "targets": [{"width": 1}]}},
]


@pytest.mark.parametrize("changes", WRONG, ids=str)
def test_schema_rejects_what_reading_rejects(changes: dict[str, Any]) -> None:
    values = spec(**changes)
    with pytest.raises(SpecError):
        Experiment.from_dict(values)
    assert not VALIDATOR.is_valid(values)


def keys(node: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every key that the schema describes, with its path in the schema."""
    if isinstance(node, dict):
        for name, value in node.get("properties", {}).items():
            yield f"{path}/{name}", value
        for name, value in node.items():
            yield from keys(value, f"{path}/{name}")
    elif isinstance(node, list):
        for place, value in enumerate(node):
            yield from keys(value, f"{path}/{place}")


def test_every_key_has_a_description() -> None:
    found = dict(keys(SCHEMA))
    assert len(found) > 70
    assert [path for path, value in found.items() if not value.get("description")] == []


def test_every_number_has_bounds() -> None:
    def numbers(node: Any) -> Iterator[dict[str, Any]]:
        if isinstance(node, dict):
            if node.get("type") in ("integer", "number"):
                yield node
            for value in node.values():
                yield from numbers(value)
        elif isinstance(node, list):
            for value in node:
                yield from numbers(value)

    for number in numbers(SCHEMA):
        assert "minimum" in number
        assert {"maximum", "exclusiveMaximum"} & set(number)


@pytest.mark.parametrize(
    "names",
    [
        pccore.ACTIVATIONS,
        pccore.OUTPUTS,
        pccore.data.DATASETS,
        SAMPLERS,
        VARIANTS,
    ],
    ids=lambda registry: registry.kind,
)
def test_names_are_those_of_the_registry(names: Any) -> None:
    assert json.dumps(list(names)) in json.dumps(SCHEMA)


@pytest.mark.parametrize(
    "entries",
    [pccore.INFERENCE, pccore.OPTIMISERS, pccore.PENALTIES, pccore.STARTS, TRANSFER_RULES],
    ids=lambda registry: registry.kind,
)
def test_entries_with_options_are_those_of_the_registry(entries: Any) -> None:
    names = {value["const"] for _, value in keys(SCHEMA["$defs"]) if "const" in value}
    assert set(entries) <= names
