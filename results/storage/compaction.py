"""Merging small files, so that questions stay fast after thousands of groups."""

from collections.abc import Iterator

from results.schema.tables import Table
from results.storage.choosing import distinct, in_order
from results.storage.files import File, encode
from results.storage.reading import Reader

MERGED_BYTES = 16 * 2**20
"""Files are merged up to this size together, which bounds the memory that it takes: in memory, and
sorted, a file of runs has some fifty times its size on disk."""

SMALL_BYTES = MERGED_BYTES // 4
"""Files from this size on are left as they are."""


def compact(reader: Reader, table: Table) -> int:
    """Merge the small files of a table; the number of files that are gone.

    First the merged file is published, then its sources are deleted: killed in between, rows are
    there twice, which every answer and the next compaction see through. Only what is in a merged
    file is deleted, so several compactions at once waste work, and nothing else. All rows are
    kept, those that no answer shows included; damaged files stay where they are.

    Raises:
        LedgerError: the folder cannot be written to.
        OSError, pyarrow.ArrowException: it cannot be read.
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
    """Small files, as many at a time as may be merged."""
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
    """Put one file in the place of the sound ones of `batch`; by how many files fewer it made."""
    damaged = reader.faults(batch)
    sound = [file for file in batch if file.path not in damaged]
    if len(sound) < 2:
        return 0
    try:
        rows = reader.scan(table, sound, {})
    except FileNotFoundError:  # another process is merging them
        return 0
    merged, data = encode(table, in_order(table, distinct(table, rows)))
    reader.folder.publish(merged.path, data)
    reader.announce_deletion()
    for file in sound:
        reader.folder.remove(file.path)
    return len(sound) - 1
