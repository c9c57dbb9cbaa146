"""Files of a ledger that are no files, or that would fill the memory, whoever wrote them."""

import errno
import io
import json
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import pytest
from ledger_rows import everything, files, run_row

import results
from results import DamagedFileWarning, Ledger, LedgerError
from results.schema.tables import TABLES, VERSION
from results.storage import folder as folders
from results.storage import limits
from results.storage.checkpoints import FOLDER as CHECKPOINTS
from results.storage.claims import FOLDER as CLAIMS
from results.storage.claims import Claims
from results.storage.files import encode
from results.storage.folder import STALE_SECONDS, Folder
from results.storage.marker import NAME
from results.storage.reading import EPOCH, Reader
from results.storage.regular import UnfitFileError, open_regular

RUNS = TABLES["runs"]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    results.open(tmp_path / "ledger", create=True).append([run_row("sound")])
    return tmp_path / "ledger"


def planted(place: Path, data: bytes, table: str = "runs") -> Path:
    """Write a file with the digests of its content in its name, as a malicious writer would."""
    size = int.from_bytes(data[-8:-4], "little") + 8
    footer, content = (blake2b(part, digest_size=8).hexdigest() for part in (data[-size:], data))
    path = place / table / f"v6-{'0' * 16}-{footer}-{content}.parquet"
    path.write_bytes(data)
    return path


def parquet(columns: dict[str, Any], **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink, **options)
    return sink.getvalue()


def repeated(text: str, rows: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), [text])


