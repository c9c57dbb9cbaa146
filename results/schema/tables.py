"""The tables of the ledger: what every column holds, in which unit, and what makes rows the same.

A version of the schema only ever adds columns. A file of an older version then reads as one whose
new columns are null, and no file is ever rewritten for a new version.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import pandas as pd
import pyarrow as pa

from results.errors import unknown
from results.schema.columns import CURVES, MEASUREMENTS, RUNS, VERDICTS, Column

VERSION = 3
"""The schema version that files are written in."""

TYPES: Mapping[str, pa.DataType] = {
    "string": pa.string(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "bool": pa.bool_(),
    "timestamp": pa.timestamp("us", tz="UTC"),
}


@dataclass(frozen=True)
class Table:
    """One table of the ledger.

    Attributes:
        name: also that of its folder.
        columns: in the order in which frames show them.
        key: the columns that identify what a row is about; files may hold several rows per key, of
            which answers give one.
        order: the columns by which answers are sorted.
    """

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    order: tuple[str, ...]

    @cached_property
    def named(self) -> dict[str, Column]:
        """Its columns by name."""
        return {column.name: column for column in self.columns}

    def column(self, name: str) -> Column:
        """The column called `name`.

        Raises:
            LedgerError: there is none.
        """
        if name not in self.named:
            raise unknown(f"column of {self.name}", name, self.named)
        return self.named[name]

    @cached_property
    def fixed(self) -> list[str]:
        """The columns that are the same in all rows of one key: only on them can a file be skipped
        before it is known which row of a key counts."""
        return [column.name for column in self.columns if column.fixed]

    @cached_property
    def skippable(self) -> list[str]:
        """The columns by whose statistics files and row groups are skipped.

        Not the floats: Parquet's bounds leave NaN out and take 0 for -0, by which Arrow skips rows
        that do match.
        """
        return [name for name in self.fixed if self.named[name].type != "float64"]

    @cached_property
    def schema(self) -> pa.Schema:
        """The Arrow schema, each field with its unit and description."""
        return pa.schema(
            [
                pa.field(
                    column.name,
                    TYPES[column.type],
                    metadata={"unit": column.unit, "description": column.description},
                )
                for column in self.columns
            ]
        )


TABLES: Mapping[str, Table] = {
    table.name: table
    for table in (
        Table(
            "runs",
            RUNS,
            key=("experiment", "run_id"),
            order=(
                *("experiment", "variant", "width", "depth", "weight_lr", "activity_lr"),
                *("seed", "run_id"),
            ),
        ),
        Table("curves", CURVES, key=("run_id", "step"), order=("run_id", "step")),
        Table(
            "verdicts",
            VERDICTS,
            key=("experiment", "variant", "dataset", "activation", "width", "depth", "rule"),
            order=(
                *("experiment", "variant", "dataset", "activation", "width", "depth", "rule"),
                "created",
            ),
        ),
        Table(
            "measurements",
            MEASUREMENTS,
            key=tuple(column.name for column in MEASUREMENTS if column.fixed),
            order=(
                *("quantity", "experiment", "variant", "width", "depth", "seed"),
                *("step", "inference_step", "created"),
            ),
        ),
    )
}


def columns(table: str) -> pd.DataFrame:
    """What the columns of a table mean.

    Args:
        table: "runs", "curves", "verdicts" or "measurements".

    Returns:
        One row per column: `name`, `type`, `unit` (empty where there is none), `description`.

    Raises:
        LedgerError: there is no such table.
    """
    if table not in TABLES:
        raise unknown("table", table, TABLES)
    return pd.DataFrame(
        [
            {
                "name": column.name,
                "type": column.type,
                "unit": column.unit,
                "description": column.description,
            }
            for column in TABLES[table].columns
        ]
    )
