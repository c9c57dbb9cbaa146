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
from transfer.plan import Arm, Plan
from transfer.progress import Progress
from transfer.runs import Cell, Run
from transfer.samplers import Search, Trial, told
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
    """

    def __init__(self, plan: Plan, arm: Arm, dispatcher: Dispatcher, progress: Progress) -> None:
        self.arm = arm
        self.optimum: Optimum | None = None
        self.verdicts: list[dict[str, Any]] = []
        self._plan, self._dispatcher, self._progress = plan, dispatcher, progress
        tune = plan.experiment.tune
        self._search = Search(arm.space, tune.sampler, tune.trials)

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
        rows: dict[Cell, list[Mapping[str, Any]]] = {}
        asked: deque[Trial] = deque()
        while True:
            self._ask(asked)
            if not asked:
                return Landscape.of(list(rows), list(rows.values()))
            trial = asked.popleft()
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
            self._dispatcher.request(self._runs(trial), TUNE)

    def _runs(self, trial: Trial) -> list[Run]:
        return self._plan.runs(self.arm, self._plan.experiment.tune.shape, [trial.cell])

    def _transfer(self, tuned: Landscape, cell: Cell | None) -> Waiting[list[dict[str, Any]]]:
        """Run the neighbourhood of the optimum at every target at once, and judge each."""
        plan, arm = self._plan, self.arm
        cells = () if cell is None else plan.neighbourhood(arm, cell)
        wanted = {shape: plan.runs(arm, shape, cells) for shape in plan.experiment.targets}
        for runs in wanted.values():
            self._dispatcher.request(runs, TRANSFER)
        verdicts = []
        for shape, runs in wanted.items():
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
