"""Compatibility of files with other readers and other versions."""

import io
import json
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ledger_rows import curve_rows, files, later, run_row, verdict_row

import results
from results import LedgerError
from results.schema.column import Column
from results.schema.tables import TABLES, VERSION
from results.storage.folder import Folder
from results.storage.reading import Reader


def publish_by_hand(folder: Path, table: str, rows: pa.Table) -> None:
    """Write a file as version 1 did; its name is part of the format."""
    sink = io.BytesIO()
    pq.write_table(rows, sink, write_page_checksum=True)
    data = sink.getvalue()
    footer = data[-8 - int.from_bytes(data[-8:-4], "little") :]
    digests = [blake2b(part, digest_size=8).hexdigest() for part in (footer, data)]
    (folder / table).mkdir(parents=True, exist_ok=True)
    (folder / table / f"v1-0123456789abcdef-{digests[0]}-{digests[1]}.parquet").write_bytes(data)


@pytest.fixture
def of_version_1(tmp_path: Path) -> Path:
    """A ledger as version 1 wrote it."""
    started = datetime(2025, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)
    runs = pa.table(
        {
            "run_id": pa.array(["a", "b"]),
            "experiment": pa.array(["old", "old"]),
            "phase": pa.array(["tune", "transfer"]),
            "outcome": pa.array(["trained", "diverged"]),
            "depth": pa.array([8, 128], pa.int64()),
            "weight_lr": pa.array([0.1, 0.5], pa.float64()),
            "final_train_loss": pa.array([0.25, None], pa.float64()),
            "residual": pa.array([True, None], pa.bool_()),
            "started": pa.array([started, None], pa.timestamp("us", tz="UTC")),
            "group": pa.array(["00000000000000aa"] * 2),
        }
    )
    curves = pa.table(
        {
            "run_id": pa.array(["a"]),
            "step": pa.array([10], pa.int64()),
            "train_loss": pa.array([0.5], pa.float64()),
            "group": pa.array(["00000000000000aa"]),
        }
    )
    publish_by_hand(tmp_path, "runs", runs)
    publish_by_hand(tmp_path, "curves", curves)
    (tmp_path / "mupc-ledger.json").write_text('{"format": "mupc-ledger", "layout": 1}')
    return tmp_path


def test_reads_version_1(of_version_1: Path) -> None:
    ledger = results.open(of_version_1)
    assert ledger.check() == []
    runs = ledger.runs().set_index("run_id")
    assert list(runs.columns) == [name for name in TABLES["runs"].named if name != "run_id"]
    assert runs["depth"].to_dict() == {"a": 8, "b": 128}
    assert runs.loc["a", "started"] == datetime(2025, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)
    assert runs["final_train_loss"].isna().to_dict() == {"a": False, "b": True}
    assert runs["test_accuracy"].isna().all()  # a column that this file lacks
    assert ledger.curves(depth=8)["train_loss"].tolist() == [0.5]
    ledger.append([run_row("c", depth=8)], curve_rows("c"))
    assert sorted(ledger.runs(depth=8)["run_id"]) == ["a", "c"]
    assert ledger.compact() == 2
    assert sorted(ledger.runs(depth=8)["run_id"]) == ["a", "c"]
    assert len(ledger.curves()) == 4


def test_added_columns_are_null_in_older_files(of_version_1: Path) -> None:
    later = replace(
        TABLES["runs"],
        columns=(*TABLES["runs"].columns, Column("joules", "float64", "energy used", "J", since=4)),
    )
    rows = Reader(Folder(of_version_1)).read(later)
    assert rows.schema.field("joules").type == pa.float64()
    assert rows["joules"].to_pylist() == [None, None]
    assert sorted(rows["depth"].to_pylist()) == [8, 128]


def test_settings_of_version_2_are_null_in_version_1(of_version_1: Path) -> None:
    """A null stands for the default, so that old and new rows read alike."""
    later = [column.name for column in TABLES["runs"].columns if column.since >= 2]
    assert {"skip", "bias", "activity_decay", "output_precision"} < set(later)
    assert {"inference_options", "start", "penalties"} < set(later)
    ledger = results.open(of_version_1)
    ledger.append([run_row("usual"), run_row("other", skip=2, bias=True, start="normal")])
    runs = ledger.runs().set_index("run_id")
    assert runs.loc[["a", "b", "usual"], later].isna().all(axis=None)
    assert ledger.runs(skip=None)["run_id"].to_list() == ledger.runs(bias=None)["run_id"].to_list()
    assert ledger.runs(skip=2, bias=True, start="normal")["run_id"].to_list() == ["other"]


