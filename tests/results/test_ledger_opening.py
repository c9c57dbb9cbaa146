"""Opening and creating ledgers, also without permissions or space."""

import errno
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow.fs as pafs
import pytest
from ledger_rows import assert_same, counted, curve_rows, everything, files, run_row, verdict_row

import results
from results import LedgerError
from results.storage import folder

MARKER = "mupc-ledger.json"


def nothing(place: Path) -> None:
    pass


def empty_folder(place: Path) -> None:
    place.mkdir()


def a_file(place: Path) -> None:
    place.write_text("hello")


def other_things(place: Path) -> None:
    place.mkdir()
    (place / "thesis.tex").write_text("hello")


def marker(content: str | bytes) -> Callable[[Path], None]:
    def make(place: Path) -> None:
        place.mkdir()
        (place / MARKER).write_bytes(content.encode() if isinstance(content, str) else content)

    return make


NEWER = json.dumps({"format": "mupc-ledger", "layout": 2})

FOREIGN = [
    (nothing, False, "there is no ledger at"),
    (empty_folder, False, "is not a ledger: it is empty"),
    (a_file, False, "is a file, not the folder of a ledger"),
    (a_file, True, "is a file, not the folder of a ledger"),
    (other_things, False, "is not a ledger: it holds other things and no mupc-ledger.json"),
    (other_things, True, "is not a ledger: it holds other things and no mupc-ledger.json"),
    (marker(""), True, "is not a ledger: its mupc-ledger.json is unreadable"),
    (marker(b"\xff\xfe"), True, "is not a ledger: its mupc-ledger.json is unreadable"),
    (marker("[1, 2]"), True, "is not a ledger: its mupc-ledger.json is unreadable"),
    (marker('{"format": "other", "layout": 1}'), True, "its mupc-ledger.json is unreadable"),
    (marker('{"format": "mupc-ledger"}'), True, "its mupc-ledger.json is unreadable"),
    (marker(NEWER), False, "has layout 2, newer than 1, the newest that this version of mupc read"),
]


@pytest.mark.parametrize(("make", "create", "message"), FOREIGN)
def test_does_not_change_a_folder_that_is_no_ledger(
    tmp_path: Path, make: Callable[[Path], None], create: bool, message: str
) -> None:
    place = tmp_path / "place"
    make(place)
    before = everything(tmp_path)
    with pytest.raises(LedgerError, match=message) as caught:
        results.open(place, create=create)
    assert str(place) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert everything(tmp_path) == before


@pytest.mark.parametrize("uri", ["nope://bucket/runs", "://", "file://"])
def test_rejects_an_invalid_uri(uri: str) -> None:
    with pytest.raises(LedgerError) as caught:
        results.open(uri)
    assert "\n" not in str(caught.value)


def test_hides_the_secret_of_a_uri() -> None:
    with pytest.raises(LedgerError, match=r"'nope://\.\.\.@bucket/runs' holds a key") as caught:
        results.open("nope://someone:secret@bucket/runs")
    assert "secret" not in str(caught.value)


def test_creates_a_ledger_in_a_missing_folder(tmp_path: Path) -> None:
    place = tmp_path / "some" / "where"
    with pytest.raises(LedgerError):
        results.open(place)
    ledger = results.open(place, create=True)
    ledger.append([run_row("a")])
    assert len(results.open(place, create=True).runs()) == 1
    assert repr(ledger) == f"results.open({str(place)!r})"


def test_creates_a_ledger_in_a_folder_with_hidden_files(tmp_path: Path) -> None:
    (tmp_path / ".gitkeep").touch()
    results.open(tmp_path, create=True).append([run_row("a")])
    assert len(results.open(tmp_path).runs()) == 1
    assert (tmp_path / ".gitkeep").exists()


