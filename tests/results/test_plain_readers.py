"""Readers that know nothing of this package: after `compact`, the plain files are the tables.

The files are of every schema version, hold runs that failed before they succeeded or were trained
twice, and some are too large to be merged.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from ledger_rows import curve_rows, files, later, run_row

import results
from results.schema.tables import TABLES
from results.storage import compaction

GOLDEN = Path(__file__).parent / "golden"
KEY = ["experiment", "run_id"]


def duckdb(folder: Path) -> pd.DataFrame:
    import duckdb as module

    return module.sql(f"SELECT * FROM '{folder}/*.parquet'").df()


def polars(folder: Path) -> pd.DataFrame:
    module = pytest.importorskip("polars")
    return pd.DataFrame(module.read_parquet(f"{folder}/*.parquet").to_dicts())


def pandas(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(folder)


def arrow(folder: Path) -> pd.DataFrame:
    return ds.dataset(folder).to_table().to_pandas()


READERS = [duckdb, polars, pandas, arrow]


@pytest.fixture(scope="module")
def compacted(tmp_path_factory: pytest.TempPathFactory) -> results.Ledger:
    """Return a compacted ledger with a file of every table of every version."""
    place = tmp_path_factory.mktemp("plain") / "ledger"
    shutil.copytree(GOLDEN / "v4" / "ledger", place)
    for old in ("v1", "v2", "v3"):
        for file in (GOLDEN / old / "ledger").glob("*/*.parquet"):
            (place / file.parent.name).mkdir(exist_ok=True)
            shutil.copy(file, place / file.parent.name)
    ledger = results.open(place)
    for seconds, outcome in enumerate(("failed", "trained", "trained")):
        row = run_row("new", outcome=outcome, started=later(seconds), layers=3)
        ledger.append([row], curve_rows("new"))
    ledger.compact()
    return ledger


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("table", TABLES)
def test_every_file_has_every_column(
    compacted: results.Ledger, table: str, read: Callable[[Path], pd.DataFrame]
) -> None:
    frame = read(Path(compacted._folder.root, table))
    assert list(frame.columns) == list(TABLES[table].named)


@pytest.mark.parametrize("read", READERS)
def test_no_run_counts_twice_in_an_experiment(
    compacted: results.Ledger, read: Callable[[Path], pd.DataFrame]
) -> None:
    frame = read(Path(compacted._folder.root, "runs"))
    assert not frame.duplicated(KEY).any()
    asked = [compacted.runs(experiment=name) for name in compacted.experiments()]
    assert sorted(frame["run_id"]) == sorted(run_id for each in asked for run_id in each["run_id"])
    assert frame.loc[frame["run_id"].eq("new"), "outcome"].to_list() == ["trained"]


def test_a_single_file_of_an_old_version_is_rewritten(tmp_path: Path) -> None:
    ledger = results.open(tmp_path, create=True)
    (tmp_path / "verdicts").mkdir()
    old = min((GOLDEN / "v1" / "ledger" / "verdicts").iterdir())
    shutil.copy(old, tmp_path / "verdicts")
    before = ledger.verdicts()
    assert set(pq.read_schema(old).names) < set(TABLES["verdicts"].named)
    assert ledger.compact() == 0
    [file] = files(tmp_path, "verdicts")
    assert pq.read_schema(file).names == list(TABLES["verdicts"].named)
    pd.testing.assert_frame_equal(ledger.verdicts(), before)
    assert ledger.check() == []


@pytest.mark.parametrize("small", [1, 10**9])
def test_repeated_runs_in_files_too_large_to_merge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: int
) -> None:
    monkeypatch.setattr(compaction, "SMALL_BYTES", small)
    ledger = results.open(tmp_path, create=True)
    names = ("a", "b", "c")
    ledger.append([run_row(name, outcome="failed") for name in names])
    ledger.append([run_row(name, started=later(2)) for name in names[:2]])
    ledger.append([run_row(name, started=later(1)) for name in names[1:]], curve_rows("b"))
    before = ledger.runs(arrow=True), ledger.curves(arrow=True)
    ledger.compact()
    raw = pd.concat(pd.read_parquet(file) for file in files(tmp_path, "runs"))
    assert sorted(raw["run_id"]) == sorted(names)
    assert (raw["outcome"] == "trained").all()
    for was, now in zip(before, (ledger.runs(arrow=True), ledger.curves(arrow=True)), strict=True):
        pd.testing.assert_frame_equal(was, now)
    kept = {file.name for file in files(tmp_path, "runs")}
    assert ledger.compact() == 0
    assert {file.name for file in files(tmp_path, "runs")} == kept  # nothing is left to do
