"""The search of one arm: the cells that it asks for, the runs that they need, what they are told.

Without a pruner every cell is trained in full with every seed. With one, cells are trained up to
rungs, where the pruner decides which continue; then seeds are added to the cell that is the best so
far, and the cells around it are finished.
"""

from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import TypeVar

from pccore import Status
from results.landscape import NOT_RUN, Cell, Landscape, mean, optimum
from results.vocabulary import OutcomeLabel, Phase
from transfer.engine.any_plan import AnyPlan, Arm
from transfer.engine.grouping import interval, steps
from transfer.engine.progress import Progress
from transfer.engine.run_rows import Row
from transfer.engine.runs import AnyRun
from transfer.engine.scheduler import Awaited, Scheduler, Stop
from transfer.engine.step_limits import StepLimits
from transfer.search.pruning import BATCH, Curve, Pruner
from transfer.search.samplers import WORST_LOSS, Search, Trial
from transfer.space import Space

T = TypeVar("T")
Steps = Generator[Sequence[Awaited], None, T]
"""Steps of a workflow: they yield the runs that they wait for, and return a T."""

Keep = Callable[[Sequence[AnyRun]], set[str]]
"""Returns the ids of the runs whose weights are kept."""
WithinLimit = Callable[[Sequence[Cell]], Sequence[Cell]]
"""Returns the cells within the step limit, and counts the others as skipped."""


class ArmSearch(ABC):
    """The search of one arm at the tuned shape.

    Args:
        plan: the plan of the experiment.
        arm: the arm.
        scheduler: trains the runs.
        limits: the step limits of the arm.
        keep: which weights are kept.
        within_limit: leaves out unstable cells.

    Attributes:
        causes: why runs failed or diverged, each with how often.
    """

    def __init__(
        self,
        plan: AnyPlan,
        arm: Arm,
        scheduler: Scheduler,
        limits: StepLimits,
        keep: Keep,
        within_limit: WithinLimit,
    ) -> None:
        tune = plan.experiment.tune
        self.causes: Counter[object] = Counter()
        self._plan, self._arm, self._scheduler, self._limits = plan, arm, scheduler, limits
        self._keep, self._within_limit = keep, within_limit
        self._shape = tune.shape
        self._search = Search(arm.space, tune.sampler, tune.trials)

    @abstractmethod
    def steps(self) -> Steps[Landscape]:
        """Search, and return the landscape of the cells that ran."""

    def end(self) -> None:  # noqa: B027
        """Release what only a search that goes on needs."""

    @property
    def cells_left(self) -> int:
        """How many cells the search has not asked for yet."""
        return self._search.trials - self._search.asked

    @property
    def runs_left(self) -> int:
        """An upper bound on the runs that it has not requested yet."""
        return self.cells_left * len(self._plan.seeds)

    def _runs(self, cells: Sequence[Cell]) -> Sequence[AnyRun]:
        """Return the runs of cells: cell by cell, each with every seed."""
        return self._plan.runs(self._arm, self._shape, cells)

    def _beyond(self, cell: Cell) -> bool:
        return self._limits.beyond(cell, self._shape)


class FullSearch(ArmSearch):
    """Trains every cell in full with every seed."""

    def steps(self) -> Steps[Landscape]:
        """Ask for cells, and tell the search their losses in the order of asking.

        The order of telling does not depend on the order in which losses arrive, and at most
        `in_flight` cells are asked for ahead of it. The search therefore depends on the spec alone:
        not on the pool, on timing, or on how often the job was interrupted.
        """
        rows: dict[Cell, list[Row]] = {}
        in_flight: deque[Trial] = deque()
        while True:
            self._ask(in_flight)
            if not in_flight:
                return Landscape.of(list(rows), list(rows.values()))
            trial = in_flight.popleft()
            if not self._within_limit([trial.cell]):
                self._search.tell(trial, WORST_LOSS)
                continue
            runs = self._runs([trial.cell])
            yield runs
            rows[trial.cell] = self._scheduler.results(runs)
            self.causes.update(row["cause"] for row in rows[trial.cell] if row.get("cause"))
            self._search.tell(trial, search_loss(Landscape.of([trial.cell], [rows[trial.cell]])))

    def _ask(self, in_flight: deque[Trial]) -> None:
        """Ask the search for as many cells as may be in flight, and request their runs."""
        new: list[AnyRun] = []
        while self._plan.in_flight is None or len(in_flight) < self._plan.in_flight:
            trial = self._search.ask()
            if trial is None:
                break
            in_flight.append(trial)
            if not self._beyond(trial.cell):
                new += self._runs([trial.cell])
        if new:  # in one request: looking runs up one by one costs a hundred times as much
            self._scheduler.request(new, Phase.TUNE, self._keep(new))


