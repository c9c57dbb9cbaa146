"""Reading of a table while other processes write and compact, and despite damaged files."""

import errno
import inspect
import os
import time
import warnings
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import accumulate, chain
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from results.errors import DamagedFileWarning, LedgerError, because
from results.schema.tables import TABLES, VERSION, Table
from results.storage.files import File, content_fault, examine, parse
from results.storage.filters import Filters, expression, repeatable, text_values
from results.storage.folder import Folder
from results.storage.limits import RECORD_BYTES, allowance, text_bytes
from results.storage.proof import NEEDED, contradictory
from results.storage.regular import UnfitFileError
from results.storage.rows import row_fault, settled

EPOCH = "compaction-epoch"
"""The file that changes whenever a compaction starts to delete files.

A listing that starts before a merged file is published and ends after its sources are deleted can
miss both. If the epoch is the same before and after a listing, no deletion started in between:
every merged file whose sources may be gone existed from the start and is listed.

A user who may not replace the file of another has a file with a suffix.
"""

RUNS = "runs"
EXAMINED_BYTES = 16 * 2**20  # of files whose runs are examined together
ATTEMPTS = 8
OVERTAKEN_SECONDS = 60.0
"""How long a reader lists again because files were merged and deleted before it had read them."""
THREADS = 8
EXAMINED_FILES = 64  # files whose rows are read together when all are read


