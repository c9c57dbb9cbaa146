"""Conditions of `--where`: a column, an operator and values."""

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import reduce
from typing import TYPE_CHECKING

from jobs.cli.options import TableName
from jobs.errors import CommandError
from results.schema.tables import TABLES
from results.schema.types import TYPES

if TYPE_CHECKING:
    import pandas as pd

    from results.schema.types import TypeName, Value

NULL = "null"


@dataclass(frozen=True)
class Condition:
    """A condition on the rows of a table.

    Attributes:
        column: the name of the column.
        operator: a key of `OPERATORS`, or "=".
        values: the values to compare with, of which one must match (for "!=": none).
    """

    column: str
    operator: str
    values: "list[Value | None]"

    def rows(self, frame: "pd.DataFrame") -> "pd.DataFrame":
        """Return the rows that meet the condition; for "=" all, as the ledger filters by them."""
        if self.operator == "=":
            return frame
        require_column(self.column, frame, "--where")
        column = frame[self.column]
        values = [value for value in self.values if value is not None]
        if self.operator == "!=":
            met = ~column.isin(values)
            return frame[met & column.notna() if None in self.values else met]
        matches = [COMPARISONS[self.operator](column, value) for value in values]
        return frame[reduce(operator.or_, matches).fillna(value=False).astype(bool)]


def parse_condition(text: str, table: TableName) -> Condition:
    """Parse a condition, with the type of its column.

    Args:
        text: a column, an operator and a value, or several with commas between: depth>64,
            variant=mupc,bp or "experiment like mnist%". The value null stands for nulls.
        table: the table to query.

    Raises:
        CommandError: the text is none, or a value does not have the type of its column.
    """
    match = CONDITION.fullmatch(text)
    if match is None:
        raise CommandError(
            f"--where {text!r} must be column=value, such as depth=128, or have another of "
            f"{' '.join(OPERATORS)} between them"
        )
    name, sign, values = match[1], match[2].strip(), match[3]
    # The ledger reports an unknown column.
    kind = _types(table).get(name) or _kind_of_rate(values)
    if sign == "like" and kind != "string":
        raise CommandError(f"--where {text!r}: like is for texts, and {name} has none")
    found = [_value(name, kind, value) for value in values.split(",")]
    if None in found and sign not in ("=", "!="):
        raise CommandError(f"--where {text!r}: null has only = and !=")
    return Condition(name, sign, found)


def _like(column: "pd.Series", pattern: object) -> "pd.Series[bool]":
    """Match SQL's patterns: % stands for any characters, _ for one."""
    parts = {"%": ".*", "_": "."}
    expression = "".join(parts.get(letter, re.escape(letter)) for letter in str(pattern))
    return column.astype("string").str.fullmatch(expression)


COMPARISONS: "Mapping[str, Callable[[pd.Series, Value], pd.Series[bool]]]" = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
    "like": _like,
}
OPERATORS = ("=", "!=", *COMPARISONS)
CONDITION = re.compile(r"(\w+)(!=|<=|>=|=|<|>| like )(.*)", re.DOTALL)


def _types(table: TableName) -> "dict[str, TypeName]":
    of_a_run = table in (TableName.CURVES, TableName.LAYERS)
    tables = ("runs", table) if of_a_run else (table,)
    return {column.name: column.type for name in tables for column in TABLES[name].columns}


def _kind_of_rate(values: str) -> "TypeName":
    """Return the type of a column that may be a rate of a training function."""
    try:
        [float(value) for value in values.split(",") if value != NULL]
    except ValueError:
        return "string"
    return "float64"


def _value(name: str, kind: "TypeName", text: str) -> "Value | None":
    if text == NULL:
        return None
    try:
        return TYPES[kind].parse(text)
    except (ValueError, KeyError):
        raise CommandError(
            f"--where: {name} must be {TYPES[kind].text}, or null, got {text!r}"
        ) from None


def require_column(name: str, frame: "pd.DataFrame", option: str, table: str = "the table") -> None:
    """Raise `CommandError` unless the frame has a column."""
    if name not in frame:
        near = get_close_matches(name, frame.columns, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise CommandError(
            f"{option}: {table} has no column {name!r}{hint}; choose from "
            f"{', '.join(frame.columns)}"
        )
