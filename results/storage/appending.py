"""Checks of one append, and the id that ties its runs to their curves and layers."""

from uuid import uuid4

import pyarrow as pa

from results.errors import LedgerError
from results.schema.tables import Table


def refuse_repetitions(table: Table, rows: pa.Table) -> None:
    """Raise LedgerError if two rows of one append have the same key."""
    seen: set[tuple[object, ...]] = set()
    for key in zip(*(rows[name].to_pylist() for name in table.key), strict=True):
        if key in seen:
            what = ", ".join(
                f"{name} {value!r}" for name, value in zip(table.key, key, strict=True)
            )
            raise LedgerError(f"two rows of {table.name} have {what}")
        seen.add(key)


def tied(runs: pa.Table, curves: pa.Table, layers: pa.Table) -> list[pa.Table]:
    """Return the tables with the id of this append in `group`, which ties a run to its details.

    Runs that have a group keep it, as when a ledger is copied into another.
    """
    run_ids, groups = runs["run_id"].to_pylist(), runs["group"].to_pylist()
    detailed: set[str] = set()
    for what, details in (("a curve", curves), ("a layer", layers)):
        described = set(details["run_id"].to_pylist())
        if foreign := described.difference(run_ids):
            raise LedgerError(f"{what} is of run {min(foreign)!r}, which is not among the runs")
        detailed |= described
    here = uuid4().hex[:16]
    own = [
        here if group is None and run_id in detailed else group
        for run_id, group in zip(run_ids, groups, strict=True)
    ]
    of_run = dict(zip(run_ids, own, strict=True))
    return [
        _with_groups(runs, own),
        *(
            _with_groups(rows, [of_run[run_id] for run_id in rows["run_id"].to_pylist()])
            for rows in (curves, layers)
        ),
    ]


def _with_groups(rows: pa.Table, groups: list[str | None]) -> pa.Table:
    place = rows.schema.get_field_index("group")
    return rows.set_column(place, rows.schema.field(place), pa.array(groups, pa.string()))
