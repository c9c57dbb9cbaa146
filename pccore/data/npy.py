"""Arrays in NumPy's files, .npy and .npz: sizes are bounded before they are read, pickles refused.

An .npz file is a zip archive of .npy files, each of which begins with its type and shape. Both can
declare terabytes in a few bytes.
"""

import math
import os
import zlib
from collections.abc import Sequence
from io import BufferedIOBase
from pathlib import Path
from typing import IO
from zipfile import BadZipFile, ZipFile, ZipInfo

import numpy as np
from numpy.lib import format as npy_format

from pccore.data.errors import DatasetError
from pccore.data.files import MOST_BYTES, allowance, open_regular, unreadable

_SUFFIX = ".npy"
_MOST_MEMBERS = 1000
_DAMAGES = (BadZipFile, EOFError, zlib.error, NotImplementedError, RuntimeError)


def read_npy(path: Path) -> np.ndarray:
    """Read an array of a .npy file.

    Raises:
        DatasetError: the file cannot be read, is damaged or no .npy file, has Python objects, or is
            larger than `MOST_BYTES`.
    """
    try:
        with open_regular(path) as file:
            return _read(file, os.fstat(file.fileno()).st_size, str(path))
    except OSError as error:
        raise unreadable(path, error) from error


def read_npz(path: Path, wanted: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """Read the arrays of an .npz file by name.

    Args:
        path: the file.
        wanted: names of the arrays to read, of those that it has; empty for all.

    Raises:
        DatasetError: as for `read_npy`; or it has more than 1,000 arrays, or unpacks to more than
            `allowance` of its size.
    """
    arrays: dict[str, np.ndarray] = {}
    try:
        with open_regular(path) as file:
            left = allowance(os.fstat(file.fileno()).st_size)
            with ZipFile(file) as archive:
                for member in _members(archive, path, wanted):
                    source = f"{path}: {member.filename}"
                    if member.file_size > left:
                        raise DatasetError(
                            f"{path} unpacks to more than the {allowance(_size(file)):,} bytes "
                            "that are allowed for its size"
                        )
                    left -= member.file_size
                    with archive.open(member) as unpacked:
                        array = _read(unpacked, member.file_size, source)
                    arrays[member.filename.removesuffix(_SUFFIX)] = array
    except _DAMAGES as error:
        raise DatasetError(f"{path} is damaged: it cannot be unpacked ({error})") from error
    except OSError as error:
        raise unreadable(path, error) from error
    return arrays


def _size(file: IO[bytes] | BufferedIOBase) -> int:
    return os.fstat(file.fileno()).st_size


def _members(archive: ZipFile, path: Path, wanted: Sequence[str]) -> list[ZipInfo]:
    members = [member for member in archive.infolist() if member.filename.endswith(_SUFFIX)]
    names = [member.filename.removesuffix(_SUFFIX) for member in members]
    if len(members) > _MOST_MEMBERS:
        raise DatasetError(f"{path} has {len(members):,} arrays, more than {_MOST_MEMBERS:,}")
    if len(set(names)) < len(names):
        raise DatasetError(f"{path} has two arrays of the same name")
    if not wanted:
        return members
    return [member for member, name in zip(members, names, strict=True) if name in wanted]


def _read(file: IO[bytes] | BufferedIOBase, size: int, source: str) -> np.ndarray:
    """Read an array of a file of `size` bytes, if that is what its header declares."""
    try:
        version = npy_format.read_magic(file)
        if version not in ((1, 0), (2, 0), (3, 0)):
            raise ValueError(f"version {version}")
        read_header = (
            npy_format.read_array_header_1_0
            if version == (1, 0)
            else npy_format.read_array_header_2_0
        )
        shape, fortran, dtype = read_header(file)
    except _DAMAGES:
        raise
    except Exception as error:  # whatever a damaged header makes of NumPy's parser
        cause = (str(error).splitlines() or [type(error).__name__])[0]
        raise DatasetError(f"{source} is not an array in NumPy's format: {cause}") from None
    if dtype.hasobject:
        raise DatasetError(
            f"{source} has Python objects, which are pickled and not read: save numbers or text"
        )
    if dtype.names is not None:
        raise DatasetError(f"{source} has records: save one array per field")
    declared = math.prod(shape) * dtype.itemsize  # Python's integers do not overflow
    if declared > MOST_BYTES:
        raise DatasetError(
            f"{source} declares {declared:,} bytes for the shape {shape}, more than the "
            f"{MOST_BYTES:,} that are allowed"
        )
    left = size - file.tell()
    if declared != left:
        raise DatasetError(
            f"{source} is damaged: it has {left:,} bytes after its header, which declares "
            f"{declared:,} for the shape {shape}"
        )
    data = bytearray(declared)
    if _fill(file, memoryview(data)) != declared:
        raise DatasetError(f"{source} is damaged: it ends early")
    return np.ndarray(shape, dtype, buffer=data, order="F" if fortran else "C")


def _fill(file: IO[bytes] | BufferedIOBase, buffer: memoryview) -> int:
    """Read into `buffer` until it is full or the file ends; return the number of bytes."""
    done = 0
    while done < len(buffer):
        piece = file.read(min(len(buffer) - done, 2**24))
        if not piece:
            break
        buffer[done : done + len(piece)] = piece
        done += len(piece)
    return done
