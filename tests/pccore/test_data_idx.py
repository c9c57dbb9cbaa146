"""The IDX reader: round trips, and one-sentence errors for every kind of damage."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pccore.data import DatasetError
from pccore.data.idx import parse_idx, read_idx

# Type codes from the description of the format on the MNIST page.
CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}

ARRAYS = st.sampled_from(sorted(CODES)).flatmap(
    lambda kind: hnp.arrays(np.dtype(kind), hnp.array_shapes(max_dims=4, max_side=5))
)


def idx_bytes(array: np.ndarray) -> bytes:
    header = struct.pack(">HBB", 0, CODES[array.dtype.str[1:]], array.ndim)
    sizes = struct.pack(f">{array.ndim}I", *array.shape)
    return header + sizes + array.astype(array.dtype.newbyteorder(">")).tobytes()


@given(ARRAYS)
def test_round_trip_is_bitwise(array: np.ndarray) -> None:
    read = parse_idx(idx_bytes(array), "it")
    assert read.dtype == array.dtype
    assert read.shape == array.shape
    assert read.tobytes() == array.tobytes()


def test_reads_packed_and_plain_files(tmp_path: Path) -> None:
    array = np.arange(24, dtype=np.int32).reshape(2, 3, 4)
    content = idx_bytes(array)
    (tmp_path / "plain").write_bytes(content)
    (tmp_path / "packed").write_bytes(gzip.compress(content))
    for name in ("plain", "packed"):
        np.testing.assert_array_equal(read_idx(tmp_path / name, len(content)), array)


@given(ARRAYS, st.data())
def test_rejects_every_truncation(array: np.ndarray, data: st.DataObject) -> None:
    content = idx_bytes(array)
    kept = data.draw(st.integers(0, len(content) - 1))
    with pytest.raises(DatasetError, match="it"):
        parse_idx(content[:kept], "it")


@given(st.binary(max_size=40))
def test_arbitrary_bytes_give_an_array_or_dataset_error(content: bytes) -> None:
    try:
        array = parse_idx(content, "it")
    except DatasetError:
        return
    assert idx_bytes(array) == content


GOOD = idx_bytes(np.arange(6, dtype=np.uint8).reshape(2, 3))

DAMAGED = {
    "nothing": (b"", "starts with nothing"),
    "wrong magic": (b"\x01" + GOOD[1:], "starts with 01 00 08 02"),
    "unknown type": (GOOD[:2] + b"\x0a" + GOOD[3:], "a type code"),
    "no dimensions": (GOOD[:3] + b"\0" + GOOD[4:], "number of dimensions"),
    "65 dimensions": (b"\0\0\x08\x41" + b"\0\0\0\1" * 65 + b"\0", "number of dimensions"),
    "cut header": (GOOD[:7], "7 bytes, expected 12"),
    "one byte short": (GOOD[:-1], r"17 bytes long, .* declares 18 for shape \(2, 3\)"),
    "one byte long": (GOOD + b"\0", "19 bytes long"),
    "empty": (struct.pack(">HBBII", 0, 8, 2, 0, 3), r"shape \(0, 3\)"),
    # A header of 2^64 numbers or more must neither overflow nor allocate memory.
    "oversized": (
        struct.pack(">HBBII", 0, 8, 2, 2**32 - 1, 2**32 - 1) + b"\0",
        "18446744065119617",
    ),
    "wrapping": (struct.pack(">HBB4I", 0, 8, 4, *[2**16] * 4), "declares 18446744073709551636"),
}


@pytest.mark.parametrize(("content", "cause"), DAMAGED.values(), ids=DAMAGED.keys())
def test_damage_error_names_the_cause(content: bytes, cause: str) -> None:
    with pytest.raises(DatasetError, match=cause):
        parse_idx(content, "some/file")


def test_gzip_bomb_stops_at_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(bytes(10_000_000)))
    with pytest.raises(DatasetError, match="more than the 1000 bytes"):
        read_idx(path, 1000)


@pytest.mark.parametrize("keep", [3, 12, -9, -1])
def test_truncated_gzip_error(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "cut.gz"
    path.write_bytes(gzip.compress(GOOD)[:keep])
    with pytest.raises(DatasetError, match=r"cut\.gz is damaged: it cannot be unpacked"):
        read_idx(path, 100)


def test_unreadable_file_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="cannot be read: it is not a regular file"):
        read_idx(tmp_path, 100)
