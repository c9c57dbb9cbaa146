"""Footers of Parquet files, parsed so that no footer ends the process.

Arrow's C++ throws at the description of a column that it cannot use, such as one with histograms of
the wrong length or one that is encrypted. Asked for a column's description from Python, it throws
through a function that cannot throw, which ends the process. A reader of the column meets the same
exception where it is caught, so a reader is made first, and reads nothing.
"""

import io

import pyarrow as pa
import pyarrow.parquet as pq

_BUFFER = 4096
"""Readers with a buffer read no page before its values are asked for."""


def open_parquet(source: object, **options: int) -> pq.ParquetFile:
    """Open a Parquet file whose columns can all be described.

    Args:
        source: a path, an open file or a buffer, as for `pyarrow.parquet.ParquetFile`.
        **options: of `pyarrow.parquet.ParquetFile`.

    Raises:
        OSError: the file is damaged; so are `ValueError` and `pyarrow.ArrowException`.
    """
    file = pq.ParquetFile(source, buffer_size=_BUFFER, **options)
    columns = range(file.metadata.num_columns)
    for group in range(file.metadata.num_row_groups):
        next(file.reader.iter_batches(0, [group], columns), None)
    return file


def parse_footer(end: bytes, size: int) -> pq.FileMetaData:
    """Return the footer of a file, given its last bytes.

    Args:
        end: the footer and the trailer.
        size: of the file, in bytes.

    Raises:
        OSError: as `open_parquet`.
    """
    return open_parquet(pa.PythonFile(_Tail(end, size), mode="r")).metadata


class _Tail(io.RawIOBase):
    """A file of which only the end is known; the rest is zeros."""

    def __init__(self, end: bytes, size: int) -> None:
        self._end, self._size, self._place = end, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        self._place = start + offset
        return self._place

    def tell(self) -> int:
        return self._place

    def read(self, count: int = -1) -> bytes:
        stop = self._size if count < 0 else min(self._size, self._place + count)
        known = self._size - len(self._end)
        zeros = bytes(max(0, min(stop, known) - self._place))
        found = zeros + self._end[max(0, self._place - known) : max(0, stop - known)]
        self._place += len(found)
        return found
