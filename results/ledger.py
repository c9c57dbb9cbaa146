"""The ledger: append rows, query them as pandas frames."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Self

import pandas as pd
import pyarrow as pa
import pyarrow.fs as pafs

from results.early_losses import COLUMNS, EarlyLosses, early_losses
from results.errors import LedgerError
from results.rate_filters import matching, split
from results.rates import COLUMN, expanded, names_in, without_rates
from results.schema.tables import TABLES, Table
from results.schema.types import Value
from results.storage.announcements import Announcements
from results.storage.appending import refuse_repetitions, tied
from results.storage.checkpoints import FOLDER as CHECKPOINTS
from results.storage.checkpoints import Checkpoints
from results.storage.choosing import in_order
from results.storage.claims import Claims
from results.storage.clock import Clock
from results.storage.compaction import compact
from results.storage.files import encode
from results.storage.folder import Folder
from results.storage.marker import ensure
from results.storage.queries import Queries
from results.storage.reading import Reader
from results.storage.rows import Row, to_arrow
from results.storage.weights import FOLDER as WEIGHTS
from results.storage.weights import KeptWeights, Weights
from results.vocabulary import RATES, OutcomeLabel

if TYPE_CHECKING:
    from results.comparison import Comparison

RUNS, CURVES, LAYERS = TABLES["runs"], TABLES["curves"], TABLES["layers"]
VERDICTS, MEASUREMENTS = TABLES["verdicts"], TABLES["measurements"]
QUARANTINE = "quarantine"


@dataclass(frozen=True)
class Damage:
    """A damaged file.

    Attributes:
        path: path in the folder of the ledger.
        cause: description of the fault.
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
    """Open a ledger. See `Ledger.open`."""
    return Ledger.open(path, create, filesystem)


