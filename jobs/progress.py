"""Shows a running job: a live display on a terminal, a line every few seconds in a log."""

import threading
from collections.abc import Mapping
from typing import Any, Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from jobs.tables import ZERO_SHOT
from jobs.tally import Tally, duration

SECONDS_BETWEEN_LINES = 5.0


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
    """The job on one line."""
    parts = [
        f"[{duration(tally.elapsed)}] {tally.phase_name}",
        f"{tally.done}/{tally.total} runs",
        f"{duration(tally.time_left)} left",
        *([tally.troubles] if tally.troubles else []),
        *(f"{name}: {standing}" for name, standing in list(tally.standings.items())),
    ]
    return " | ".join(parts)


def drawing(tally: Tally) -> RenderableType:
    """The job as a few lines of a terminal: progress, the variants, the verdicts."""
    head = Table.grid(padding=(0, 2))
    head.add_row(
        Text(tally.phase_name, style="bold"),
        ProgressBar(total=max(1, tally.total), completed=tally.done, width=20),
        f"{tally.done} of {tally.total} runs",
        f"{duration(tally.elapsed)} so far",
        f"{duration(tally.time_left)} left",
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
