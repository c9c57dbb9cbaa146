"""The road of one arm: tune, take the optimum, rerun it at every target, judge.

A road is a generator that yields the runs it cannot go on without. Whoever drives it resumes it
when they are done, so that several roads share a pool and none waits for another.
"""

from collections import deque
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from transfer.dispatch import TRANSFER, TUNE, Dispatcher
from transfer.landscape import Landscape, mean, optimum
from transfer.limits import StepLimits
from transfer.plan import Arm, Plan
from transfer.progress import Progress
from transfer.runs import Cell, Run
from transfer.samplers import WORST_LOSS, Search, Trial, told
from transfer.spec import Shape
from transfer.verdict import judge, without_optimum
from transfer.verdict_rows import verdict_row

T = TypeVar("T")
Waiting = Generator[Sequence[Run], None, T]


@dataclass(frozen=True)
class Optimum:
    """The best cell of an arm's search.

    Attributes:
        variant: a name in `transfer.VARIANTS`.
        activation: a name in `pccore.ACTIVATIONS`.
        cell: its learning rates; None when no cell trained with more than half of its seeds.
        loss: its final training loss, averaged over seeds.
    """

    variant: str
    activation: str
    cell: Cell | None
    loss: float | None


class Road:
    """Takes one arm from its search to its verdicts.

    Attributes:
        arm: the arm.
        optimum: the result of the search; None until it is over.
        verdicts: rows of the `verdicts` table, in the order of the targets, once all are known.
        skipped: runs left out because their beta is beyond the step limit (`tune.skip_unstable`).
    """

    def __init__(self, plan: Plan, arm: Arm, dispatcher: Dispatcher, progress: Progress) -> None:
        self.arm = arm
        self.optimum: Optimum | None = None
        self.verdicts: list[dict[str, Any]] = []
        self.skipped = 0
        self._plan, self._dispatcher, self._progress = plan, dispatcher, progress
        tune = plan.experiment.tune
        self._search = Search(arm.space, tune.sampler, tune.trials)
        self._limits = StepLimits(plan, arm, dispatcher)

    def travel(self) -> Waiting[None]:
        """The whole road; yields the runs it waits for."""
        tuned = yield from self._tune()
        cell = optimum(tuned)
        loss = None if cell is None else mean(tuned.losses[tuned.place(cell)])
        self.optimum = Optimum(self.arm.variant.name, self.arm.activation, cell, loss)
        self._progress.optimum(self.arm.label, cell, loss)
        self.verdicts = yield from self._transfer(tuned, cell)
        self._dispatcher.record_verdicts(self.verdicts)

    def ahead(self) -> tuple[int, float]:
        """How many runs, at most, have not been asked for yet, and their work."""
        if self.optimum is not None:
            return 0, 0.0
        return self._plan.workload(self.arm, self._search.trials - self._search.asked)

    def _tune(self) -> Waiting[Landscape]:
        """Ask the search for cells and tell it their losses, in the order of asking.

        Losses are told in that order whatever order they arrive in, and cells are asked for at most
        `in_flight` ahead of it: what is asked then depends on the spec alone, not on the pool, on
        timing, or on how often the job was interrupted.
        """
        shape = self._plan.experiment.tune.shape
        yield from self._limits.measure([shape])
        rows: dict[Cell, list[Mapping[str, Any]]] = {}
        asked: deque[Trial] = deque()
        while True:
            self._ask(asked)
            if not asked:
                return Landscape.of(list(rows), list(rows.values()))
            trial = asked.popleft()
            if not self._kept(shape, [trial.cell]):
                self._search.tell(trial, WORST_LOSS)
                continue
            runs = self._runs(trial)
            yield runs
            rows[trial.cell] = self._dispatcher.rows(runs)
            self._search.tell(trial, told(Landscape.of([trial.cell], [rows[trial.cell]])))

    def _ask(self, asked: deque[Trial]) -> None:
        """Fill up the cells in flight."""
        while self._plan.in_flight is None or len(asked) < self._plan.in_flight:
            trial = self._search.ask()
            if trial is None:
                return
            asked.append(trial)
            if not self._limits.beyond(trial.cell, self._plan.experiment.tune.shape):
                self._dispatcher.request(self._runs(trial), TUNE)

    def _runs(self, trial: Trial) -> list[Run]:
        return self._plan.runs(self.arm, self._plan.experiment.tune.shape, [trial.cell])

    def _transfer(self, tuned: Landscape, cell: Cell | None) -> Waiting[list[dict[str, Any]]]:
        """Run the neighbourhood of the optimum at every target at once, and judge each."""
        plan, arm = self._plan, self.arm
        near = () if cell is None else plan.neighbourhood(arm, cell)
        targets = plan.experiment.targets
        yield from self._limits.measure(targets, near)
        wanted = {shape: self._kept(shape, near, cell) for shape in targets}
        for shape, cells in wanted.items():
            self._dispatcher.request(plan.runs(arm, shape, cells), TRANSFER)
        verdicts = []
        for shape, cells in wanted.items():
            runs = plan.runs(arm, shape, cells)
            yield runs
            if cell is None:
                target, judgement = None, without_optimum(tuned)
            else:
                rows, seeds = self._dispatcher.rows(runs), len(plan.seeds)
                by_cell = [rows[i : i + seeds] for i in range(0, len(rows), seeds)]
                target = Landscape.of(cells, by_cell)
                tolerance = plan.experiment.transfer.tolerance
                judgement = judge(tuned, target, cell, arm.space, tolerance)
            verdicts.append(verdict_row(plan, arm, shape, judgement, target))
            self._progress.verdict(verdicts[-1])
        return verdicts

    def _kept(
        self, shape: Shape, cells: Sequence[Cell], transferred: Cell | None = None
    ) -> tuple[Cell, ...]:
        """The cells to run at `shape`; the transferred one is never left out."""
        beyond = self._limits.beyond
        kept = tuple(cell for cell in cells if cell == transferred or not beyond(cell, shape))
        if len(kept) < len(cells):
            runs = (len(cells) - len(kept)) * len(self._plan.seeds)
            self.skipped += runs
            self._progress.skipped(self.arm.label, shape, runs)
        return kept
