"""The ledger: rows in, pandas frames out."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pandas as pd
import pyarrow as pa
import pyarrow.fs as pafs

from results.errors import LedgerError, unknown
from results.schema.tables import TABLES, Table
from results.storage.checkpoints import Checkpoints
from results.storage.choosing import DECIDING, best_curves, best_runs, distinct, in_order, newest
from results.storage.compaction import compact
from results.storage.files import encode
from results.storage.filters import Filters, expression, split
from results.storage.folder import Folder
from results.storage.marker import ensure
from results.storage.reading import Reader
from results.storage.rows import Row, to_arrow

RUNS, CURVES = TABLES["runs"], TABLES["curves"]
VERDICTS, MEASUREMENTS = TABLES["verdicts"], TABLES["measurements"]
QUARANTINE = "quarantine"


@dataclass(frozen=True)
class Damage:
    """A file that is not what was written.

    Attributes:
        path: where it is in the ledger's folder.
        cause: what is wrong with it.
    """

    path: str
    cause: str

    def __str__(self) -> str:
        return f"{self.path} is damaged: {self.cause}"


def open(
    path: str | os.PathLike[str],
    create: bool = False,
    filesystem: pafs.FileSystem | None = None,
) -> "Ledger":
    """Open a ledger.

    Args:
        path: its folder: local, or a URI that pyarrow knows (`s3://bucket/runs`, `gs://...`).
        create: whether to make it if there is nothing yet, or an empty folder.
        filesystem: the pyarrow filesystem that `path` is on; by default what `path` says.

    Raises:
        LedgerError: there is none, it is another thing's folder, cannot be read or made, or was
            written by a newer version of mupc.
    """
    folder = Folder(path, filesystem)
    ensure(folder, create)
    return Ledger(folder)


class Ledger:
    """The tables in one folder: `runs`, `curves`, `verdicts` and `measurements`.

    Any number of processes may write, read and compact at the same time. Files are immutable and
    appear whole; killing a writer loses at most what it had not finished appending.

    The frames: one row per thing asked for, in an order that depends on the rows alone, whatever
    files hold them. `results.columns(table)` says what the columns mean. Their types are Arrow's,
    in which a null (nothing there) stays apart from NaN (a computation gave it): `isna()`,
    `dropna()` and `fillna()` are about nulls, and means skip nulls, not NaN. NumPy and matplotlib
    take the columns as they are and see NaN for both. Times are pandas' own, in UTC.

    The filters: `column=value`, or `column=[values]`; None asks for nulls. A file or row group that
    they rule out by its statistics is not read. A file that is damaged is named in a
    `DamagedFileWarning` and left out, so that one bad sector does not hide the rest; what it held
    counts as never run, and `quarantine` moves it out of the way. Every method raises `LedgerError`
    where the folder cannot be read, and for a filter that cannot be asked.

    Made by `results.open`.

    Attributes:
        checkpoints: of groups of runs that are not finished.
    """

    def __init__(self, folder: Folder) -> None:
        self.checkpoints = Checkpoints(folder)
        self._folder = folder
        self._reader = Reader(folder)

    def __repr__(self) -> str:
        return f"results.open({self._folder.shown!r})"

    def append(self, runs: Sequence[Row], curves: Sequence[Row] = ()) -> None:
        """Publish one finished group: first its curves, then its runs, each as one file.

        A curve shows only once its run is there, so a process killed in between leaves nothing to
        see. Rows are checked before anything is written.

        Args:
            runs: rows of `runs`. A row of another experiment, with `experiment` (and `phase`)
                replaced, makes the run this experiment's too, with the curve it has.
            curves: rows of `curves` for these runs, or for some of them.

        Raises:
            LedgerError: a row does not fit the schema, comes twice, or is the curve of another run;
                or the folder cannot be written to. Nothing is published then, unless only the last
                of the writes failed, whose curves nothing will show.
        """
        run_table, curve_table = to_arrow(RUNS, runs), to_arrow(CURVES, curves)
        _refuse_repetitions(RUNS, run_table)
        _refuse_repetitions(CURVES, curve_table)
        run_table, curve_table = _tie(run_table, curve_table)
        self._publish(CURVES, curve_table)
        self._publish(RUNS, run_table)

    def append_verdicts(self, rows: Sequence[Row]) -> None:
        """Publish verdicts, as one file; each replaces older ones on the same target in answers.

        Raises:
            LedgerError: a row does not fit the schema, or the folder cannot be written to.
        """
        self._publish(VERDICTS, to_arrow(VERDICTS, rows))

    def append_measurements(self, rows: Sequence[Row]) -> None:
        """Publish measurements, as one file; each replaces older ones of the same thing in answers.

        Raises:
            LedgerError: a row does not fit the schema, or the folder cannot be written to.
        """
        self._publish(MEASUREMENTS, to_arrow(MEASUREMENTS, rows))

    def runs(self, columns: Sequence[str] | None = None, **filters: Any) -> pd.DataFrame:
        """Trained networks: one row per `run_id`.

        Of the rows that an experiment has for a run, a result counts before a failure. Then the
        filters hold, and then a run that several experiments share is given once.

        Args:
            columns: which to give, in this order; None gives all. Of many runs, a few columns are
                read in a fraction of the time and memory.
            **filters: on the rows that count.
        """
        for name in columns or ():
            RUNS.column(name)
        return _frame(RUNS, self._runs(filters, columns), columns)

    def curves(self, **filters: Any) -> pd.DataFrame:
        """Training curves: one row per `run_id` and `step`, of the runs in `runs` only.

        The filters are on columns of `curves`, and on those of `runs` that `curves` lacks, which
        choose the runs.
        """
        for name in filters:
            if name not in CURVES.named and name not in RUNS.named:
                raise unknown("column of curves or runs", name, CURVES.named | RUNS.named)
        own, of_runs = split(filters, CURVES.named)
        runs = {} if "run_id" not in own else {"run_id": own["run_id"]}
        if of_runs:
            chosen = self._runs({**runs, **of_runs}, ["run_id"])
            runs = {"run_id": chosen["run_id"].to_pylist()}
        published = self._reader.read(RUNS, runs, [*DECIDING, "group"])
        fixed, others = split({**own, **runs}, CURVES.fixed)
        rows = best_curves(self._reader.read(CURVES, fixed), published)
        return _frame(CURVES, _only(CURVES, rows, others))

    def verdicts(self, latest: bool = True, **filters: Any) -> pd.DataFrame:
        """Verdicts: one row per experiment, variant, data set, activation and target shape.

        Args:
            latest: whether only the newest counts; otherwise all that were ever reached.
            **filters: on the rows that count.
        """
        return self._newest(VERDICTS, latest, filters)

    def measurements(self, latest: bool = True, **filters: Any) -> pd.DataFrame:
        """Measurements: one row per quantity and everything that determines it.

        Args:
            latest: whether only the newest counts; otherwise all that were ever made.
            **filters: on the rows that count.
        """
        return self._newest(MEASUREMENTS, latest, filters)

    def experiments(self) -> list[str]:
        """The names of all experiments that have runs or verdicts, also of those whose every run
        another experiment has too."""
        names: set[str] = set()
        for table in (RUNS, VERDICTS):
            names.update(self._reader.read(table, columns=["experiment"])["experiment"].to_pylist())
        return sorted(names)

    def compact(self) -> int:
        """Merge small files, while others may read and write; return by how many files fewer.

        Killed at any moment, nothing is lost and nothing counted twice.
        """
        with self._folder.reading():
            return sum(compact(self._reader, table) for table in TABLES.values())

    def check(self) -> list[Damage]:
        """Compare every byte of every file with what was written; the files that differ."""
        with self._folder.reading():
            faults: dict[str, str] = {}
            for table in TABLES.values():
                faults |= self._reader.faults(self._reader.files(table))
        return [Damage(path, cause) for path, cause in sorted(faults.items())]

    def quarantine(self) -> list[Damage]:
        """Move the files that `check` finds twice to the folder `quarantine`; what was moved.

        They keep their bytes and their paths, below that folder, and are no part of the ledger any
        more: nothing warns of them. Runs that were in them are trained again when an experiment
        asks for them; a lost curve is not. Others may read, write and compact at the same time.

        Raises:
            LedgerError: the folder cannot be read or written to.
        """
        first = self.check()
        found = [damage for damage in self.check() if damage in first] if first else []
        for damage in found:
            self._folder.move(damage.path, f"{QUARANTINE}/{damage.path}")
        return found

    def _runs(self, filters: Filters, columns: Sequence[str] | None = None) -> pa.Table:
        """What `runs` promises; with some columns only, and those that it takes to answer."""
        if columns is not None:
            columns = [*DECIDING, *RUNS.order, *filters, *columns]
        fixed, others = split(filters, RUNS.fixed)
        rows = best_runs(self._reader.read(RUNS, fixed, columns), RUNS.key)
        return best_runs(_only(RUNS, rows, others), ["run_id"])

    def _newest(self, table: Table, latest: bool, filters: Filters) -> pd.DataFrame:
        if not latest:
            rows = distinct(table, self._reader.read(table, filters))
            return _frame(table, rows)
        fixed, others = split(filters, table.fixed)
        rows = newest(table, self._reader.read(table, fixed))
        return _frame(table, _only(table, rows, others))

    def _publish(self, table: Table, rows: pa.Table) -> None:
        if rows.num_rows:
            file, data = encode(table, in_order(table, rows))
            self._folder.publish(file.path, data)


def _only(table: Table, rows: pa.Table, filters: Filters) -> pa.Table:
    """The rows that meet the filters."""
    condition = expression(table, filters)
    return rows if condition is None else rows.filter(condition)


def _frame(table: Table, rows: pa.Table, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """The rows as a frame, in the table's order; some columns, if not all."""
    rows = in_order(table, rows)
    return (rows if columns is None else rows.select(list(columns))).to_pandas(
        types_mapper=lambda kind: None if pa.types.is_timestamp(kind) else pd.ArrowDtype(kind)
    )


