"""SQL over the tables of a ledger, by DuckDB."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count
from typing import Any

import duckdb
import pyarrow as pa

from results.errors import LedgerError

View = Callable[[Sequence[str]], pa.Table]
"""Returns the rows of a table with at least these columns, which are columns of the table."""

SETTINGS = {
    "enable_external_access": False,  # a query reads the ledger, and no other file
    "python_enable_replacements": False,  # nor variables of this process
    "TimeZone": "UTC",
}


def select(query: str, views: Mapping[str, View], columns: Mapping[str, Sequence[str]]) -> pa.Table:
    """Return the result of one SELECT.

    A table is read if the query names it, and of its columns those that the query may use.

    Args:
        query: the SELECT, in DuckDB's dialect.
        views: the tables by name.
        columns: the columns of each table.

    Raises:
        LedgerError: the text is not one SELECT, or DuckDB refuses it.
    """
    with duckdb.connect(":memory:") as connection:
        for name, value in SETTINGS.items():
            connection.execute(f"SET {name} = {value!r}")
        connection.execute("SET lock_configuration = true")
        try:
            nodes = list(_nodes(_parsed(connection, query)))
            named = {str(node.get("table_name")).lower() for node in nodes}
            for name in sorted(named & views.keys()):  # others may be subqueries with a name
                used = _used(nodes, columns[name])
                connection.register(name, views[name](used).select(used))
            result = connection.sql(query).to_arrow_table()
        except duckdb.Error as error:
            raise LedgerError(f"the query cannot be answered: {_first_line(error)}") from None
    return result.rename_columns(_distinct(result.column_names))


def _distinct(names: Sequence[str]) -> list[str]:
    """Number repeated names, such as those of a join, as DuckDB does: `group`, `group_1`."""
    distinct: list[str] = []
    for name in names:
        numbered = (f"{name}_{number}" for number in count(1))
        distinct.append(
            name
            if name not in distinct
            else next(other for other in numbered if other not in {*names, *distinct})
        )
    return distinct


def _parsed(connection: duckdb.DuckDBPyConnection, query: str) -> object:
    """Return the syntax tree of one SELECT."""
    ((text,),) = connection.execute("SELECT json_serialize_sql(?)", [query]).fetchall()
    tree = json.loads(text)
    if tree.get("error"):
        raise LedgerError(f"a query must be one SELECT: {tree.get('error_message', '')}")
    if len(tree["statements"]) != 1:
        raise LedgerError(f"a query must be one SELECT, got {len(tree['statements'])} statements")
    return tree


def _used(nodes: list[dict[str, Any]], columns: Sequence[str]) -> list[str]:
    """Return the columns of a table that a query may use: all if it has a star, at least one."""
    if any("STAR" in str(node.get("class")) or node.get("ref_type") == "NATURAL" for node in nodes):
        return list(columns)
    names = {
        part.lower()
        for node in nodes
        if node.get("class") == "COLUMN_REF"
        for part in node["column_names"]
    }
    names |= {name.lower() for node in nodes for name in node.get("using_columns") or ()}
    return [name for name in columns if name in names] or list(columns[:1])


def _nodes(tree: object) -> Iterator[dict[str, Any]]:
    if isinstance(tree, dict):
        yield tree
        tree = list(tree.values())
    if isinstance(tree, list):
        for each in tree:
            yield from _nodes(each)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