class Ledger:
    """The tables in one folder: `runs`, `curves`, `layers`, `verdicts`, `measurements`.

    Any number of processes may write, read and compact at the same time. Files are immutable and
    written atomically; killing a writer loses at most the append in progress.

    Frames: queries return one row per key, in an order that depends on the rows alone.
    `results.columns(table)` returns the meanings of the columns. Columns have NumPy types: NaN is a
    null (there is no value) or a NaN (a computation returned it), and integers with nulls are
    floats. With `arrow=True` they have Arrow types, which distinguish the two: `isna()`, `dropna()`
    and `fillna()` are then about nulls, and means skip nulls but not NaN. Times are pandas
    timestamps in UTC.

    Filters: `column=value`, or `column=[values]`; None matches nulls. Files and row groups whose
    statistics exclude a match are not read. A damaged file is left out and named in a
    `DamagedFileWarning`, so that one bad sector does not hide the rest; its runs count as never
    run, and `quarantine` moves it away. Every method raises `LedgerError` if the folder cannot be
    read or a filter is invalid.

    Opened by `results.open`.

    Attributes:
        checkpoints: checkpoints of unfinished groups of runs.
        weights: the kept weights of trained networks.
        announcements: how far the drivers are.
    """

    def __init__(self, folder: Folder) -> None:
        self.announcements = Announcements(folder)
        self.checkpoints = Checkpoints(folder)
        self.weights = Weights(folder)
        self._folder = folder
        self._reader = Reader(folder)
        self._queries = Queries(self._reader)
        self._clock = Clock(self._reader)

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        create: bool = False,
        filesystem: pafs.FileSystem | None = None,
    ) -> Self:
        """Open a ledger.

        Args:
            path: a local folder, or a URI that pyarrow supports (`s3://bucket/runs`, `gs://...`).
            create: whether to create the ledger if the folder is missing or empty.
            filesystem: the pyarrow file system of `path`; by default inferred from `path`.

        Raises:
            LedgerError: there is no ledger at `path`, it cannot be read or created, or it was
                written by a newer version of mupc.
        """
        folder = Folder(path, filesystem)
        ensure(folder, create)
        return cls(folder)

    def __repr__(self) -> str:
        return f"results.open({self._folder.shown!r})"

    def append(
        self, runs: Sequence[Row], curves: Sequence[Row] = (), layers: Sequence[Row] = ()
    ) -> None:
        """Publish one finished group: first curves and layers, then its runs, each as one file.

        Queries return the details of a run only if the run is there, so that a process killed in
        between leaves nothing visible. All rows are checked before anything is written.

        Args:
            runs: rows of `runs`. To share a run with another experiment, append its row with
                `experiment` (and `phase`) replaced; curve and layers are shared too.
            curves: rows of `curves` for some or all of these runs.
            layers: rows of `layers` for some or all of these runs.

        Raises:
            LedgerError: a row does not fit the schema, is repeated, or is about another run; or the
                folder cannot be written to. Nothing visible is published then.
        """
        tables = RUNS, CURVES, LAYERS
        runs = without_rates(runs)
        given = (runs, curves, layers)
        whole = [to_arrow(table, rows) for table, rows in zip(tables, given, strict=True)]
        for table, rows in zip(tables, whole, strict=True):
            refuse_repetitions(table, rows)
        run_rows, *details = tied(*whole)
        for table, rows in zip(tables[1:], details, strict=True):
            self._publish(table, rows)
        self._publish(RUNS, run_rows)

    def append_verdicts(self, rows: Sequence[Row]) -> None:
        """Publish verdicts as one file; queries return the newest verdict per target.

        Raises:
            LedgerError: a row does not fit the schema, or the folder cannot be written to.
        """
        self._publish(VERDICTS, to_arrow(VERDICTS, without_rates(rows)))

    def append_measurements(self, rows: Sequence[Row]) -> None:
        """Publish measurements as one file; queries return the newest of each quantity.

        Raises:
            LedgerError: a row does not fit the schema, or the folder cannot be written to.
        """
        self._publish(MEASUREMENTS, to_arrow(MEASUREMENTS, rows))

    def runs(
        self, columns: Sequence[str] | None = None, *, arrow: bool = False, **filters: object
    ) -> pd.DataFrame:
        """Return the trained networks: one row per `run_id`.

        First, of several rows of one run in one experiment, a result replaces a failure. Then the
        filters apply. Then a run that several experiments share is returned once.

        The rates of training functions have a column each, after the others: `lr` for a rate of
        this name. They can be among `columns` and filters, too.

        Args:
            columns: the columns to return, in this order; None returns all. A few columns of many
                runs take a fraction of the time and memory.
            arrow: whether columns have Arrow types.
            **filters: `column=value` or `column=[values]`.
        """
        stored, of_rates = split(RUNS, filters)
        read = None
        if columns is not None:
            of_rates = {**dict.fromkeys(n for n in columns if n not in RUNS.named), **of_rates}
            named = [name for name in (*columns, *of_rates) if name in RUNS.named]
            read = list(dict.fromkeys([*named, COLUMN] if of_rates else named))
        found = _frame(RUNS, self._queries.runs(stored, read), read, arrow=arrow)
        found = matching(RUNS, expanded(found), of_rates)
        return found if columns is None else found[list(columns)]

    def row(self, run_id: str) -> dict[str, Value | None]:
        """Return the row of a run, whose id may be shortened to its first characters.

        Raises:
            LedgerError: no run has such an id, or several have.
        """
        found = self._queries.runs({"run_id": run_id})
        if not found.num_rows:
            found = self._queries.runs({"run_id": self.full_id(run_id)})
        (row,) = found.to_pylist()
        return row

    def full_id(self, run_id: str) -> str:
        """Return the id of the one run whose id is this or begins with it.

        Raises:
            LedgerError: no run has such an id, or several have.
        """
        ids = [each for each in self._queries.run_ids() if each.startswith(run_id)]
        if run_id not in ids and len(ids) != 1:
            raise LedgerError(_not_one(run_id, ids))
        return run_id if run_id in ids else ids[0]

    def kept(self, run_id: str) -> KeptWeights:
        """Return the kept weights of a run, whose id may be shortened, with their description.

        `mupc.open(...).network(run_id)` makes a network of them.

        Raises:
            LedgerError: there is no such run, its weights were not kept or are gone, or their file
                is damaged.
        """
        row = self.row(run_id)
        if row[COLUMN] is not None:
            raise LedgerError(
                f"run {row['run_id']} is of the training function {row['dataset']}, whose networks "
                "mupc does not keep: save them in the function"
            )
        if row["weights_digest"] is None:
            raise LedgerError(
                f"the weights of run {row['run_id']} were not kept: train it again with "
                f"pccore.train(*ledger.rebuild({row['run_id']!r})), or set `keep: all` in the spec "
                "before runs are trained"
            )
        return self.weights.load(str(row["run_id"]), str(row["weights_digest"]))

    def landscape(
        self, variant: str, depth: int, *, value: str = "final_train_loss", **filters: object
    ) -> pd.DataFrame:
        """Return the losses over the learning rates at one shape, for `results.plot_landscape`.

        Args:
            variant: name of the variant.
            depth: H, hidden layers.
            value: a column of `runs` with numbers.
            **filters: further `column=value` or `column=[values]`, such as width=32.

        Returns:
            One row per activity_lr and one column per weight_lr, both increasing: the mean of
            `value` over the runs that trained, which are usually one per seed; NaN where none did.
            A variant without activity learning rates has one row, NaN. Of a training function, the
            columns are its first rate in alphabetical order and the rows its second; choose values
            of others by filters. `attrs` has the variant, the width, the depth and the value.

        Raises:
            LedgerError: no run matches; or the runs differ in more than learning rates and seed,
                which the message names.
        """
        if not RUNS.column(value).numeric:
            raise LedgerError(f"landscape takes a column of numbers, not {value!r}")
        chosen = {"variant": variant, "depth": depth, **filters}
        cell = (*RATES, COLUMN)
        settings = [name for name in RUNS.fixed if name not in (*RUNS.key, *cell, "seed")]
        names = [*settings, *cell, "outcome", value]
        runs = expanded(self.runs(names, arrow=False, **chosen))
        if runs.empty:
            raise LedgerError(f"no run of variant {variant!r} with depth {depth} matches")
        for name in settings:
            if name in names_in(runs):
                continue
            found = runs[name].drop_duplicates()
            if len(found) > 1:
                shown = ", ".join(str(each) for each in found)
                raise LedgerError(
                    f"the runs differ in {name} ({shown}): choose one with {name}=..."
                )
        runs[value] = runs[value].where(runs["outcome"].eq(OutcomeLabel.TRAINED)).astype(float)
        across, down = _axes(runs, set(chosen))
        means = runs.groupby([across, down], dropna=False)[value].mean()
        table = means.unstack(across)
        table.attrs = {"variant": variant, "depth": depth, "value": value}
        table.attrs["width"] = int(runs["width"].iloc[0])
        return table

    def curves(self, *, arrow: bool = False, **filters: object) -> pd.DataFrame:
        """Return training curves: one row per `run_id` and `step`.

        Filters may use columns of `curves`, and columns of `runs` to select the runs.
        """
        return _frame(CURVES, self._queries.details(CURVES, filters), arrow=arrow)

    def early_losses(self, **filters: object) -> list[EarlyLosses]:
        """Return the losses during training beside the final ones, for every landscape of networks.

        They show from when on a search may stop cells early (`tune.prune`).

            for each in ledger.early_losses(experiment="digits"):
                print(each.variant, each.shape, each.horizons())

        Args:
            **filters: `column=value` or `column=[values]` of `runs`.

        Returns:
            One entry per variant, shape and other settings in which runs differ, by variant and
            shape. Training functions, runs without a curve and landscapes of fewer than three
            finished cells are left out.
        """
        runs = self.runs(COLUMNS, arrow=False, **filters)
        return early_losses(runs, self.curves(arrow=False, **filters))

    def layers(self, *, arrow: bool = False, **filters: object) -> pd.DataFrame:
        """Return how much each layer learned: one row per `run_id` and `layer`.

        Filters may use columns of `layers`, and columns of `runs` to select the runs.
        """
        return _frame(LAYERS, self._queries.details(LAYERS, filters), arrow=arrow)

    def verdicts(
        self, latest: bool = True, *, arrow: bool = False, **filters: object
    ) -> pd.DataFrame:
        """Return verdicts: one row per experiment, variant, data set, activation, target and rule.

        Args:
            latest: whether to return only the newest verdict of each, and of a name that was used
                for several specs only those of the newest one; otherwise all verdicts.
            arrow: whether columns have Arrow types.
            **filters: `column=value` or `column=[values]`.
        """
        stored, of_rates = split(VERDICTS, filters)
        rows = self._queries.verdicts(stored) if latest else self._queries.every(VERDICTS, stored)
        return matching(VERDICTS, expanded(_frame(VERDICTS, rows, arrow=arrow)), of_rates)

    def measurements(
        self, latest: bool = True, *, arrow: bool = False, **filters: object
    ) -> pd.DataFrame:
        """Return measurements: one row per quantity and everything that determines it.

        Args:
            latest: whether to return only the newest measurement of each; otherwise all of them.
            arrow: whether columns have Arrow types.
            **filters: `column=value` or `column=[values]`.
        """
        rows = (
            self._queries.measurements(filters)
            if latest
            else self._queries.every(MEASUREMENTS, filters)
        )
        return _frame(MEASUREMENTS, rows, arrow=arrow)

    def sql(self, query: str, *, arrow: bool = False) -> pd.DataFrame:
        """Return the result of a SELECT, in DuckDB's dialect.

        The tables are `runs`, `curves`, `layers`, `verdicts` and `measurements`, with the rows that
        the methods of these names return: no repetitions, the newest verdicts. The query can read
        nothing else.

            ledger.sql("select variant, avg(test_accuracy) from runs where depth > 64 group by 1")

        Args:
            query: one SELECT.
            arrow: whether columns have Arrow types.

        Raises:
            LedgerError: the text is not one SELECT, or DuckDB refuses it.
        """
        from results.sql import select  # DuckDB takes a while to load

        views = {
            "runs": lambda columns: self._queries.runs({}, columns),
            "curves": lambda _: self._queries.details(CURVES, {}),
            "layers": lambda _: self._queries.details(LAYERS, {}),
            "verdicts": lambda _: self._queries.verdicts({}),
            "measurements": lambda _: self._queries.measurements({}),
        }
        columns = {name: [column.name for column in TABLES[name].columns] for name in views}
        return _typed(select(query, views, columns), arrow)

    def compare(self, one: str, other: str) -> "Comparison":
        """Return what differs between the specs and the verdicts of two experiments.

        Args:
            one: name of the first experiment.
            other: name of the second.

        Raises:
            LedgerError: an experiment has no verdict.
        """
        from results.comparison import compare

        return compare(self.verdicts(), one, other)

    def claims(self, about: str) -> Claims:
        """Return the claims of a driver that trains the experiment `about`; enter them to share.

        Drivers that train on one ledger at the same time share the work by them.
        """
        return Claims(self._folder, about)

    def experiments(self) -> list[str]:
        """Return the names of all experiments that have runs or verdicts, sorted."""
        names: set[str] = set()
        for table in (RUNS, VERDICTS):
            names.update(self._reader.read(table, columns=["experiment"])["experiment"].to_pylist())
        return sorted(names)

    def now(self) -> datetime:
        """Return the time for new rows: the present, or just after the newest row if that is later.

        Rows are ordered by these times, in `recorded` and `created`, so that what is written later
        counts whatever the clocks of the writing machines say.
        """
        with self._folder.reading():
            return self._clock.now()

    def ensure_writable(self) -> None:
        """Try to write to every folder of the ledger; the files are deleted again.

        Raises:
            LedgerError: a folder cannot be written to.
        """
        for name in ("", *TABLES, CHECKPOINTS, WEIGHTS):
            self._folder.try_writing(name)

    def compact(self) -> int:
        """Merge small files; return by how many files there are fewer.

        Other processes may read and write meanwhile. Killed at any moment, it loses no row and
        counts none twice. Weights that a killed process wrote more than a day ago, before it
        recorded their run, are removed.

        Raises:
            LedgerError: a file cannot be read, written or deleted. No row is lost then.
        """
        with self._folder.reading():
            gone = sum(compact(self._reader, table) for table in TABLES.values())
        self.remove_unrecorded_weights()
        return gone

    def remove_unrecorded_weights(self, claims: Claims | None = None) -> None:
        """Remove weights that killed processes wrote before they could record the run.

        Args:
            claims: of a driver, entered; weights of runs that others have claimed stay. None
                removes only weights that were written more than a day ago.

        Raises:
            LedgerError: the folder cannot be read.
        """
        self.weights.remove_unrecorded(self._reader, claims)

    def check(self) -> list[Damage]:
        """Verify every file, and the id of every run; return the files at fault.

        They are the files that queries leave out, in whole or in the rows that cannot be true, and
        the checkpoints that no group continues from, and the weights that no network is made of.
        Every byte is compared and every row read.
        """
        with self._folder.reading():
            faults = self.checkpoints.faults() | self.weights.faults()
            for table in TABLES.values():
                files = self._reader.files(table)
                faults |= self._reader.faults(files)
                intact = [file for file in files if file.path not in faults]
                faults |= self._reader.unreadable(table, intact)
                faults |= self._reader.contradicted(f for f in files if f.path not in faults)
        return [Damage(path, cause) for path, cause in sorted(faults.items())]

    def quarantine(self) -> list[Damage]:
        """Move damaged files to the folder `quarantine`; return the files that were moved.

        A file is moved if two checks in a row find it damaged. It keeps its bytes and its path
        below that folder, and is no longer part of the ledger. Where only some rows of a file
        cannot be true, the others are written to a new file first. An experiment that needs runs
        of a moved file trains them again; lost curves are not restored. Other processes may read,
        write and compact meanwhile.

        Raises:
            LedgerError: the folder cannot be read or written to.
        """
        first = self.check()
        found = [damage for damage in self.check() if damage in first] if first else []
        for damage in found:
            with self._folder.reading():
                rows = self._reader.believable(damage.path)
            self._publish(RUNS, rows)
            self._folder.move(damage.path, f"{QUARANTINE}/{damage.path}")
        return found

    def _publish(self, table: Table, rows: pa.Table) -> None:
        if rows.num_rows:
            file, data = encode(table, in_order(table, rows))
            self._folder.publish(file.path, data)
            self._clock.saw(table, [file], rows)


