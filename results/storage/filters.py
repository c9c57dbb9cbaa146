"""Filters: column=value and column=[values] as an expression that Parquet can use."""

from collections.abc import Iterable, Iterator, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from results.schema.tables import Table
from results.schema.types import TYPES, Value
from results.storage.rows import converted

Filters = Mapping[str, object]
"""By column, a value or an iterable of values; None selects nulls."""


def expression(table: Table, filters: Filters) -> pc.Expression | None:
    """Return the conjunction of the filters; None if there are none.

    A row matches a filter if its value equals the given value, or one of the given values. None
    matches nulls, and NaN matches NaN.

    Raises:
        LedgerError: a column is unknown, or cannot hold a value.
    """
    whole: pc.Expression | None = None
    for name, wanted in filters.items():
        one = _one(table, name, wanted)
        whole = one if whole is None else whole & one
    return whole


def text_values(table: Table, filters: Filters) -> dict[str, list[str]]:
    """Return the sorted values of filters on columns of texts, except where nulls match too."""
    found = {}
    for name, wanted in filters.items():
        column = table.column(name)
        values = _values(table, name, wanted)
        if column.type == "string" and None not in values and column.absent not in values:
            found[name] = sorted(map(str, values))
    return found


def repeatable(filters: Filters) -> Filters:
    """Return the filters with a list in place of each iterator, which could be read once only."""
    return {
        name: list(value) if isinstance(value, Iterator) else value
        for name, value in filters.items()
    }


def split(filters: Filters, first: Iterable[str]) -> tuple[Filters, Filters]:
    """Return the filters on columns in `first`, and the others."""
    chosen = set(first)
    return (
        {name: value for name, value in filters.items() if name in chosen},
        {name: value for name, value in filters.items() if name not in chosen},
    )


def _one(table: Table, name: str, wanted: object) -> pc.Expression:
    column = table.column(name)
    values = _values(table, name, wanted)
    present = [value for value in values if value is not None]
    if column.type == "float64" and 0.0 in present:
        present += [0.0, -0.0]  # `isin` distinguishes them
    field = pc.field(name)
    match = field.isin(pa.array(present, TYPES[column.type].arrow))
    nulls = None in values or column.absent in present
    return match | field.is_null() if nulls else match


def _values(table: Table, name: str, wanted: object) -> list[Value | None]:
    """Return the values that a column may have by a filter, in its Python type."""
    given: list[object] = [wanted]
    if isinstance(wanted, Iterable) and not isinstance(wanted, (str, bytes, Mapping)):
        given = list(wanted)
    column = table.column(name)
    return [converted(table, column, value) for value in given]
