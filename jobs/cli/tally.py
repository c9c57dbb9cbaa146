"""What is known about a job while it runs: counts, time left, the best run of each variant."""

import re
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pccore import Outcome, Status
from results.landscape import Cell
from transfer.engine.grouping import OPERATIONS
from transfer.engine.progress import Progress
from transfer.engine.runs import Run
from transfer.shapes import Shape
from transfer.spec.model import Experiment

SHORT_CAUSE = 60  # characters of a failure's cause that are shown
MOST_CAUSES = 3
_NUMBER = re.compile(r"0x[0-9a-f]+|\d+")


@dataclass
class Standing:
    """One variant's search: the best run so far, or the optimum once it is known."""

    loss: float | None = None
    cell: Cell | None = None
    tuned: bool = False

    def __str__(self) -> str:
        found = "nothing trained" if self.cell is None else f"loss {self.loss:.4g} at {self.cell}"
        return f"{'optimum' if self.tuned else 'best'} {found}"


@dataclass
class Tally(Progress):
    """Listens to a job and counts (`transfer.Progress`).

    Attributes:
        experiment: what is run; None for runs that belong to no search.
        clock: seconds, monotonic.
        phase_name: "tune" or "transfer".
        total: runs of the whole job, as far as known.
        done: of these, those in the ledger.
        trained_here: runs that this process trained.
        ended: how many of those ended as what.
        causes: how many of those failed of what, shortened and without its numbers.
        standings: by variant, or by variant and activation where there are several.
        verdicts: rows of the `verdicts` table, as they come.
        left_out: runs skipped as unstable.
    """

    experiment: Experiment | None = None
    clock: Callable[[], float] = time.monotonic
    phase_name: str = "start"
    total: int = 0
    done: int = 0
    trained_here: int = 0
    ended: Counter[Status] = field(default_factory=Counter)
    causes: Counter[str] = field(default_factory=Counter)
    standings: dict[str, Standing] = field(default_factory=dict)
    verdicts: list[Mapping[str, Any]] = field(default_factory=list)
    left_out: int = 0
    _work: tuple[float, float] = (0.0, 0.0)
    _training_since: float | None = None

    def __post_init__(self) -> None:
        self.started = self.clock()

    def phase(self, name: str, total_runs: int, already_done: int) -> None:
        """Note the phase and the totals."""
        self.phase_name, self.total, self.done = name, total_runs, already_done

    def workload(self, done: float, total: float) -> None:
        """Note the work, from which the time left is estimated."""
        self._work = done, total
        if self._training_since is None:
            self._training_since = self.clock()

    def finished(self, run: Run, outcome: Outcome) -> None:
        """Count a run, and remember it if it is its variant's best at the tuned shape."""
        self.done += 1
        self.trained_here += 1
        self.ended[outcome.status] += 1
        if outcome.cause is not None:
            self.causes[shortened(outcome.cause)] += 1
        if outcome.status is not Status.TRAINED or outcome.final_train_loss is None:
            return
        if self.experiment is None:
            return
        network, tune = run.network, self.experiment.tune
        if (network.width, network.depth) != (tune.width, tune.depth):
            return
        standing = self.standings.setdefault(self._label(run), Standing())
        better = standing.loss is None or outcome.final_train_loss < standing.loss
        if better and not standing.tuned:
            standing.loss, standing.cell = outcome.final_train_loss, run.cell

    def skipped(self, variant: str, shape: Shape, runs: int) -> None:
        """Count runs that need not be trained."""
        self.left_out += runs

    def optimum(self, variant: str, cell: Cell | None, loss: float | None) -> None:
        """Replace the best run by the optimum over seeds."""
        self.standings[variant] = Standing(loss, cell, tuned=True)

    def verdict(self, row: Mapping[str, Any]) -> None:
        """Remember a verdict."""
        self.verdicts.append(row)

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return self.clock() - self.started

    @property
    def time_left(self) -> float | None:
        """Seconds to go if the rest of the work goes as fast as the work done; None if unknown."""
        if 0 < self.total <= self.done:
            return 0.0
        done, total = self._work
        return self._training * (total - done) / done if done > 0 else None

    @property
    def runs_per_minute(self) -> float:
        """Runs that this process trained, since it began to."""
        return 60 * self.trained_here / self._training if self.trained_here else 0.0

    @property
    def gflops(self) -> float:
        """10^9 floating-point operations a second, since training began. Runs that diverge count as
        if they had been trained to their end."""
        return OPERATIONS * self._work[0] / self._training / 1e9 if self._work[0] else 0.0

    @property
    def troubles(self) -> str:
        """Runs without a result, such as "3 diverged, 2 failed (2 x no memory), 12 skipped"; empty
        if none."""
        counts = {status: n for status, n in self.ended.items() if status is not Status.TRAINED}
        parts = [f"{n} {status.replace('_', ' ')}" for status, n in sorted(counts.items())]
        causes = self.causes.copy()  # the job goes on counting
        if causes:
            shown = [f"{n} x {cause}" for cause, n in causes.most_common(MOST_CAUSES)]
            others = len(causes) - len(shown)
            shown += [f"{others} other causes"] if others else []
            parts[-1] += f" ({', '.join(shown)})"
        return ", ".join(parts + ([f"{self.left_out} skipped"] if self.left_out else []))

    @property
    def _training(self) -> float:
        """Seconds since training began."""
        since = self.started if self._training_since is None else self._training_since
        return max(self.clock() - since, 1e-9)

    def _label(self, run: Run) -> str:
        several = self.experiment is not None and len(self.experiment.network.activation) > 1
        return f"{run.variant} {run.network.activation}" if several else run.variant


def shortened(cause: str) -> str:
    """A cause in a few words, the same for failures that differ in numbers alone."""
    words = _NUMBER.sub("#", " ".join(cause.replace("|", "/").split()))
    return words if len(words) <= SHORT_CAUSE else f"{words[: SHORT_CAUSE - 3]}..."