def test_many_processes_may_create_it_at_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda _: results.open(tmp_path / "new", create=True), range(8)))
    made[0].append([run_row("a")])
    assert all(len(ledger.runs()) == 1 for ledger in made)
    assert {path for path in everything(tmp_path / "new") if "tmp" in path} == set()


def test_another_process_may_create_it_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = folder.Folder.entries

    def late(self: folder.Folder, name: str = "") -> list[pafs.FileInfo]:
        monkeypatch.undo()
        results.open(tmp_path, create=True).append([run_row("a")])
        return entries(self, name)

    monkeypatch.setattr(folder.Folder, "entries", late)
    assert len(results.open(tmp_path, create=True).runs()) == 1


def test_a_folder_created_while_arrow_lists_it_is_empty() -> None:
    class Racing:
        """Fail like Arrow if the folder is created while it lists."""

        def get_file_info(self, selector: pafs.FileSelector) -> list[pafs.FileInfo]:
            assert selector.allow_not_found
            raise FileNotFoundError(2, "Cannot list directory")

    assert folder.Folder("ledger", Racing()).entries("runs") == []  # type: ignore[arg-type]


def test_a_relative_path_is_resolved_when_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ledger = results.open("runs", create=True)
    monkeypatch.chdir("/")
    ledger.append([run_row("a")])
    assert len(results.open(tmp_path / "runs").runs()) == 1


@pytest.fixture
def as_anyone() -> Iterator[Path]:
    """A folder of an unprivileged user, who runs the test."""
    place = Path(tempfile.mkdtemp())
    root = os.geteuid() == 0
    if root:
        os.chown(place, 65534, 65534)
        os.seteuid(65534)
    try:
        yield place
    finally:
        if root:
            os.seteuid(0)
        for top, names, _ in os.walk(place):
            for name in names:
                (Path(top) / name).chmod(stat.S_IRWXU)
        place.chmod(stat.S_IRWXU)
        shutil.rmtree(place)


def test_a_ledger_without_write_permission(as_anyone: Path) -> None:
    ledger = results.open(as_anyone / "ledger", create=True)
    ledger.append([run_row("a")])
    before = everything(as_anyone)
    for name in ("ledger/runs", "ledger"):
        (as_anyone / name).chmod(stat.S_IRUSR | stat.S_IXUSR)
    for write in (
        lambda: ledger.append([run_row("b")]),
        lambda: ledger.append([run_row("b")], curve_rows("b")),
        lambda: ledger.append_verdicts([verdict_row()]),
    ):
        with pytest.raises(LedgerError, match=r"cannot write to '.*ledger': Permission denied"):
            write()
    assert everything(as_anyone) == before
    assert len(results.open(as_anyone / "ledger", create=True).runs()) == 1


def test_a_parent_without_write_permission(as_anyone: Path) -> None:
    as_anyone.chmod(stat.S_IRUSR | stat.S_IXUSR)
    with pytest.raises(LedgerError, match=r"cannot write to '.*new': Permission denied"):
        results.open(as_anyone / "new", create=True)


def test_a_ledger_without_read_permission(as_anyone: Path) -> None:
    ledger = results.open(as_anyone / "ledger", create=True)
    ledger.append([run_row("a")])
    (as_anyone / "ledger").chmod(0)
    for read in (lambda: results.open(as_anyone / "ledger"), ledger.runs, ledger.check):
        with pytest.raises(LedgerError, match=r"cannot read .*Permission denied"):
            read()


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = results.open(tmp_path / "ledger", create=True)
    ledger.append([run_row("a")], curve_rows("a"))
    before, answer = everything(tmp_path), counted(ledger)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(folder.os, "fsync", full)
        with pytest.raises(LedgerError, match=r"cannot write to .*: No space left on device"):
            ledger.append([run_row("b")], curve_rows("b"))
    assert everything(tmp_path) == before
    assert_same(counted(ledger), answer)


def no_hard_links(patch: pytest.MonkeyPatch) -> None:
    def link(source: Path, target: Path) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    patch.setattr(folder.os, "link", link)


