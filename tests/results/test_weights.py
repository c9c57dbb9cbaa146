"""Weights beside the ledger: what is read back, what is refused, what is removed."""

import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fewer import examples
from hypothesis import given
from hypothesis import strategies as st
from ledger_rows import run_row

import results
from results import Ledger, LedgerError
from results.storage import exported, folder, weights
from results.storage.exported import export, read_weights
from results.storage.weights import KeptWeights, decode, encode

RUN, OTHER = "0123456789abcdef0123", "0123456789ffffffffff"
ARRAYS = {f"layers.{n}.weight": np.full((3, 2), n, np.float32) for n in (0, 1, 2, 10)}
ABOUT = {"variant": "mupc", "network": {"depth": 3}, "data": {"name": "µ", "mean": 0.1}}


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return results.open(tmp_path / "runs", create=True)


def keep(ledger: Ledger, run_id: str = RUN, **others: Any) -> Path:
    """Keep the weights of a run and record it; return their file."""
    digest = ledger.weights.save(run_id, ARRAYS, ABOUT)
    ledger.append([run_row(run_id, weights_digest=digest, **others)])
    return Path(ledger._folder.path(f"weights/{run_id}-{digest}.safetensors"))


def assert_kept(found: KeptWeights, run_id: str = RUN) -> None:
    assert found.description == {"run_id": run_id, **ABOUT}
    assert found.arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert found.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(found.arrays[name], array)


def test_another_process_reads_what_was_kept(ledger: Ledger, tmp_path: Path) -> None:
    keep(ledger)
    other = results.open(tmp_path / "runs")
    assert_kept(other.kept(RUN))
    assert other.runs()["weights_digest"].str.len().to_list() == [64]
    assert other.check() == []


def test_equal_weights_have_equal_files() -> None:
    shuffled = dict(reversed(ARRAYS.items()))
    assert encode(ARRAYS, ABOUT) == encode(shuffled, dict(reversed(ABOUT.items())))


def test_safetensors_itself_reads_the_file(ledger: Ledger) -> None:
    from safetensors import safe_open

    with safe_open(keep(ledger), "numpy") as file:
        assert set(file.keys()) == set(ARRAYS)
        assert json.loads(file.metadata()["mupc"])["run_id"] == RUN


def test_a_run_is_named_by_the_first_characters_of_its_id(ledger: Ledger) -> None:
    keep(ledger)
    keep(ledger, OTHER)
    assert_kept(ledger.kept("0123456789a"))
    assert ledger.row("0123456789f")["run_id"] == OTHER
    with pytest.raises(LedgerError, match=f"2 runs have ids .* '0123' .{RUN}, {OTHER}"):
        ledger.row("0123")
    with pytest.raises(LedgerError, match="no run has the id 'f', or one that begins like it"):
        ledger.row("f")


def test_a_run_without_weights_says_how_to_train_it_again(ledger: Ledger) -> None:
    ledger.append([run_row(RUN)])
    with pytest.raises(LedgerError, match=rf"not kept: .*rebuild\('{RUN}'\)\), or set `keep: all`"):
        ledger.kept(RUN)


def test_weights_that_were_deleted_are_gone_and_no_damage(ledger: Ledger) -> None:
    keep(ledger).unlink()
    with pytest.raises(LedgerError, match=f"the weights of run {RUN} are gone"):
        ledger.kept(RUN)
    assert ledger.check() == []


def flip(data: bytes) -> bytes:
    return data[:-3] + bytes([data[-3] ^ 1]) + data[-2:]


