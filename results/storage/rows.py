"""Rows in: dictionaries become a table of the schema, or one sentence says which value cannot."""

import operator
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from results.errors import LedgerError, unknown
from results.schema.columns import Column
from results.schema.tables import Table

Row = Mapping[str, Any]

_INT64 = range(-(2**63), 2**63)


def to_arrow(table: Table, rows: Sequence[Row]) -> pa.Table:
    """The rows as an Arrow table; what a row lacks is null there, or `absent`.

    Raises:
        LedgerError: a row has an unknown column, lacks a required one that nothing stands for, or
            has a wrong type of value.
    """
    for name in {name for row in rows for name in row}:
        table.column(name)
    arrays = [
        pa.array([_required(table, column, row.get(column.name)) for row in rows], field.type)
        for column, field in zip(table.columns, table.schema, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=table.schema)


def converted(table: Table, column: Column, value: object) -> Any:
    """`value` as the column's Python type; None for null (None, pandas' NA and NaT).

    Whole floats pass as integers and integers as floats; nothing else changes its type.

    Raises:
        LedgerError: it has another type, or is not one of the values that the column allows.
    """
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    try:
        plain = _CONVERT[column.type](value)
    except (TypeError, ValueError, OverflowError):
        kind = _KINDS[column.type]
        raise LedgerError(
            f"column {column.name!r} of {table.name} takes {kind}, not {value!r}"
        ) from None
    if column.allowed and plain not in column.allowed:
        raise unknown(f"value of column {column.name!r} of {table.name}:", plain, column.allowed)
    return plain


def _required(table: Table, column: Column, value: object) -> Any:
    plain = converted(table, column, value)
    if plain is None:
        plain = column.absent
    if plain is None and column.required:
        raise LedgerError(f"a row of {table.name} needs a value in column {column.name!r}")
    return plain


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    value.encode()  # a lone surrogate cannot be stored
    return str(value)


def _int64(value: Any) -> int:
    if isinstance(value, (bool, np.bool_)):
        raise TypeError
    if isinstance(value, (float, np.floating)) and value.is_integer():
        value = int(value)
    whole = operator.index(value)
    if whole not in _INT64:
        raise OverflowError
    return whole


def _float64(value: Any) -> float:
    if isinstance(value, (bool, np.bool_)) or not isinstance(
        value, (int, float, np.integer, np.floating)
    ):
        raise TypeError
    return float(value)


def _bool(value: Any) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError
    return bool(value)


def _timestamp(value: Any) -> datetime:
    # A time without its zone is off by up to a day, unnoticed.
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise TypeError
    return value.to_pydatetime(warn=False) if isinstance(value, pd.Timestamp) else value


_CONVERT: Mapping[str, Callable[[Any], Any]] = {
    "string": _string,
    "int64": _int64,
    "float64": _float64,
    "bool": _bool,
    "timestamp": _timestamp,
}

_KINDS: Mapping[str, str] = {
    "string": "a string",
    "int64": "a 64-bit integer",
    "float64": "a number",
    "bool": "True or False",
    "timestamp": "a time with its time zone",
}
