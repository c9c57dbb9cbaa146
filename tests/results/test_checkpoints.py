"""Checkpoints in the ledger."""

import warnings
from pathlib import Path

import pytest

import results
from results import Checkpoints, DamagedFileWarning, LedgerError


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "ledger"


@pytest.fixture
def kept(place: Path) -> Checkpoints:
    return results.open(place, create=True).checkpoints


def files(place: Path) -> list[Path]:
    return sorted((place / "checkpoints").iterdir())


def test_keeps_the_last_checkpoint_of_each_group(place: Path, kept: Checkpoints) -> None:
    assert kept.groups() == []
    assert kept.load(["a"]) is None
    kept.save(["a", "b"], b"first\n\n")
    kept.save(["b", "a"], b"other lanes")
    kept.save(["a", "b"], b"second\n\n")
    again = results.open(place).checkpoints
    assert sorted(again.groups()) == [("a", "b"), ("b", "a")]
    assert again.load(["a", "b"]) == b"second\n\n"
    assert again.load(["a"]) is None
    again.remove(["a", "b"])
    again.remove(["a", "b"])
    assert kept.load(["a", "b"]) is None
    kept.remove(["a", "b"])
    assert kept.groups() == [("b", "a")]
    assert len(files(place)) == 1


def test_checkpoints_are_not_part_of_the_tables(place: Path, kept: Checkpoints) -> None:
    kept.save(["a"], b"data")
    ledger = results.open(place)
    assert ledger.runs().empty
    assert ledger.check() == []
    ledger.compact()
    assert ledger.checkpoints.load(["a"]) == b"data"


def test_rejects_a_damaged_checkpoint(place: Path, kept: Checkpoints) -> None:
    kept.save(["a", "b"], bytes(range(256)))
    [path] = files(place)
    whole = path.read_bytes()
    spoiled = [whole[:size] for size in range(len(whole))] + [whole + b"\0"]
    spoiled += [
        whole[:at] + bytes([whole[at] ^ 1 << at % 8]) + whole[at + 1 :] for at in range(len(whole))
    ]
    for data in spoiled:
        path.write_bytes(data)
        assert results.open(place).checkpoints.groups() in ([], [("a", "b")])
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            answer = results.open(place).checkpoints.load(["a", "b"])
        assert answer is None
        assert [w.category for w in caught] == [DamagedFileWarning]
        assert path.name in str(caught[0].message)
    path.write_bytes(whole)
    assert kept.load(["a", "b"]) == bytes(range(256))


def test_leaves_foreign_files_alone(place: Path, kept: Checkpoints) -> None:
    kept.save(["a"], b"data")
    names = [".x.checkpoint.12345678.tmp", "notes.txt", "x.checkpoint", ".y.checkpoint"]
    for name in names:
        (place / "checkpoints" / name).write_bytes(b'{"run_ids":["z"],"sha256":"0"}\n')
    assert results.open(place).checkpoints.groups() == [("a",)]
    assert {path.name for path in files(place)} >= set(names)


def test_a_full_disk_keeps_the_previous_checkpoint(
    place: Path, kept: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.save(["a"], b"data")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("results.storage.folder.os.fsync", full)
    with pytest.raises(LedgerError, match="No space left on device"):
        kept.save(["a"], b"more data")
    assert kept.load(["a"]) == b"data"
    assert len(files(place)) == 1