@pytest.mark.parametrize(
    "damaged",
    [flip, lambda data: data[:-1], lambda data: data + b"x", lambda _: b"", lambda d: d[:4]],
    ids=["flipped", "truncated", "longer", "empty", "four bytes"],
)
def test_damaged_weights_are_refused_and_reported(
    ledger: Ledger, damaged: Callable[[bytes], bytes]
) -> None:
    file = keep(ledger)
    file.write_bytes(damaged(file.read_bytes()))
    sentence = r"^weights/\S+ is damaged: its content does not match its checksum$"
    with pytest.raises(LedgerError, match=sentence):
        ledger.kept(RUN)
    (found,) = ledger.check()
    assert found.path == f"weights/{file.name}"
    assert [each.path for each in ledger.quarantine()] == [found.path]
    assert ledger.check() == []
    with pytest.raises(LedgerError, match="are gone"):
        ledger.kept(RUN)


def test_weights_of_another_run_are_refused(ledger: Ledger) -> None:
    digest = keep(ledger).stem.partition("-")[2]
    ledger.append([run_row(OTHER, weights_digest=digest)])
    place = Path(ledger._folder.path("weights"))
    (place / f"{RUN}-{digest}.safetensors").rename(place / f"{OTHER}-{digest}.safetensors")
    with pytest.raises(LedgerError, match="is damaged: it is of another run"):
        ledger.kept(OTHER)


@pytest.mark.parametrize("digest", ["../../../etc/passwd", "0" * 63, "G" * 64])
def test_a_row_leads_to_no_other_file(ledger: Ledger, digest: str) -> None:
    ledger.append([run_row(RUN, weights_digest=digest), run_row("../x", weights_digest="0" * 64)])
    for run_id in (RUN, "../x"):
        with pytest.raises(LedgerError, match="there are no weights of run"):
            ledger.kept(run_id)


def test_only_regular_files_of_bounded_size_are_read(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = keep(ledger)
    monkeypatch.setattr(weights, "WEIGHTS_BYTES", 100)
    with pytest.raises(LedgerError, match=r"it has \d+ bytes, more than the 100 allowed"):
        ledger.kept(RUN)
    with pytest.raises(LedgerError, match=r"the weights of run \w+ have \d+ bytes, more than"):
        ledger.weights.save(RUN, ARRAYS, ABOUT)
    monkeypatch.setattr(exported, "WEIGHTS_BYTES", 100)
    with pytest.raises(LedgerError, match="more than the 100 allowed"):
        read_weights(file)
    file.unlink()
    os.mkfifo(file)  # reading it would wait for ever
    with pytest.raises(LedgerError, match="it is not a regular file"):
        ledger.kept(RUN)
    with pytest.raises(LedgerError, match="it is not a regular file"):
        read_weights(file)


def declaring(shape: list[int], offsets: list[int], data: bytes = b"") -> bytes:
    """Return a file whose header declares one array."""
    array = {"dtype": "F32", "shape": shape, "data_offsets": offsets}
    header = json.dumps({"__metadata__": {"mupc": "{}"}, "a": array}).encode()
    return len(header).to_bytes(8, "little") + header + data


@pytest.mark.parametrize(
    "data",
    [
        (2**62).to_bytes(8, "little") + b"{}",
        (2**24 + 1).to_bytes(8, "little") + b" " * (2**24 + 1),
        declaring([2**40], [0, 2**42]),
        declaring([2**40, 2**40], [0, 0]),
        declaring([2**31, 0, 2**40], [0, 4], b"1234"),
        declaring([1], [-4, 0]),
        declaring([1], [0, 4]),
        b"\x02" + bytes(7) + b"[]",
        b"PK\x03\x04" + bytes(100),
    ],
)
def test_huge_or_foreign_declarations_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"its header declares|no safetensors file of mupc"):
        decode(data)


@pytest.mark.parametrize("name", ["../../x", "a/b", "", "file", "description", "a\nb"])
def test_names_of_arrays_lead_to_no_other_file(name: str) -> None:
    with pytest.raises(ValueError, match="it has an array named"):
        decode(encode({name: np.ones(2, np.float32)}, ABOUT))


