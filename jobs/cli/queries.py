"""`mupc results`, `sql`, `check` and `report`: query a ledger, verify its files, write reports."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import results
from jobs.cli.conditions import parse_condition, require_column
from jobs.cli.json_output import print_json, print_json_rows
from jobs.cli.options import Printed, ResultsOptions, TableName
from jobs.cli.terminal import say
from jobs.errors import CommandError
from results.rates import rates_in_frame
from results.untrusted import printable, spreadsheet_cell
from results.vocabulary import RATES

if TYPE_CHECKING:
    import pandas as pd

ROWS_ON_SCREEN = 50
SHORT_ID = 8
REPLACED = (TableName.VERDICTS, TableName.MEASUREMENTS)
"""Tables in which newer rows replace older ones."""

DEFAULT_COLUMNS = {
    TableName.RUNS: "run_id experiment phase variant width depth weight_lr activity_lr seed "
    "outcome final_train_loss test_accuracy layers_learned",
    TableName.VERDICTS: "experiment variant width depth rule weight_lr activity_lr loss accuracy "
    "regret layers_learned layers verdict",
}


def show_results(options: ResultsOptions) -> None:
    """Print rows of a table as aligned text, JSON or CSV."""
    if options.older and options.table not in REPLACED:
        raise CommandError(f"--older needs --table {' or '.join(REPLACED)}, not {options.table}")
    conditions = [parse_condition(text, options.table) for text in options.where]
    equal = {one.column: one.values for one in conditions if one.operator == "="}
    ledger = results.open(options.ledger)
    if "run_id" in equal:
        equal["run_id"] = [each and ledger.full_id(str(each)) for each in equal["run_id"]]
    ask = getattr(ledger, options.table)
    latest = {"latest": False} if options.older else {}
    frame = ask(arrow=True, **equal, **latest)
    for condition in conditions:
        frame = condition.rows(frame)
    if options.sort is not None:
        frame = _sorted(frame, options.sort, options.table)
    frame = _columns(frame, options)
    if "run_id" in frame and not options.printed.as_file:
        frame = frame.assign(run_id=_shortened(frame["run_id"], ledger))
    _print("results", frame, options.printed)
    if options.table == TableName.VERDICTS and "reason" not in frame and len(frame):
        say("why: mupc results --table verdicts --columns variant,depth,rule,verdict,reason")


def _shortened(ids: "pd.Series[str]", ledger: results.Ledger) -> "pd.Series[str]":
    """Return ids by the first characters that tell all runs of the ledger apart."""
    known = set(ledger.runs(["run_id"])["run_id"])
    length = SHORT_ID
    while len({each[:length] for each in known}) < len(known):
        length += 1
    return ids.str[:length]


def show_sql(query: str, ledger: str, printed: Printed) -> None:
    """Print the result of a SELECT."""
    _print("sql", results.open(ledger).sql(query, arrow=True), printed)


def show_comparison(one: str, other: str, ledger: str, *, as_json: bool) -> None:
    """Print what differs between two experiments."""
    found = results.open(ledger).compare(one, other)
    if as_json:
        # An experiment compared with itself has two columns of one name.
        names = list(found.settings.columns)
        settings = [dict(zip(names, row, strict=True)) for row in found.settings.to_numpy()]
        verdicts = json.loads(found.verdicts.to_json(orient="records"))
        facts = {"experiments": list(found.names), "settings": settings, "verdicts": verdicts}
        print_json("diff", facts)
        return
    for title, frame in (("Settings", found.settings), ("Verdicts", found.verdicts)):
        print(f"{title}:" if len(frame) else f"{title}: no difference")
        if len(frame):
            print(_texts(frame.astype(object), _shown).to_string(index=False, na_rep="-"))


def _shown(value: object) -> str:
    return printable(f"{value:.4g}" if isinstance(value, float) else str(value))


def _sorted(frame: "pd.DataFrame", sort: str, table: TableName) -> "pd.DataFrame":
    """Return the rows by the given columns; a minus before a name means descending."""
    names = [name.removeprefix("-") for name in sort.split(",")]
    for name in names:
        require_column(name, frame, "--sort", table)
    ascending = [not name.startswith("-") for name in sort.split(",")]
    return frame.sort_values(names, ascending=ascending, kind="stable")


def _print(command: str, frame: "pd.DataFrame", printed: Printed) -> None:
    """Print a frame as aligned text, JSON or CSV."""
    if printed.as_json and printed.as_csv:
        raise CommandError("--json and --csv are mutually exclusive")
    rows, limit = len(frame), printed.limit
    if limit is None and not (printed.as_json or printed.as_csv):
        limit = ROWS_ON_SCREEN
    frame = frame if limit is None else frame.head(limit)
    if printed.as_json:
        print_json_rows(command, frame)
    elif printed.as_csv:
        _texts(frame, spreadsheet_cell).to_csv(sys.stdout, index=False)
    else:
        frame = _with_nan(_texts(frame, printable))
        print(frame.to_string(index=False, na_rep="-") if len(frame) else "no rows")
        if printed.limit is None and rows > len(frame):
            say(f"{len(frame)} of {rows:,} rows; --limit N prints more")


def _with_nan(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Return the frame with NaN for nulls: pandas prints its own nulls as <NA>, whatever is asked.

    Whole numbers stay whole.
    """
    found = {}
    for name in frame.columns[frame.isna().any()]:
        column = frame[name]
        real = str(column.dtype).startswith(("double", "float"))
        whole = column if real else column.astype(object)
        found[name] = whole.astype(float) if real else whole.where(column.notna(), float("nan"))
    return frame.assign(**found)


def _texts(frame: "pd.DataFrame", shown: Callable[[str], str]) -> "pd.DataFrame":
    """Return the frame with each text as it is `shown`."""
    texts = {
        name: frame[name].map(shown, na_action="ignore")
        for name in frame.columns
        if str(frame[name].dtype).startswith(("string", "object", "str"))
    }
    return frame.assign(**texts)


def _with_rates(names: list[str], frame: "pd.DataFrame") -> list[str]:
    """Return the columns with those of training functions' rates, in place of empty ones."""
    own = [name for name in rates_in_frame(frame) if name not in names]
    if not own:
        return names
    place = names.index(RATES[0])
    kept = [rate for rate in RATES if len(frame) and frame[rate].notna().any()]
    return [*names[:place], *kept, *own, *(n for n in names[place:] if n not in RATES)]


def check_ledger(ledger: str, *, quarantine: bool, as_json: bool) -> int:
    """Print the damaged files, or move them away; returns 1 if the ledger still has one, else 0."""
    opened = results.open(ledger)
    damaged = opened.quarantine() if quarantine else opened.check()
    if as_json:
        print_json(
            "check", {"damaged": [{"path": each.path, "cause": each.cause} for each in damaged]}
        )
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


def draw_report(ledger: str, out: Path, experiment: str | None, *, as_json: bool) -> None:
    """Write the report and print its path."""
    page = results.report(results.open(ledger), out, experiment)
    if as_json:
        print_json("report", {"report": str(page)})
    else:
        print(page)


def _columns(frame: "pd.DataFrame", options: ResultsOptions) -> "pd.DataFrame":
    """Select columns: those of `--columns`, or all in files and a few that fit on the screen."""
    if options.columns is not None:
        names = options.columns.split(",")
    elif options.printed.as_file or options.table not in DEFAULT_COLUMNS:
        names = list(frame.columns)
    else:
        names = _with_rates(DEFAULT_COLUMNS[options.table].split(), frame)
    for name in names:
        require_column(name, frame, "--columns", options.table)
    return frame[names]
