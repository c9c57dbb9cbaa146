"""`mupc results`, `check` and `report`: query a ledger, verify its files, write its report."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import results
from jobs.cli.options import ResultsOptions, TableName
from jobs.cli.terminal import say
from jobs.errors import CommandError
from results.schema.tables import TABLES
from results.schema.types import TYPES
from results.untrusted import printable, spreadsheet_cell

if TYPE_CHECKING:
    import pandas as pd

    from results.schema.types import TypeName, Value

NULL = "null"
REPLACED = (TableName.VERDICTS, TableName.MEASUREMENTS)
"""Tables in which newer rows replace older ones."""

DEFAULT_COLUMNS = {
    TableName.RUNS: "experiment phase variant width depth weight_lr activity_lr seed outcome "
    "final_train_loss test_accuracy layers_learned seconds",
    TableName.VERDICTS: "experiment variant width depth rule weight_lr activity_lr loss accuracy "
    "regret layers_learned layers verdict reason",
}


def show_results(options: ResultsOptions) -> None:
    """Print rows of a table as aligned text, JSON or CSV."""
    if options.as_json and options.as_csv:
        raise CommandError("--json and --csv are mutually exclusive")
    if options.older and options.table not in REPLACED:
        raise CommandError(f"--older needs --table {' or '.join(REPLACED)}, not {options.table}")
    filters = parse_filters(options.where, options.table)
    ask = getattr(results.open(options.ledger), options.table)
    latest = {"latest": False} if options.older else {}
    frame = _columns(ask(arrow=True, **filters, **latest), options)
    if options.limit is not None:
        frame = frame.head(options.limit)
    if options.as_json:
        text = frame.to_json(orient="records", date_format="iso", indent=2)
        print(text.replace("\x7f", "\\u007f"))  # the only control character that JSON leaves
    elif options.as_csv:
        _texts(frame, spreadsheet_cell).to_csv(sys.stdout, index=False)
    else:
        frame = _texts(frame, printable)
        print(frame.to_string(index=False, na_rep="-") if len(frame) else "no rows")


def _texts(frame: "pd.DataFrame", shown: Callable[[str], str]) -> "pd.DataFrame":
    """Return the frame with each text as it is `shown`."""
    texts = {
        name: frame[name].map(shown, na_action="ignore")
        for name in frame.columns
        if str(frame[name].dtype).startswith(("string", "object", "str"))
    }
    return frame.assign(**texts)


def check_ledger(ledger: str, *, quarantine: bool, as_json: bool) -> int:
    """Print the damaged files, or move them away; returns 1 if the ledger still has one, else 0."""
    opened = results.open(ledger)
    damaged = opened.quarantine() if quarantine else opened.check()
    if as_json:
        print(json.dumps([{"path": each.path, "cause": each.cause} for each in damaged], indent=2))
    else:
        for each in damaged:
            say(each)
        print(_advice(len(damaged), quarantine))
    return int(bool(damaged) and not quarantine)


def _advice(count: int, quarantined: bool) -> str:
    if not count:
        return "all files are intact"
    what = "1 file" if count == 1 else f"{count} files"
    if quarantined:
        return f"moved {what} to the folder quarantine; mupc run trains the lost runs again"
    return f"{what} excluded from every query; --quarantine moves damaged files away"


def draw_report(ledger: str, out: Path, experiment: str | None) -> None:
    """Write the report and print its path."""
    print(results.report(results.open(ledger), out, experiment))


def parse_filters(where: list[str], table: TableName) -> "dict[str, list[Value | None]]":
    """Parse "column=value" texts into filters of the ledger, with the types of the columns.

    Args:
        where: texts column=value or column=value,value; the value null selects nulls.
        table: the table to query.

    Raises:
        CommandError: a text has no "=", or a value does not have the type of its column.
    """
    types = _types(table)
    filters: dict[str, list[Value | None]] = {}
    for text in where:
        name, equals, values = text.partition("=")
        if not equals:
            raise CommandError(f"--where {text!r} must be column=value, such as depth=128")
        # The ledger reports an unknown column.
        filters[name] = [_value(name, types.get(name, "string"), v) for v in values.split(",")]
    return filters


def _types(table: TableName) -> "dict[str, TypeName]":
    of_a_run = table in (TableName.CURVES, TableName.LAYERS)
    tables = ("runs", table) if of_a_run else (table,)
    return {column.name: column.type for name in tables for column in TABLES[name].columns}


def _value(name: str, kind: "TypeName", text: str) -> "Value | None":
    if text == NULL:
        return None
    try:
        return TYPES[kind].parse(text)
    except (ValueError, KeyError):
        raise CommandError(f"--where {name}={text} must be {TYPES[kind].text}, or null") from None


def _columns(frame: "pd.DataFrame", options: ResultsOptions) -> "pd.DataFrame":
    """Select columns: those of `--columns`, or all in files and a few that fit on the screen."""
    if options.columns is not None:
        names = options.columns.split(",")
    elif options.as_json or options.as_csv or options.table not in DEFAULT_COLUMNS:
        names = list(frame.columns)
    else:
        names = DEFAULT_COLUMNS[options.table].split()
    for name in names:
        if name not in frame:
            raise CommandError(
                f"--columns: {options.table} has no column {name!r}: choose from "
                f"{', '.join(frame.columns)}"
            )
    return frame[names]
