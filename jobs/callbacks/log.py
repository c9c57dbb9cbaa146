"""Progress in the log of a program."""

import logging
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from jobs.errors import one_sentence
from pccore import Outcome, Status
from results.landscape import Cell
from results.untrusted import printable
from results.uri import masked
from transfer.engine.progress import Progress
from transfer.engine.runs import AnyRun

if TYPE_CHECKING:
    from results import Ledger

SECONDS = 30.0


class ProgressLog(Progress):
    """Lines in the log of Python's `logging`: phases, optima, verdicts, failures, and counts.

    Failed runs are warnings, all others are of level INFO.

    Args:
        logger: the logger; by default "mupc".
        seconds: the shortest interval between two lines of counts.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        logger: logging.Logger | None = None,
        seconds: float = SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = logger or logging.getLogger("mupc")
        self._seconds, self._clock = seconds, clock
        self._experiment = self._phase = ""
        self._done = self._total = 0
        self._after = 0.0

    def begin(self, experiment: str, ledger: "Ledger") -> None:
        """Log the start."""
        self._experiment = experiment
        self._info("started")

    def phase(self, name: str, total_runs: int, already_done: int) -> None:
        """Log a new phase, and the counts now and then."""
        self._done, self._total = already_done, total_runs
        if name != self._phase or self._clock() >= self._after:
            self._phase = name
            self._after = self._clock() + self._seconds
            self._info(f"{name}, {already_done} of {total_runs} runs")

    def finished(self, run: AnyRun, outcome: Outcome) -> None:
        """Log a failed run."""
        if outcome.status is Status.FAILED:
            cause = masked(outcome.cause or "no cause")
            text = f"{run.variant} at {run.cell}, seed {run.lane.seed} failed: {cause}"
            self._log.warning("%s: %s", self._experiment, printable(text))

    def optimum(self, variant: str, cell: Cell | None, loss: float | None) -> None:
        """Log an optimum."""
        found = "nothing trained" if cell is None else f"optimum at {cell}, loss {loss:.4g}"
        self._info(f"{variant}: {found}")

    def verdict(self, row: Mapping[str, object]) -> None:
        """Log a verdict."""
        shape = f"width {row['width']}, depth {row['depth']}"
        self._info(f"{row['variant']} at {shape} by {row['rule']}: {row['verdict']}")

    def end(self, error: BaseException | None) -> None:
        """Log the end."""
        if error is None:
            self._info(f"complete, {self._total} runs")
        else:
            self._log.warning("%s: ended by %s", self._experiment, printable(one_sentence(error)))

    def _info(self, text: str) -> None:
        self._log.info("%s: %s", self._experiment, printable(text))
