"""Tables of the user's own, in CSV and Parquet, as arrays by column.

Sizes are bounded before anything is read: a packed file may take `allowance` of its size.
"""

import codecs
import csv
import gzip
import os
import zlib
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from results.errors import TableError, because
from results.storage.footers import open_parquet
from results.storage.limits import FOOTER_BYTES, allowance
from results.storage.regular import open_regular

Columns = dict[str, np.ndarray | list[bytes]]
"""Columns by name: numbers (n, ...), text in objects with None where there is none, or the contents
of picture files."""

_GZIP_MAGIC = b"\x1f\x8b"
_VALUE_BYTES = 8
_PIECE = 2**24  # bytes decoded at a time
_ROWS = 1024  # rows decoded at a time
_THRIFT = {"thrift_string_size_limit": FOOTER_BYTES, "thrift_container_size_limit": 2**20}


def read_csv(path: Path, wanted: Sequence[str] = (), separator: str = ",") -> Columns:
    """Read a table whose first line names the columns. It may be gzipped.

    Args:
        path: the file, in UTF-8.
        wanted: names of the columns to read; empty for all.
        separator: between cells.

    Raises:
        TableError: the file cannot be read, has no or the same names twice, lines of different
            lengths, or no column of a wanted name.
    """
    content = _unpacked(path)
    _require_utf8(content, path)
    first = content[: 2**20].decode("utf-8-sig", errors="ignore").splitlines()[:1]
    try:
        names = [name.strip() for name in next(csv.reader(first, delimiter=separator), [])]
        _check_names(names, path)
        _require_columns(wanted, names, path)
        table = pa_csv.read_csv(
            pa.BufferReader(content),
            pa_csv.ReadOptions(column_names=names, skip_rows=1),
            pa_csv.ParseOptions(delimiter=separator),
            pa_csv.ConvertOptions(include_columns=wanted or names, strings_can_be_null=True),
        )
    except (pa.ArrowException, csv.Error) as error:
        cause = because(error).removeprefix("CSV parse error: ")
        raise TableError(f"{path} is not a table: {cause}") from None
    if table.num_rows == 0:
        raise TableError(f"{path} has no rows below its line of names")
    return {name: _values(_whole(table[name]), name, path) for name in table.column_names}


def read_parquet(paths: Sequence[Path], wanted: Sequence[str] = ()) -> Columns:
    """Read the rows of Parquet files with the same columns, one file after the other.

    Lists of equal lengths become arrays (n, ...), and structures with `bytes`, which is how data
    sets of Hugging Face keep pictures, become the contents of picture files.

    Args:
        paths: the files, at least one.
        wanted: names of the columns to read; empty for all.

    Raises:
        TableError: a file cannot be read or is damaged, declares more than `allowance` of its size,
            has no column of a wanted name, or one of a type that is no number, text or picture.
    """
    parts = [_read_parquet(path, wanted) for path in paths]
    for path, part in zip(paths, parts, strict=True):
        if part.keys() != parts[0].keys():
            raise TableError(f"{path} has other columns than {paths[0]}")
    return {name: _chained([part[name] for part in parts], name) for name in parts[0]}


