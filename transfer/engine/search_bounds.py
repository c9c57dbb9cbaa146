"""What a pruned search takes: at least and at most, before anything runs."""

from dataclasses import dataclass

from pccore import TrainingConfig
from transfer.engine.any_plan import AnyPlan
from transfer.engine.grouping import OPERATIONS, interval, steps, work


@dataclass(frozen=True)
class SearchBounds:
    """Bounds on the weight updates of the pruned searches of all arms, at the cells of the spec.

    The least is that of searches in which no run diverges, and no cell is skipped or proposed
    twice: these take less. The most is every cell in full with every seed.

    Attributes:
        trainings_at_least: in trainings of one network from the first to the last update.
        trainings_at_most: the same.
        operations_at_least: floating-point operations, evaluations aside; None for training
            functions.
        operations_at_most: the same.
    """

    trainings_at_least: float
    trainings_at_most: int
    operations_at_least: float | None
    operations_at_most: float | None


def search_bounds(plan: AnyPlan) -> SearchBounds | None:
    """Return the bounds of an experiment; None if its search is not pruned."""
    tune = plan.experiment.tune
    pruner, seeds = tune.prune, len(plan.seeds)
    if pruner is None:
        return None
    least, most, operations = 0.0, 0, [0.0, 0.0]
    counted = True
    for arm in plan.arms:
        config, cells = plan.config(arm, tune.shape), plan.trials(arm)
        counted = isinstance(config, TrainingConfig)
        # Calls of a training function cannot be stopped: whatever its updates, there is no rung.
        fewest = pruner.fewest_trainings(
            cells, seeds, steps(config), interval(config), plan.in_flight
        )
        least, most = least + fewest, most + cells * seeds
        each = OPERATIONS * work(config)
        operations = [operations[0] + each * fewest, operations[1] + each * cells * seeds]
    return SearchBounds(
        least, most, operations[0] if counted else None, operations[1] if counted else None
    )