def test_verdicts_older_than_rules_are_zero_shot(tmp_path: Path) -> None:
    """Version 3 added rules; a new zero-shot verdict replaces an old verdict."""
    old = verdict_row(verdict="drifted")
    when = pa.array([old.pop("created")], pa.timestamp("us", tz="UTC"))
    publish_by_hand(
        tmp_path, "verdicts", pa.table({k: [v] for k, v in old.items()} | {"created": when})
    )
    (tmp_path / "mupc-ledger.json").write_text('{"format": "mupc-ledger", "layout": 1}')
    ledger = results.open(tmp_path)
    assert ledger.verdicts(rule="zero_shot")["verdict"].to_list() == ["drifted"]
    assert ledger.verdicts()["rule"].to_list() == ["zero_shot"]
    ledger.append_verdicts([verdict_row(created=later(9)), verdict_row(rule="fitted")])
    for _ in range(2):
        asked = ledger.verdicts().set_index("rule")["verdict"].to_dict()
        assert asked == {"fitted": "held", "zero_shot": "held"}
        assert ledger.verdicts(rule=["zero_shot"])["verdict"].to_list() == ["held"]
        assert len(ledger.verdicts(latest=False, rule="zero_shot")) == 2
        ledger.compact()


def test_no_column_is_newer_than_the_version() -> None:
    for table in TABLES.values():
        assert all(1 <= column.since <= VERSION for column in table.columns)


@pytest.mark.parametrize("table", TABLES)
def test_describes_every_column(table: str) -> None:
    frame = results.columns(table)
    assert list(frame.columns) == ["name", "type", "unit", "description"]
    assert frame["name"].is_unique
    assert frame["description"].str.len().min() > 5
    measured = frame[frame["type"] == "float64"]
    pure = {"value"}  # its unit is in the column beside it
    assert set(measured.loc[measured["unit"] == "", "name"]) <= pure
    schema = TABLES[table].schema
    for name, unit, description in frame[["name", "unit", "description"]].itertuples(index=False):
        metadata = {b"unit": unit.encode(), b"description": description.encode()}
        assert schema.field(name).metadata == metadata


def test_rejects_an_unknown_table() -> None:
    with pytest.raises(LedgerError, match=r"unknown table 'run': choose from runs.*mean 'runs'\?"):
        results.columns("run")


def test_key_columns_are_fixed_and_sorted_by_columns_that_exist() -> None:
    for table in TABLES.values():
        assert set(table.key) <= set(table.fixed)
        assert set(table.order) <= set(table.named)


def test_file_metadata_describes_the_columns(tmp_path: Path) -> None:
    results.open(tmp_path / "ledger", create=True).append([run_row("a", depth=8)])
    [path] = files(tmp_path / "ledger")
    file = pq.ParquetFile(path)
    metadata = {key.decode(): value.decode() for key, value in file.metadata.metadata.items()}
    assert metadata["mupc_schema_version"] == str(VERSION)
    assert metadata["mupc_table"] == "runs"
    meaning = json.loads(metadata["mupc_columns"])
    assert meaning["depth"] == {"unit": "layers", "description": "H, hidden layers"}
    assert list(meaning) == file.schema.names
    assert file.schema_arrow.field("started").type == pa.timestamp("us", tz="UTC")


def run_fresh(script: str) -> str:
    command = [sys.executable, "-c", script]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_importing_results_loads_nothing_heavy() -> None:
    """Importing public names loads no heavy library before use."""
    script = """
import sys, results
from results import DamagedFileWarning, LedgerError, report
print(*sorted({"pandas", "pyarrow", "numpy", "matplotlib"} & set(sys.modules)))
from results import Ledger, columns, open
assert results.open is open and "pyarrow" in sys.modules
import results.page.report
from results.page.report import ReportError
assert callable(results.report)
try:
    results.nothing
except AttributeError as error:
    assert "nothing" in str(error)
"""
    assert run_fresh(script).strip() == ""