def _unpacked(path: Path) -> bytes:
    try:
        with open_regular(path) as file:
            most = allowance(os.fstat(file.fileno()).st_size)
            packed = file.read(2) == _GZIP_MAGIC
            file.seek(0)
            content = (gzip.GzipFile(fileobj=file) if packed else file).read(most + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise TableError(f"{path} is damaged: it cannot be unpacked ({error})") from None
    except OSError as error:
        raise TableError(f"{path} cannot be read: {because(error)}") from None
    if len(content) > most:
        raise TableError(f"{path} unpacks to more than the {most:,} bytes that are allowed")
    if not content.strip():
        raise TableError(f"{path} is empty")
    return content


def _require_utf8(content: bytes, path: Path) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")()
    for start in range(0, len(content), _PIECE):
        try:
            decoder.decode(content[start : start + _PIECE], final=start + _PIECE >= len(content))
        except UnicodeDecodeError as error:
            place = start + error.start
            raise TableError(f"{path} is not text in UTF-8: byte {place} is damaged") from None


def _whole(cells: pa.ChunkedArray) -> pa.Array:
    """Return the cells of a column in one piece, texts without spaces around them."""
    whole = cells.combine_chunks()
    whole = whole if isinstance(whole, pa.Array) else pa.concat_arrays(whole.chunks)
    return pc.utf8_trim_whitespace(whole) if pa.types.is_string(whole.type) else whole


def _check_names(names: Sequence[str], path: Path) -> None:
    twice = next((name for place, name in enumerate(names) if name in names[:place]), None)
    if twice is not None:
        raise TableError(f"{path} has two columns named {twice!r}: rename one of them")
    if names and all(_is_number(name) for name in names):
        raise TableError(
            f"{path} must have the names of its columns in the first line, got numbers: "
            f"{', '.join(names[:3])}"
        )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _require_columns(wanted: Sequence[str], names: Sequence[str], path: Path) -> None:
    for name in wanted:
        if name not in names:
            near = get_close_matches(name, names, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            shown = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
            raise TableError(f"{path} has no column {name!r}: it has {shown}{hint}")


def _read_parquet(path: Path, wanted: Sequence[str]) -> Columns:
    try:
        with open_regular(path) as file:
            most = allowance(os.fstat(file.fileno()).st_size)
            table = open_parquet(file, **_THRIFT)
            names = table.schema_arrow.names
            _check_names(names, path)
            _require_columns(wanted, names, path)
            chosen = list(wanted or names)
            _require_declared(table.metadata, chosen, most, path)
            if table.metadata.num_rows == 0:
                raise TableError(f"{path} has no rows")
            return {name: _column(table, name, most, path) for name in chosen}
    except OSError as error:
        raise TableError(f"{path} cannot be read: {because(error)}") from None
    except (pa.ArrowException, ValueError) as error:
        if isinstance(error, TableError):
            raise
        raise TableError(f"{path} is damaged, or no Parquet file: {because(error)}") from None


def _require_declared(
    metadata: pq.FileMetaData, chosen: Sequence[str], most: int, path: Path
) -> None:
    """Refuse a file whose footer declares more than it may take in memory."""
    declared = 0
    for place in range(metadata.num_row_groups):
        group = metadata.row_group(place)
        for leaf in map(group.column, range(group.num_columns)):
            if leaf.path_in_schema.split(".")[0] in chosen:
                declared += leaf.total_uncompressed_size + _VALUE_BYTES * leaf.num_values
    if declared > most:
        raise TableError(
            f"{path} declares {declared:,} bytes, more than the {most:,} that are allowed for its "
            "size"
        )


def _column(table: pq.ParquetFile, name: str, most: int, path: Path) -> np.ndarray | list[bytes]:
    kind = table.schema_arrow.field(name).type
    if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        cells = [batch.field("bytes") for batch in _batches(table, f"{name}.bytes", most, path)]
    elif pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        cells = list(_batches(table, name, most, path))
    else:
        arrays = [_values(batch, name, path) for batch in _batches(table, name, most, path)]
        return _chained(arrays, name)
    contents = [content for batch in cells for content in batch.to_pylist()]
    if None in contents:
        raise TableError(f"{path} has nothing in column {name!r}, row {contents.index(None)}")
    return contents


def _batches(table: pq.ParquetFile, leaf: str, most: int, path: Path) -> Iterator[pa.Array]:
    """Yield the cells of a column, a few rows at a time.

    A text that the file has once, in a dictionary, can be the value of every row.
    """
    groups = map(table.metadata.row_group, range(table.metadata.num_row_groups))
    longest = max(group.total_byte_size for group in groups)
    rows = max(1, min(_ROWS, most // max(1, longest)))
    taken = found = 0
    for batch in table.iter_batches(rows, columns=[leaf]):
        taken += batch.nbytes
        found += len(batch)
        if taken > most:
            raise TableError(f"{path} takes more than the {most:,} bytes allowed for its size")
        yield batch.column(0)
    if found != table.metadata.num_rows:
        raise TableError(
            f"{path} is damaged: column {leaf!r} has {found:,} of the {table.metadata.num_rows:,} "
            "rows that the file declares"
        )


def _values(cells: pa.Array, name: str, path: Path) -> np.ndarray:
    """Return cells as numbers or text; lists of equal lengths as arrays (n, ...)."""
    kind = cells.type
    if isinstance(kind, pa.ExtensionType):
        return _values(cells.storage, name, path)
    if pa.types.is_dictionary(kind):
        return _values(cells.dictionary_decode(), name, path)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        inner = cells.flatten()
        if cells.null_count or len(inner) % len(cells):
            raise TableError(f"{path} has lists of different lengths in column {name!r}")
        lengths = {len(inner) // len(cells)}
        if not pa.types.is_fixed_size_list(kind):
            lengths = set(np.diff(cells.offsets.to_numpy()).tolist())
        if len(lengths) != 1:
            raise TableError(f"{path} has lists of different lengths in column {name!r}")
        values = _values(inner, name, path)
        return values.reshape(len(cells), lengths.pop(), *values.shape[1:])
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return np.array(cells.to_pylist(), object)
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return np.asarray(cells.to_numpy(zero_copy_only=False))
    raise TableError(
        f"{path} has the type {kind} in column {name!r}, which is no number, text or picture: "
        "leave it out"
    )


def _chained(parts: Sequence[Any], name: str) -> np.ndarray | list[bytes]:
    if isinstance(parts[0], list):
        return [content for part in parts for content in part]
    if len({part.shape[1:] for part in parts}) > 1:
        raise TableError(f"column {name!r} has lists of different lengths")
    return np.concatenate(parts)
