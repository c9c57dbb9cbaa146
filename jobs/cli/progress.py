"""Progress on a terminal (a live display) and in a log (a line every few seconds)."""

from typing import Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from jobs.cli.repeating import repeated
from jobs.cli.statistics import RunStatistics
from jobs.cli.tables import screen
from results.durations import duration
from results.row import Row
from results.untrusted import printable
from results.vocabulary import ZERO_SHOT
from transfer.spec.model import Experiment
from transfer.spec.sweep import Sweep

SECONDS_BETWEEN_LINES = 5.0
MOST_SECONDS_BETWEEN_LINES = 300.0
SHARE_BETWEEN_LINES = 0.1  # of the time so far: lines get rarer as a job gets longer
SEPARATOR = " | "
GAP = "  "
TROUBLES = "without result: "


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
        self._statistics, self._console = statistics, console
        self._live = Live(
            get_renderable=lambda: drawing(statistics, console.width),
            console=console,
            refresh_per_second=4,
            transient=True,
        )

    def __enter__(self) -> Self:
        self._live.start(refresh=True)
        return self

    def __exit__(self, *error: object) -> None:
        self._live.stop()
        for other in self._statistics.others:
            _print(self._console, notice(other))


class LineDisplay:
    """Display that prints a line every few seconds at first, and then more and more rarely."""

    def __init__(
        self, statistics: RunStatistics, console: Console, interval: float = SECONDS_BETWEEN_LINES
    ) -> None:
        self._statistics, self._console, self._interval = statistics, console, interval
        self._noticed = 0
        self._repeating = repeated(self._print_line, self._pause)

    def __enter__(self) -> Self:
        self._repeating.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._repeating.__exit__(None, None, None)
        self._print_line()

    def _pause(self) -> float:
        """Return the seconds until the next line."""
        share = SHARE_BETWEEN_LINES * self._statistics.elapsed
        return max(self._interval, min(share, MOST_SECONDS_BETWEEN_LINES))

    def _print_line(self) -> None:
        others = self._statistics.others
        for other in others[self._noticed :]:
            _print(self._console, notice(other))
        self._noticed = len(others)
        _print(self._console, line(self._statistics))


class ProgressDisplay(RunStatistics):
    """Progress of an experiment on a terminal or, a line now and then, in a log or a notebook.

    Pass it to `transfer.run`:

        with jobs.ProgressDisplay(experiment) as progress:
            result = transfer.run(experiment, ledger, pool, progress=progress)

    Args:
        experiment: the experiment.
        console: where it is shown; by default stderr.
    """

    def __init__(self, experiment: Experiment | Sweep, console: Console | None = None) -> None:
        super().__init__(experiment)
        self._display = display(self, console or screen(stderr=True))

    def __enter__(self) -> Self:
        self._display.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._display.__exit__(*error)


def _print(console: Console, text: str) -> None:
    console.print(printable(text), soft_wrap=True, markup=False, highlight=False)


def notice(other: str) -> str:
    """Return the sentence about another driver on the ledger."""
    return f"another driver trains on this ledger ({other}): the runs are shared, each trained once"


def line(statistics: RunStatistics) -> str:
    """Format statistics as one line."""
    parts = [
        f"[{duration(statistics.elapsed)}] {statistics.activity}",
        f"{statistics.done}/{statistics.total} runs",
        pace(statistics),
        f"{duration(statistics.time_left)} left",
        *([f"{TROUBLES}{statistics.troubles}"] if statistics.troubles else []),
        *(f"{name}: {best_run}" for name, best_run in list(statistics.best_runs.items())),
    ]
    return SEPARATOR.join(parts)


def pace(statistics: RunStatistics) -> str:
    """Format the speed in runs and, because runs differ in size, in operations if known."""
    pace = f"{statistics.runs_per_minute:.3g} runs/min"
    if isinstance(statistics.experiment, Sweep):
        return pace
    return f"{pace}, {statistics.gflops:.3g} GFLOP/s"


def drawing(statistics: RunStatistics, width: int = 80) -> RenderableType:
    """Return a few lines for a terminal: progress in one line, best runs, verdicts.

    What does not fit into `width` columns is left out, the least important first.
    """
    parts = [
        statistics.activity,
        f"{statistics.done} of {statistics.total} runs",
        f"{duration(statistics.time_left)} left",
        f"{duration(statistics.elapsed)} so far",
        statistics.troubles,
        pace(statistics),
    ]
    head = Text(printable(parts[0]), style="bold", no_wrap=True, overflow="ellipsis")
    for part in filter(None, parts[1:]):
        if len(head) + len(GAP) + len(part) < width:
            head.append(GAP + printable(part), style="not bold")
    rows = [
        *((name, str(best_run)) for name, best_run in list(statistics.best_runs.items())),
        *((str(row["variant"]), verdict_line(row)) for row in list(statistics.verdicts)),
        *(("shared", notice(other)) for other in statistics.others),
    ]
    below = Table.grid(padding=(0, 2))
    below.add_column(style="bold", no_wrap=True)
    below.add_column(no_wrap=True, overflow="ellipsis")
    for name, text in rows:
        below.add_row(Text(f"{GAP}{printable(name)}"), Text(printable(text)))
    return Group(head, below)


def verdict_line(row: Row) -> str:
    """Format a verdict in a few words."""
    rule = "" if row.get("rule", ZERO_SHOT) == ZERO_SHOT else f" by {row['rule']}"
    return f"{row['verdict']} at width {row['width']}, depth {row['depth']}{rule}"
