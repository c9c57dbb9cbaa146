"""What differs between two experiments: their settings and their verdicts."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from results.errors import LedgerError, unknown
from results.rates import rates_in
from results.schema.tables import TABLES

TARGET = [name for name in TABLES["verdicts"].key if name != "experiment"]
SHOWN = ("loss", "accuracy", "regret")


@dataclass(frozen=True)
class Comparison:
    """The differences between two experiments, the first and the second.

    Attributes:
        names: of the experiments.
        settings: one row per key of the spec that differs: `setting`, and a column for each
            experiment; None where it has no such key. The names of the experiments are no setting.
        verdicts: one row per target that either has: what it is about, then `verdict`,
            the rates, `loss`, `accuracy` and `regret` of the first (suffix `_1`)
            and of the second (`_2`).
    """

    names: tuple[str, str]
    settings: pd.DataFrame
    verdicts: pd.DataFrame


def compare(verdicts: pd.DataFrame, one: str, other: str) -> Comparison:
    """Compare two experiments by their newest verdicts, which have their specs.

    Args:
        verdicts: of all experiments.
        one: name of the first.
        other: name of the second.

    Raises:
        LedgerError: an experiment has no verdict.
    """
    for name in (one, other):
        if name not in set(verdicts["experiment"]):
            raise unknown("experiment with verdicts", name, sorted(set(verdicts["experiment"])))
    rows = [verdicts[verdicts["experiment"] == name] for name in (one, other)]
    first, second = (_settings(name, row) for name, row in zip((one, other), rows, strict=True))
    differing = [key for key in first | second if first.get(key) != second.get(key)]
    settings = pd.DataFrame(
        {"setting": key, one: first.get(key), other: second.get(key)} for key in differing
    )
    if settings.empty:
        settings = pd.DataFrame(columns=["setting", one, other])
    texts = [{"rates": text} for each in rows for text in each["rates"]]
    rates = rates_in(texts)
    left, right = (each[[*TARGET, "verdict", *rates, *SHOWN]] for each in rows)
    both = left.merge(right, on=TARGET, how="outer", suffixes=("_1", "_2"))
    return Comparison((one, other), settings, both)


def _settings(name: str, verdicts: pd.DataFrame) -> dict[str, object]:
    """Return the settings of an experiment by their paths in the spec."""
    specs = verdicts.sort_values("created")["spec"].dropna()
    try:
        spec = json.loads(specs.iloc[-1]) if len(specs) else {}
    except (ValueError, RecursionError):
        raise LedgerError(f"the spec in the verdicts of {name!r} is no JSON") from None
    return {key: value for key, value in _leaves(spec) if key != "name"}


def _leaves(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    """Yield the values in mappings, with the keys that lead to them."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}.{key}" if path else str(key))
    else:
        yield path, value
