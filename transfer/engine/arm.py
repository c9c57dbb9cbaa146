"""The road of one arm: tune, take the optimum where each rule says, run there, judge.

A road is a generator that yields the runs it cannot go on without. Whoever drives it resumes it
when they are done, so that several roads share a pool and none waits for another.
"""

from collections import deque
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from results.landscape import Cell, Landscape, mean, optimum
from transfer.engine.plan import Arm, Demand, Plan
from transfer.engine.progress import Progress
from transfer.engine.runs import Run
from transfer.engine.scheduler import TRANSFER, TUNE, Dispatcher
from transfer.engine.step_limits import StepLimits
from transfer.engine.verdict_rows import law_rows, verdict_row
from transfer.judge.law import Route, UnfittedError
from transfer.judge.verdict import Judgement, judge, without_optimum
from transfer.search.samplers import WORST_LOSS, Search, Trial, told
from transfer.shapes import Shape
from transfer.spec.transfer_rules import TRANSFER_RULES, Tuned

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
        self._surveyed = False
        self._plan, self._dispatcher, self._progress = plan, dispatcher, progress
        tune = plan.experiment.tune
        self._search = Search(arm.space, tune.sampler, tune.trials)
        self._limits = StepLimits(plan, arm, dispatcher)

    def travel(self) -> Waiting[None]:
        """The whole road; yields the runs it waits for."""
        experiment = self._plan.experiment
        yield from self._limits.measure(experiment.tuned)
        surveyed = self._survey()
        tuned = yield from self._tune()
        cell = optimum(tuned)
        loss = None if cell is None else mean(tuned.losses[tuned.place(cell)])
        landscapes = {experiment.tune.shape: tuned}
        for shape, cells in surveyed.items():
            landscapes[shape] = yield from self._landscape(shape, cells)
        self.optimum = Optimum(self.arm.variant.name, self.arm.activation, cell, loss)
        self._progress.optimum(self.arm.label, cell, loss)
        routes = [] if cell is None else self._routes(cell, landscapes)
        self.verdicts = yield from self._transfer(tuned, routes)
        measured = [row for route in routes for row in law_rows(self._plan, self.arm, route.law)]
        self._dispatcher.record_verdicts(self.verdicts, measured)

    def ahead(self) -> list[Demand]:
        """What has not been asked for yet, at most."""
        if self.optimum is not None:
            return []
        left = self._search.trials - self._search.asked
        shapes = () if self._surveyed else None
        return self._plan.ahead(self.arm, left, shapes)

    def _survey(self) -> dict[Shape, tuple[Cell, ...]]:
        """Ask for the whole grid at the other shapes that rules are fitted to."""
        self._surveyed = True
        kept = {}
        for shape in self._plan.experiment.tuned[1:]:
            kept[shape] = self._kept(shape, self.arm.space.cells)
            self._dispatcher.request(self._plan.runs(self.arm, shape, kept[shape]), TUNE)
        return kept

    def _tune(self) -> Waiting[Landscape]:
        """Ask the search for cells and tell it their losses, in the order of asking.

        Losses are told in that order whatever order they arrive in, and cells are asked for at most
        `in_flight` ahead of it: what is asked then depends on the spec alone, not on the pool, on
        timing, or on how often the job was interrupted.
        """
        shape = self._plan.experiment.tune.shape
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
        new: list[Run] = []
        while self._plan.in_flight is None or len(asked) < self._plan.in_flight:
            trial = self._search.ask()
            if trial is None:
                break
            asked.append(trial)
            if not self._limits.beyond(trial.cell, self._plan.experiment.tune.shape):
                new += self._runs(trial)
        if new:  # all at once: looking up a run in the ledger costs a hundred times as much alone
            self._dispatcher.request(new, TUNE)

    def _runs(self, trial: Trial) -> list[Run]:
        return self._plan.runs(self.arm, self._plan.experiment.tune.shape, [trial.cell])

    def _routes(self, cell: Cell, landscapes: Mapping[Shape, Landscape]) -> list[Route]:
        """Where each rule goes."""
        experiment, found = self._plan.experiment, []
        for rule in experiment.transfer.rules:
            try:
                law = rule.law(Tuned(experiment, cell, landscapes, self.arm.space))
            except UnfittedError as error:
                found.append(Route(TRANSFER_RULES.name_of(rule), None, {}, str(error)))
                continue
            predicted = {shape: law.predict(shape) for shape in experiment.targets}
            found.append(Route(TRANSFER_RULES.name_of(rule), law, predicted, law.note))
        return found

    def _transfer(self, tuned: Landscape, routes: list[Route]) -> Waiting[list[dict[str, Any]]]:
        """Run what every rule predicts, and the neighbours, at every target at once; judge each.

        Args:
            tuned: the search at the tuned shape.
            routes: empty where it found no optimum.
        """
        plan, arm = self._plan, self.arm
        targets = plan.experiment.targets
        moved = {
            shape: [r.predicted[shape].cell for r in routes if r.predicted] for shape in targets
        }
        near = {
            shape: tuple(dict.fromkeys(c for cell in cells for c in plan.neighbourhood(arm, cell)))
            for shape, cells in moved.items()
        }
        yield from self._limits.measure(targets, [c for cells in near.values() for c in cells])
        wanted = {shape: self._kept(shape, near[shape], moved[shape]) for shape in targets}
        for shape, cells in wanted.items():
            self._dispatcher.request(plan.runs(arm, shape, cells), TRANSFER)
        if not routes:
            lost = [TRANSFER_RULES.name_of(rule) for rule in plan.experiment.transfer.rules]
            routes = [Route(name, None, {}, without_optimum(tuned).reason) for name in lost]
        verdicts = []
        for shape, cells in wanted.items():
            target = yield from self._landscape(shape, cells)
            for route in routes:
                judgement = self._judge(tuned, target, shape, route)
                verdicts.append(verdict_row(plan, arm, shape, route, judgement, target))
                self._progress.verdict(verdicts[-1])
        return verdicts

    def _judge(self, tuned: Landscape, target: Landscape, shape: Shape, route: Route) -> Judgement:
        if route.law is None:
            return Judgement(reason=route.note)
        cell, tolerance = route.predicted[shape].cell, self._plan.experiment.transfer.tolerance
        found = judge(tuned, target, cell, self.arm.space, tolerance, route.law.base)
        return replace(found, reason="; ".join(filter(None, (found.reason, route.note))))

    def _landscape(self, shape: Shape, cells: Sequence[Cell]) -> Waiting[Landscape]:
        """What became of cells that were asked for."""
        runs = self._plan.runs(self.arm, shape, cells)
        yield runs
        rows, seeds = self._dispatcher.rows(runs), len(self._plan.seeds)
        return Landscape.of(cells, [rows[i : i + seeds] for i in range(0, len(rows), seeds)])

    def _kept(
        self, shape: Shape, cells: Sequence[Cell], transferred: Sequence[Cell] = ()
    ) -> tuple[Cell, ...]:
        """The cells to run at `shape`; the transferred ones are never left out."""
        beyond = self._limits.beyond
        kept = tuple(cell for cell in cells if cell in transferred or not beyond(cell, shape))
        if len(kept) < len(cells):
            runs = (len(cells) - len(kept)) * len(self._plan.seeds)
            self.skipped += runs
            self._progress.skipped(self.arm.label, shape, runs)
        return kept
