"""Questions in: column=value and column=[values] become an expression that Parquet can use."""

from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from results.schema.tables import TYPES, Table
from results.storage.rows import converted

Filters = Mapping[str, Any]


def expression(table: Table, filters: Filters) -> pc.Expression | None:
    """All of the filters at once; None if there are none.

    A value, or each value of an iterable, is compared for equality; None asks for nulls, NaN for
    NaN.

    Raises:
        LedgerError: an unknown column, or a value that the column cannot hold.
    """
    whole: pc.Expression | None = None
    for name, wanted in filters.items():
        one = _one(table, name, wanted)
        whole = one if whole is None else whole & one
    return whole


def split(filters: Filters, first: Iterable[str]) -> tuple[Filters, Filters]:
    """The filters on columns in `first`, and the others."""
    chosen = set(first)
    return (
        {name: value for name, value in filters.items() if name in chosen},
        {name: value for name, value in filters.items() if name not in chosen},
    )


def _one(table: Table, name: str, wanted: Any) -> pc.Expression:
    column = table.column(name)
    several = isinstance(wanted, Iterable) and not isinstance(wanted, (str, bytes, Mapping))
    values = [converted(table, column, value) for value in (wanted if several else [wanted])]
    present = [value for value in values if value is not None]
    if column.type == "float64":
        present += [-value for value in present if value == 0]  # `isin` tells 0 from -0
    field = pc.field(name)
    match = field.isin(pa.array(present, TYPES[column.type]))
    nulls = None in values or column.absent in present
    return match | field.is_null() if nulls else match