def _axes(runs: pd.DataFrame, chosen: set[str]) -> tuple[str, str]:
    """Return the rates along the columns and the rows of a landscape.

    Raises:
        LedgerError: more than two rates have several values.
    """
    own = names_in(runs)
    if not own:
        return RATES
    free = [name for name in own if name not in chosen]
    varied = [name for name in free if runs[name].nunique() > 1]
    if len(varied) > 2:
        raise LedgerError(
            f"the runs differ in {len(varied)} rates ({', '.join(varied)}), and a landscape has "
            f"two: choose a value of others with {varied[-1]}=..."
        )
    shown = list(dict.fromkeys([*varied, *free, *own]))
    return (shown[0], shown[1]) if len(shown) > 1 else (shown[0], RATES[1])


def _not_one(run_id: str, ids: Sequence[str]) -> str:
    """Return why a shortened run id names no run."""
    if not ids:
        return f"no run has the id {run_id!r}, or one that begins like it"
    some = ", ".join(ids[:3]) + (", ..." if len(ids) > 3 else "")
    return f"{len(ids)} runs have ids that begin with {run_id!r} ({some}): give more of it"


def _frame(
    table: Table, rows: pa.Table, columns: Sequence[str] | None = None, *, arrow: bool
) -> pd.DataFrame:
    """Return the rows as a frame in the order of the table; all columns by default."""
    rows = in_order(table, rows)
    return _typed(rows if columns is None else rows.select(list(columns)), arrow)


def _typed(rows: pa.Table, arrow: bool) -> pd.DataFrame:
    """Return the rows as a frame with columns of NumPy or of Arrow types."""
    if not arrow:
        return rows.to_pandas()
    return rows.to_pandas(
        types_mapper=lambda kind: None if pa.types.is_timestamp(kind) else pd.ArrowDtype(kind)
    )
