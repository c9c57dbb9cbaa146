"""`mupc layouts` as its users see it."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from command import TINY, write_spec

from jobs.cli.main import main
from jobs.pools import layout_tuner
from jobs.pools.layout_memory import folder

SHAPES = [(2, "mupc, sp"), (2, "bp"), (3, "mupc, sp"), (3, "bp")]


@pytest.fixture(autouse=True)
def spec(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("MUPC_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MUPC_LAYOUTS", raising=False)
    return write_spec(tmp_path, variants=["mupc", "sp", "bp"], transfer={"depths": [3]})


def ask(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """The exit status of the command line."""
    monkeypatch.setattr(sys, "argv", ["mupc", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


def test_every_shape_is_listed_with_its_layout_and_where_that_comes_from(
    spec: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(monkeypatch, "layouts", spec) == 0
    out = capsys.readouterr().out.splitlines()
    for word in ("H x N", "lanes", "layers per product", "batch shards", "from"):
        assert word in out[0]
    for line, (depth, variants) in zip(out[1:5], SHAPES, strict=True):
        assert line.startswith(f"{depth} x 8")
        assert variants in line
        assert line.split()[-4:] == ["4", "0", "1", "default"]
    assert out[-1].endswith(str(folder()))
    assert not folder().exists()


def test_measured_now_and_remembered_later(
    spec: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(layout_tuner, "TURNS_SECONDS", 0.0)
    spec = write_spec(tmp_path, variants=["bp"], transfer={"depths": [2]}, tune=TINY["tune"])
    assert ask(monkeypatch, "layouts", spec, "--measure") == 0
    out, err = capsys.readouterr()
    assert err == "measuring 2 x 8 (bp)\n"
    assert "measured" in out
    table = out[out.index("2 x 8, bp: ms a step and lane") :].splitlines()[1:5]
    assert table[0].split()[-2:] == ["ms", "speed"]
    assert [line.split()[:4] for line in table[1:]] == [
        ["lanes", lanes, "0", "1"] for lanes in ("4", "1", "12")
    ]
    assert table[1].split()[-1] == "1"  # the layout in place is compared with itself

    assert ask(monkeypatch, "layouts", spec, "--json") == 0
    facts: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert facts["cache"] == str(folder())
    (entry,) = facts["layouts"]
    assert entry["source"] == "remembered"
    assert (entry["depth"], entry["width"], entry["variants"]) == (2, 8, ["bp"])
    assert entry["layout"] in [
        {name: trial[name] for name in ("lanes", "layers_per_product", "batch_shards")}
        for trial in entry["trials"]
    ]
    assert len(entry["trials"]) == 3
    assert all(trial["seconds_per_step"] > 0 for trial in entry["trials"])

    monkeypatch.setenv("MUPC_LAYOUTS", "default")
    assert ask(monkeypatch, "layouts", spec, "--json") == 0
    (entry,) = json.loads(capsys.readouterr().out)["layouts"]
    assert (entry["source"], entry["trials"]) == ("default", None)


def test_what_a_run_would_measure_is_said(
    spec: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MUPC_LAYOUTS", "measure")
    assert ask(monkeypatch, "layouts", spec, "--json") == 0
    entries = json.loads(capsys.readouterr().out)["layouts"]
    assert [entry["run_measures"] for entry in entries] == [True] * 4
    assert ask(monkeypatch, "layouts", spec) == 0
    assert capsys.readouterr().out.count("mupc run measures it first") == 4


def test_data_files_are_not_needed(
    spec: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MUPC_DATA", str(tmp_path))
    assert ask(monkeypatch, "layouts", write_spec(tmp_path, dataset="mnist"), "--json") == 0
    assert len(json.loads(capsys.readouterr().out)["layouts"]) == 4


def test_a_policy_that_is_none_is_a_sentence(
    spec: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MUPC_LAYOUTS", "fast")
    for command in ("layouts", "run"):
        assert ask(monkeypatch, command, spec) == 2
        err = capsys.readouterr().err
        assert len(err.splitlines()) == 1
        for name in ("MUPC_LAYOUTS", "fast", "auto", "default", "measure"):
            assert name in err
