"""Ledgers written by earlier versions are read with identical rows."""

import json
import shutil
import warnings
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from fewer import every

import results
from results import Ledger
from results.schema.tables import TABLES, VERSION

GOLDEN = Path(__file__).parent / "golden"
FOLDERS = sorted(path.name for path in GOLDEN.iterdir() if path.is_dir())

Row = dict[str, Any]


@pytest.fixture(params=FOLDERS)
def golden(request: pytest.FixtureRequest) -> Path:
    return GOLDEN / str(request.param)


def shown(value: Any) -> Any:
    """Return a value of a frame as `expected.json` writes it."""
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, float):
        return value.hex()
    return value.isoformat() if isinstance(value, datetime) else value


def answered(frame: pd.DataFrame) -> list[Row]:
    return [{k: shown(v) for k, v in row.items()} for row in frame.to_dict("records")]


def assert_rows(found: pd.DataFrame, rows: list[Row], table: str, key: str) -> None:
    """Check that the frame has these rows; other columns are null or `absent`."""
    absent = {column.name: column.absent for column in TABLES[table].columns}
    got = {str(row[key]): row for row in answered(found)}
    assert len(got) == len(found) == len(rows)
    for row in rows:
        answer = got[str(row[key])]
        expected = absent | {k: v for k, v in row.items() if v is not None}
        if "group" in answer:  # drawn by the append; a curve is found by it
            expected["group"] = answer["group"]
        assert answer == expected


def assert_readable(ledger: Ledger, expected: dict[str, Any], step: int = 1) -> None:
    """Check what the ledger holds: the details of every `step`-th run."""
    golden, other = expected["runs"]["golden"], expected["runs"]["other"]
    assert ledger.check() == []
    assert ledger.experiments() == ["golden", "other"]
    assert_rows(ledger.runs(arrow=True), golden, "runs", "run_id")
    assert_rows(ledger.runs(arrow=True, experiment="golden"), golden, "runs", "run_id")
    assert_rows(ledger.runs(arrow=True, experiment="other"), other, "runs", "run_id")
    for row in golden[::step]:
        assert_rows(ledger.runs(arrow=True, run_id=row["run_id"]), [row], "runs", "run_id")
        curve = [point for point in expected["curves"] if point["run_id"] == row["run_id"]]
        assert_rows(ledger.curves(arrow=True, run_id=row["run_id"]), curve, "curves", "step")
        details = expected.get("layers", [])  # of versions before 4
        changes = [layer for layer in details if layer["run_id"] == row["run_id"]]
        assert_rows(ledger.layers(arrow=True, run_id=row["run_id"]), changes, "layers", "layer")
    assert_rows(ledger.verdicts(arrow=True), expected["verdicts"], "verdicts", "depth")
    assert_rows(
        ledger.verdicts(arrow=True, latest=False, depth=8),
        expected["all verdicts"][:2],
        "verdicts",
        "created",
    )
    assert_rows(
        ledger.measurements(arrow=True), expected["measurements"], "measurements", "quantity"
    )


def test_reads_and_compacts_a_ledger_of_an_earlier_version(golden: Path, tmp_path: Path) -> None:
    expected = json.loads((golden / "expected.json").read_text())
    names = [path.name for path in golden.glob("ledger/*/*.parquet")]
    assert len(names) > 5
    assert all(name.startswith(f"v{expected['version']}-") for name in names)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_readable(results.open(golden / "ledger"), expected)
        copy = tmp_path / "ledger"
        shutil.copytree(golden / "ledger", copy)
        ledger = results.open(copy)
        assert ledger.compact() == 4  # to one file of runs, and one of verdicts
        assert_readable(results.open(copy), expected, every(3))
    kept = {path.name for path in copy.glob("*/*.parquet")}
    assert {name.split("-")[0] for name in kept - set(names)} == {f"v{VERSION}"}


def test_every_version_has_a_golden_ledger() -> None:
    """A new version needs a golden ledger: see golden/README.md."""
    expected = [json.loads((GOLDEN / name / "expected.json").read_text()) for name in FOLDERS]
    assert {each["version"] for each in expected} == set(range(1, VERSION + 1))
    newest = [each["columns"] for each in expected if each["version"] == VERSION]
    assert {name: list(table.named) for name, table in TABLES.items()} in newest


def test_keeps_every_column_of_earlier_versions(golden: Path) -> None:
    columns = json.loads((golden / "expected.json").read_text())["columns"]
    for name in columns:
        assert set(columns[name]) <= set(TABLES[name].named)