class PrunedSearch(ArmSearch):
    """Stops cells early, as a pruner decides.

    Every decision depends on rows and curves of the ledger alone, and runs of one decision are cut
    into groups that do not depend on what is done already. So an interrupted search continues to
    the same decisions and the same losses.
    """

    def __init__(
        self,
        pruner: Pruner,
        progress: Progress,
        plan: AnyPlan,
        arm: Arm,
        scheduler: Scheduler,
        limits: StepLimits,
        keep: Keep,
        within_limit: WithinLimit,
    ) -> None:
        super().__init__(plan, arm, scheduler, limits, keep, within_limit)
        config = plan.config(arm, self._shape)
        # Calls of a training function cannot be stopped: the spec lets no pruner with rungs pass.
        self._pruner, self._progress = pruner, progress
        self._rungs = pruner.rungs(steps(config), interval(config))
        self._race = pruner.race(steps(config), interval(config))
        self._cells: dict[int, Cell] = {}
        self._curves: dict[str, list[tuple[int, float]]] = {}
        self._first = len(plan.seeds) if not pruner.grow_seeds else 1
        self._space, self._over = arm.space, False

    @property
    def runs_left(self) -> int:
        """An upper bound: all runs of cells of the search that have not been requested."""
        if self._over:
            return 0
        cells = self.cells_left + len(self._cells)
        runs = self._runs(list(self._cells.values()))
        return cells * len(self._plan.seeds) - self._scheduler.requested_of(runs)

    def steps(self) -> Steps[Landscape]:
        """Run cells a batch at a time, then finish those around the best."""
        while True:
            trials = self._batch()
            if not trials:
                break
            yield from self._run(trials)
        return (yield from self._finish())

    def grow(self, cells: Sequence[Cell], space: Space) -> Steps[Landscape]:
        """Run further cells by the same rule, and finish those around the best of all.

        Args:
            cells: cells that the search has not asked for.
            space: the space that they belong to, with all cells so far.
        """
        self._space = space
        first = max(self._search.asked, 1 + max(self._cells, default=-1))
        numbers = list(range(first, first + len(cells)))
        size = self._most or len(cells)
        for start in range(0, len(cells), size):
            batch = numbers[start : start + size]
            running = yield from self._raced(dict(zip(batch, cells[start:], strict=False)))
            for number in batch:
                if number in self._cells:
                    self._ended(number, number in running)
        return (yield from self._finish())

    def end(self) -> None:
        """Remove the snapshots of runs that stopped early."""
        self._over = True
        self._scheduler.forget_snapshots(self._runs(list(self._cells.values())))

    @property
    def _most(self) -> int | None:
        """How many cells run side by side; None for all."""
        return self._plan.in_flight or (None if self._pruner.at_once else BATCH)

    def _batch(self) -> list[Trial]:
        """Ask for the cells that run side by side."""
        trials: list[Trial] = []
        while self._most is None or len(trials) < self._most:
            trial = self._search.ask()
            if trial is None:
                break
            trials.append(trial)
        return trials

    def _run(self, trials: Sequence[Trial]) -> Steps[None]:
        """Train a batch up to each rung and its survivors to the end; tell the search."""
        running = yield from self._raced({trial.number: trial.cell for trial in trials})
        for trial in trials:
            beyond = trial.number not in self._cells  # the step limit
            loss = WORST_LOSS if beyond else self._ended(trial.number, trial.number in running)
            self._search.tell(trial, loss)

    def _raced(self, cells: Mapping[int, Cell]) -> Steps[list[int]]:
        """Train cells by their number up to each rung, and return those that come to the end."""
        running = []
        for number, cell in cells.items():
            if self._within_limit([cell]):
                self._cells[number] = cell
                running.append(number)
        for rung in self._rungs:
            if not running:
                break
            runs = self._seeded(running)
            self._scheduler.request(runs, Phase.TUNE, (), rung, together=True)
            yield [Stop(run, rung) for run in runs]
            running = self._survivors(rung, running)
        runs = self._seeded(running)
        self._scheduler.request(runs, Phase.TUNE, self._keep(runs), together=True)
        yield runs
        return running

    def _survivors(self, rung: int, running: Sequence[int]) -> list[int]:
        """Return which cells continue: those that the pruner keeps and that can."""
        able = [
            number
            for number in running
            if any(not _lost(row) for row in self._scheduler.results(self._seeded([number])))
        ]
        if not able:
            return []
        self._read_curves(self._seeded(able))
        curves = {number: self._curve(number, rung) for number in able}
        kept = self._race.survivors(rung, curves, able)
        stopped = (len(able) - len(kept)) * self._first
        if stopped:
            self._progress.pruned(self._arm.label, self._shape, rung, stopped)
        return [number for number in able if number in kept]

    def _ended(self, number: int, finished: bool) -> float:
        """Return the loss of a cell for the search; of one that stopped, that at its last update.

        The pruner learns of those that finished.
        """
        rows = self._scheduler.results(self._seeded([number]))
        self.causes.update(row["cause"] for row in rows if row.get("cause"))
        curve = self._curve(number, None)
        if not finished:
            return min(curve[-1][1] if curve else WORST_LOSS, WORST_LOSS)
        loss = search_loss(Landscape.of([self._cells[number]], [rows]))
        self._race.finished(number, curve, None if loss >= WORST_LOSS else loss)
        return loss

    def _finish(self) -> Steps[Landscape]:
        """Add seeds to the best cell until it has them all, and finish the cells around it.

        One seed at a time: a cell that is best with few seeds was lucky, and as its mean rises
        another one takes its place. A neighbour that was stopped early may turn out to be better.
        """
        while True:
            landscape = self._landscape()
            best = optimum(landscape)
            if best is None:
                return landscape
            asked = list(self._cells.values())
            wanted = {cell: self._first for cell in self._space.near(best, 1) if cell in asked}
            ran = int((landscape.statuses[landscape.place(best)] != NOT_RUN).sum())
            wanted[best] = min(len(self._plan.seeds), max(ran + 1, self._first))
            runs = [run for cell, n in wanted.items() for run in self._runs([cell])[:n]]
            self._scheduler.request(runs, Phase.TUNE, self._keep(runs), together=True)
            if self._scheduler.all_done(runs):
                return landscape
            yield runs

    def _landscape(self) -> Landscape:
        cells = list(self._cells.values())
        rows = [
            [self._scheduler.result_so_far(run) or {"outcome": NOT_RUN} for run in self._runs([c])]
            for c in cells
        ]
        return Landscape.of(cells, rows)

    def _seeded(self, numbers: Sequence[int]) -> list[AnyRun]:
        """Return the runs of cells with the first seeds."""
        return [run for n in numbers for run in self._runs([self._cells[n]])[: self._first]]

    def _read_curves(self, runs: Sequence[AnyRun]) -> None:
        """Read the curves of runs from the ledger."""
        wanted = [run.run_id for run in runs]
        frame = self._scheduler.ledger.curves(run_id=wanted)
        for run_id in wanted:
            self._curves[run_id] = []
        for run_id, step, loss in zip(
            frame["run_id"], frame["step"], frame["train_loss"], strict=True
        ):
            if loss == loss:  # NaN: it had diverged
                self._curves[str(run_id)].append((int(step), float(loss)))

    def _curve(self, number: int, until: int | None) -> Curve:
        """Return the curve of a cell up to a rung, averaged over its seeds that have one."""
        found: dict[int, list[float]] = {}
        runs = self._seeded([number])
        for run in runs:
            for step, loss in self._curves.get(run.run_id, ()):
                if until is None or step <= until:
                    found.setdefault(step, []).append(loss)
        return [(step, sum(found[step]) / len(found[step])) for step in sorted(found)]


def _lost(row: Row) -> bool:
    """Return whether a run has no loss to compare: it diverged, failed, or had no budget."""
    return row["outcome"] in (Status.DIVERGED, Status.FAILED, NOT_RUN)


def search_loss(cell: Landscape) -> float:
    """Return the loss that a search is told for a cell, given a landscape of that one cell.

    It is the mean loss if all seeds trained, `WORST_LOSS` if none did, and in between, regardless
    of their losses, if only some did.
    """
    trained = cell.count(OutcomeLabel.TRAINED)
    return (1 - trained / cell.seeds) * WORST_LOSS + (mean(cell.losses) or 0.0)
