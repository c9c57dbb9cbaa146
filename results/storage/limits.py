"""Bounds of what is read, whoever wrote it, and the check of what a Parquet file declares.

A file of a few kB can declare rows, or repeat a text of its dictionary, that take gigabytes in
memory. What the ledger itself writes takes about ten times its size on disk, fifty times when it is
sorted. A file may therefore take `RATIO` times its size, and `FREE_BYTES` in any case.
"""

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from results.schema.tables import Table

FILE_BYTES = 2**30
"""The largest Parquet file."""
FOOTER_BYTES = 2**24
"""The largest footer of a Parquet file."""
RECORD_BYTES = 2**24
"""The largest of the other files: the marker, the epoch, the registers of drivers."""
CHECKPOINT_BYTES = 2**35
"""The largest checkpoint; its reader needs as much memory."""

WEIGHTS_BYTES = 2**33
"""The largest file of weights, of 2 x 10^9; its reader needs twice as much memory."""

FREE_BYTES = 2**22
RATIO = 256
MOST_DECODED_BYTES = 2**32

_ENCODINGS = {"PLAIN", "RLE", "BIT_PACKED", "PLAIN_DICTIONARY", "RLE_DICTIONARY"}
"""Encodings whose size in memory follows from sizes in the footer, and from dictionaries."""
_VALUE_BYTES = 8
_GROUPS, _ROWS_PER_GROUP = 64, 1024  # the ledger writes groups of thousands of rows


def allowance(size: int) -> int:
    """Return how many bytes a file of `size` bytes may take in memory."""
    return min(FREE_BYTES + RATIO * size, MOST_DECODED_BYTES)


def declared_fault(table: Table, metadata: pq.FileMetaData, size: int) -> str | None:
    """Return what is wrong with the sizes in the footer of a file; None if nothing is.

    Args:
        table: its table.
        metadata: the parsed footer.
        size: of the file, in bytes.
    """
    rows, groups, columns = metadata.num_rows, metadata.num_row_groups, metadata.num_columns
    if columns > len(table.columns):
        return f"it has {columns} columns, more than the {len(table.columns)} of {table.name}"
    leaves = map(metadata.schema.column, range(columns))
    if any(leaf.max_repetition_level or leaf.max_definition_level > 1 for leaf in leaves):
        return "it has nested columns"
    if not 0 <= groups <= _GROUPS + max(rows, 0) // _ROWS_PER_GROUP:
        return f"it has {groups} row groups for {rows} rows"
    parts = [metadata.row_group(place) for place in range(groups)]
    counts = [part.num_rows for part in parts]
    if min(counts, default=0) < 0 or sum(counts) != rows:
        return f"its row groups have {sum(counts)} rows, and the file has {rows}"
    sizes = [max(part.total_byte_size, _uncompressed(part)) for part in parts]
    room = allowance(size)
    if fault := decoded_fault(sum(sizes) + _VALUE_BYTES * rows * columns, size):
        return fault
    for part, count, encoded in zip(parts, counts, sizes, strict=True):
        if count * encoded > room and (odd := _encodings(part) - _ENCODINGS):
            return f"it has the encoding {', '.join(sorted(odd))}"
    return None


def decoded_fault(decoded: int, size: int) -> str | None:
    """Return what is wrong if a file of `size` bytes takes `decoded` in memory; None if nothing."""
    room = allowance(size)
    if decoded <= room:
        return None
    return f"its {size} bytes take {decoded} in memory, more than the {room} allowed"


def texts_fit(metadata: pq.FileMetaData, size: int) -> bool:
    """Return whether the texts of a file are small enough if every row has the longest one."""
    parts = map(metadata.row_group, range(metadata.num_row_groups))
    return sum(part.num_rows * part.total_byte_size for part in parts) <= allowance(size)


def text_bytes(batch: pa.RecordBatch, room: int) -> int:
    """Return an upper bound on the bytes of texts in a batch, with texts as dictionaries.

    The exact number, unless it cannot exceed `room`.
    """
    longest = batch.num_rows * batch.nbytes
    if longest <= room:
        return min(longest, batch.nbytes)
    return sum(map(_text_bytes, batch.columns))


def _text_bytes(column: pa.Array) -> int:
    if not pa.types.is_dictionary(column.type) or column.null_count == len(column):
        return 0
    lengths = pc.cast(pc.binary_length(column.dictionary), pa.int64())
    return int(pc.sum(lengths.take(column.indices)).as_py() or 0)


def _uncompressed(part: pq.RowGroupMetaData) -> int:
    return sum(part.column(place).total_uncompressed_size for place in range(part.num_columns))


def _encodings(part: pq.RowGroupMetaData) -> set[str]:
    return {name for place in range(part.num_columns) for name in part.column(place).encodings}
