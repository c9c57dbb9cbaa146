"""Which row counts, where files hold several about the same thing."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from results.schema import TABLES, Table

FAILED = "failed"

# Helper columns; no column of the schema starts with an underscore.
_FAILED, _ORDER, _PLACE = "_failed", "_order", "_place"


def best_runs(runs: pa.Table, key: Sequence[str]) -> pa.Table:
    """One row per `key`: a result rather than a failure, the oldest result, the newest failure.

    The oldest, so that what was once concluded from a row stays reproducible when another process
    trains the same run again.
    """
    started = pc.cast(runs["started"], pa.int64())
    failed = pc.equal(runs["outcome"], FAILED)
    ranked = runs.append_column(_FAILED, failed).append_column(
        _ORDER, pc.if_else(failed, pc.negate(started), started)
    )
    first = _first(ranked, key, [_FAILED, _ORDER])
    return first.drop_columns([_FAILED, _ORDER])


def newest(table: Table, rows: pa.Table) -> pa.Table:
    """One row per key of the table: the one created last."""
    age = pc.negate(pc.cast(rows["created"], pa.int64()))
    return _first(rows.append_column(_ORDER, age), table.key, [_ORDER]).drop_columns([_ORDER])


def best_curves(curves: pa.Table, runs: pa.Table) -> pa.Table:
    """The curve of each run in `runs` that has one, from the append that its best row came with.

    Args:
        curves: rows of curves.
        runs: rows of runs, of any experiment, that say which appends are complete.
    """
    published = best_runs(runs.filter(pc.field("group").is_valid()), ["run_id"])
    keys = ["run_id", "group"]
    mine = curves.join(published.select(keys), keys=keys, join_type="inner")
    return _first(mine.select(curves.column_names), TABLES["curves"].key, [])


def distinct(rows: pa.Table) -> pa.Table:
    """The rows without exact repetitions, which a killed compaction leaves."""
    return rows.group_by(rows.column_names, use_threads=False).aggregate([])


def in_order(table: Table, rows: pa.Table) -> pa.Table:
    """The rows in the order of the table, whatever files they came from."""
    return _sorted(rows, table.order)


def _first(rows: pa.Table, key: Sequence[str], order: Sequence[str]) -> pa.Table:
    """The first row of every key in ascending `order`."""
    rows = _sorted(rows, order)
    places = rows.select(list(key)).append_column(_PLACE, pa.array(np.arange(rows.num_rows)))
    firsts = places.group_by(list(key), use_threads=False).aggregate([(_PLACE, "min")])
    return rows.take(firsts[f"{_PLACE}_min"])


def _sorted(rows: pa.Table, first: Sequence[str]) -> pa.Table:
    """The rows in ascending order of `first` and then of all other columns, nulls last."""
    names = dict.fromkeys([*first, *rows.column_names])
    # Sorting, and taking rows from, thousands of small chunks is much slower than from one.
    return rows.combine_chunks().sort_by([(name, "ascending") for name in names])
