"""A ledger that is read again and again: its rows in memory, of one experiment at a time."""

import warnings
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from results.errors import DamagedFileWarning
from results.ledger import Ledger
from results.live.cache import TableCache
from results.live.overview import Counts, Overview
from results.rates import expanded
from results.schema.tables import TABLES, Table
from results.storage.choosing import best_runs, distinct, in_order, newest, of_newest_spec
from results.storage.proof import contradictory

MOST_EXPERIMENTS = 4
"""Experiments whose runs are kept in memory: those that were looked at last."""
RUNS, VERDICTS = TABLES["runs"], TABLES["verdicts"]


class LiveLedger:
    """A ledger whose queries read new files only; it writes nothing.

    It answers `runs`, `verdicts` and the other queries of the report as the ledger itself does, and
    counts runs (`experiments`) without reading their results. Not for several threads at a time.

    Args:
        ledger: an open ledger.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self._overview = Overview(ledger._reader)
        self._verdicts = TableCache(ledger._reader, VERDICTS)
        self._runs: OrderedDict[str, TableCache] = OrderedDict()
        self._frames: dict[str, tuple[Hashable, pd.DataFrame]] = {}
        self._unproven: dict[str, int] = {}

    def refresh(self) -> Iterator[tuple[int, int]]:
        """Look for new files of verdicts and runs.

        Yields:
            How many files of runs have been read, and how many there are; the verdicts come first.

        Raises:
            LedgerError: the folder cannot be read.
        """
        with self.ledger._folder.reading():
            for _ in self._verdicts.refresh():
                pass
            yield from self._overview.refresh()

    @property
    def place(self) -> str:
        """The folder or URI of the ledger, without keys."""
        return self.ledger._folder.shown

    @property
    def local(self) -> bool:
        """Whether the ledger is on a disk, where looking costs nothing."""
        return self.ledger._folder.local

    @property
    def counts(self) -> dict[str, Counts]:
        """The runs of every experiment that has any, by name, as far as they have been read."""
        return self._overview.experiments()

    @property
    def damaged(self) -> dict[str, str]:
        """The fault of each damaged file by path, as far as they have been read."""
        details = (cache.damaged for cache in self._runs.values())
        found = self._overview.damaged | self._verdicts.damaged
        for each in details:
            found |= each
        return found

    def unproven(self, experiment: str) -> int:
        """Return how many rows of an experiment were left out because they cannot be true."""
        return self._unproven.get(experiment, 0)

    @property
    def judged(self) -> Hashable:
        """What is equal as long as there is no new verdict."""
        return self._verdicts.seen

    def signature(self, experiment: str) -> Hashable:
        """Return what is equal as long as an experiment has no new run and no new verdict."""
        counts = self.counts.get(experiment)
        return (frozenset() if counts is None else counts.files), self._verdicts.seen

    def experiments(self) -> list[str]:
        """Return the names of all experiments that have runs or verdicts, sorted."""
        judged = set(self._verdicts.rows["experiment"].to_pylist())
        return sorted({*self.counts, *judged})

    def runs(self, experiment: str) -> pd.DataFrame:
        """Return the runs of an experiment, as `Ledger.runs` does."""
        counts = self.counts.get(experiment)
        files: frozenset[str] = frozenset() if counts is None else counts.files
        cache = self._runs.setdefault(
            experiment, TableCache(self.ledger._reader, RUNS, filters={"experiment": experiment})
        )
        self._runs.move_to_end(experiment)
        while len(self._runs) > MOST_EXPERIMENTS:
            gone, _ = self._runs.popitem(last=False)
            self._frames.pop(gone, None)
        with self.ledger._folder.reading():
            for _ in cache.refresh(files):
                pass
        known = self._frames.get(experiment)
        if known is not None and known[0] == cache.seen:
            return known[1]
        rows = cache.rows
        wrong = contradictory(rows)
        self._unproven[experiment] = pc.sum(wrong).as_py() or 0
        if self._unproven[experiment]:
            rows = rows.filter(pc.invert(wrong))
        frame = _frame(RUNS, best_runs(best_runs(rows, RUNS.key), ["run_id"]))
        self._frames[experiment] = cache.seen, frame
        return frame

    def verdicts(self, latest: bool = True, experiment: str | None = None) -> pd.DataFrame:
        """Return verdicts, as `Ledger.verdicts` does."""
        rows = self._verdicts.rows
        if experiment is not None:
            rows = rows.filter(pc.field("experiment") == experiment)
        chosen = of_newest_spec(newest(VERDICTS, rows)) if latest else distinct(VERDICTS, rows)
        return _frame(VERDICTS, chosen)

    def measurements(self, **filters: object) -> pd.DataFrame:
        """Return measurements, as `Ledger.measurements` does."""
        return self._quietly(self.ledger.measurements, filters)

    def curves(self, **filters: object) -> pd.DataFrame:
        """Return training curves, as `Ledger.curves` does."""
        return self._quietly(self.ledger.curves, filters)

    def layers(self, **filters: object) -> pd.DataFrame:
        """Return the changes of layers, as `Ledger.layers` does."""
        return self._quietly(self.ledger.layers, filters)

    @staticmethod
    def _quietly(query: Callable[..., pd.DataFrame], filters: dict[str, object]) -> pd.DataFrame:
        """Query the ledger without warnings: damaged files are named on the page."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DamagedFileWarning)
            return query(**filters)


def _frame(table: Table, rows: pa.Table) -> pd.DataFrame:
    return expanded(in_order(table, rows).to_pandas())
