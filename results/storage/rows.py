"""Conversion of rows from dictionaries to tables of the schema."""

from collections.abc import Mapping, Sequence
from math import isnan

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from results.errors import LedgerError, unknown
from results.schema.column import Column
from results.schema.tables import Table
from results.schema.types import TYPES, Value
from results.vocabulary import OutcomeLabel

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
    return settled(table, pa.Table.from_arrays(arrays, schema=table.schema))


def settled(table: Table, rows: pa.Table) -> pa.Table:
    """Return the rows with `absent` in place of nulls, and without losses of untrained runs.

    Args:
        table: the table.
        rows: its rows, with some or all columns; with `outcome` if any other has `of_trained`.
    """
    for place, name in enumerate(rows.column_names):
        column, values = table.named[name], rows[name]
        if column.absent is not None:
            values = pc.fill_null(values, column.absent)
        if column.of_trained:
            trained = pc.equal(rows["outcome"], OutcomeLabel.TRAINED.value)
            values = pc.if_else(trained, values, pa.scalar(None, values.type))
        if values is not rows[name]:
            rows = rows.set_column(place, rows.schema.field(place), values)
    return rows


def row_fault(table: Table, batch: pa.RecordBatch) -> str | None:
    """Return why rows of a file are none that the ledger would write; None if they may be.

    Args:
        table: the table.
        batch: rows with some or all columns; texts may be dictionaries.
    """
    for name in batch.schema.names:
        values, column = batch[name], table.named[name]
        if name in table.required and values.null_count:
            return f"a row has no {name}"
        if column.allowed and values.null_count < len(values):
            known = pa.array([*column.allowed, None], pa.string())
            if not pc.all(pc.is_in(values.cast(pa.string()), known)).as_py():
                return f"a row has another {name} than {', '.join(column.allowed)}"
    return None


def converted(table: Table, column: Column, value: object) -> Value | None:
    """Return `value` in the column's Python type; None for null.

    Null is None, pandas' NA and NaT, and NaN where the column has no floats, as frames have it.
    Whole floats are accepted as integers and integers as floats; nothing else changes its type.

    Raises:
        LedgerError: the value has another type, or is not one that the column allows.
    """
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if column.type != "float64" and isinstance(value, float) and isnan(value):
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
