"""Merging of small files, so that queries stay fast after thousands of groups."""

from collections.abc import Iterator

from results.errors import LedgerError
from results.schema.tables import Table
from results.storage.choosing import distinct, in_order
from results.storage.files import File, encode
from results.storage.reading import Reader

MERGED_BYTES = 16 * 2**20
"""The most bytes that are merged at once.

This bounds the memory: in memory, and sorted, a file of runs has about fifty times its size on
disk.
"""

SMALL_BYTES = MERGED_BYTES // 4
"""Files of this size or larger are not merged."""


def compact(reader: Reader, table: Table) -> int:
    """Merge the small files of a table; return by how many files there are fewer.

    The merged file is published before its sources are deleted. After a kill in between, rows are
    there twice; queries and the next compaction drop exact repetitions. Only files whose rows are
    in a merged file are deleted, so concurrent compactions waste work but lose nothing. All rows
    are kept, also those that queries do not return; damaged files stay where they are, and files of
    other users in a folder with the sticky bit. If no source can be deleted, the merged file is
    withdrawn.

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
    damaged = reader.faults(batch)
    intact = [
        file for file in batch if file.path not in damaged and reader.folder.removable(file.path)
    ]
    if len(intact) < 2:
        return 0
    try:
        rows = reader.scan(table, intact, {})
    except FileNotFoundError:  # another process is merging them
        return 0
    merged, data = encode(table, in_order(table, distinct(table, rows)))
    reader.folder.publish(merged.path, data)
    deleted = 0
    try:
        reader.announce_deletion()
        for file in intact:
            reader.folder.remove(file.path)
            deleted += 1
    except LedgerError:
        if not deleted:  # its rows are all in other files, too
            reader.folder.remove(merged.path)
        raise
    return len(intact) - 1
