"""Tables for the screen: verdicts per target, accuracies by shape and variant, data sets."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

Row = Mapping[str, Any]
STYLES = {"held": "green", "drifted": "red", "inconclusive": "yellow", "edge": "yellow"}
MISSING = "-"
VERDICT_COLUMNS = (
    *("variant", "N x H", "eta", "beta", "loss", "accuracy %", "regret", "Δeta", "Δbeta"),
    "verdict",
)
LOG_WIDTH = 160  # columns of a file or pipe, which has none of its own


def screen(*, stderr: bool = False) -> Console:
    """Standard output or error; tables keep their width where they are not seen on a terminal."""
    console = Console(stderr=stderr)
    return console if console.is_terminal else Console(stderr=stderr, width=LOG_WIDTH)


def plain_table(names: Sequence[str], text: Sequence[str] = (), gap: int = 2) -> Table:
    """An empty table whose columns are numbers, right-aligned, but for those named in `text`."""
    table = Table(box=None, padding=(0, gap, 0, 0), header_style="bold underline")
    for name in names:
        table.add_column(name, justify="left" if name in text else "right")
    return table


def verdict_table(rows: Sequence[Row], *, intervals: bool = True) -> Table:
    """One line per variant and target: the transferred learning rates, and whether they held.

    Args:
        rows: of the `verdicts` table.
        intervals: show the regret's, which needs a terminal wider than 80 columns.
    """
    several = len({row["activation"] for row in rows}) > 1
    table = plain_table(VERDICT_COLUMNS, text=("variant", "verdict"), gap=2 if intervals else 1)
    for row in rows:
        table.add_row(
            f"{row['variant']} {row['activation']}" if several else str(row["variant"]),
            f"{row['width']} x {row['depth']}",
            number(row["weight_lr"]),
            number(row["activity_lr"]),
            number(row["loss"]),
            accuracy(row["accuracy"], row["accuracy_std"]),
            with_interval(row, "regret") if intervals else number(row["regret"], 2),
            number(row["drift_weight_lr"], 2),
            number(row["drift_activity_lr"], 2),
            f"[{STYLES.get(row['verdict'], '')}]{row['verdict']}[/]",
        )
    return table


def accuracy_table(rows: Sequence[Row]) -> Table:
    """Test accuracy in percent at the transferred learning rates, by shape and variant."""
    labels = list(dict.fromkeys((row["variant"], row["activation"]) for row in rows))
    several = len({activation for _, activation in labels}) > 1
    cells = {(row["width"], row["depth"], row["variant"], row["activation"]): row for row in rows}
    columns = [f"{variant} {activation}" if several else variant for variant, activation in labels]
    table = plain_table(["N x H", *columns])
    for width, depth in sorted({(row["width"], row["depth"]) for row in rows}):
        found = [cells.get((width, depth, *label)) for label in labels]
        table.add_row(
            f"{width} x {depth}",
            *(accuracy(row["accuracy"], row["accuracy_std"]) if row else MISSING for row in found),
        )
    return table


def number(value: float | None, digits: int = 3) -> str:
    """A number with `digits` significant digits, "-" where there is none."""
    return MISSING if missing(value) else f"{value:.{digits}g}"


def accuracy(mean: float | None, std: float | None) -> str:
    """A share in percent with its standard deviation over seeds."""
    if missing(mean):
        return MISSING
    spread = "" if missing(std) else f" ± {100 * float(std or 0):.1f}"
    return f"{100 * float(mean or 0):.1f}{spread}"


def with_interval(row: Row, name: str) -> str:
    """An estimate with its bootstrap interval over seeds, as "0.02 [-0.01, 0.05]"."""
    value, low, high = row[name], row[f"{name}_low"], row[f"{name}_high"]
    if missing(value):
        return MISSING
    interval = "" if missing(low) or missing(high) else f" [{low:.2f}, {high:.2f}]"
    return f"{value:.2f}{interval}"


def missing(value: object) -> bool:
    """Whether a cell of a ledger holds nothing: null, or a NaN."""
    return value is None or (isinstance(value, float) and math.isnan(value))
