"""Types of columns: how a value is stored, checked, and read from text."""

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa

TypeName = Literal["string", "int64", "float64", "bool", "timestamp"]
Value = str | int | float | bool | datetime
"""A value of a column, as a plain Python object."""

_INT64 = range(-(2**63), 2**63)


@dataclass(frozen=True)
class ColumnType:
    """A type that columns may have.

    Attributes:
        arrow: the type in Arrow and Parquet.
        python: what Python values it takes, for error messages.
        convert: returns a Python value as a plain one of this type; raises TypeError, ValueError
            or OverflowError where that is not possible.
        text: what texts it takes, for error messages.
        parse: reads a text; raises ValueError or KeyError where it is none of these.
    """

    arrow: pa.DataType
    python: str
    convert: Callable[[object], Value]
    text: str
    parse: Callable[[str], Value]


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    value.encode()  # a lone surrogate cannot be stored
    return str(value)


def _int64(value: object) -> int:
    if isinstance(value, (bool, np.bool_)):
        raise TypeError
    if isinstance(value, (float, np.floating)) and value.is_integer():
        value = int(value)
    whole = operator.index(value)  # type: ignore[arg-type]  # raises TypeError
    if whole not in _INT64:
        raise OverflowError
    return whole


def _float64(value: object) -> float:
    if isinstance(value, (bool, np.bool_)) or not isinstance(
        value, (int, float, np.integer, np.floating)
    ):
        raise TypeError
    return float(value)


def _bool(value: object) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError
    return bool(value)


def _timestamp(value: object) -> datetime:
    # A time without its zone may be off by up to a day.
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise TypeError
    return value.to_pydatetime(warn=False) if isinstance(value, pd.Timestamp) else value


def _parse_time(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


TYPES: Mapping[TypeName, ColumnType] = {
    "string": ColumnType(pa.string(), "a string", _string, "a text", str),
    "int64": ColumnType(pa.int64(), "a 64-bit integer", _int64, "an integer", int),
    "float64": ColumnType(pa.float64(), "a number", _float64, "a number", float),
    "bool": ColumnType(
        pa.bool_(),
        "True or False",
        _bool,
        "true or false",
        {"true": True, "false": False}.__getitem__,
    ),
    "timestamp": ColumnType(
        pa.timestamp("us", tz="UTC"),
        "a time with its time zone",
        _timestamp,
        "a time such as 2024-05-01T12:00",
        _parse_time,
    ),
}