def _refuse_repetitions(table: Table, rows: pa.Table) -> None:
    """Refuse two rows about the same thing in one append: one of them must be a mistake."""
    seen: set[tuple[Any, ...]] = set()
    for key in zip(*(rows[name].to_pylist() for name in table.key), strict=True):
        if key in seen:
            what = ", ".join(
                f"{name} {value!r}" for name, value in zip(table.key, key, strict=True)
            )
            raise LedgerError(f"two rows of {table.name} have {what}")
        seen.add(key)


def _tie(runs: pa.Table, curves: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Both tables with the id of this append in `group`, so that a run finds its own curve.

    Rows of runs that have a group keep it, as they do when a ledger is copied into another.
    """
    drawn = set(curves["run_id"].to_pylist())
    run_ids, groups = runs["run_id"].to_pylist(), runs["group"].to_pylist()
    foreign = drawn.difference(run_ids)
    if foreign:
        raise LedgerError(f"a curve is of run {min(foreign)!r}, which is not among the runs")
    here = uuid4().hex[:16]
    groups = [
        here if group is None and run_id in drawn else group
        for run_id, group in zip(run_ids, groups, strict=True)
    ]
    of_run = dict(zip(run_ids, groups, strict=True))
    return (
        _with_groups(runs, groups),
        _with_groups(curves, [of_run[run_id] for run_id in curves["run_id"].to_pylist()]),
    )


def _with_groups(rows: pa.Table, groups: list[str | None]) -> pa.Table:
    place = rows.schema.get_field_index("group")
    return rows.set_column(place, rows.schema.field(place), pa.array(groups, pa.string()))
