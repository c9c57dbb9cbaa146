"""The clock of a ledger: a hybrid logical clock, which never goes back in any row.

The newest of several rows counts, but the clocks of the machines that write them may differ, and
may be set back. The time of a new row is therefore the present, or, if the ledger holds a later
one, the next microsecond after that (Kulkarni et al., "Logical Physical Clocks", OPODIS 2014).
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from results.schema.tables import TABLES, Table
from results.storage.files import File, parse
from results.storage.reading import Reader

TIMES = {"runs": ("recorded", "started"), "verdicts": ("created",), "measurements": ("created",)}
"""The columns that order rows, by table: the first that is not null."""

TICK = timedelta(microseconds=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LAST = datetime(9000, 1, 1, tzinfo=UTC)
"""A row from here on does not count: no later time could be written after it."""


class Clock:
    """Returns times later than those of all rows of a ledger.

    Args:
        reader: of the ledger. Every file is read once; files that appeared since are read too.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._seen: set[str] = set()
        self._latest = datetime.min.replace(tzinfo=UTC)

    def now(self) -> datetime:
        """Return the time of rows that are written next."""
        for name in TIMES:
            self._look(TABLES[name])
        self._latest = max(datetime.now(UTC), self._latest + TICK)
        return self._latest

    def saw(self, table: Table, files: Iterable[File], rows: pa.Table) -> None:
        """Take the rows of files into account, which then need not be read."""
        self._seen.update(file.name for file in files)
        if table.name not in TIMES:
            return
        found = pc.cast(times(table, rows), pa.int64())
        microseconds = pc.max(found.filter(pc.less(found, (LAST - EPOCH) // TICK))).as_py()
        if microseconds is not None:
            self._latest = max(self._latest, EPOCH + max(microseconds, 0) * TICK)

    def _look(self, table: Table) -> None:
        """Read the times in the files that were not seen before."""
        names = self._reader.folder.names(table.name)
        if not any(name not in self._seen and parse(table.name, name, 0) for name in names):
            return
        files = [file for file in self._reader.files(table) if file.name not in self._seen]
        columns = TIMES[table.name]
        try:
            rows = self._reader.scan(table, self._reader.intact(files), {}, columns)
        except (OSError, pa.ArrowException):  # damaged, or merged meanwhile
            rows = self._reader.read(table, columns=columns)
        self.saw(table, files, rows)


def times(table: Table, rows: pa.Table) -> pa.ChunkedArray:
    """Return the times by which rows are ordered."""
    return pc.coalesce(*(rows[name] for name in TIMES[table.name]))
