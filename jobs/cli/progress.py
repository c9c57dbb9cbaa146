"""Shows a running job: a live display on a terminal, a line every few seconds in a log."""

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from jobs.cli.tally import Tally
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
    """Shows a tally as long as it is open."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None: ...


def display(tally: Tally, console: Console) -> Display:
    """The display that fits the console."""
    return LiveDisplay(tally, console) if console.is_terminal else LineDisplay(tally, console)


class LiveDisplay:
    """Redraws a few lines at the bottom of a terminal."""

    def __init__(self, tally: Tally, console: Console) -> None:
        self._live = Live(
            get_renderable=lambda: drawing(tally),
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
    """Prints a line every few seconds, also when nothing happens: silence looks like a hang."""

    def __init__(
        self, tally: Tally, console: Console, interval: float = SECONDS_BETWEEN_LINES
    ) -> None:
        self._tally, self._console, self._interval = tally, console, interval
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
        self._console.print(line(self._tally), soft_wrap=True, markup=False, highlight=False)


def line(tally: Tally) -> str:
    """The job on one line, which `last_seen` reads."""
    parts = [
        f"[{duration(tally.elapsed)}] {tally.phase_name}",
        f"{tally.done}/{tally.total} runs",
        pace(tally),
        f"{duration(tally.time_left)} left",
        *([f"{TROUBLES}{tally.troubles}"] if tally.troubles else []),
        *(f"{name}: {standing}" for name, standing in list(tally.standings.items())),
    ]
    return SEPARATOR.join(parts)


def pace(tally: Tally) -> str:
    """How fast it goes: runs, and as they differ by orders of magnitude, operations."""
    return f"{tally.runs_per_minute:.3g} runs/min, {tally.gflops:.3g} GFLOP/s"


@dataclass(frozen=True)
class Seen:
    """What a line of a log says about a job.

    Attributes:
        phase: "start", "tune" or "transfer".
        done: runs that the ledger has.
        total: runs of the whole job, as far as known.
        runs_per_minute: since training began.
        gflops: 10^9 floating-point operations a second.
        seconds: since the start.
        seconds_left: until the end at this pace; None where that is not known.
        troubles: runs without a result, and the causes of those that failed; "" for none.
    """

    phase: str
    done: int
    total: int
    runs_per_minute: float
    gflops: float
    seconds: float | None
    seconds_left: float | None
    troubles: str


def last_seen(log: str) -> Seen | None:
    """What the last line of progress in a job's log says; None where there is none."""
    lines = list(_LINE.finditer(log))
    if not lines:
        return None
    found = lines[-1]
    rest = (found["rest"] or "").split(SEPARATOR)
    troubles = (part for part in rest if part.startswith(TROUBLES))
    return Seen(
        found["phase"],
        int(found["done"]),
        int(found["total"]),
        float(found["rate"]),
        float(found["gflops"]),
        parse_duration(found["elapsed"]),
        parse_duration(found["left"]),
        next(troubles, "").removeprefix(TROUBLES),
    )


def drawing(tally: Tally) -> RenderableType:
    """The job as a few lines of a terminal: progress, the variants, the verdicts."""
    head = Table.grid(padding=(0, 2))
    head.add_row(
        Text(tally.phase_name, style="bold"),
        ProgressBar(total=max(1, tally.total), completed=tally.done, width=20),
        f"{tally.done} of {tally.total} runs",
        f"{duration(tally.elapsed)} so far",
        f"{duration(tally.time_left)} left",
        pace(tally),
        Text(tally.troubles, style="yellow"),
    )
    standings = Table.grid(padding=(0, 2))
    for name, standing in list(tally.standings.items()):
        standings.add_row("", Text(name, style="bold"), str(standing))
    for row in list(tally.verdicts):
        standings.add_row("", Text(str(row["variant"]), style="bold"), verdict_line(row))
    return Group(head, standings)


def verdict_line(row: Mapping[str, Any]) -> str:
    """A verdict in a few words."""
    rule = "" if row.get("rule", ZERO_SHOT) == ZERO_SHOT else f" by {row['rule']}"
    return f"{row['verdict']} at width {row['width']}, depth {row['depth']}{rule}"
