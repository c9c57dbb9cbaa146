"""Filters of queries that are about the rates of training functions, which files do not know."""

import math
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from results.errors import unknown
from results.rates import SHARED, names_in
from results.schema.tables import Table
from results.storage.filters import repeatable


def split(
    table: Table, filters: Mapping[str, object]
) -> tuple[dict[str, object], dict[str, object]]:
    """Return the filters that files know, and those that may be about rates.

    A column that a rate may share its name with is null in the files of training functions.
    """
    filters = repeatable(filters)
    shared = {n for n, wanted in filters.items() if n in SHARED and wanted is not None}
    stored = {
        name: [*_listed(wanted), None] if name in shared else wanted
        for name, wanted in filters.items()
        if name in table.named
    }
    return stored, {
        name: wanted
        for name, wanted in filters.items()
        if name in shared or name not in table.named
    }


def matching(table: Table, frame: pd.DataFrame, filters: Mapping[str, object]) -> pd.DataFrame:
    """Return the rows with the wanted values of rates: `name=value`, `name=[values]`, None for all.

    Raises:
        LedgerError: no row has such a rate.
    """
    for name, wanted in filters.items():
        if name not in frame:
            raise unknown(f"column of {table.name}", name, [*table.named, *names_in(frame)])
        if wanted is not None:
            frame = frame[[_is_among(value, _listed(wanted)) for value in frame[name]]]
    return frame.reset_index(drop=True) if filters else frame


def _is_among(value: object, wanted: Sequence[object]) -> bool:
    """Whether a value is wanted; NaN is what NaN asks for."""
    if isinstance(value, float) and math.isnan(value):
        return any(isinstance(each, float) and math.isnan(each) for each in wanted)
    return value is not pd.NA and value in wanted


def _listed(wanted: object) -> list[object]:
    if isinstance(wanted, Iterable) and not isinstance(wanted, str | bytes | Mapping):
        return list(wanted)
    return [wanted]
