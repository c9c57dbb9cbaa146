"""Tables for the terminal: verdicts, accuracies, comparison of transfer rules."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console, RenderableType
from rich.style import StyleType
from rich.table import Table
from rich.text import Text

from results.rates import rates_in, with_rates
from results.row import Row
from results.untrusted import printable
from results.vocabulary import (
    SIZE_SYMBOLS,
    SIZES,
    ZERO_SHOT,
    VerdictLabel,
    flags,
    rate_name,
)

STYLES = {
    VerdictLabel.HELD: "green",
    VerdictLabel.DRIFTED: "red",
    VerdictLabel.INCONCLUSIVE: "yellow",
    VerdictLabel.UNTRAINED: "red",
    VerdictLabel.EDGE: "yellow",
}
MISSING = "-"
LOG_WIDTH = 160  # columns of a file or pipe


class Screen(Console):
    """A console that leaves a closed pipe to the command line, instead of exiting by itself."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def screen(*, stderr: bool = False) -> Console:
    """Return a console on stdout or stderr, `LOG_WIDTH` wide if that is not a terminal."""
    console = Screen(stderr=stderr)
    return console if console.is_terminal else Screen(stderr=stderr, width=LOG_WIDTH)


class PlainTable(Table):
    """A table whose texts are shown as they are: no markup, and control characters escaped."""

    def add_row(
        self,
        *cells: RenderableType | None,
        style: StyleType | None = None,
        end_section: bool = False,
    ) -> None:
        """Add a row of texts, or of `rich.text.Text` with styles of our own."""
        shown = (Text(printable(cell)) if isinstance(cell, str) else cell for cell in cells)
        super().add_row(*shown, style=style, end_section=end_section)

    def add_column(self, header: Any = "", *args: Any, **options: Any) -> None:
        """Add a column."""
        shown = Text(printable(header)) if isinstance(header, str) else header
        super().add_column(shown, *args, **options)


def plain_table(names: Sequence[str], text: Sequence[str] = (), gap: int = 2) -> PlainTable:
    """Return an empty table with right-aligned columns, left-aligned for the names in `text`."""
    table = PlainTable(box=None, padding=(0, gap, 0, 0), header_style="bold underline")
    for name in names:
        table.add_column(name, justify="left" if name in text else "right")
    return table


def verdict_table(rows: Sequence[Row], *, intervals: bool = True) -> Table:
    """Return one line per variant and target: the transferred learning rates and the verdict.

    Args:
        rows: rows of the `verdicts` table.
        intervals: show the interval of the regret and how many layers learned, which takes more
            than 80 columns.
    """
    ruled, rates = several_rules(rows), rates_in(rows)
    names = [rate_name(rate) for rate in rates]
    columns = ["variant", "N x H", *(["rule"] if ruled else []), *names, "loss", "accuracy %"]
    columns += [*(["learned"] if intervals else []), "regret", *(f"Δ{name}" for name in names)]
    columns.append("verdict")
    table = plain_table(columns, text=("variant", "rule", "verdict"), gap=2 if intervals else 1)
    for row in map(with_rates, rows):
        table.add_row(
            _arm(row, rows),
            _shape(row),
            *([row["rule"]] if ruled else []),
            *(number(row.get(rate)) for rate in rates),
            number(row["loss"]),
            accuracy(row["accuracy"], row["accuracy_std"]),
            *_regret(row, intervals),
            *(number(row.get(f"drift_{rate}"), 2) for rate in rates),
            _verdict(row),
        )
    return table


def _learned(row: Row) -> str:
    """Return how many layers learned at the transferred cell: "32/129"."""
    count = row.get("layers_learned")
    return MISSING if missing(count) else f"{count:.0f}/{row['layers']:.0f}"


def _regret(row: Row, intervals: bool) -> tuple[str, ...]:
    """Return how many layers learned and the regret with its interval, or the regret alone."""
    if intervals:
        return _learned(row), with_interval(row, "regret")
    return (number(row["regret"], 2),)


def _verdict(row: Row) -> Text:
    label = Text(printable(row["verdict"]), STYLES.get(row["verdict"], ""))
    return Text.assemble(label, *((f", {flag}", "red") for flag in flags(row)))


def accuracy_table(rows: Sequence[Row]) -> Table:
    """Return test accuracy in percent at the transferred rates, by shape, variant and rule."""
    ruled = several_rules(rows)
    label = {
        id(row): f"{_arm(row, rows)} {row['rule']}" if ruled else _arm(row, rows) for row in rows
    }
    columns = list(dict.fromkeys(label.values()))
    cells = {(row["width"], row["depth"], label[id(row)]): row for row in rows}
    table = plain_table(["N x H", *columns])
    for width, depth in sorted({(row["width"], row["depth"]) for row in rows}):
        found = [cells.get((width, depth, column)) for column in columns]
        table.add_row(
            f"{width} x {depth}",
            *(accuracy(row["accuracy"], row["accuracy_std"]) if row else MISSING for row in found),
        )
    return table


