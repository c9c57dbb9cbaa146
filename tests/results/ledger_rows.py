"""Rows of small ledgers, and comparisons of their contents."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd

from results import Ledger

START = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)


def run_row(run_id: str = "a", **others: Any) -> dict[str, Any]:
    """Return a row of runs with all required columns."""
    row = {"run_id": run_id, "experiment": "one", "phase": "tune", "outcome": "trained"}
    return row | {"started": START} | others


def layer_rows(run_id: str, *changes: float) -> list[dict[str, Any]]:
    """Return the rows of `layers` of one run."""
    return [{"run_id": run_id, "layer": n, "change": c} for n, c in enumerate(changes, 1)]


def curve_rows(run_id: str = "a", points: int = 3, **others: Any) -> list[dict[str, Any]]:
    """Return the curve of a run at 10, 20, ... updates."""
    rows = ({"run_id": run_id, "step": 10 * k, "train_loss": 1 / k} for k in range(1, points + 1))
    return [row | others for row in rows]


def verdict_row(**others: Any) -> dict[str, Any]:
    """Return a row of verdicts with all required columns."""
    row = {"experiment": "one", "variant": "mupc", "dataset": "digits", "activation": "relu"}
    row |= {"width": 32, "depth": 128, "verdict": "held", "created": START}
    return row | others


def later(seconds: float) -> datetime:
    """Return the time this many seconds after `START`."""
    return START + timedelta(seconds=seconds)


def files(folder: Path, table: str = "runs") -> list[Path]:
    """Return the published files of a table."""
    return sorted(path for path in (folder / table).iterdir() if not path.name.startswith("."))


def everything(folder: Path) -> set[str]:
    """Return all files in the folder, hidden ones included."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def counted(ledger: Ledger) -> tuple[pd.DataFrame, ...]:
    """Return the results of all queries."""
    return ledger.runs(), ledger.curves(), ledger.verdicts(latest=False), ledger.measurements()


def assert_same(one: tuple[pd.DataFrame, ...], other: tuple[pd.DataFrame, ...]) -> None:
    """Check that all query results are equal, bit by bit."""
    for a, b in zip(one, other, strict=True):
        pd.testing.assert_frame_equal(a, b, check_exact=True)
