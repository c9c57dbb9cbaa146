"""One Parquet file: its name, its encoding and its checksums.

Pages carry Parquet's own checksums. The footer has none, and a flipped bit there can hide rows or
make Arrow read forever. The name of a file therefore carries a digest of the footer, which is
verified before the footer is used, and a digest of the whole content, for `Ledger.check`.
"""

import io
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from results.errors import LedgerError, because
from results.schema.tables import TABLES, VERSION, Table
from results.storage.footers import parse_footer
from results.storage.limits import (
    FILE_BYTES,
    FOOTER_BYTES,
    declared_fault,
    decoded_fault,
    texts_fit,
)

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

    Raises:
        LedgerError: the rows exceed the bounds of `results.storage.limits`.
    """
    data = _parquet(table, rows, small=rows.num_rows >= LARGE)
    fault = _readers_fault(table, rows, data)
    if fault is not None:  # as of many rows that are all alike
        data = _parquet(table, rows, small=False)
        fault = _readers_fault(table, rows, data)
    if fault is not None:
        raise LedgerError(f"too many rows of {table.name} at once ({fault}): append them in parts")
    footer = _digest(data[-footer_size(data[-TRAILER:]) :])
    content = _digest(data)
    name = f"v{VERSION}-{uuid4().hex[:16]}-{footer}-{content}.parquet"
    return File(table.name, name, VERSION, footer, content), data


def _parquet(table: Table, rows: pa.Table, *, small: bool) -> bytes:
    """Return the rows in Parquet, with compression and dictionaries if it shall be `small`."""
    sink = io.BytesIO()
    with pq.ParquetWriter(
        sink,
        table.schema,
        compression="zstd" if small else "none",
        use_dictionary=small,
        write_statistics=table.skippable,
        write_page_checksum=True,
        store_schema=False,
    ) as writer:
        writer.write_table(rows, row_group_size=max(1, CELLS_PER_GROUP // rows.num_columns))
        writer.add_key_value_metadata(_metadata(table))
    return sink.getvalue()


def _readers_fault(table: Table, rows: pa.Table, data: bytes) -> str | None:
    """Return why readers would refuse a file that holds `rows`; None if they read it."""
    if len(data) > FILE_BYTES:
        return f"it has {len(data)} bytes, more than the {FILE_BYTES} allowed"
    metadata = pq.read_metadata(pa.BufferReader(data))
    return declared_fault(table, metadata, len(data)) or decoded_fault(rows.nbytes, len(data))


def footer_size(trailer: bytes) -> int:
    """Return the length of footer and trailer in bytes, read from the trailer."""
    return int.from_bytes(trailer[:4], "little") + TRAILER


@dataclass(frozen=True)
class Footer:
    """What the footer of a file says.

    Attributes:
        fault: what is wrong with it; None if nothing is.
        texts_fit: whether the texts of the file fit into memory, however often they are repeated.
    """

    fault: str | None
    texts_fit: bool = False


def footer_fault(file: File, tail: Callable[[int], bytes]) -> str | None:
    """Return the fault of the footer; None if it is intact. `examine` has the arguments."""
    return examine(file, tail).fault


def examine(file: File, tail: Callable[[int], bytes]) -> Footer:
    """Verify the footer of a file, and the sizes that it declares.

    Args:
        file: the file.
        tail: reads the given number of bytes at the end of the file, or all if there are fewer.
    """
    if file.size > FILE_BYTES:
        return Footer(f"it has {file.size} bytes, more than the {FILE_BYTES} allowed")
    guess = 16_384  # holds the footer of any file of few rows: one read is enough
    end = tail(guess)
    size = footer_size(end[-TRAILER:])
    if len(end) < TRAILER or end[-4:] != MAGIC:
        return Footer("it does not end like a Parquet file")
    if size > FOOTER_BYTES:
        return Footer(f"its footer has {size} bytes, more than the {FOOTER_BYTES} allowed")
    if size > len(end) == guess:
        end = tail(size)
    if size > len(end) or _digest(end[-size:]) != file.footer:
        return Footer("its footer does not match the checksum in its name")
    try:
        metadata = parse_footer(end[-size:], file.size)
    except (OSError, ValueError, pa.ArrowException) as error:  # a name may be no UTF-8
        return Footer(f"its footer is no Parquet: {because(error)}")
    fault = declared_fault(TABLES[file.table], metadata, file.size)
    return Footer(fault, fault is None and texts_fit(metadata, file.size))


def content_fault(file: File, content: bytes | Iterable[bytes]) -> str | None:
    """Return the fault of the content, given as a whole or in pieces; None if it is intact."""
    digest, size = _blake(), 0
    for piece in [content] if isinstance(content, bytes) else content:
        digest.update(piece)
        size += len(piece)
    if digest.hexdigest() != file.content:
        return f"its {size} bytes do not match the checksum in its name"
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


_blake = partial(blake2b, digest_size=8)


def _digest(data: bytes) -> str:
    return _blake(data).hexdigest()