BOMBS: dict[str, Callable[[], bytes]] = {
    "many rows": lambda: parquet({"depth": np.zeros(2_000_000, int)}, compression="zstd"),
    "rows of nulls": lambda: parquet({"depth": pa.nulls(2_000_000, pa.int64())}),
    "a text repeated by a dictionary": lambda: parquet(
        {"cause": repeated("x" * 2**20, 100)}, compression="zstd"
    ),
    "a text repeated by its prefix": lambda: parquet(
        {"cause": ["x" * 2**20 + str(k) for k in range(100)]},
        use_dictionary=False,
        column_encoding={"cause": "DELTA_BYTE_ARRAY"},
        compression="zstd",
    ),
    "many row groups": lambda: parquet({"depth": list(range(500))}, row_group_size=1),
    "many columns": lambda: parquet({f"c{k}": [1] for k in range(500)}),
    "a name that is no text": lambda: parquet({"run_iX": ["a"]}).replace(b"run_iX", b"run_i\x80"),
    "nested columns": lambda: parquet({"run_id": [[["a"]]]}),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_file_that_would_fill_the_memory_is_left_out(place: Path, bomb: str) -> None:
    path = planted(place, BOMBS[bomb]())
    before = pa.total_allocated_bytes()
    with pytest.warns(DamagedFileWarning, match=path.name):
        assert results.open(place).runs()["run_id"].to_list() == ["sound"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DamagedFileWarning)
        for query in ({"cause": "x" * 2**20}, {"depth": 0}, {"run_id": "sound"}):
            assert len(results.open(place).runs(["run_id"], **query)) <= 1
    assert [damage.path for damage in results.open(place).check()] == [f"runs/{path.name}"]
    assert pa.default_memory_pool().max_memory() < 2**29
    assert pa.total_allocated_bytes() - before < 2**22
    results.open(place).append([run_row("another")])
    results.open(place).compact()
    assert [damage.path for damage in results.open(place).quarantine()] == [f"runs/{path.name}"]
    assert set(results.open(place).runs()["run_id"]) == {"sound", "another"}


def test_what_a_ledger_writes_it_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that are all alike would be as small as a bomb, and are written without compression."""
    ledger = results.open(tmp_path, create=True)
    same = {"quantity": "value", "value": 1.0, "created": run_row()["started"]}
    rows = pa.Table.from_pylist([same] * 200, TABLES["measurements"].schema)
    monkeypatch.setattr(limits, "FREE_BYTES", 2**10)
    monkeypatch.setattr(limits, "RATIO", 64)
    for count in (1, 300):
        file, data = encode(TABLES["measurements"], pa.concat_tables([rows] * count))
        ledger._folder.publish(file.path, data)
    assert ledger.check() == []
    assert len(Reader(Folder(tmp_path)).read(TABLES["measurements"])) == 301 * 200
    monkeypatch.setattr(limits, "MOST_DECODED_BYTES", 2**10)
    with pytest.raises(LedgerError, match="append them in parts"):
        ledger.append([run_row(f"{k}") for k in range(300)])


def test_files_that_exceed_their_size_are_not_read(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As sparse files, which take no space on the disk."""
    [path] = files(place)
    huge = path.with_name(path.name.replace(f"v{VERSION}-", "v5-"))
    with huge.open("wb") as file:
        file.truncate(2**42)
    with pytest.warns(DamagedFileWarning, match=f"{2**42} bytes"):
        assert len(results.open(place).runs()) == 1
    assert [damage.path for damage in results.open(place).check()] == [f"runs/{huge.name}"]
    huge.unlink()
    saved = results.open(place).checkpoints
    saved.save(["a"], b"data")
    [checkpoint] = files(place, CHECKPOINTS)
    os.truncate(checkpoint, 2**42)
    with pytest.warns(DamagedFileWarning, match="more than"):
        assert saved.load(["a"]) is None
    assert results.open(place).checkpoints.groups() in ([], [("a",)])
    for name in (EPOCH, NAME):
        (place / name).touch()
        os.truncate(place / name, 2**42)
        with pytest.raises(LedgerError, match="more than"):
            results.open(place).runs()


@contextmanager
def not_hanging(seconds: float = 60.0) -> Iterator[None]:
    begun = time.monotonic()
    yield
    assert time.monotonic() - begun < seconds


@pytest.mark.parametrize("kind", ["pipe", "device", "link to a device"])
def test_what_is_no_regular_file_is_not_read(place: Path, kind: str) -> None:
    def put(path: Path) -> None:
        path.unlink(missing_ok=True)
        path.parent.mkdir(exist_ok=True)
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "device":
            try:
                os.mknod(path, 0o20666, os.makedev(1, 5))
            except PermissionError:
                pytest.skip("may not make devices")
        else:
            path.symlink_to("/dev/zero")

    ledger = results.open(place)
    [path] = files(place)
    with not_hanging():
        put(path.with_name(path.name.replace(f"v{VERSION}-", "v5-")))
        assert len(results.open(place).runs()) == 1
        put(place / CLAIMS / "other.json")
        with Claims(Folder(place), "one") as claims:
            assert claims.take(["a"]) == {"a"}
        ledger.checkpoints.save(["a"], b"data")
        put(files(place, CHECKPOINTS)[0])
        with pytest.warns(DamagedFileWarning, match="not a regular file"):
            assert ledger.checkpoints.load(["a"]) is None
        assert results.open(place).checkpoints.groups() == []
        for name in (EPOCH, NAME):
            put(place / name)
            with pytest.raises(LedgerError, match="not a regular file"):
                results.open(place).runs()
        with pytest.raises(UnfitFileError):
            open_regular(place / NAME)


REGISTER = {"about": "x", "host": "h", "machine": "m", "pid": 1, "beat": 1, "ended": False}


@pytest.mark.parametrize(
    "odd",
    [
        {"pid": -1}, {"pid": 2**80}, {"pid": "1"}, {"pid": None}, {"beat": []}, {"about": 5},
        {"runs": [[1]]}, {"runs": 7}, {"ended": "no"}, {"more": 1}, {"host": {}},
    ],
    ids=str,
)  # fmt: skip
def test_a_register_that_is_none_holds_nothing(place: Path, odd: dict[str, Any]) -> None:
    (place / CLAIMS).mkdir()
    register = {**REGISTER, "runs": ["a"], **odd}
    (place / CLAIMS / "other.json").write_text(json.dumps(register))
    (place / CLAIMS / "deep.json").write_text("[" * 100_000)
    with Claims(Folder(place), "one") as claims:
        assert claims.take(["a"]) == {"a"}


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("runs", lambda ledger: ledger.append([run_row("b")])),
        ("runs", lambda ledger: ledger.compact()),
        ("runs", lambda ledger: ledger.ensure_writable()),
        ("verdicts", lambda ledger: ledger.ensure_writable()),
        ("checkpoints", lambda ledger: ledger.checkpoints.save(["a"], b"data")),
        ("claims", lambda ledger: ledger.claims("one").__enter__()),
        ("quarantine", lambda ledger: ledger.quarantine()),
        ("quarantine/runs", lambda ledger: ledger.quarantine()),
    ],
)
def test_no_link_is_followed_on_writing(
    place: Path, tmp_path: Path, name: str, write: Callable[[Ledger], object]
) -> None:
    ledger = results.open(place)
    for run_id in "xy":
        ledger.append([run_row(run_id)])
    if name.startswith("quarantine"):
        files(place)[0].write_bytes(b"damaged")
    elsewhere = tmp_path / "elsewhere"
    link = place / name
    link.parent.mkdir(exist_ok=True)
    if link.exists():
        link.rename(elsewhere)
    elsewhere.mkdir(exist_ok=True)
    link.symlink_to(elsewhere)
    before = everything(elsewhere)
    with pytest.raises(LedgerError, match=r"is a link, which is not followed"):
        write(results.open(place))
    assert everything(elsewhere) == before


