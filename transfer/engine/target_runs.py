"""The runs of one arm at its targets: the neighbours, and the seeds that verdicts still need.

With `transfer.seeds: auto` a target starts with two seeds of every neighbour. The judge then names
the cells of which one seed more helps, or that lie beyond the tuned grid and may be better, and the
added runs of all targets of the arm are requested together. What is asked for depends on the
results alone, so that a job that was killed asks for the same runs.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from results.landscape import NOT_RUN, Cell, Landscape
from results.shapes import Shape
from results.vocabulary import AddedFor, OutcomeLabel, Phase
from transfer.engine.any_plan import AnyPlan, Arm, PlannedRuns
from transfer.engine.grouping import TARGET_BYTES, weight_bytes
from transfer.engine.run_rows import Row
from transfer.engine.runs import AnyRun
from transfer.engine.search_runs import Steps
from transfer.judge.next_runs import MOST_SEEDS, cells_beyond, next_runs
from transfer.spec.transfer_rules import ZeroShot

Request = Callable[[Sequence[AnyRun], Phase, Sequence[AnyRun]], None]
"""Requests runs in a phase, and that weights are kept of the last ones where optima are kept."""
Results = Callable[[Sequence[AnyRun]], list[Row]]
"""Returns the rows of runs that are done."""


@dataclass
class TargetRuns:
    """The runs of one arm at one target.

    Attributes:
        shape: the target.
        predicted: the transferred cells of all rules.
        seeds: how many seeds each cell has.
        added: how many runs were added to a cell, and why.
    """

    shape: Shape
    predicted: Sequence[Cell]
    seeds: dict[Cell, int]
    added: dict[tuple[Cell, AddedFor], int] = field(default_factory=dict)

    def runs(self, plan: AnyPlan, arm: Arm, cell: Cell) -> Sequence[AnyRun]:
        """Return the runs of a cell, in the order of its seeds."""
        return plan.runs(arm, self.shape, [cell], plan.target_seeds[: self.seeds[cell]])

    def every(self, plan: AnyPlan, arm: Arm) -> list[AnyRun]:
        """Return all runs, cell by cell."""
        return [run for cell in self.seeds for run in self.runs(plan, arm, cell)]

    def landscape(self, plan: AnyPlan, arm: Arm, results: Results) -> Landscape:
        """Return the landscape of the runs, which are done."""
        rows = [results(self.runs(plan, arm, cell)) for cell in self.seeds]
        return Landscape.of(list(self.seeds), rows)


class Targets:
    """The runs of one arm at all targets.

    Args:
        plan: the plan of the experiment.
        arm: the arm.
        request: requests runs.
        results: returns the rows of runs.
    """

    def __init__(self, plan: AnyPlan, arm: Arm, request: Request, results: Results) -> None:
        self._plan, self._arm, self._request, self._results = plan, arm, request, results
        self.at: dict[Shape, TargetRuns] = {}
        self._open: frozenset[Shape] = frozenset(plan.experiment.targets)

    def remaining(self) -> list[PlannedRuns]:
        """Return an upper bound on the runs that may still be added, and how many are expected."""
        found = []
        for shape in self._open if self._plan.adds_seeds else ():
            whole, have = self._plan.at_target(self._arm, shape), 0
            if shape in self.at:
                have = sum(self.at[shape].seeds.values())
            most = max(0, whole.runs - have)
            expected = min(most, max(0, whole.expected - have))
            found.append(replace(whole, runs=most, fewer=most - expected))
        return [planned for planned in found if planned.runs]

    def steps(
        self,
        arm: Arm,
        tuned: Landscape,
        cells: Mapping[Shape, Sequence[Cell]],
        predicted: Mapping[Shape, Sequence[Cell]],
    ) -> Steps[None]:
        """Run the cells at every target, and what their verdicts still need.

        Args:
            arm: the arm, with the space that was searched.
            tuned: the search at the tuned shape.
            cells: the cells to begin with, by target.
            predicted: the transferred cells of all rules, by target.
        """
        plan, self._arm = self._plan, arm
        for shape, some in cells.items():
            seeds = dict.fromkeys(some, plan.first_seeds)
            self.at[shape] = TargetRuns(shape, predicted[shape], seeds)
            self._ask(self.at[shape], some)
        waiting = self.at
        while waiting:
            self._open = frozenset(waiting)
            yield [run for each in waiting.values() for run in each.every(plan, self._arm)]
            waiting = {
                shape: each
                for shape, each in waiting.items()
                if plan.adds_seeds and self._add(each, tuned)
            }
        self._open = frozenset()

    def _add(self, target: TargetRuns, tuned: Landscape) -> bool:
        """Request what the verdicts on a target still need; return whether it is anything."""
        found = target.landscape(self._plan, self._arm, self._results)
        missing = (found.statuses == OutcomeLabel.FAILED).any(axis=1)
        missing |= _never_ran(found, target)
        asked = self._beyond(target, tuned, found)
        for cell, why in self._one_more(target, tuned, found).items():
            # The machine failed there: the next process runs these seeds before it asks for more.
            if not missing[found.place(cell)] and target.seeds[cell] < MOST_SEEDS:
                asked.setdefault(cell, why)
        for cell, why in asked.items():
            more = self._plan.first_seeds if cell not in target.seeds else 1
            target.seeds[cell] = target.seeds.get(cell, 0) + more
            target.added[cell, why] = target.added.get((cell, why), 0) + more
        self._ask(target, list(asked))
        return bool(asked)

    def _one_more(
        self, target: TargetRuns, tuned: Landscape, found: Landscape
    ) -> dict[Cell, AddedFor]:
        """Return the cells of which the verdict of some rule needs one seed more."""
        tolerance, untrained = self._plan.experiment.transfer.tolerance, self._plan.untrained_loss
        asked: dict[Cell, AddedFor] = {}
        for cell in dict.fromkeys(target.predicted):
            for other, why in next_runs(tuned, found, cell, tolerance, untrained).items():
                asked.setdefault(other, why)
        return asked

    def _beyond(
        self, target: TargetRuns, tuned: Landscape, found: Landscape
    ) -> dict[Cell, AddedFor]:
        """Return the cells beyond the tuned grid that may be better."""
        reach = self._plan.experiment.transfer.neighbourhood
        law = any(not isinstance(rule, ZeroShot) for _, rule in self._plan.rules)
        return {
            other: AddedFor.BEYOND
            for cell in dict.fromkeys(target.predicted)
            for other in cells_beyond(
                tuned,
                found,
                cell,
                self._arm.space,
                1 if reach == "all" else reach,
                law=law,
                untrained=self._plan.untrained_loss,
            )
        }

    def _ask(self, target: TargetRuns, cells: Sequence[Cell]) -> None:
        """Request the runs of cells, of which those that are requested already do not matter."""
        plan, arm = self._plan, self._arm
        runs = [run for cell in cells for run in target.runs(plan, arm, cell)]
        every = len(target.every(plan, arm)) * weight_bytes(plan.config(arm, target.shape))
        # The best cell is not known before its row is written, which names its weights.
        optima = (
            runs
            if every <= TARGET_BYTES
            else [
                run
                for cell in dict.fromkeys(target.predicted)
                for run in target.runs(plan, arm, cell)
            ]
        )
        if runs:
            self._request(runs, Phase.TRANSFER, optima)


def _never_ran(found: Landscape, target: TargetRuns) -> Sequence[bool]:
    """Return the cells of which a requested run was left out."""
    ran = (found.statuses != NOT_RUN).sum(axis=1)
    return [bool(ran[found.place(cell)] < count) for cell, count in target.seeds.items()]