@pytest.mark.parametrize("prepare", [lambda patch: None, no_hard_links], ids=["link", "rename"])
def test_publishing_replaces_only_on_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prepare: Callable[[pytest.MonkeyPatch], None]
) -> None:
    prepare(monkeypatch)
    place = folder.Folder(tmp_path)
    place.publish("deep/er/file", b"first")
    with pytest.raises(FileExistsError):
        place.publish("deep/er/file", b"second")
    assert place.read("deep/er/file") == b"first"
    place.publish("deep/er/file", b"third", replace=True)
    assert place.read("deep/er/file") == b"third"
    assert place.read("deep/er/file", last=2) == b"rd"
    assert everything(tmp_path) == {"deep/er/file"}
    with pytest.raises(LedgerError, match=r"cannot write to .*: Not a directory"):
        place.publish("deep/er/file/below", b"")


def test_syncs_a_file_before_renaming_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, bool]] = []
    target = tmp_path / "file"
    for name in ("fsync", "link"):
        real = getattr(os, name)

        def spy(*args: object, name: str = name, real: Callable[..., None] = real) -> None:
            seen.append((name, target.exists()))
            real(*args)

        monkeypatch.setattr(folder.os, name, spy)
    folder.Folder(tmp_path).publish("file", b"data")
    assert seen == [("fsync", False), ("link", False), ("fsync", True)]  # the last: of the folder


@pytest.fixture
def elsewhere(tmp_path: Path) -> pafs.FileSystem:
    """A file system that the ledger does not recognise as the local disk."""
    return pafs.SubTreeFileSystem(str(tmp_path), pafs.LocalFileSystem())


def test_a_ledger_on_another_filesystem(tmp_path: Path, elsewhere: pafs.FileSystem) -> None:
    with pytest.raises(LedgerError, match="there is no ledger at 'bucket/ledger'"):
        results.open("bucket/ledger", filesystem=elsewhere)
    here = results.open(tmp_path / "local", create=True)
    there = results.open("bucket/ledger", create=True, filesystem=elsewhere)
    for k in range(3):
        for ledger in (here, there):
            ledger.append([run_row(f"{k}", depth=k, group=f"{k:016x}")], curve_rows(f"{k}"))
            ledger.append_verdicts([verdict_row(depth=k)])
    assert_same(counted(there), counted(here))
    assert there.check() == []
    assert there.compact() == 6
    assert len(files(tmp_path / "bucket" / "ledger")) == 1
    assert_same(counted(there), counted(here))
    with pytest.raises(LedgerError, match="is not a ledger"):
        results.open("bucket", create=True, filesystem=elsewhere)
    assert [name for name in everything(tmp_path) if "tmp" in name] == []


@pytest.mark.parametrize("stores", [set(), {"subtree"}], ids=["moves", "is an object store"])
def test_publishing_on_another_filesystem(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    elsewhere: pafs.FileSystem,
    stores: set[str],
) -> None:
    monkeypatch.setattr(folder, "OBJECT_STORES", stores)
    (tmp_path / "bucket").mkdir()
    place = folder.Folder("bucket", elsewhere)
    place.publish("file", b"first")
    with pytest.raises(FileExistsError):
        place.publish("file", b"second")
    place.publish("file", b"third", replace=True)
    assert place.read("file") == b"third"
    assert everything(tmp_path) == {"bucket/file"}
    with pytest.raises(LedgerError, match="cannot write to 'bucket'"):
        place.publish("file/below", b"")


def test_a_uri_of_the_local_disk(tmp_path: Path) -> None:
    uri = (tmp_path / "ledger").as_uri()
    results.open(uri, create=True).append([run_row("a")])
    assert len(results.open(tmp_path / "ledger").runs()) == 1
    assert repr(results.open(uri)) == f"results.open({uri!r})"