def several_rules(rows: Sequence[Row]) -> bool:
    """Return whether any rule but zero-shot transfer was applied."""
    return not {row.get("rule", ZERO_SHOT) for row in rows} <= {ZERO_SHOT}


def rule_table(rows: Sequence[Row]) -> Table:
    """Return one line per variant and target with a column per transfer rule.

    The columns hold the excess in percent of the loss at the rule's cell over the best of all cells
    that ran at the target.
    """
    rules, rates = list(dict.fromkeys(row["rule"] for row in rows)), rates_in(rows)
    first, *others = map(rate_name, rates)
    columns = ("variant", "N x H", "best loss", f"at {first}", *others, *rules)
    table = plain_table(columns, ("variant",))
    lines: dict[tuple[str, str], dict[str, Row]] = {}
    for row in map(with_rates, rows):
        lines.setdefault((_arm(row, rows), _shape(row)), {})[row["rule"]] = row
    for (arm, shape), by_rule in lines.items():
        best = next(iter(by_rule.values()))
        table.add_row(
            arm,
            shape,
            *(number(best.get(f"best_{name}")) for name in ("loss", *rates)),
            *(excess(by_rule[rule]) if rule in by_rule else MISSING for rule in rules),
        )
    return table


def law_lines(rows: Sequence[Row]) -> list[str]:
    """Return one line per arm and rule with its non-zero exponents."""
    lines = {}
    for row in map(with_rates, rows):
        laws = [
            f"{rate_name(rate)} ~ {powers}"
            for rate in rates_in([row])
            if (powers := _powers(row, rate))
        ]
        if laws:
            lines[_arm(row, rows), row["rule"]] = ", ".join(laws)
    return [f"{arm} {rule}: {law}" for (arm, rule), law in lines.items()]


def _powers(row: Row, rate: str) -> str:
    """Format exponents as "L^-0.62 [-0.80, -0.45]"; empty if the rate is constant."""
    names = {size: f"{rate}_{size}_exponent" for size in SIZES}
    known = {size: name for size, name in names.items() if not missing(row.get(name))}
    moving = {size: name for size, name in known.items() if row[name] != 0}
    return " ".join(
        f"{SIZE_SYMBOLS[size]}^{with_interval(row, name)}" for size, name in moving.items()
    )


def excess(row: Row) -> str:
    """Format a regret as percent above the best loss with its interval: "12 [8, 15]"."""
    value, low, high = (row[name] for name in ("regret", "regret_low", "regret_high"))
    if missing(value):
        return str(row["verdict"]) if missing(row["loss"]) else MISSING
    bounds = "" if missing(low) or missing(high) else f" [{_percent(low)}, {_percent(high)}]"
    return f"{_percent(value)}{bounds}"


def _percent(regret: float) -> str:
    try:
        return f"{100 * math.expm1(regret):.3g}"
    except OverflowError:
        return "inf"


def _arm(row: Row, rows: Sequence[Row]) -> str:
    """Return the variant, with its activation if the rows have several."""
    several = len({other["activation"] for other in rows}) > 1
    return f"{row['variant']} {row['activation']}" if several else str(row["variant"])


def _shape(row: Row) -> str:
    return f"{row['width']} x {row['depth']}"


def shown_folder(find: Callable[[], Path]) -> str | None:
    """Return the path that `find` returns; None for a user without a home, who has none."""
    try:
        return str(find())
    except ValueError:
        return None


def number(value: float | None, digits: int = 3) -> str:
    """Format a number with `digits` significant digits, or "-" if it is missing."""
    return MISSING if missing(value) else f"{value:.{digits}g}"


def accuracy(mean: float | None, std: float | None) -> str:
    """Format a fraction as percent with its standard deviation over seeds."""
    if missing(mean):
        return MISSING
    spread = "" if missing(std) else f" ± {100 * float(std or 0):.1f}"
    return f"{100 * float(mean or 0):.1f}{spread}"


def with_interval(row: Row, name: str) -> str:
    """Format an estimate with its 95% interval: "0.02 [-0.01, 0.05]"."""
    value, low, high = row[name], row[f"{name}_low"], row[f"{name}_high"]
    if missing(value):
        return MISSING
    interval = "" if missing(low) or missing(high) else f" [{low:.2f}, {high:.2f}]"
    return f"{value:.2f}{interval}"


def missing(value: object) -> bool:
    """Return whether a value of the ledger is null or NaN."""
    return value is None or (isinstance(value, float) and math.isnan(value))
