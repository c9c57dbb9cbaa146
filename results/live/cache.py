"""The rows of a table in memory, kept up to date: files are immutable, so each is read once."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import pyarrow as pa

from results.errors import because
from results.schema.tables import Table
from results.storage.files import File
from results.storage.filters import Filters
from results.storage.reading import Reader

BATCH_FILES = 48
BATCH_BYTES = 8 * 2**20
"""Files that are read together: few, so that what has been read is soon seen."""


@dataclass(frozen=True)
class Part:
    """The rows of files that were read together."""

    paths: frozenset[str]
    rows: pa.Table


class TableCache:
    """The rows of all intact files of a table.

    Args:
        reader: of the ledger.
        table: the table.
        columns: the columns to keep; None keeps all.
        filters: of the rows to keep.

    Attributes:
        parts: the rows that were read.
        damaged: the fault of each damaged file by path.
        files: the number of files at the last look.
    """

    def __init__(
        self,
        reader: Reader,
        table: Table,
        columns: Sequence[str] | None = None,
        filters: Filters | None = None,
    ) -> None:
        self.parts: list[Part] = []
        self.damaged: dict[str, str] = {}
        self.files = 0
        self._reader, self._table = reader, table
        self._columns, self._filters = columns, filters or {}

    @property
    def rows(self) -> pa.Table:
        """All rows that were read, repetitions included."""
        nothing = self._table.schema.empty_table()
        empty = nothing if self._columns is None else nothing.select(list(self._columns))
        return pa.concat_tables([empty, *(part.rows for part in self.parts)])

    @property
    def seen(self) -> frozenset[str]:
        """The files whose rows are in memory: equal sets have equal rows."""
        return frozenset(chain.from_iterable(part.paths for part in self.parts))

    def refresh(self, within: Iterable[str] | None = None) -> Iterator[tuple[int, int]]:
        """Read new files, and forget those that are gone.

        Args:
            within: paths of the only files that can hold rows of interest; None: all can.

        Yields:
            How many files have been read, and how many there are, after every batch.

        Raises:
            LedgerError: a file has a newer schema version.
            OSError, pyarrow.ArrowException: the folder cannot be listed.
        """
        files = self._reader.files(self._table)
        if within is not None:
            wanted = set(within)
            files = [file for file in files if file.path in wanted]
        self.files = len(files)
        there = {file.path for file in files}
        self.parts = [part for part in self.parts if part.paths <= there]
        self.damaged = {path: fault for path, fault in self.damaged.items() if path in there}
        known = self.seen | self.damaged.keys()
        new = [file for file in files if file.path not in known]
        for batch in _batches(new):
            self._read(batch)
            yield len(self.seen) + len(self.damaged), self.files

    def _read(self, files: list[File]) -> None:
        """Read files together or, if one of them is damaged, one by one."""
        try:
            rows = self._reader.scan(self._table, files, self._filters, self._columns)
        except FileNotFoundError:  # merged meanwhile: the next look finds the merged file
            return
        except (OSError, pa.ArrowException) as error:
            if len(files) > 1:
                for file in files:
                    self._read([file])
            else:
                self.damaged[files[0].path] = because(error)
            return
        self.parts.append(Part(frozenset(file.path for file in files), rows))


def _batches(files: list[File]) -> Iterator[list[File]]:
    """Yield the files in batches; the largest first, so that most rows are there soon."""
    batch: list[File] = []
    size = 0
    for file in sorted(files, key=lambda file: -file.size):
        if batch and (len(batch) == BATCH_FILES or size + file.size > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(file)
        size += file.size
    if batch:
        yield batch
