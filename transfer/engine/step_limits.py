"""Cells that need not be run: their beta is beyond what gradient descent survives (thesis 5.4.1).

The stable limit 2 B / lambda_max is measured on the experiment's networks before they are trained,
one per seed, by the pool. With few steps of inference a beta beyond it need not do harm, so that a
cell is left out only where T steps would throw activities off by a factor of 10^5, whatever the
seed. Measured in docs/theory.md.
"""

import math
from collections.abc import Generator, Sequence
from dataclasses import replace

from pccore.theory.stability import StableActivityLr, blow_up_activity_lr
from results.landscape import Cell
from results.shapes import Shape
from transfer.engine.plan import Arm, Plan
from transfer.engine.runs import Run
from transfer.engine.scheduler import MEASURE, Scheduler
from transfer.spec.building import has_measurable_limit

QUANTITY = "stable_activity_lr"


class StepLimits:
    """Which cells of an arm to skip, shape by shape; none unless the experiment asks for it.

    Args:
        plan: of the experiment.
        arm: whose cells are meant.
        scheduler: has the networks measured.
    """

    def __init__(self, plan: Plan, arm: Arm, scheduler: Scheduler) -> None:
        self._plan, self._arm, self._scheduler = plan, arm, scheduler
        tune = plan.experiment.tune
        self._applies = tune.skip_unstable and has_measurable_limit(plan.config(arm, tune.shape))
        self._stable: dict[Shape, float] = {}

    def measure(
        self, shapes: Sequence[Shape], cells: Sequence[Cell] | None = None
    ) -> Generator[Sequence[Run], None, None]:
        """Have the limits at `shapes` measured; yields the runs it waits for.

        Args:
            shapes: all are measured at the same time.
            cells: those that may run there. Where the tuned shape was stable with all of them,
                nothing is measured, and nothing skipped.
        """
        if not self._applies or (cells is not None and not self._doubtful(cells)):
            return
        wanted = {shape: self._untrained(shape) for shape in shapes}
        runs = [run for of_shape in wanted.values() for run in of_shape]
        self._scheduler.request(runs, MEASURE)
        yield runs
        for shape, of_shape in wanted.items():
            measured = self._scheduler.measured(of_shape)
            limits = [values.get(QUANTITY, math.nan) for values in measured]
            # nothing is known of a network that could not be measured
            self._stable[shape] = max(limits) if all(map(math.isfinite, limits)) else math.inf

    def beyond(self, cell: Cell, shape: Shape) -> bool:
        """Whether to skip `cell` at `shape`."""
        if cell.activity_lr is None or shape not in self._stable:
            return False
        largest = blow_up_activity_lr(self._stable[shape], self._steps(shape))
        return cell.activity_lr > largest

    def _doubtful(self, cells: Sequence[Cell]) -> bool:
        stable = self._stable[self._plan.experiment.tune.shape]
        return any(cell.activity_lr is not None and cell.activity_lr > stable for cell in cells)

    def _steps(self, shape: Shape) -> int:
        """T, at most, of the schemes that have a step limit."""
        inference = self._plan.config(self._arm, shape).rule.inference
        return inference.step_limit if inference else 1

    def _untrained(self, shape: Shape) -> list[Run]:
        """A network per seed. Learning rates, which it never uses, are 1."""
        runs = self._plan.runs(self._arm, shape, [Cell(1.0, 1.0)])
        return [
            replace(run, config=replace(run.config, steps=0, probes=(StableActivityLr(),)))
            for run in runs
        ]
