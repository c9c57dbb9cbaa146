"""The tables of the ledger: columns, keys and orders.

A new version of the schema only adds columns. A file of an older version is read as one whose new
columns are null, so no file is rewritten for a new version.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import pandas as pd
import pyarrow as pa

from results.errors import unknown
from results.schema.column import Column
from results.schema.columns import CURVES, LAYERS, MEASUREMENTS, RUNS
from results.schema.types import TYPES
from results.schema.verdict_columns import VERDICTS

VERSION = 10
"""The schema version of files that are written now."""


@dataclass(frozen=True)
class Table:
    """One table of the ledger.

    Attributes:
        name: the name of the table and of its folder.
        columns: the columns, in the order of frames.
        key: the columns that identify what a row is about. Files may hold several rows per key;
            a query returns one of them.
        order: the columns by which query results are sorted.
        condensed: whether compaction keeps only the row per key that queries return.
    """

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    order: tuple[str, ...]
    condensed: bool = False

    @cached_property
    def named(self) -> dict[str, Column]:
        """The columns by name."""
        return {column.name: column for column in self.columns}

    def column(self, name: str) -> Column:
        """Return the column called `name`.

        Raises:
            LedgerError: the table has no such column.
        """
        if name not in self.named:
            raise unknown(f"column of {self.name}", name, self.named)
        return self.named[name]

    @cached_property
    def required(self) -> set[str]:
        """Columns in which every row of every version has a value."""
        return {c.name for c in self.columns if c.required and c.absent is None and c.since == 1}

    @cached_property
    def fixed(self) -> list[str]:
        """Columns with one value per key.

        Only filters on these can skip a file before it is known which row of a key counts.
        """
        return [column.name for column in self.columns if column.fixed]

    @cached_property
    def skippable(self) -> list[str]:
        """Columns with statistics, by which files and row groups are skipped.

        Floats have none: the bounds of Parquet ignore NaN and treat 0 as -0, so that Arrow would
        skip rows that match.
        """
        return [name for name in self.fixed if self.named[name].type != "float64"]

    @cached_property
    def schema(self) -> pa.Schema:
        """The Arrow schema, each field with its unit and description."""
        return pa.schema(
            [
                pa.field(
                    column.name,
                    TYPES[column.type].arrow,
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
                *("rates", "seed", "run_id"),
            ),
            condensed=True,
        ),
        Table("curves", CURVES, key=("run_id", "step"), order=("run_id", "step")),
        Table("layers", LAYERS, key=("run_id", "layer"), order=("run_id", "layer")),
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
    """Return the names, types, units and meanings of the columns of a table.

    Args:
        table: "runs", "curves", "layers", "verdicts" or "measurements".

    Returns:
        One row per column: `name`, `type`, `unit` (empty where there is none), `description`.

    Raises:
        LedgerError: no table has this name.
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
