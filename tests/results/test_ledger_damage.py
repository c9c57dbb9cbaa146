"""Damaged files are found, named and left out without losing the rest."""

import warnings
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ledger_rows import counted, curve_rows, files, run_row, verdict_row

import results
from results import DamagedFileWarning, Ledger, LedgerError
from results.schema.tables import TABLES, VERSION
from results.storage import files as formats


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "ledger"


def ledger_of(folder: Path, *depths: int, runs_each: int = 1) -> Ledger:
    """A ledger with one file of runs per depth."""
    ledger = results.open(folder, create=True)
    for depth in depths:
        ledger.append([run_row(f"{depth}-{k}", depth=depth) for k in range(runs_each)])
    return ledger


def file_of(folder: Path, depth: int) -> Path:
    """Return the file of runs with a depth."""
    [path] = [path for path in files(folder) if pq.read_table(path)["depth"][0].as_py() == depth]
    return path


def flip(path: Path, byte: int, bit: int = 0) -> None:
    data = bytearray(path.read_bytes())
    data[byte] ^= 1 << bit
    path.write_bytes(data)


def page_of(path: Path, column: str, row_group: int = 0) -> int:
    """Return the position of a byte in the middle of the pages of a column."""
    metadata = pq.read_metadata(path)
    chunk = metadata.row_group(row_group).column(metadata.schema.names.index(column))
    return chunk.data_page_offset + chunk.total_compressed_size - 2


def depths(frame: pd.DataFrame) -> list[int]:
    return sorted(frame["depth"])


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def cut_to_nothing(path: Path) -> None:
    path.write_bytes(b"")


def flip_in_footer(path: Path) -> None:
    flip(path, path.stat().st_size - 200)


def flip_in_page(path: Path) -> None:
    flip(path, page_of(path, "run_id"))


def other_text(path: Path) -> None:
    path.write_text("not Parquet at all\n" * 900)


Damage = Callable[[Path], None]
DAMAGES: list[Damage] = [cut, cut_to_nothing, flip_in_footer, flip_in_page, other_text]


@pytest.mark.parametrize("damage", DAMAGES)
def test_names_a_damaged_file_and_reads_the_rest(folder: Path, damage: Damage) -> None:
    ledger_of(folder, 8, 16, 32)
    victim = file_of(folder, 16)
    damage(victim)
    ledger = results.open(folder)
    for _ in range(2):
        with pytest.warns(
            DamagedFileWarning, match=f"left out runs/{victim.name} of .*damaged"
        ) as w:
            assert depths(ledger.runs()) == [8, 32]
        assert len(w) == 1
        assert "\n" not in str(w[0].message)
        assert w[0].filename == __file__
    [found] = ledger.check()
    assert found.path == f"runs/{victim.name}"
    assert found.cause in str(found)


@pytest.mark.parametrize("damage", DAMAGES)
def test_compaction_leaves_a_damaged_file_in_place(folder: Path, damage: Damage) -> None:
    ledger_of(folder, 8, 16, 32)
    victim = file_of(folder, 16)
    damage(victim)
    ledger = results.open(folder)
    assert ledger.compact() == 1
    assert len(files(folder)) == 2
    assert victim in files(folder)
    with pytest.warns(DamagedFileWarning):
        assert depths(ledger.runs()) == [8, 32]


def test_damage_in_one_table_does_not_affect_the_others(folder: Path) -> None:
    ledger = results.open(folder, create=True)
    ledger.append([run_row("a")], curve_rows("a"))
    ledger.append_verdicts([verdict_row()])
    cut(files(folder, "curves")[0])
    assert len(ledger.runs()) == 1
    assert len(ledger.verdicts()) == 1
    with pytest.warns(DamagedFileWarning, match="left out curves/"):
        assert ledger.curves().empty


def test_a_damaged_run_can_be_appended_again(folder: Path) -> None:
    ledger = ledger_of(folder, 8, 16)
    cut(file_of(folder, 16))
    ledger.append([run_row("16-0", depth=16)])
    with pytest.warns(DamagedFileWarning):
        assert depths(ledger.runs()) == [8, 16]


