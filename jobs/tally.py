"""What is known about a job while it runs: counts, time left, the best run of each variant."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pccore import Outcome, Status
from transfer.progress import Silent
from transfer.runs import Cell, Run
from transfer.spec import Experiment, Shape

TELLING_SHARE = 0.05  # of the work, from which its pace says how long the rest will take


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
class Tally(Silent):
    """Listens to a job and counts (`transfer.Progress`).

    Attributes:
        experiment: what is run; None for runs that belong to no search.
        clock: seconds, monotonic.
        phase_name: "tune" or "transfer".
        total: runs of the whole job, as far as known.
        done: of these, those in the ledger.
        trained_here: runs that this process trained.
        ended: how many of those ended as what.
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
    ended: dict[Status, int] = field(default_factory=dict)
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
        self.ended[outcome.status] = self.ended.get(outcome.status, 0) + 1
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
        if done <= 0 or self._training_since is None:
            return None
        return (self.clock() - self._training_since) * (total - done) / done

    @property
    def troubles(self) -> str:
        """Runs without a result, such as "3 diverged, 1 failed, 12 skipped"; empty if none."""
        counts = {status: n for status, n in self.ended.items() if status is not Status.TRAINED}
        parts = [f"{n} {status.replace('_', ' ')}" for status, n in sorted(counts.items())]
        return ", ".join(parts + ([f"{self.left_out} skipped"] if self.left_out else []))

    def _label(self, run: Run) -> str:
        several = self.experiment is not None and len(self.experiment.network.activation) > 1
        return f"{run.variant} {run.network.activation}" if several else run.variant


def duration(seconds: float | None) -> str:
    """Seconds as "42 s", "3 min 20 s" or "2 h 05 min"; "?" for None."""
    if seconds is None:
        return "?"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
