"""Merging of small files, so that queries stay fast after thousands of groups.

It also makes the files of `runs` plain to readers that know nothing of this package: they then have
every column of this version, and one row per run and experiment.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress

import pyarrow as pa
import pyarrow.compute as pc

from results.errors import LedgerError
from results.schema.tables import VERSION, Table
from results.storage.choosing import condensed, in_order
from results.storage.files import File, encode
from results.storage.reading import Reader

MERGED_BYTES = 16 * 2**20
"""The most bytes that are merged at once.

This bounds the memory: in memory, and sorted, a file of runs has about fifty times its size on
disk.
"""

SMALL_BYTES = MERGED_BYTES // 4
"""Files of this size or larger are not merged."""

_FILE = "_file"  # a helper column; no column of the schema starts with an underscore


def compact(reader: Reader, table: Table) -> int:
    """Merge the small files of a table; return by how many files there are fewer.

    New files are published before their sources are deleted. After a kill in between, rows are
    there twice; queries and the next compaction drop them. A file is deleted only if each of its
    rows, or a row that queries return in its place, is in the files published for it, so concurrent
    compactions waste work but lose nothing. Damaged files stay where they are, files with runs that
    cannot be true, and files of other users in a folder with the sticky bit. If no source can be
    deleted, the new files are withdrawn.

    Raises:
        LedgerError: the folder cannot be written to, or a file cannot be deleted.
        OSError, pyarrow.ArrowException: the folder cannot be read.
    """
    gone = 0
    several = True  # merged files, which may be small enough to be merged themselves
    while several:
        fewer = [_merge(reader, table, batch) for batch in _batches(reader.files(table))]
        gone += sum(fewer)
        several = sum(map(bool, fewer)) > 1
    for file in reader.files(table):
        if file.version < VERSION:
            _rewrite(reader, table, [file])
    if table.condensed:
        while (found := _repeating(reader, table)) and _rewrite(reader, table, found):
            pass
    reader.folder.sweep(table.name)
    return gone


def _batches(files: list[File]) -> Iterator[list[File]]:
    """Yield small files in batches of at most `MERGED_BYTES`."""
    batch: list[File] = []
    total = 0
    for file in sorted(files, key=lambda file: file.size):
        if file.size >= SMALL_BYTES:
            break
        if total + file.size > MERGED_BYTES:
            yield batch
            batch, total = [], 0
        batch.append(file)
        total += file.size
    yield batch


def _merge(reader: Reader, table: Table, batch: list[File]) -> int:
    """Replace the intact files of `batch` with one; return by how many files there are fewer."""
    damaged = reader.faults(batch) | reader.contradicted(batch)
    intact = [
        file for file in batch if file.path not in damaged and reader.folder.removable(file.path)
    ]
    if len(intact) < 2:
        return 0
    try:
        rows = reader.scan(table, intact, {})
    except FileNotFoundError:  # another process is merging them
        return 0
    except (OSError, pa.ArrowException):
        unreadable = reader.unreadable(table, intact)
        if not unreadable:
            raise
        return _merge(reader, table, [file for file in intact if file.path not in unreadable])
    _publish(reader, table, intact, [condensed(table, rows)])
    return len(intact) - 1


def _repeating(reader: Reader, table: Table) -> list[File]:
    """Return two files with rows of the same key, or one file that repeats one; else none."""
    files: list[File] = []
    keys: list[pa.Table] = []
    for file in reader.files(table):
        try:
            found = reader.scan(table, [file], {}, table.key)
        except (OSError, pa.ArrowException):  # damaged, or merged meanwhile
            continue
        keys.append(found.append_column(_FILE, pa.array([len(files)] * found.num_rows, pa.int64())))
        files.append(file)
    if not files:
        return []
    wanted = [(_FILE, what) for what in ("min", "max", "count")]
    groups = pa.concat_tables(keys).group_by(list(table.key)).aggregate(wanted)
    found = groups.filter(pc.field(f"{_FILE}_count") > 1).slice(0, 1).to_pylist()
    places = sorted({row[f"{_FILE}_{end}"] for row in found for end in ("min", "max")})
    return [files[place] for place in places]


def _rewrite(reader: Reader, table: Table, files: Sequence[File]) -> bool:
    """Write files again, in this version and without repeated keys; return whether it was done.

    The first of the new files has the keys of the first source, so that none grows without bounds.
    """
    if reader.faults(files) or reader.contradicted(files):
        return False
    try:
        own = condensed(table, reader.scan(table, [files[0]], {}))
        rows = condensed(table, reader.scan(table, list(files), {}))
    except FileNotFoundError:  # another process is merging them
        return False
    except (OSError, pa.ArrowException):
        if not reader.unreadable(table, files):
            raise
        return False
    mine = rows.join(own.select(table.key), list(table.key), join_type="left semi")
    others = rows.join(own.select(table.key), list(table.key), join_type="left anti")
    with suppress(LedgerError):  # files of another user stay as they are
        _publish(reader, table, files, [mine, others])
        return True
    return False


def _publish(
    reader: Reader, table: Table, sources: Sequence[File], parts: Sequence[pa.Table]
) -> None:
    """Publish `parts` as a file each, then delete the sources."""
    published = [encode(table, in_order(table, rows)) for rows in parts if rows.num_rows]
    for file, data in published:
        reader.folder.publish(file.path, data)
    deleted = 0
    try:
        reader.announce_deletion()
        for file in sources:
            reader.folder.remove(file.path)
            deleted += 1
    except LedgerError:
        if not deleted:  # the rows are all in the sources, too
            for file, _ in published:
                reader.folder.remove(file.path)
        raise
