"""The rows that queries return: of several rows with one key, those that count."""

from collections.abc import Sequence

import pyarrow as pa

from results.errors import unknown
from results.schema.tables import TABLES, Table
from results.storage.choosing import (
    DECIDING,
    SPECIFIED,
    best_details,
    best_runs,
    distinct,
    newest,
    of_newest_spec,
)
from results.storage.filters import Filters, expression, split
from results.storage.reading import Reader

RUNS, VERDICTS, MEASUREMENTS = (TABLES[name] for name in ("runs", "verdicts", "measurements"))


class Queries:
    """Queries of one ledger. Filters on columns that are fixed by the key skip files."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def runs(self, filters: Filters, columns: Sequence[str] | None = None) -> pa.Table:
        """Return the rows of `runs`, with the given columns and those that choosing rows needs."""
        if columns is not None:
            columns = [*DECIDING, *RUNS.order, *filters, *columns]
        fixed, others = split(filters, RUNS.fixed)
        rows = best_runs(self._reader.read(RUNS, fixed, columns), RUNS.key)
        return best_runs(_only(RUNS, rows, others), ["run_id"])

    def run_ids(self) -> list[str]:
        """Return the ids of all runs, sorted."""
        ids: list[str] = self.runs({}, ["run_id"])["run_id"].to_pylist()
        return sorted(ids)

    def details(self, table: Table, filters: Filters) -> pa.Table:
        """Return rows of a table with several rows per run."""
        for name in filters:
            if name not in table.named and name not in RUNS.named:
                raise unknown(f"column of {table.name} or runs", name, table.named | RUNS.named)
        own, of_runs = split(filters, table.named)
        runs = {} if "run_id" not in own else {"run_id": own["run_id"]}
        if of_runs:
            chosen = self.runs({**runs, **of_runs}, ["run_id"])
            runs = {"run_id": chosen["run_id"].to_pylist()}
        published = self._reader.read(RUNS, runs, [*DECIDING, "group"])
        fixed, others = split({**own, **runs}, table.fixed)
        rows = best_details(table, self._reader.read(table, fixed), published)
        return _only(table, rows, others)

    def verdicts(self, filters: Filters) -> pa.Table:
        """Return the newest verdicts of the newest specs."""
        fixed, others = split(filters, SPECIFIED)
        rows = of_newest_spec(newest(VERDICTS, self._reader.read(VERDICTS, fixed)))
        return _only(VERDICTS, rows, others)

    def measurements(self, filters: Filters) -> pa.Table:
        """Return the newest measurements."""
        fixed, others = split(filters, MEASUREMENTS.fixed)
        rows = newest(MEASUREMENTS, self._reader.read(MEASUREMENTS, fixed))
        return _only(MEASUREMENTS, rows, others)

    def every(self, table: Table, filters: Filters) -> pa.Table:
        """Return newest and replaced rows of a table."""
        return distinct(table, self._reader.read(table, filters))


def _only(table: Table, rows: pa.Table, filters: Filters) -> pa.Table:
    """Return the rows that match the filters."""
    condition = expression(table, filters)
    return rows if condition is None else rows.filter(condition)
