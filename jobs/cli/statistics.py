"""Statistics of running experiments: counts, time left, best run of each variant."""

import re
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from jobs.cli.time_left import TimeLeft
from pccore import Outcome, Status
from results.landscape import Cell
from results.row import Row
from results.shapes import Shape
from results.vocabulary import OutcomeLabel
from transfer.engine.grouping import OPERATIONS
from transfer.engine.pool import Config, Group, GroupResult
from transfer.engine.progress import Progress
from transfer.engine.runs import AnyRun
from transfer.spec.model import Experiment
from transfer.spec.sweep import Sweep

SHORT_CAUSE = 60  # characters
MOST_CAUSES = 3
_NUMBER = re.compile(r"0x[0-9a-f]+|\d+")


@dataclass
class BestRun:
    """Best run of a variant so far, or its optimum once that is known."""

    loss: float | None = None
    cell: Cell | None = None
    tuned: bool = False

    def __str__(self) -> str:
        found = "nothing trained" if self.cell is None else f"loss {self.loss:.4g} at {self.cell}"
        return f"{'optimum' if self.tuned else 'best'} {found}"


@dataclass
class RunStatistics(Progress):
    """Progress callbacks (`transfer.Progress`) that count runs.

    Attributes:
        experiment: the experiment; None for runs outside of a search.
        clock: seconds, monotonic.
        phase_name: "tune" or "transfer".
        total: runs of the whole experiment, as far as known.
        done: runs in the ledger.
        trained_here: runs that ended in this process, failed ones included.
        ended: number of those by status.
        causes: number of failed runs by cause, shortened. Causes that differ in numbers alone
            count together, under the first.
        best_runs: by variant, or by variant and activation if there are several.
        verdicts: rows of the `verdicts` table so far.
        left_out: runs skipped as unstable.
        stopped_early: runs stopped by the pruner of the search.
        lanes: runs in training.
        compiling: programs in training that have not returned a result yet.
        others: the other drivers that have trained on the ledger meanwhile, in words.
        runs_elsewhere: runs that they train at present.
    """

    experiment: Experiment | Sweep | None = None
    clock: Callable[[], float] = time.monotonic
    phase_name: str = "start"
    total: int = 0
    done: int = 0
    trained_here: int = 0
    ended: Counter[Status] = field(default_factory=Counter)
    causes: Counter[str] = field(default_factory=Counter)
    _first_causes: dict[str, str] = field(default_factory=dict)
    best_runs: dict[str, BestRun] = field(default_factory=dict)
    verdicts: list[Row] = field(default_factory=list)
    left_out: int = 0
    stopped_early: int = 0
    lanes: int = 0
    compiling: int = 0
    others: tuple[str, ...] = ()
    runs_elsewhere: int = 0
    _work: tuple[float, float] = (0.0, 0.0)
    _training_since: float | None = None

    def __post_init__(self) -> None:
        self.started = self.clock()
        self._time_left = TimeLeft(self.clock)

    def phase(self, name: str, total_runs: int, already_done: int) -> None:
        """Store the phase and the totals."""
        self.phase_name, self.total, self.done = name, total_runs, already_done

    def workload(self, done: float, total: float) -> None:
        """Store the work, from which the speed is calculated."""
        self._work = done, total
        if self._training_since is None:
            self._training_since = self.clock()

    def pending(self, runs: Mapping[Config, int], training: Sequence[Group], slots: int) -> None:
        """Estimate the time left."""
        self._time_left.report(runs, training, slots)
        self.lanes = sum(len(group.lanes) for group in training[:slots])
        self.compiling = self._time_left.compiling(training[:slots])

    def trained(self, result: GroupResult) -> None:
        """Learn how long a group takes."""
        self._time_left.trained(result)

    def sharing(self, drivers: Sequence[str], runs: int) -> None:
        """Store who else trains on the ledger."""
        self.others = tuple(dict.fromkeys((*self.others, *drivers)))
        self.runs_elsewhere = runs

    def finished(self, run: AnyRun, outcome: Outcome) -> None:
        """Count a run, and keep it if it is the best of its variant at the tuned shape."""
        self.done += 1
        self.trained_here += 1
        self.ended[outcome.status] += 1
        if outcome.cause is not None:
            kind = shortened(_NUMBER.sub("#", outcome.cause))
            self.causes[self._first_causes.setdefault(kind, shortened(outcome.cause))] += 1
        if outcome.status is not Status.TRAINED or outcome.final_train_loss is None:
            return
        if self.experiment is None:
            return
        if run.shape != self.experiment.tune.shape:
            return
        best_run = self.best_runs.setdefault(self._label(run), BestRun())
        better = best_run.loss is None or outcome.final_train_loss < best_run.loss
        if better and not best_run.tuned:
            best_run.loss, best_run.cell = outcome.final_train_loss, run.cell

    def skipped(self, variant: str, shape: Shape, runs: int) -> None:
        """Count runs that are skipped."""
        self.left_out += runs

    def pruned(self, variant: str, shape: Shape, step: int, runs: int) -> None:
        """Count runs that the search stopped early; some may be finished later."""
        self.stopped_early += runs

    def optimum(self, variant: str, cell: Cell | None, loss: float | None) -> None:
        """Replace the best run with the optimum over seeds."""
        self.best_runs[variant] = BestRun(loss, cell, tuned=True)

    def verdict(self, row: Row) -> None:
        """Keep a verdict."""
        self.verdicts.append(row)

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return self.clock() - self.started

    @property
    def activity(self) -> str:
        """The phase, and whether programs are being compiled: "tune, compiling"."""
        return f"{self.phase_name}, compiling" if self.compiling else self.phase_name

    @property
    def time_left(self) -> float | None:
        """Seconds left; None if unknown."""
        return 0.0 if 0 < self.total <= self.done else self._time_left.seconds

    @property
    def runs_per_minute(self) -> float:
        """Runs trained by this process per minute since training began."""
        return 60 * self.trained_here / self._training if self.trained_here else 0.0

    @property
    def gflops(self) -> float:
        """Speed in GFLOP/s since training began; 0 for training functions, which hide it.

        A run that diverges counts as if it had been trained to the end.
        """
        if isinstance(self.experiment, Sweep):
            return 0.0
        return OPERATIONS * self._work[0] / self._training / 1e9 if self._work[0] else 0.0

    @property
    def all_failed(self) -> bool:
        """Whether there are runs and all of them failed."""
        return 0 < self.done == self.ended[Status.FAILED]

    @property
    def with_result(self) -> int:
        """Number of runs that this process trained to a result: those that did not fail."""
        return self.trained_here - self.ended[Status.FAILED]

    @property
    def troubles(self) -> str:
        """Runs without a result here: "3 diverged, 2 failed (2 x no memory), 12 skipped", or ""."""
        counts = {status: n for status, n in self.ended.items() if status is not Status.TRAINED}
        parts = [f"{n} {OutcomeLabel(status).text}" for status, n in sorted(counts.items())]
        causes = self.causes.copy()  # another thread keeps counting
        if causes:
            shown = [f"{n} x {cause}" for cause, n in causes.most_common(MOST_CAUSES)]
            others = len(causes) - len(shown)
            shown += [f"{others} other causes"] if others else []
            parts[-1] += f" ({', '.join(shown)})"
        parts += [f"{self.left_out} skipped"] if self.left_out else []
        parts += [f"{self.stopped_early} stopped early"] if self.stopped_early else []
        return ", ".join(
            parts + ([f"{self.runs_elsewhere} elsewhere"] if self.runs_elsewhere else [])
        )

    @property
    def _training(self) -> float:
        """Seconds since training began."""
        since = self.started if self._training_since is None else self._training_since
        return max(self.clock() - since, 1e-9)

    def _label(self, run: AnyRun) -> str:
        several = (
            isinstance(self.experiment, Experiment) and len(self.experiment.network.activation) > 1
        )
        return f"{run.variant} {run.activation}" if several else run.variant


def shortened(cause: str) -> str:
    """Shorten a cause to a part of a line of progress."""
    words = " ".join(cause.replace("|", "/").split())
    return words if len(words) <= SHORT_CAUSE else f"{words[: SHORT_CAUSE - 3]}..."
