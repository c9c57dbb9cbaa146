"""Quarantine of damaged files."""

import warnings
from collections.abc import Callable
from pathlib import Path

import pyarrow.fs as pafs
import pytest
from ledger_rows import curve_rows, files, run_row

import results
from results import DamagedFileWarning, Ledger


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "ledger"


def ledger_of(folder: Path, *names: str) -> Ledger:
    """A ledger with a file of runs and one of curves for each of the names."""
    ledger = results.open(folder, create=True)
    for name in names:
        ledger.append([run_row(name)], curve_rows(name))
    return ledger


def spoil(path: Path) -> bytes:
    """Flip a bit of the last page of a file; return the new bytes."""
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)
    return bytes(data)


def file_of(folder: Path, name: str) -> Path:
    """Return the file of runs with a run."""
    [path] = [path for path in files(folder) if name.encode() in path.read_bytes()]
    return path


def ids(ledger: Ledger) -> list[str]:
    """Return the runs in the ledger; check that no warning is raised."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return sorted(ledger.runs()["run_id"])


def test_moves_damaged_files_and_stops_warning(folder: Path) -> None:
    ledger = ledger_of(folder, "run-a", "run-b", "run-c")
    victim = file_of(folder, "run-b")
    left = spoil(victim)
    with pytest.warns(DamagedFileWarning):
        ledger.runs()
    [moved] = ledger.quarantine()
    assert moved.path == f"runs/{victim.name}"
    assert moved.cause in str(moved)
    assert (folder / "quarantine" / moved.path).read_bytes() == left
    assert ids(ledger) == ids(results.open(folder)) == ["run-a", "run-c"]
    assert sorted(set(ledger.curves()["run_id"])) == ["run-a", "run-c"]
    assert ledger.check() == ledger.quarantine() == []
    ledger.append([run_row("run-b")])  # it counts as never run
    assert ids(ledger) == ["run-a", "run-b", "run-c"]
    assert ledger.compact() > 0
    assert ids(ledger) == ["run-a", "run-b", "run-c"]
    assert (folder / "quarantine" / moved.path).read_bytes() == left


def test_does_not_change_an_intact_ledger(folder: Path) -> None:
    ledger = ledger_of(folder, "run-a")
    assert ledger.quarantine() == []
    assert not (folder / "quarantine").exists()


def test_keeps_a_file_that_only_one_read_failed_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = ledger_of(folder, "run-a", "run-b")
    read, refused = ledger._folder.read, []

    def hiccup(name: str, last: int | None = None) -> bytes:
        if name.startswith("runs/") and not refused:
            refused.append(name)
            raise OSError(5, "Input/output error")
        return read(name, last)

    monkeypatch.setattr(ledger._folder, "read", hiccup)
    assert ledger.quarantine() == []
    assert refused
    assert ids(ledger) == ["run-a", "run-b"]


def test_accepts_a_file_moved_by_another_process(folder: Path) -> None:
    ledger = ledger_of(folder, "run-a", "run-b")
    victim = file_of(folder, "run-a")
    spoil(victim)
    other, move = results.open(folder), ledger._folder.move

    def overtaken(name: str, to: str) -> None:
        assert len(other.quarantine()) == 1
        move(name, to)

    ledger._folder.move = overtaken  # type: ignore[method-assign]
    assert len(ledger.quarantine()) == 1
    assert (folder / "quarantine" / "runs" / victim.name).exists()
    assert ids(ledger) == ["run-b"]


def test_a_concurrent_compaction_loses_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file is damaged and moved after a compaction has checked and before it reads it."""
    ledger = ledger_of(folder, "run-a", "run-b", "run-c")
    victim = file_of(folder, "run-b")
    scan: Callable[..., object] = ledger._reader.scan

    def overtaken(*arguments: object) -> object:
        if victim.exists():
            spoil(victim)
            assert len(results.open(folder).quarantine()) == 1
        return scan(*arguments)

    monkeypatch.setattr(ledger._reader, "scan", overtaken)
    ledger.compact()
    assert ids(ledger) == ["run-a", "run-c"]
    ledger.compact()
    assert ids(ledger) == ["run-a", "run-c"]
    assert len(files(folder)) == 1


def test_quarantine_on_another_filesystem(folder: Path, tmp_path: Path) -> None:
    """A file system with folders that is not recognised as the local disk."""
    elsewhere = pafs.SubTreeFileSystem(str(tmp_path), pafs.LocalFileSystem())
    ledger_of(folder, "run-a", "run-b")
    spoil(file_of(folder, "run-a"))
    ledger = results.open("ledger", filesystem=elsewhere)
    [moved] = ledger.quarantine()
    assert (folder / "quarantine" / moved.path).exists()
    assert ids(ledger) == ["run-b"]
