"""Progress on a terminal (a live display) and in a log (a line every few seconds)."""

import re
import threading
from dataclasses import dataclass
from typing import Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from jobs.cli.statistics import RunStatistics
from jobs.cli.tables import Row
from results.durations import duration, parse_duration
from results.vocabulary import ZERO_SHOT

SECONDS_BETWEEN_LINES = 5.0
SEPARATOR = " | "
TROUBLES = "without result: "
_LINE = re.compile(
    r"^\[(?P<elapsed>\d[^\]\n]*)\] (?P<phase>\w+) \| (?P<done>\d+)/(?P<total>\d+) runs"
    r" \| (?P<rate>[^ \n]+) runs/min, (?P<gflops>[^ \n]+) GFLOP/s"
    r" \| (?P<left>\?|\d[^|\n]*) left(?: \| (?P<rest>.*))?$",
    re.MULTILINE,
)


class Display(Protocol):
    """Context manager that shows statistics while it is open."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None: ...


def display(statistics: RunStatistics, console: Console) -> Display:
    """Return a live display for a terminal, or else one that prints lines."""
    return (
        LiveDisplay(statistics, console)
        if console.is_terminal
        else LineDisplay(statistics, console)
    )


class LiveDisplay:
    """Display that redraws a few lines at the bottom of a terminal."""

    def __init__(self, statistics: RunStatistics, console: Console) -> None:
        self._live = Live(
            get_renderable=lambda: drawing(statistics),
            console=console,
            refresh_per_second=4,
            transient=True,
        )

    def __enter__(self) -> Self:
        self._live.start(refresh=True)
        return self

    def __exit__(self, *error: object) -> None:
        self._live.stop()


class LineDisplay:
    """Display that prints a line every few seconds, even if nothing has changed."""

    def __init__(
        self, statistics: RunStatistics, console: Console, interval: float = SECONDS_BETWEEN_LINES
    ) -> None:
        self._statistics, self._console, self._interval = statistics, console, interval
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._print_lines, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._closing.set()
        self._thread.join()
        self._print_line()

    def _print_lines(self) -> None:
        while not self._closing.wait(self._interval):
            self._print_line()

    def _print_line(self) -> None:
        self._console.print(line(self._statistics), soft_wrap=True, markup=False, highlight=False)


def line(statistics: RunStatistics) -> str:
    """Format statistics as one line, which `last_progress` parses."""
    parts = [
        f"[{duration(statistics.elapsed)}] {statistics.phase_name}",
        f"{statistics.done}/{statistics.total} runs",
        pace(statistics),
        f"{duration(statistics.time_left)} left",
        *([f"{TROUBLES}{statistics.troubles}"] if statistics.troubles else []),
        *(f"{name}: {best_run}" for name, best_run in list(statistics.best_runs.items())),
    ]
    return SEPARATOR.join(parts)


def pace(statistics: RunStatistics) -> str:
    """Format the speed in runs and, because runs differ in size, in operations."""
    return f"{statistics.runs_per_minute:.3g} runs/min, {statistics.gflops:.3g} GFLOP/s"


@dataclass(frozen=True)
class LoggedProgress:
    """Progress of an experiment, parsed from a line of its log.

    Attributes:
        phase: "start", "tune" or "transfer".
        done: runs in the ledger.
        total: runs of the whole experiment, as far as known.
        runs_per_minute: since training began.
        gflops: 10^9 floating-point operations a second.
        seconds: since the start.
        seconds_left: until the end at this speed; None if unknown.
        troubles: runs without a result, with the causes of failures; "" for none.
    """

    phase: str
    done: int
    total: int
    runs_per_minute: float
    gflops: float
    seconds: float | None
    seconds_left: float | None
    troubles: str


def last_progress(log: str) -> LoggedProgress | None:
    """Parse the last line of progress in a log; None if there is none."""
    lines = list(_LINE.finditer(log))
    if not lines:
        return None
    found = lines[-1]
    rest = (found["rest"] or "").split(SEPARATOR)
    troubles = (part for part in rest if part.startswith(TROUBLES))
    return LoggedProgress(
        found["phase"],
        int(found["done"]),
        int(found["total"]),
        float(found["rate"]),
        float(found["gflops"]),
        parse_duration(found["elapsed"]),
        parse_duration(found["left"]),
        next(troubles, "").removeprefix(TROUBLES),
    )


def drawing(statistics: RunStatistics) -> RenderableType:
    """Return a few lines for a terminal: progress, best runs, verdicts."""
    head = Table.grid(padding=(0, 2))
    head.add_row(
        Text(statistics.phase_name, style="bold"),
        ProgressBar(total=max(1, statistics.total), completed=statistics.done, width=20),
        f"{statistics.done} of {statistics.total} runs",
        f"{duration(statistics.elapsed)} so far",
        f"{duration(statistics.time_left)} left",
        pace(statistics),
        Text(statistics.troubles, style="yellow"),
    )
    best_runs = Table.grid(padding=(0, 2))
    for name, best_run in list(statistics.best_runs.items()):
        best_runs.add_row("", Text(name, style="bold"), str(best_run))
    for row in list(statistics.verdicts):
        best_runs.add_row("", Text(str(row["variant"]), style="bold"), verdict_line(row))
    return Group(head, best_runs)


def verdict_line(row: Row) -> str:
    """Format a verdict in a few words."""
    rule = "" if row.get("rule", ZERO_SHOT) == ZERO_SHOT else f" by {row['rule']}"
    return f"{row['verdict']} at width {row['width']}, depth {row['depth']}{rule}"
