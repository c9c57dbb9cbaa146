"""The choice of one row where files hold several with the same key."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from results.schema.tables import Table
from results.vocabulary import OutcomeLabel

DECIDING = ("run_id", "experiment", "outcome", "steps_done", "recorded", "started")
"""The columns of runs that `best_runs` needs."""

SPECIFIED = ("experiment", "dataset", "activation")
"""The columns of verdicts that a spec is newest for."""

# Helper columns; no column of the schema starts with an underscore.
_RANK, _UPDATES, _ORDER = "_rank", "_updates", "_order"
_PLACE, _GROUP = "_place", "_group"


def best_runs(runs: pa.Table, key: Sequence[str]) -> pa.Table:
    """Return one row per `key`: the oldest result.

    Without a result it is the pruned row with the most updates, or else the newest failure. The
    oldest result, so that conclusions stay reproducible when another process trains the same
    run again.
    """
    age = pc.cast(pc.coalesce(runs["recorded"], runs["started"]), pa.int64())
    failed = pc.equal(runs["outcome"], OutcomeLabel.FAILED.value)
    pruned = pc.equal(runs["outcome"], OutcomeLabel.PRUNED.value)
    helpers = {
        _RANK: pc.if_else(failed, 2, pc.if_else(pruned, 1, 0)),
        _UPDATES: pc.if_else(pruned, pc.negate(pc.coalesce(runs["steps_done"], 0)), 0),
        _ORDER: pc.if_else(failed, pc.negate(age), age),
    }
    ranked = runs
    for name, values in helpers.items():
        ranked = ranked.append_column(name, values)
    return _first(ranked, key, list(helpers)).drop_columns(list(helpers))


def newest(table: Table, rows: pa.Table) -> pa.Table:
    """Return one row per key of the table: the one created last."""
    age = pc.negate(pc.cast(rows["created"], pa.int64()))
    return _first(rows.append_column(_ORDER, age), table.key, [_ORDER]).drop_columns([_ORDER])


def of_newest_spec(rows: pa.Table) -> pa.Table:
    """Return the verdicts without those of older specs.

    A name may be used again with another grid, other targets or settings. For each experiment, data
    set and activation, only verdicts with the spec of the newest one count. Rows without a spec, a
    JSON object, are all kept.
    """
    specified = pc.fill_null(pc.starts_with(rows["spec"], "{"), False)
    candidates, others = rows.filter(specified), rows.filter(pc.invert(specified))
    age = pc.negate(pc.cast(candidates["created"], pa.int64()))
    keys = list(SPECIFIED)
    latest = _first(candidates.append_column(_ORDER, age), keys, [_ORDER]).select([*keys, "spec"])
    current = candidates.join(latest, keys=[*keys, "spec"], join_type="inner")
    return pa.concat_tables([others, current.select(rows.column_names)])


def best_details(table: Table, rows: pa.Table, runs: pa.Table) -> pa.Table:
    """Return the details of each run from the append that published the best row of the run.

    Args:
        table: `curves` or `layers`.
        rows: rows of the table.
        runs: rows of `runs`, of any experiment. Details whose append has no run are left out.
    """
    published = best_runs(runs.filter(pc.field("group").is_valid()), ["run_id"])
    keys = ["run_id", "group"]
    mine = rows.join(published.select(keys), keys=keys, join_type="inner")
    return _first(mine.select(rows.column_names), table.key, [])


def distinct(table: Table, rows: pa.Table) -> pa.Table:
    """Return the rows without exact repetitions, which a killed compaction leaves."""
    alone, others = _apart(rows, table.key)
    once = others.group_by(others.column_names, use_threads=False).aggregate([])
    return pa.concat_tables([alone, once.select(rows.column_names)])


def condensed(table: Table, rows: pa.Table) -> pa.Table:
    """Return the rows that a compaction keeps; queries return the same for them.

    Of a table with `condensed`, one per key: the one that queries choose, with the group of another
    if only that has curves and layers. Of others, all without exact repetitions.
    """
    if not table.condensed:
        return distinct(table, rows)
    best = best_runs(rows, table.key)
    detailed = best_runs(rows.filter(pc.field("group").is_valid()), table.key)
    lacking = best.filter(pc.field("group").is_null())
    if not lacking.num_rows or not detailed.num_rows:
        return best
    key = list(table.key)
    groups = detailed.select([*key, "group"]).rename_columns([*key, _GROUP])
    joined = best.join(groups, keys=key)
    place = joined.schema.get_field_index("group")
    group = pc.coalesce(joined["group"], joined[_GROUP])
    return joined.set_column(place, "group", group).select(rows.column_names)


def in_order(table: Table, rows: pa.Table) -> pa.Table:
    """Return the rows in the order of the table."""
    return _sorted(rows, table.order)


def _first(rows: pa.Table, key: Sequence[str], order: Sequence[str]) -> pa.Table:
    """Return the first row of every key in ascending `order`."""
    alone, others = _apart(rows, key)
    others = _sorted(others, order)
    firsts = _groups(others, key)[f"{_PLACE}_min"]
    return pa.concat_tables([alone, others.take(firsts)])


def _apart(rows: pa.Table, key: Sequence[str]) -> tuple[pa.Table, pa.Table]:
    """Return the rows with a unique key, which are most, and the others."""
    groups = _groups(rows, key)
    if groups.num_rows == rows.num_rows:
        return rows, rows.slice(0, 0)
    places = groups.filter(pc.field(f"{_PLACE}_count") == 1)[f"{_PLACE}_min"].to_numpy()
    alone = np.zeros(rows.num_rows, bool)
    alone[places] = True
    return rows.filter(pa.array(alone)), rows.filter(pa.array(~alone))


def _groups(rows: pa.Table, key: Sequence[str]) -> pa.Table:
    """Return the place of the first row and the number of rows of every key."""
    places = rows.select(list(key)).append_column(_PLACE, pa.array(np.arange(rows.num_rows)))
    wanted = [(_PLACE, "min"), (_PLACE, "count")]
    return places.group_by(list(key), use_threads=False).aggregate(wanted)


def _sorted(rows: pa.Table, first: Sequence[str]) -> pa.Table:
    """Return the rows in ascending order of `first`, then of all other columns; nulls last."""
    names = dict.fromkeys([*first, *rows.column_names])
    # Sorting thousands of small chunks is much slower than sorting one.
    return rows.combine_chunks().sort_by([(name, "ascending") for name in names])
