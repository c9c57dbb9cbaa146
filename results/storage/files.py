"""One Parquet file: its name, its encoding and its checksums.

Pages carry Parquet's own checksums. The footer has none, and a flipped bit there can hide rows or
make Arrow read forever. The name of a file therefore carries a digest of the footer, which is
verified before the footer is used, and a digest of the whole content, for `Ledger.check`.
"""

import io
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from results.schema.tables import VERSION, Table

MAGIC = b"PAR1"
TRAILER = 8
"""Bytes after the footer: its length (4, little endian) and the magic number (4)."""

LARGE = 256
"""Number of rows from which compression and dictionaries pay.

They double the time to read a file of a few rows.
"""

CELLS_PER_GROUP = 2**18
"""Rows times columns of a row group, the smallest part of a file that a filter can skip.

That is about 4,000 rows of runs, which have many columns, and ten times as many of curves.
"""

_NAME = re.compile(
    r"v(?P<version>\d{1,9})-(?P<id>[0-9a-f]{16})-(?P<footer>[0-9a-f]{16})-(?P<content>[0-9a-f]{16})"
    r"\.parquet"
)


@dataclass(frozen=True)
class File:
    """A published file, as described by its name.

    Attributes:
        table: name of its table and of its folder.
        name: file name.
        version: schema version in which it was written.
        footer: digest of footer and trailer.
        content: digest of all bytes.
        size: in bytes; 0 before it is published.
    """

    table: str
    name: str
    version: int
    footer: str
    content: str
    size: int = 0

    @property
    def path(self) -> str:
        """The path inside the folder of the ledger."""
        return f"{self.table}/{self.name}"


def parse(table: str, name: str, size: int) -> File | None:
    """Return the file called `name`; None if the ledger did not write it."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    return File(table, name, int(match["version"]), match["footer"], match["content"], size)


def encode(table: Table, rows: pa.Table) -> tuple[File, bytes]:
    """Return the rows as a Parquet file: its name and its bytes.

    The metadata of the file holds the table, the schema version, and the unit and description of
    each column as JSON. Arrow's own schema would double the size of a small file.
    """
    sink = io.BytesIO()
    large = rows.num_rows >= LARGE
    with pq.ParquetWriter(
        sink,
        table.schema,
        compression="zstd" if large else "none",
        use_dictionary=large,
        write_statistics=table.skippable,
        write_page_checksum=True,
        store_schema=False,
    ) as writer:
        writer.write_table(rows, row_group_size=max(1, CELLS_PER_GROUP // rows.num_columns))
        writer.add_key_value_metadata(_metadata(table))
    data = sink.getvalue()
    footer = _digest(data[-footer_size(data[-TRAILER:]) :])
    content = _digest(data)
    name = f"v{VERSION}-{uuid4().hex[:16]}-{footer}-{content}.parquet"
    return File(table.name, name, VERSION, footer, content), data


def footer_size(trailer: bytes) -> int:
    """Return the length of footer and trailer in bytes, read from the trailer."""
    return int.from_bytes(trailer[:4], "little") + TRAILER


def footer_fault(file: File, tail: Callable[[int], bytes]) -> str | None:
    """Return the fault of the footer; None if the footer is intact.

    Args:
        file: the file.
        tail: reads the given number of bytes at the end of the file, or all if there are fewer.
    """
    guess = 16_384  # holds the footer of any file of few rows: one read is enough
    end = tail(guess)
    size = footer_size(end[-TRAILER:])
    if len(end) < TRAILER or end[-4:] != MAGIC:
        return "it does not end like a Parquet file"
    if size > len(end) == guess:
        end = tail(size)
    if size > len(end) or _digest(end[-size:]) != file.footer:
        return "its footer does not match the checksum in its name"
    return None


def content_fault(file: File, data: bytes) -> str | None:
    """Return the fault of the content; None if every byte is as written."""
    if _digest(data) != file.content:
        return f"its {len(data)} bytes do not match the checksum in its name"
    return None


def _metadata(table: Table) -> dict[str, str]:
    meaning = {
        column.name: {"unit": column.unit, "description": column.description}
        for column in table.columns
    }
    return {
        "mupc_table": table.name,
        "mupc_schema_version": str(VERSION),
        "mupc_columns": json.dumps(meaning),
    }


def _digest(data: bytes) -> str:
    return blake2b(data, digest_size=8).hexdigest()