@examples(120)
@given(st.data())
def test_changed_bytes_never_crash_the_reader(data: st.DataObject) -> None:
    whole = bytearray(encode(ARRAYS, ABOUT))
    for place in data.draw(st.lists(st.integers(0, 400), max_size=4)):
        whole[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(whole)))
    try:
        found = decode(bytes(whole[:cut] if data.draw(st.booleans()) else whole))
    except ValueError:
        return
    assert sum(array.nbytes for array in found.arrays.values()) <= len(whole)


def unrecorded(ledger: Ledger, run_id: str = OTHER) -> Path:
    """Leave the weights of a run that was never recorded."""
    digest = ledger.weights.save(run_id, {"a": np.ones(1)}, ABOUT)
    return Path(ledger._folder.path(f"weights/{run_id}-{digest}.safetensors"))


def test_a_driver_removes_what_killed_ones_left(ledger: Ledger) -> None:
    kept, left, own = keep(ledger), unrecorded(ledger), unrecorded(ledger, RUN)
    foreign = kept.parent / "notes.txt"
    foreign.touch()
    with ledger.claims("mine") as claims:
        ledger.remove_unrecorded_weights(claims)
    assert kept.exists()
    assert foreign.exists()
    assert not left.exists()
    assert not own.exists()  # of a recorded run, with another digest than that of its row


def test_weights_of_runs_that_another_driver_trains_stay(ledger: Ledger) -> None:
    left = unrecorded(ledger)
    with ledger.claims("other") as other, ledger.claims("mine") as mine:
        other.take([OTHER])
        ledger.remove_unrecorded_weights(mine)
        assert left.exists()
    with ledger.claims("mine") as mine:
        ledger.remove_unrecorded_weights(mine)
    assert not left.exists()


def test_compaction_removes_unrecorded_weights_a_day_later(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, left = keep(ledger), unrecorded(ledger)
    ledger.compact()
    assert left.exists()  # its run may be recorded in a moment
    monkeypatch.setattr(folder, "STALE_SECONDS", -1.0)
    ledger.compact()
    assert not left.exists()
    assert_kept(ledger.kept(RUN))
    assert kept.exists()


def test_nothing_is_removed_while_rows_are_damaged(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = keep(ledger)
    (rows,) = (kept.parents[1] / "runs").glob("*.parquet")
    rows.write_bytes(flip(rows.read_bytes()))
    monkeypatch.setattr(folder, "STALE_SECONDS", -1.0)
    with warnings.catch_warnings(), ledger.claims("mine") as claims:
        warnings.simplefilter("ignore")
        results.open(kept.parents[1]).remove_unrecorded_weights(claims)
        results.open(kept.parents[1]).compact()
    assert kept.exists()


@pytest.mark.parametrize("name", ["net.safetensors", "net.npz", "folder/net"])
def test_exports_hold_arrays_and_description(ledger: Ledger, tmp_path: Path, name: str) -> None:
    keep(ledger)
    place = tmp_path / name
    export(ledger.kept(RUN), place)
    if place.suffix == ".safetensors":
        assert_kept(read_weights(place))
    elif place.suffix == ".npz":
        with np.load(place, allow_pickle=False) as file:
            text = str(file["description"])
            assert_kept(KeptWeights({n: file[n] for n in ARRAYS}, json.loads(text)))
            assert set(file) == {*ARRAYS, "description"}
    else:
        arrays = {path.stem: np.load(path, allow_pickle=False) for path in place.glob("*.npy")}
        assert_kept(KeptWeights(arrays, json.loads((place / "description.json").read_text())))
    with pytest.raises(FileExistsError):
        export(ledger.kept(RUN), place)
    assert not list(tmp_path.glob(".*.tmp"))


def test_files_without_a_network_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"hello, this is no network")
    with pytest.raises(LedgerError, match="has no network: its header declares"):
        read_weights(tmp_path / "x")
    with pytest.raises(LedgerError, match=r"cannot read .*No such file"):
        read_weights(tmp_path / "y")
