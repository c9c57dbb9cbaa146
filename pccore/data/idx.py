"""The IDX format of the MNIST authors: a magic number, big-endian sizes, then the numbers."""

import math
import struct
from pathlib import Path

import numpy as np

from pccore.data.errors import DatasetError
from pccore.data.files import read_unpacked

_DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def parse_idx(content: bytes, source: str) -> np.ndarray:
    """Parse the content of an unpacked IDX file.

    The magic number is two zero bytes, a type code and the number of dimensions. One unsigned
    32-bit size per dimension follows, then the numbers, all big-endian.

    Args:
        content: the bytes of the file.
        source: name of the file in an error message.

    Returns:
        A read-only array of the file's type in native byte order and of the file's shape.

    Raises:
        DatasetError: the magic number is wrong, the array is empty, or the length does not match
            the header.
    """
    magic = content[:4]
    # NumPy arrays have at most 64 dimensions.
    if (
        len(magic) < 4
        or magic[:2] != b"\0\0"
        or magic[2] not in _DTYPES
        or magic[3] not in range(1, 65)
    ):
        codes = ", ".join(f"{code:02x}" for code in _DTYPES)
        raise DatasetError(
            f"{source} is not an IDX file: it starts with {magic.hex(' ') or 'nothing'}, expected "
            f"00 00, a type code ({codes}) and the number of dimensions (01 to 40)"
        )
    dtype, rank = np.dtype(_DTYPES[magic[2]]), magic[3]
    start = 4 + 4 * rank
    if len(content) < start:
        raise DatasetError(
            f"{source} ends inside its IDX header: it has {len(content)} bytes, expected {start}"
        )
    shape = struct.unpack_from(f">{rank}I", content, 4)
    if 0 in shape:
        raise DatasetError(f"{source} has no numbers: its IDX header declares shape {shape}")
    # Python's integers do not overflow, whatever the header.
    expected = start + math.prod(shape) * dtype.itemsize
    if len(content) != expected:
        raise DatasetError(
            f"{source} is {len(content)} bytes long, but its IDX header declares {expected} for "
            f"shape {shape}"
        )
    array = np.frombuffer(content, dtype, offset=start).reshape(shape)
    native = array.astype(dtype.newbyteorder("="), copy=False)
    native.flags.writeable = False
    return native


def read_idx(path: Path, max_bytes: int) -> np.ndarray:
    """Read an IDX file, gzipped or not.

    Raises:
        DatasetError: the file cannot be read, is damaged, or unpacks to more than `max_bytes`.
    """
    return parse_idx(read_unpacked(path, max_bytes), str(path))
