"""Conversion of rows from dictionaries to tables of the schema."""

from collections.abc import Mapping, Sequence

import pandas as pd
import pyarrow as pa

from results.errors import LedgerError, unknown
from results.schema.columns import Column
from results.schema.tables import Table
from results.schema.types import TYPES, Value

Row = Mapping[str, object]
"""A row by column name; a column that is missing is null."""


def to_arrow(table: Table, rows: Sequence[Row]) -> pa.Table:
    """Return the rows as an Arrow table; what a row lacks is null, or the column's `absent`.

    Raises:
        LedgerError: a row has an unknown column, lacks a required one that has no `absent`, or has
            a value of the wrong type.
    """
    for name in {name for row in rows for name in row}:
        table.column(name)
    arrays = [
        pa.array([_required(table, column, row.get(column.name)) for row in rows], field.type)
        for column, field in zip(table.columns, table.schema, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=table.schema)


def converted(table: Table, column: Column, value: object) -> Value | None:
    """Return `value` in the column's Python type; None for null (None, pandas' NA and NaT).

    Whole floats are accepted as integers and integers as floats; nothing else changes its type.

    Raises:
        LedgerError: the value has another type, or is not one that the column allows.
    """
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    kind = TYPES[column.type]
    try:
        plain = kind.convert(value)
    except (TypeError, ValueError, OverflowError):
        raise LedgerError(
            f"column {column.name!r} of {table.name} takes {kind.python}, not {value!r}"
        ) from None
    if column.allowed and plain not in column.allowed:
        raise unknown(f"value of column {column.name!r} of {table.name}:", plain, column.allowed)
    return plain


def _required(table: Table, column: Column, value: object) -> Value | None:
    plain = converted(table, column, value)
    if plain is None:
        plain = column.absent
    if plain is None and column.required:
        raise LedgerError(f"a row of {table.name} needs a value in column {column.name!r}")
    return plain
