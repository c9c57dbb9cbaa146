"""What tuning small and transferring took, and what tuning at the target would have taken."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from results.landscape import Landscape
from results.shapes import Shape
from transfer.engine.any_plan import AnyPlan, Arm
from transfer.engine.grouping import OPERATIONS, work, work_between
from transfer.engine.run_rows import Row
from transfer.engine.runs import AnyRun
from transfer.functions import FunctionConfig


@dataclass(frozen=True)
class Costs:
    """Floating-point operations of the updates, as `transfer.engine.grouping.work` counts them.

    Attributes:
        operations: of the recorded runs of the search and at the target.
        direct: of every cell of the search at the target instead.
    """

    operations: float
    direct: float

    @property
    def text(self) -> str:
        """The comparison in half a sentence."""
        return f"tuning here would have taken {self.direct / self.operations:.2g} times the work"


def costs(
    plan: AnyPlan,
    arm: Arm,
    shape: Shape,
    tuned: Mapping[Shape, Landscape],
    pairs: Sequence[tuple[AnyRun, Row]],
) -> Costs | None:
    """Return the costs of one target; None where operations are not known, or nothing ran.

    Args:
        plan: the plan of the experiment.
        arm: the arm.
        shape: the target.
        tuned: the landscapes of the search, that of the tuned shape first.
        pairs: the runs of the search and at the target with their rows.
    """
    config = plan.config(arm, shape)
    spent = sum(operations(run, row) for run, row in pairs)
    if isinstance(config, FunctionConfig) or not spent:
        return None
    cells = len(next(iter(tuned.values())).cells)
    return Costs(spent, OPERATIONS * work(config) * cells * len(plan.seeds))


def operations(run: AnyRun, row: Row) -> float:
    """Return the floating-point operations of the updates that a recorded run made."""
    done = row.get("steps_done")
    if not isinstance(done, int | float):  # it was left out, or failed
        return 0.0
    return OPERATIONS * work_between(run.config, until=int(done))
