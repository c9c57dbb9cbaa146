"""`mupc layouts` as its users see it."""

import json
from pathlib import Path

import pytest
from command import TINY, called, write_spec

from jobs.cli import layouts
from jobs.pools import layout_measurement
from jobs.pools.layouts import layout_folder

SHAPES = [(2, "mupc, sp"), (2, "bp"), (3, "mupc, sp"), (3, "bp")]


@pytest.fixture(autouse=True)
def spec(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    monkeypatch.setenv("MUPC_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MUPC_LAYOUTS", raising=False)
    return str(write_spec(tmp_path, variants=["mupc", "sp", "bp"], transfer={"depths": [3]}))


def test_lists_layout_of_every_shape(spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    done = called(capsys, "layouts", spec)
    assert done.returncode == 0
    out = done.stdout.splitlines()
    for word in ("H x N", "lanes", "layers per product", "batch shards", "from"):
        assert word in out[0]
    assert len(out) == 1 + len(SHAPES)
    for line, (depth, variants) in zip(out[1:], SHAPES, strict=True):
        assert line.startswith(f"{depth} x 8")
        assert variants in line
        assert line.split()[-4:] == ["4", "0", "1", "default"]
    assert not layout_folder().exists()


@pytest.mark.slow
def test_measured_layout_is_stored_and_used_on_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(layout_measurement, "ROUNDS_SECONDS", 0.0)
    spec = str(write_spec(tmp_path, variants=["bp"], transfer={"depths": [2]}, tune=TINY["tune"]))
    done = called(capsys, "layouts", spec, "--measure")
    assert done.returncode == 0
    assert done.stderr == "measuring 2 x 8 (bp)\n"
    assert "measured" in done.stdout
    assert "--layouts measured" in done.stdout.splitlines()[-1]
    start = done.stdout.index("2 x 8, bp: ms per step and lane")
    table = done.stdout[start:].splitlines()[1:5]
    assert table[0].split()[-2:] == ["ms", "speed"]
    assert [line.split()[:4] for line in table[1:]] == [
        ["lanes", lanes, "0", "1"] for lanes in ("4", "1", "12")
    ]
    assert table[1].split()[-1] == "1"  # the rule's layout is compared with itself

    [stored] = layout_folder().iterdir()
    layout = json.loads(stored.read_text())["layout"]
    for policy, expected in (("measured", layout), ("default", {**layout, "lanes": 4})):
        monkeypatch.setenv("MUPC_LAYOUTS", policy)
        facts = json.loads(called(capsys, "layouts", spec, "--json").stdout)
        assert facts["cache"] == str(layout_folder())
        [entry] = facts["layouts"]
        assert (entry["depth"], entry["width"], entry["variants"]) == (2, 8, ["bp"])
        assert (entry["source"], entry["layout"]) == (policy, expected)
        assert entry["candidates"] == []


@pytest.mark.slow
def test_measurement_is_printed_in_json(
    spec: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(layout_measurement, "ROUNDS_SECONDS", 0.0)
    done = called(capsys, "layouts", spec, "--measure", "--json")
    for entry in json.loads(done.stdout)["layouts"]:
        assert entry["source"] == "measured"
        assert len(entry["candidates"]) == 3
        names = ("lanes", "layers_per_product", "batch_shards")
        tried = [{name: candidate[name] for name in names} for candidate in entry["candidates"]]
        assert entry["layout"] in tried
        assert {"knob", "seconds_per_step"} <= entry["candidates"][0].keys()


def test_cache_that_cannot_be_written_is_one_sentence(
    spec: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MUPC_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr(layouts, "measure_layout", None)  # refused before minutes of measuring
    done = called(capsys, "layouts", spec, "--measure")
    assert done.returncode == 2
    assert "set MUPC_CACHE to a folder that can be written" in done.stderr.splitlines()[-1]


def test_data_files_are_not_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MUPC_DATA", str(tmp_path))
    spec = str(write_spec(tmp_path, variants=["mupc", "sp", "bp"], dataset="mnist"))
    done = called(capsys, "layouts", spec, "--json")
    assert len(json.loads(done.stdout)["layouts"]) == 4


@pytest.mark.parametrize("value", ["fast", "auto", "measure"])
def test_unknown_policy_is_one_sentence(
    spec: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MUPC_LAYOUTS", value)
    for command in ("layouts", "run"):
        done = called(capsys, command, spec)
        assert done.returncode == 2
        assert len(done.stderr.splitlines()) == 1
        for word in ("MUPC_LAYOUTS", value, "default", "measured"):
            assert word in done.stderr
