"""Damaged files moved out of the way: named, kept, and nothing else lost."""

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
    """Flip a bit of the file's last page; the bytes that are left."""
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)
    return bytes(data)


def file_of(folder: Path, name: str) -> Path:
    """The file of runs that holds a run."""
    [path] = [path for path in files(folder) if name.encode() in path.read_bytes()]
    return path


def ids(ledger: Ledger) -> list[str]:
    """The runs that the ledger gives, which it must without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return sorted(ledger.runs()["run_id"])


def test_damaged_files_are_moved_and_never_warned_of_again(folder: Path) -> None:
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


def test_a_sound_ledger_is_left_as_it_is(folder: Path) -> None:
    ledger = ledger_of(folder, "run-a")
    assert ledger.quarantine() == []
    assert not (folder / "quarantine").exists()


def test_a_file_that_could_not_be_read_once_stays(
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


def test_a_file_that_another_process_has_moved_is_no_error(folder: Path) -> None:
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


def test_a_compaction_at_the_same_time_loses_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Damaged after a compaction has found it sound, moved before that reads it."""
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


def test_on_another_filesystem(folder: Path, tmp_path: Path) -> None:
    """One that has folders, and is not known to be the local disk."""
    elsewhere = pafs.SubTreeFileSystem(str(tmp_path), pafs.LocalFileSystem())
    ledger_of(folder, "run-a", "run-b")
    spoil(file_of(folder, "run-a"))
    ledger = results.open("ledger", filesystem=elsewhere)
    [moved] = ledger.quarantine()
    assert (folder / "quarantine" / moved.path).exists()
    assert ids(ledger) == ["run-b"]