class Reader:
    """Reads tables, and caches which files have an intact footer."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self._intact: set[str] = set()  # paths; published files never change
        self._modest: set[str] = set()  # paths of files whose texts surely fit into memory

    def read(
        self,
        table: Table,
        filters: Filters | None = None,
        columns: Iterable[str] | None = None,
    ) -> pa.Table:
        """Return the rows of all intact files that match the filters.

        Files and row groups whose statistics exclude a match are not read. A damaged file is left
        out and named in a `DamagedFileWarning`, and so are rows of `runs` that cannot be true
        (`results.storage.proof`).

        Raises:
            LedgerError: the folder cannot be read, or holds files of a newer schema; or a filter
                is invalid.
        """
        filters = repeatable(filters or {})
        damaged: dict[str, str] = {}
        problem: Exception | None = None
        columns = list(table.named if columns is None else columns)
        proof = NEEDED if table.name == RUNS else ()
        attempts, end = 0, time.monotonic() + OVERTAKEN_SECONDS
        while attempts < ATTEMPTS:
            files: list[File] = []
            try:
                files = [file for file in self.files(table) if file.path not in damaged]
                damaged |= self._footer_faults(files)
                intact = [file for file in files if file.path not in damaged]
                rows = self.scan(table, intact, filters, {*columns, *proof})
            except FileNotFoundError as error:  # merged and deleted meanwhile
                problem = error
                attempts += time.monotonic() > end
                time.sleep(0.02)
            except (OSError, pa.ArrowException) as error:
                problem = error
                attempts += 1
                with suppress(OSError, pa.ArrowException):  # out of reach, which is no damage
                    damaged |= self.faults(files) or self.unreadable(table, files)
                time.sleep(0.02 * attempts)  # a disk may recover
            else:
                self._warn(damaged)
                rows = self._believed(rows) if proof else rows
                return rows.select([name for name in table.named if name in columns])
        reason = because(problem) if problem else ""
        raise LedgerError(f"cannot read {table.name} of {self.folder.shown!r}: {reason}")

    def files(self, table: Table) -> list[File]:
        """Return every published file of a table, intact or damaged.

        Raises:
            LedgerError: a file has a newer schema version.
            OSError: the folder cannot be listed.
        """
        while True:
            epoch = self._epoch()
            found = [
                parse(table.name, info.base_name, info.size or 0)
                for info in self.folder.entries(table.name)
                if info.is_file
            ]
            if self._epoch() == epoch:
                break
        files = [file for file in found if file is not None]
        newest = max((file.version for file in files), default=VERSION)
        if newest > VERSION:
            raise LedgerError(
                f"the ledger {self.folder.shown!r} has {table.name} of schema version {newest}, "
                f"newer than {VERSION}, the newest that this version of mupc reads: install a "
                "newer one"
            )
        return files

    def scan(
        self,
        table: Table,
        files: list[File],
        filters: Filters,
        columns: Iterable[str] | None = None,
    ) -> pa.Table:
        """Return the rows of these files that match the filters; verify page checksums.

        Where the footers leave open how large the texts are, they are read as dictionaries, whose
        size follows from that of the file, and copied once it is known that the copies fit.

        Raises:
            FileNotFoundError: a file is gone.
            OSError, pyarrow.ArrowException: a file is damaged, or too large in memory.
        """
        for path, fault in self._footer_faults(files).items():  # unsafe to give to Arrow
            raise UnfitFileError(errno.EINVAL, f"{path} is damaged: {fault}", path)
        schema = table.schema
        if any(file.path not in self._modest for file in files):
            schema = _with_dictionaries(schema)
        texts = [field.name for field in schema if pa.types.is_dictionary(field.type)]
        options = ds.ParquetFragmentScanOptions(
            page_checksum_verification=True,
            pre_buffer=not self.folder.local,  # fewer, larger requests; slower on a local disk
        )
        dataset = ds.FileSystemDataset.from_paths(
            [self.folder.path(file.path) for file in files],
            schema=schema,
            format=ds.ParquetFileFormat(
                read_options=ds.ParquetReadOptions(dictionary_columns=texts),
                default_fragment_scan_options=options,
            ),
            filesystem=self.folder.filesystem,
        )
        condition = expression(table, filters)
        wanted = set(table.named if columns is None else columns)
        names = [name for name in table.named if name in wanted]
        if any(table.named[name].of_trained for name in names):
            wanted.add("outcome")
        read = [name for name in table.named if name in wanted]
        with self.folder.absence_asked(file.path for file in files):
            if condition is not None:
                dataset = self._reduced(table, dataset, condition, filters)
            scanner = dataset.scanner(columns=read, filter=condition)
            rows = self._decoded(table, files, scanner)
        return settled(table, rows.cast(pa.schema(map(table.schema.field, read)))).select(names)

    def contradicted(self, files: Iterable[File]) -> dict[str, str]:
        """Return by path of each file with runs that cannot be true how many these are."""
        found: dict[str, str] = {}
        waiting = [file for file in files if file.table == RUNS]
        while waiting:
            sizes = accumulate(file.size for file in waiting)
            count = max(1, sum(size <= EXAMINED_BYTES for size in sizes))
            batch, waiting = waiting[:count], waiting[count:]
            if self._contradiction(batch) is not None:
                for file in batch:
                    fault = self._contradiction([file])
                    found |= {} if fault is None else {file.path: fault}
        return found

    def believable(self, path: str) -> pa.Table:
        """Return the runs that can be true in a file with others; none of any other file."""
        files = [file for file in self.files(TABLES[RUNS]) if file.path == path]
        sound = [] if self.faults(files) else [f for f in files if self.contradicted([f])]
        rows = self.scan(TABLES[RUNS], sound, {})
        return rows.filter(pc.invert(contradictory(rows)))

    def intact(self, files: list[File]) -> list[File]:
        """Return the files with an intact footer, which are safe to scan."""
        damaged = self._footer_faults(files)
        return [file for file in files if file.path not in damaged]

    def announce_deletion(self) -> None:
        """Make concurrent listings start again; to be called before files are deleted."""
        name = EPOCH if self.folder.removable(EPOCH) else f"{EPOCH}-{os.geteuid()}"
        self.folder.publish(name, uuid4().hex.encode(), replace=True)

    def faults(self, files: Iterable[File]) -> dict[str, str]:
        """Return the fault of each damaged file by path; every byte is verified.

        Raises:
            OSError, pyarrow.ArrowException: the store does not answer.
        """
        return self._faults(self._content_fault, list(files))

    def unreadable(self, table: Table, files: Iterable[File]) -> dict[str, str]:
        """Return the fault of each file whose rows cannot be read, though its bytes are intact.

        Raises:
            OSError, pyarrow.ArrowException: the store does not answer.
        """
        found: dict[str, str] = {}
        files = list(files)
        for start in range(0, len(files), EXAMINED_FILES):
            batch = files[start : start + EXAMINED_FILES]
            if len(batch) == 1 or not self._scans(table, batch):
                found |= self._unreadable_alone(table, batch)
        return found

    def _scans(self, table: Table, files: list[File]) -> bool:
        try:
            self.scan(table, files, {})
        except (OSError, pa.ArrowException):
            return False
        return True

    def _unreadable_alone(self, table: Table, files: list[File]) -> dict[str, str]:
        found = {}
        for file in files:
            try:
                self.scan(table, [file], {})
            except FileNotFoundError:  # merged and deleted meanwhile
                continue
            except (OSError, pa.ArrowException) as error:
                if not self._is_fault(error):
                    raise
                found[file.path] = f"its rows cannot be read: {because(error)}"
        return found

    def _decoded(self, table: Table, files: list[File], scanner: ds.Scanner) -> pa.Table:
        """Return the rows of a scan.

        Raises:
            UnfitFileError: the texts of a file are too large, or a value is not one that its column
                may have.
        """
        rooms = {self.folder.path(file.path): allowance(file.size) for file in files}
        sizes: Counter[str] = Counter()
        batches = []
        for tagged in scanner.scan_batches():
            path, batch = tagged.fragment.path, tagged.record_batch
            sizes[path] += text_bytes(batch, rooms[path])
            if sizes[path] > rooms[path]:
                raise UnfitFileError(
                    errno.EFBIG,
                    f"its texts take {sizes[path]} bytes in memory, more than the {rooms[path]} "
                    "allowed",
                    path,
                )
            if (fault := row_fault(table, batch)) is not None:
                raise UnfitFileError(errno.EINVAL, fault, path)
            batches.append(batch)
        return pa.Table.from_batches(batches, scanner.projected_schema)

    def _reduced(
        self,
        table: Table,
        dataset: ds.FileSystemDataset,
        condition: pc.Expression,
        filters: Filters,
    ) -> ds.FileSystemDataset:
        """Return the row groups of the dataset that have rows that match the condition.

        Only the columns of the condition are read, and only of row groups whose statistics allow a
        match: most columns of most row groups of a large ledger are never read.
        """

        def dataset_of(groups: Iterable[ds.ParquetFileFragment]) -> ds.FileSystemDataset:
            return ds.FileSystemDataset(
                list(groups), dataset.schema, dataset.format, self.folder.filesystem
            )

        bounds = text_values(table, filters)
        with ThreadPoolExecutor(THREADS) as threads:
            groups = dataset_of(
                chain.from_iterable(
                    threads.map(lambda file: _promising(file, bounds), dataset.get_fragments())
                )
            )
        batches = groups.scanner(columns=list(filters), filter=condition).scan_batches()
        found = [batch.fragment for batch in batches if batch.record_batch.num_rows]
        return dataset_of({(group.path, group.row_groups[0].id): group for group in found}.values())

    def _epoch(self) -> bytes:
        names = self.folder.names("") if self.folder.local else [EPOCH]
        epochs = []
        for name in sorted(name for name in names if name.startswith(EPOCH)):
            with suppress(FileNotFoundError):
                epochs.append(self.folder.read(name, most=RECORD_BYTES))
        return b"".join(epochs)

    def _footer_faults(self, files: list[File]) -> dict[str, str]:
        """Return the fault of each file with a damaged footer, by path."""
        new = [file for file in files if file.path not in self._intact]
        faults = self._faults(self._footer_fault, new)
        self._intact.update(file.path for file in new if file.path not in faults)
        return faults

    def _footer_fault(self, file: File) -> str | None:
        footer = examine(file, lambda last: self.folder.read(file.path, last))
        if footer.texts_fit:
            self._modest.add(file.path)
        return footer.fault

    def _content_fault(self, file: File) -> str | None:
        try:
            return content_fault(file, self.folder.pieces(file.path)) or self._footer_fault(file)
        except FileNotFoundError:
            return None  # merged and deleted meanwhile
        except (OSError, pa.ArrowException) as error:
            if not self._is_fault(error):
                raise
            return f"it cannot be read: {because(error)}"

    def _contradiction(self, files: list[File]) -> str | None:
        """Return how many runs in the files cannot be true; None if none, or one file is gone."""
        try:
            rows = self.scan(TABLES[RUNS], files, {}, NEEDED)
        except (OSError, pa.ArrowException) as error:  # damaged, or merged meanwhile
            return None if len(files) == 1 else because(error)
        wrong = rows.filter(contradictory(rows))
        if not wrong.num_rows:
            return None
        return (
            f"{wrong.num_rows} of its {rows.num_rows} rows cannot be true and are left out: the id "
            f"is not that of the settings, or no run has such a result (run {wrong['run_id'][0]})"
        )

    def _believed(self, rows: pa.Table) -> pa.Table:
        """Return the rows of `runs` without those that cannot be true, and warn of these."""
        wrong = contradictory(rows)
        count = pc.sum(wrong).as_py()
        if not count:
            return rows
        what = "1 row" if count == 1 else f"{count} rows"
        self._announce(
            f"left out {what} of runs of {self.folder.shown!r} that cannot be true: the id is not "
            "that of the settings, or no run has such a result; mupc check names the files"
        )
        return rows.filter(pc.invert(wrong))

    def _is_fault(self, error: Exception) -> bool:
        """Return whether an error is of the file: a store may only be out of reach."""
        return self.folder.local or isinstance(error, UnfitFileError | pa.ArrowInvalid)

    def _faults(self, examine: Callable[[File], str | None], files: list[File]) -> dict[str, str]:
        with ThreadPoolExecutor(THREADS) as threads:
            pairs = zip(files, threads.map(examine, files), strict=True)
            return {file.path: fault for file, fault in pairs if fault is not None}

    def _warn(self, damaged: dict[str, str]) -> None:
        for path, fault in damaged.items():
            self._announce(f"left out {path} of {self.folder.shown!r}, which is damaged: {fault}")

    @staticmethod
    def _announce(sentence: str) -> None:
        warnings.warn(sentence, DamagedFileWarning, stacklevel=_depth_of_caller())


def _with_dictionaries(schema: pa.Schema) -> pa.Schema:
    """Return a schema with its texts as dictionaries."""
    texts = pa.dictionary(pa.int32(), pa.string())
    return pa.schema(
        [field.with_type(texts) if field.type == pa.string() else field for field in schema]
    )


def _promising(
    file: ds.ParquetFileFragment, bounds: dict[str, list[str]]
) -> list[ds.ParquetFileFragment]:
    """Return the row groups of a file whose statistics do not exclude every value of a column.

    Arrow does the same for other types than texts when it scans.

    Args:
        file: the file.
        bounds: by column, its sorted values.
    """
    groups = file.split_by_row_group()
    metadata = file.metadata
    places = {metadata.schema.column(k).name: k for k in range(metadata.num_columns)}
    known = [(places[name], values) for name, values in bounds.items() if name in places]
    return [
        group
        for group in groups
        if all(_may_hold(metadata.row_group(group.row_groups[0].id), *pair) for pair in known)
    ]


def _may_hold(group: pq.RowGroupMetaData, place: int, values: list[str]) -> bool:
    """Return whether the statistics of a column allow one of the sorted values."""
    statistics = group.column(place).statistics
    if statistics is None or not statistics.has_min_max:
        return True
    nearest = bisect_left(values, statistics.min)
    return nearest < len(values) and values[nearest] <= statistics.max


def _depth_of_caller() -> int:
    """Return the number of stack frames from the caller to code outside of `results`."""
    package = Path(__file__).parents[1]
    depth, frame = 0, inspect.currentframe()
    while frame is not None and package in Path(frame.f_code.co_filename).parents:
        depth, frame = depth + 1, frame.f_back
    return depth
