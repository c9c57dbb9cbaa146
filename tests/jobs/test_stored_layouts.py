"""Measured layouts are stored per shape and device; an invalid file causes a warning, no error."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pool_trainers import SMALL

import pccore
from jobs.pools.devices import Device
from jobs.pools.layouts import Layout, layout_file, layout_folder, load_layout, save_layout

CPU = Device("cpu", "cpu", None, machine="some model", count=2)
LAYOUT = Layout(4, 2, 2)
NETWORK = SMALL.network


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MUPC_CACHE", str(tmp_path / "cache"))


layouts = st.builds(
    Layout,
    lanes=st.integers(1, 200),
    layers_per_product=st.sampled_from([0, 1, 2]),
    batch_shards=st.sampled_from([1, 2]),
)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(layout=layouts)
def test_round_trip(layout: Layout) -> None:
    path = save_layout(SMALL, CPU, layout)
    assert load_layout(SMALL, CPU) == layout
    assert list(layout_folder().iterdir()) == [path]


def test_nothing_is_stored_at_first() -> None:
    assert load_layout(SMALL, CPU) is None
    assert not layout_folder().exists()


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
def test_trainings_of_equal_speed_share_a_layout(config: pccore.TrainingConfig) -> None:
    save_layout(SMALL, CPU, LAYOUT)
    assert load_layout(config, CPU) == LAYOUT


@pytest.mark.parametrize("config", OTHER.values(), ids=OTHER.keys())
def test_other_trainings_have_layouts_of_their_own(config: pccore.TrainingConfig) -> None:
    save_layout(SMALL, CPU, LAYOUT)
    assert load_layout(config, CPU) is None


def test_other_devices_have_layouts_of_their_own() -> None:
    save_layout(SMALL, CPU, LAYOUT)
    for device in (replace(CPU, machine="another"), replace(CPU, count=1), replace(CPU, name="x")):
        assert load_layout(SMALL, device) is None


def test_truncated_file_is_ignored() -> None:
    path = save_layout(SMALL, CPU, LAYOUT)
    whole = path.read_text()
    for length in range(len(whole) - 2):
        path.write_text(whole[:length])
        with pytest.warns(UserWarning, match="the measured layout in .* is ignored"):
            assert load_layout(SMALL, CPU) is None


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"lanes": 0}, "lanes must be a whole number of at least 1, got 0"),
        ({"lanes": True}, "got True"),
        ({"lanes": "4"}, "lanes must be"),
        ({"layers_per_product": 3}, "must divide the depth"),
        ({"batch_shards": 4}, "batch_shards 4 needs as many devices"),
        ({"unknown": 1}, "TypeError"),
    ],
)
def test_invalid_layout_is_ignored(values: dict[str, object], reason: str) -> None:
    path = save_layout(SMALL, CPU, LAYOUT)
    path.write_text(json.dumps({"layout": {**asdict(LAYOUT), **values}}))
    with pytest.warns(UserWarning, match=reason):
        assert load_layout(SMALL, CPU) is None
    save_layout(SMALL, CPU, LAYOUT)
    assert load_layout(SMALL, CPU) == LAYOUT


@pytest.mark.parametrize("foreign", [b"\xff\xd8\xff", b"[]", b"null", b"3", b"{}"])
def test_foreign_file_is_ignored(foreign: bytes) -> None:
    path = layout_file(SMALL, CPU)
    path.parent.mkdir(parents=True)
    path.write_bytes(foreign)
    with pytest.warns(UserWarning, match="ignored"):
        assert load_layout(SMALL, CPU) is None


def test_cache_that_is_a_file_holds_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MUPC_CACHE", str(tmp_path / "file"))
    assert load_layout(SMALL, CPU) is None