def test_the_folder_of_a_ledger_may_be_a_link(place: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(place)
    results.open(tmp_path / "link").append([run_row("through a link")])
    assert "through a link" in set(results.open(place).runs()["run_id"])


def test_a_link_in_place_of_a_file_is_replaced(place: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    (place / EPOCH).symlink_to(precious)
    ledger = results.open(place)
    ledger.append([run_row("b")])
    ledger.compact()
    assert not (place / EPOCH).is_symlink()
    assert precious.read_text() == "mine"


def test_absence_is_asked_of_the_file_system(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store answers OSError where a disk answers FileNotFoundError."""
    real = Folder._open

    @contextmanager
    def open_as_a_store(self: Folder, name: str, most: int) -> Iterator[Any]:
        try:
            with real(self, name, most) as opened:
                yield opened
        except FileNotFoundError:
            raise OSError(errno.EIO, "NO_SUCH_KEY") from None

    monkeypatch.setattr(Folder, "_open", open_as_a_store)
    ledger = results.open(place)
    listed = ledger._reader.files(RUNS)
    paths = [str(place / file.path) for file in listed]
    gone = ledger._folder.filesystem.get_file_info(paths)
    results.open(place).append([run_row("b")])
    results.open(place).compact()
    assert ledger._reader.faults(listed) == {}
    with pytest.raises(FileNotFoundError):
        ledger._reader.scan(RUNS, listed, {})
    assert ledger.checkpoints.load(["none"]) is None
    with pytest.raises(LedgerError, match="there is no ledger"):
        results.open(place.parent / "none")
    real_entries, stale = Folder.entries, [listed]

    def late(self: Folder, name: str = "") -> Any:
        if name == "runs" and stale:
            stale.pop()
            return gone
        return real_entries(self, name)

    monkeypatch.setattr(Folder, "entries", late)
    assert len(ledger.runs()) == 2


def test_a_store_out_of_reach_damages_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    elsewhere = pafs.SubTreeFileSystem(str(tmp_path), pafs.LocalFileSystem())
    ledger = results.open("ledger", create=True, filesystem=elsewhere)
    ledger.append([run_row("a")])

    def refuse(*_: object) -> None:
        raise OSError(errno.ETIMEDOUT, "timed out")

    monkeypatch.setattr(Folder, "pieces", refuse)
    with pytest.raises(LedgerError, match="timed out"):
        ledger.check()


def test_a_clock_ahead_deletes_no_file_of_others(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ages are differences of the file system's own times."""
    live = place / "runs" / ".v6.0123.tmp"
    live.touch()
    monkeypatch.setattr(time, "time", lambda: 2e9 + 2 * STALE_SECONDS)
    results.open(place).compact()
    assert live.exists()
    monkeypatch.undo()
    old = time.time() - STALE_SECONDS - 60
    os.utime(live, (old, old))
    monkeypatch.setattr(time, "time", lambda: 0.0)
    results.open(place).compact()
    assert not live.exists()
    assert not [name for name in everything(place) if "trial" in name]


def test_a_row_at_the_end_of_time_does_not_stop_the_clock(place: Path) -> None:
    ledger = results.open(place)
    row = run_row("late", recorded=pd.Timestamp("9999-12-31T23:59:59.999999Z"))
    ledger.append([row])
    first = results.open(place).now()
    assert first.year < 9000
    assert ledger.now() > first


def test_a_read_is_bounded() -> None:
    """The limits hold for what `Folder` reads in any case."""
    with tempfile.TemporaryDirectory() as name:
        place = Folder(name)
        place.publish("file", b"12345")
        assert place.read("file", most=5) == b"12345"
        assert b"".join(place.pieces("file", most=5)) == b"12345"
        with pytest.raises(UnfitFileError, match="5 bytes, more than the 4"):
            place.read("file", most=4)
        assert folders.PIECE_BYTES > 5
