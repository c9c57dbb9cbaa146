"""Cells that are not run because inference does not survive their beta (thesis 5.4.1).

The stable limit of gradient descent, 2 B / lambda_max, is measured before training, on one
untrained network per seed. The scheme converts it to its own (`InferenceScheme.stability_limit`).
With few steps of inference a beta beyond it may do no harm. A cell is therefore left out only if T
steps would amplify activities by a factor of 10^5 for every seed; see docs/theory.md.
"""

import math
from collections.abc import Generator, Sequence
from dataclasses import replace

from pccore import TrainingConfig
from pccore.inference import InferenceScheme
from pccore.theory.stability import (
    StableActivityLr,
    blow_up_activity_lr,
    bounded_activity_lr,
)
from results.landscape import Cell
from results.shapes import Shape
from transfer.engine.any_plan import AnyPlan, Arm
from transfer.engine.plan import Plan
from transfer.engine.runs import AnyRun, Run
from transfer.engine.scheduler import MEASURE, Scheduler
from transfer.spec.building import has_measurable_limit

QUANTITY = "stable_activity_lr"


class StepLimits:
    """The step limits of an arm; none unless the experiment sets `tune.skip_unstable`.

    Args:
        plan: the plan of the experiment.
        arm: the arm.
        scheduler: measures the untrained networks.
    """

    def __init__(self, plan: AnyPlan, arm: Arm, scheduler: Scheduler) -> None:
        self._plan, self._arm, self._scheduler = plan, arm, scheduler
        tune = plan.experiment.tune
        self._applies = (
            isinstance(plan, Plan)
            and tune.skip_unstable
            and has_measurable_limit(plan.config(arm, tune.shape))
        )
        self._stable: dict[Shape, float] = {}

    def measure(
        self, shapes: Sequence[Shape], cells: Sequence[Cell] | None = None
    ) -> Generator[Sequence[AnyRun], None, None]:
        """Measure the limits at `shapes`; yield the runs that this waits for.

        Args:
            shapes: the shapes, which are measured at the same time.
            cells: the cells that may run there. If all of them are stable at the tuned shape,
                nothing is measured and no cell is beyond the limit.
        """
        if not self._applies or (cells is not None and self._stable_when_tuned(cells)):
            return
        networks = {shape: self._untrained(shape) for shape in shapes}
        runs = [run for untrained in networks.values() for run in untrained]
        self._scheduler.request(runs, MEASURE)
        yield runs
        for shape, untrained in networks.items():
            measured = self._scheduler.measured(untrained)
            limits = [readings.get(QUANTITY, math.nan) for readings in measured]
            # A network that could not be measured gives no reason to skip anything.
            self._stable[shape] = max(limits) if all(map(math.isfinite, limits)) else math.inf

    def beyond(self, cell: Cell, shape: Shape) -> bool:
        """Return whether `cell` is beyond the limit at `shape`."""
        if cell.activity_lr is None or shape not in self._stable:
            return False
        return cell.activity_lr > blow_up_activity_lr(self._stable[shape], self._inference(shape))

    def _stable_when_tuned(self, cells: Sequence[Cell]) -> bool:
        tuned = self._plan.experiment.tune.shape
        bounded = bounded_activity_lr(self._stable[tuned], self._inference(tuned))
        return all(cell.activity_lr is None or cell.activity_lr <= bounded for cell in cells)

    def _inference(self, shape: Shape) -> InferenceScheme:
        config = self._plan.config(self._arm, shape)
        assert isinstance(config, TrainingConfig)
        inference = config.rule.inference
        assert inference is not None  # has_measurable_limit
        return inference

    def _untrained(self, shape: Shape) -> list[Run]:
        """Return one untrained network per seed. It never uses its learning rates, which are 1."""
        runs = self._plan.runs(self._arm, shape, [Cell(1.0, 1.0)])
        return [
            replace(run, config=replace(run.config, steps=0, probes=(StableActivityLr(),)))
            for run in runs
            if isinstance(run, Run)
        ]
