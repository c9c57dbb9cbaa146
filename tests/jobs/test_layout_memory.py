"""What is remembered about layouts comes back, and a damaged file is a warning, never an error."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pool_trainers import SMALL

import pccore
from jobs.pools.devices import Device
from jobs.pools.layout_memory import Measurement, Trial, folder, place, recall, remember
from jobs.pools.layouts import KNOBS, Layout

CPU = Device("cpu", "cpu", None, machine="some model", count=2)
TRIALS = (Trial("lanes", Layout(4), 0.5), Trial("lanes", Layout(132), None))
MEASUREMENT = Measurement(Layout(4, 2, 2), TRIALS)


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MUPC_CACHE", str(tmp_path / "cache"))


layouts = st.builds(
    Layout,
    lanes=st.integers(1, 200),
    layers_per_product=st.sampled_from([0, 1, 2]),
    batch_shards=st.sampled_from([1, 2]),
)
seconds = st.none() | st.floats(1e-9, 1e4)
trials = st.lists(st.builds(Trial, st.sampled_from(list(KNOBS)), layouts, seconds)).map(tuple)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(measurement=st.builds(Measurement, layouts, trials))
def test_a_measurement_comes_back(measurement: Measurement) -> None:
    remember(SMALL, CPU, measurement)
    assert recall(SMALL, CPU) == measurement
    assert [path.name for path in folder().iterdir()] == [place(SMALL, CPU).name]


def test_nothing_is_remembered_at_first() -> None:
    assert recall(SMALL, CPU) is None


NETWORK = SMALL.network
SAME = {
    "steps": replace(SMALL, steps=900, eval_every=300),
    "parameterisation": replace(SMALL, network=replace(NETWORK, parameterisation="sp")),
    "layout": Layout(1, 2, 2).apply(SMALL),
}
OTHER = {
    "width": replace(SMALL, network=replace(NETWORK, width=9)),
    "depth": replace(SMALL, network=replace(NETWORK, depth=3)),
    "activation": replace(SMALL, network=replace(NETWORK, activation="tanh")),
    "batch": replace(SMALL, batch_size=16),
    "inference steps": replace(SMALL, rule=pccore.PredictiveCoding(pccore.GradientDescent(3))),
    "rule": replace(SMALL, rule=pccore.Backpropagation()),
}


@pytest.mark.parametrize("config", SAME.values(), ids=SAME.keys())
def test_what_does_not_change_the_speed_shares_a_measurement(
    config: pccore.TrainingConfig,
) -> None:
    remember(SMALL, CPU, MEASUREMENT)
    assert recall(config, CPU) == MEASUREMENT


@pytest.mark.parametrize("config", OTHER.values(), ids=OTHER.keys())
def test_another_shape_is_measured_by_itself(config: pccore.TrainingConfig) -> None:
    remember(SMALL, CPU, MEASUREMENT)
    assert recall(config, CPU) is None


def test_another_device_is_measured_by_itself() -> None:
    remember(SMALL, CPU, MEASUREMENT)
    for device in (replace(CPU, machine="another"), replace(CPU, count=1), replace(CPU, name="x")):
        assert recall(SMALL, device) is None


def changed(**facts: Any) -> str:
    """The file of a measurement with other values for some keys."""
    return json.dumps({**json.loads(place(SMALL, CPU).read_text()), **facts})


def test_a_file_cut_short_anywhere_is_ignored() -> None:
    remember(SMALL, CPU, MEASUREMENT)
    path, whole = place(SMALL, CPU), place(SMALL, CPU).read_text()
    for length in [*range(0, len(whole) - 2, 97), len(whole) - 2]:
        path.write_text(whole[:length])
        with pytest.warns(UserWarning, match="the remembered layout .* is ignored"):
            assert recall(SMALL, CPU) is None


LAYOUT = {"lanes": 1, "layers_per_product": 0, "batch_shards": 1}


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({"format": 2}, "format is 2, not 1"),
        ({"shape": {}}, "another shape"),
        ({"layout": []}, "TypeError"),
        ({"layout": {"lanes": 1}}, "layers_per_product"),
        ({"layout": {**LAYOUT, "lanes": 0}}, "lanes is 0"),
        ({"layout": {**LAYOUT, "lanes": True}}, "lanes is True"),
        ({"layout": {**LAYOUT, "lanes": "4"}}, "lanes is '4'"),
        ({"layout": {**LAYOUT, "layers_per_product": 3}}, "must divide the depth"),
        ({"layout": {**LAYOUT, "batch_shards": 4}}, "4 shards need as many devices"),
        ({"trials": [{}]}, "knob"),
    ],
)
def test_a_file_that_says_something_else_is_ignored(facts: dict[str, Any], why: str) -> None:
    remember(SMALL, CPU, MEASUREMENT)
    place(SMALL, CPU).write_text(changed(**facts))
    with pytest.warns(UserWarning, match=why):
        assert recall(SMALL, CPU) is None
    remember(SMALL, CPU, MEASUREMENT)
    assert recall(SMALL, CPU) == MEASUREMENT


@pytest.mark.parametrize("foreign", [b"\xff\xd8\xff", b"[]", b"null", b"3", b"{}"])
def test_a_foreign_file_is_ignored(foreign: bytes) -> None:
    path = place(SMALL, CPU)
    path.parent.mkdir(parents=True)
    path.write_bytes(foreign)
    with pytest.warns(UserWarning, match="ignored"):
        assert recall(SMALL, CPU) is None


def test_a_choice_may_be_written_by_hand() -> None:
    remember(SMALL, CPU, MEASUREMENT)
    place(SMALL, CPU).write_text(changed(layout=LAYOUT))
    found = recall(SMALL, CPU)
    assert found is not None
    assert found.layout == Layout()


def test_a_cache_that_cannot_be_written_still_serves_this_process(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MUPC_CACHE", str(tmp_path / "file"))
    with pytest.warns(UserWarning, match="cannot be kept"):
        remember(SMALL, CPU, MEASUREMENT)
    assert recall(SMALL, CPU) == MEASUREMENT