def test_verifies_a_long_footer(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first read of the end of the file does not cover the footer."""
    monkeypatch.setattr(formats, "CELLS_PER_GROUP", 1)
    ledger = ledger_of(folder, 8, runs_each=60)
    [path] = files(folder)
    data = path.read_bytes()
    assert formats.footer_size(data[-8:]) > 2 * 16_384
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(ledger.runs()) == 60
    flip(path, len(data) - formats.footer_size(data[-8:]) + 9)
    with pytest.warns(DamagedFileWarning, match="its footer does not match"):
        assert results.open(folder).runs().empty


def test_leaves_out_an_unreadable_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = ledger_of(folder, 8, 16)
    victim = file_of(folder, 16)
    read = ledger._folder.read

    def bad_sector(name: str, last: int | None = None) -> bytes:
        if name.endswith(victim.name):
            raise OSError(5, "Input/output error")
        return read(name, last)

    monkeypatch.setattr(ledger._folder, "read", bad_sector)
    with pytest.warns(DamagedFileWarning, match="cannot be read: Input/output error"):
        assert depths(ledger.runs()) == [8]
    assert [found.cause for found in ledger.check()] == ["it cannot be read: Input/output error"]


def test_ignores_foreign_files(folder: Path) -> None:
    ledger = results.open(folder, create=True)
    ledger.append([run_row("a")], curve_rows("a"))
    before = counted(ledger)
    [real] = files(folder)
    foreign = {
        "notes.txt": b"hello",
        "data.parquet": b"PAR1",
        real.name + ".bak": real.read_bytes()[:99],
        "v1-short.parquet": b"",
        ".DS_Store": b"\0\0",
        "_SUCCESS": b"",
        f".{real.name}.12345678.tmp": real.read_bytes()[:500],
        "v1-" + "g" * 16 + real.name[19:]: b"",
    }
    for name, data in foreign.items():
        (folder / "runs" / name).write_bytes(data)
        (folder / name).write_bytes(data)
    pq.write_table(pa.table({"other": [1]}), folder / "runs" / "mine.parquet")
    (folder / "runs" / "folder.parquet").mkdir()
    (folder / "other").mkdir()
    for _ in range(2):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for a, b in zip(counted(ledger), before, strict=True):
                pd.testing.assert_frame_equal(a, b)
        assert ledger.check() == []
        ledger.compact()
    assert all((folder / "runs" / name).read_bytes() == data for name, data in foreign.items())


def test_does_not_read_a_file_that_a_filter_excludes(folder: Path) -> None:
    """Its pages are damaged, which is noticed only when they are read."""
    ledger_of(folder, 8, 128)
    flip(file_of(folder, 8), page_of(file_of(folder, 8), "run_id"))
    ledger = results.open(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert depths(ledger.runs(depth=128)) == [128]
        assert depths(ledger.runs(depth=[64, 128])) == [128]
        assert depths(ledger.runs(run_id="128-0")) == [128]
    with pytest.warns(DamagedFileWarning):
        assert depths(ledger.runs(depth=8)) == []


def test_does_not_read_a_row_group_that_a_filter_excludes(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, "CELLS_PER_GROUP", 10 * len(TABLES["runs"].columns))
    ledger = ledger_of(folder, 8, 128, runs_each=10)
    ledger.compact()
    [merged] = files(folder)
    metadata = pq.read_metadata(merged)
    assert metadata.num_row_groups == 2
    by_depth = metadata.schema.names.index("depth")
    assert [metadata.row_group(k).column(by_depth).statistics.max for k in (0, 1)] == [8, 128]
    flip(merged, page_of(merged, "cause", row_group=0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert depths(ledger.runs(depth=128)) == [128] * 10
    with pytest.warns(DamagedFileWarning):
        assert depths(ledger.runs(depth=8)) == []


def test_does_not_read_other_columns_of_a_row_group_without_a_match(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The statistics allow a match; only the column of the filter excludes it."""
    monkeypatch.setattr(formats, "CELLS_PER_GROUP", 10 * len(TABLES["runs"].columns))
    ledger = results.open(folder, create=True)
    ledger.append([run_row(f"{k:02}", seed=k, batch_size=k % 10) for k in range(0, 40, 2)])
    [path] = files(folder)
    metadata = pq.read_metadata(path)
    by_seed = metadata.schema.names.index("batch_size")
    ranges = [metadata.row_group(k).column(by_seed).statistics for k in (0, 1)]
    assert [(each.min, each.max) for each in ranges] == [(0, 8)] * 2
    flip(path, page_of(path, "cause", row_group=0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ledger.runs(run_id="38")["seed"].to_list() == [38]
        assert len(ledger.runs(batch_size=3)) == 0
    with pytest.warns(DamagedFileWarning):
        assert ledger.runs(batch_size=4).empty


def test_does_not_read_curves_of_other_runs(folder: Path) -> None:
    ledger = results.open(folder, create=True)
    for name in ("a", "b"):
        ledger.append([run_row(name, depth=ord(name))], curve_rows(name))
    for path in files(folder, "curves"):
        if pq.read_table(path)["run_id"][0].as_py() == "b":
            flip(path, page_of(path, "train_loss"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(ledger.curves(run_id="a")) == 3
        assert len(ledger.curves(depth=ord("a"))) == 3
    with pytest.warns(DamagedFileWarning):
        assert len(ledger.curves()) == 3


def test_rejects_a_newer_schema(folder: Path) -> None:
    ledger = ledger_of(folder, 8)
    [path] = files(folder)
    newer = VERSION + 1
    path.rename(path.with_name(f"v{newer}-{path.name.partition('-')[2]}"))
    refusal = f"has runs of schema version {newer}, newer than {VERSION}, the ne"
    for ask in (ledger.runs, ledger.check, ledger.compact, ledger.experiments):
        with pytest.raises(LedgerError, match=refusal):
            ask()
    assert ledger.verdicts().empty
