"""The rates of training functions, which have names of the user's.

Rows store them in one column, `rates`, as JSON. In frames each is a column.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from results.row import Row
from results.vocabulary import RATES

if TYPE_CHECKING:
    import pandas as pd

COLUMN = "rates"
SHARED = ("batch_size", "inference_steps", "activity_decay")
"""Columns of `runs` that a rate may share its name with: they are null for training functions."""
BEST = "best_"
"""What the column of a rate at the best cell begins with, in verdicts."""


@lru_cache(maxsize=4096)
def _parsed(text: str) -> tuple[tuple[str, float | None], ...]:
    """Return the numbers in a value of the column; none if it is not what the ledger writes."""
    try:
        found = json.loads(text)
        pairs = found.items() if isinstance(found, dict) else ()
        return tuple((str(k), None if v is None else float(v)) for k, v in pairs)
    except (ValueError, TypeError, RecursionError, OverflowError):
        return ()


def rates_of(row: Mapping[str, object]) -> dict[str, float | None]:
    """Return the columns that a row has in the column `rates`; none for a network of mupc's."""
    text = row.get(COLUMN)
    return dict(_parsed(text)) if isinstance(text, str) else {}


def with_rates(row: Mapping[str, object]) -> Row:
    """Return a row with a column for each of its rates."""
    return {**row, **rates_of(row)}


def without_rates(rows: Sequence[Mapping[str, object]]) -> list[Mapping[str, object]]:
    """Return rows of a frame as the ledger stores them: their rates in the column `rates` alone."""
    own = [rates_of(row) for row in rows]
    names = {name for rates in own for name in rates}
    if not names:
        return list(rows)
    return [
        {n: v for n, v in row.items() if n not in rates and not (n in names and _is_null(v))}
        for row, rates in zip(rows, own, strict=True)
    ]


def _is_null(value: object) -> bool:
    import pandas as pd

    return value is None or value is pd.NA or value is pd.NaT or value != value


def cell_in(row: Mapping[str, object], prefix: str = "") -> dict[str, float | None]:
    """Return the values of a row's rates, of runs or verdicts; `prefix` as in "best_"."""
    own = rates_of(row)
    names = [name for name in own if f"{BEST}{name}" in own] or list(own)
    return {name: own.get(f"{prefix}{name}") for name in names}


def rates_in(rows: Iterable[Mapping[str, object]]) -> tuple[str, ...]:
    """Return the names of the rates that rows of verdicts are about."""
    found: dict[str, None] = {}
    for row in rows:
        own = rates_of(row)
        names = [n for n in own if f"{BEST}{n}" in own] if own else RATES
        found |= dict.fromkeys(names)
    return tuple(found)


def names_in(frame: pd.DataFrame) -> tuple[str, ...]:
    """Return the names in the column `rates` of a frame, in the order of the rows."""
    texts = frame[COLUMN].dropna().unique() if COLUMN in frame else ()
    return tuple(dict.fromkeys(name for text in texts for name, _ in _parsed(str(text))))


def rates_in_frame(frame: pd.DataFrame) -> tuple[str, ...]:
    """Return the names of the rates of training functions in a frame of runs or verdicts."""
    texts = frame[COLUMN].dropna().unique() if COLUMN in frame else ()
    return tuple(dict.fromkeys(name for text in texts for name in cell_in({COLUMN: str(text)})))


def expanded(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame with a column for each rate of its rows, after its other columns.

    A rate with the name of a column, such as batch_size, fills that.
    """
    import pandas as pd

    names = names_in(frame)
    if not names:
        return frame
    values = {text: dict(_parsed(str(text))) for text in frame[COLUMN].dropna().unique()}
    columns = {}
    for name in names:
        by_text = {text: own.get(name) for text, own in values.items()}
        column = pd.to_numeric(frame[COLUMN].astype(object).map(by_text), errors="coerce")
        if name in frame:
            column = column.where(column.notna(), pd.to_numeric(frame[name], errors="coerce"))
        columns[name] = column.astype("float64")
    return frame.assign(**columns)
