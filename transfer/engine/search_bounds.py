"""What a pruned search takes: at least, at most, and on average, before anything runs."""

from dataclasses import dataclass

from pccore import TrainingConfig
from transfer.engine.any_plan import AnyPlan
from transfer.engine.grouping import OPERATIONS, interval, steps, work


@dataclass(frozen=True)
class SearchBounds:
    """Bounds on the weight updates of the pruned searches of all arms, at the cells of the spec.

    The least is that of searches in which no run diverges, and no cell is skipped or proposed
    twice: these take less. The most is every cell in full with every seed. What is expected is
    known of pruners that continue a fixed share of cells (`Pruner.expected_trainings`).

    Attributes:
        trainings_at_least: in trainings of one network from the first to the last update.
        trainings_at_most: the same.
        trainings_expected: the same; None if it is not known.
        operations_at_least: floating-point operations, evaluations aside; None for training
            functions.
        operations_at_most: the same.
        operations_expected: the same; None if it is not known.
    """

    trainings_at_least: float
    trainings_at_most: int
    trainings_expected: float | None
    operations_at_least: float | None
    operations_at_most: float | None
    operations_expected: float | None


def search_bounds(plan: AnyPlan) -> SearchBounds | None:
    """Return the bounds of an experiment; None if its search is not pruned."""
    tune = plan.experiment.tune
    pruner, seeds = tune.prune, len(plan.seeds)
    if pruner is None:
        return None
    least, most, expected = 0.0, 0, 0.0
    of_least, of_most, of_expected = 0.0, 0.0, 0.0
    counted = known = True
    for arm in plan.arms:
        config, cells = plan.config(arm, tune.shape), plan.trials(arm)
        counted = isinstance(config, TrainingConfig)
        # Calls of a training function cannot be stopped: whatever its updates, there is no rung.
        sizes = cells, seeds, steps(config), interval(config)
        fewest = pruner.fewest_trainings(*sizes, plan.in_flight)
        # Cells that a sampler chooses have hardly any neighbours among each other.
        neighbours = arm.space.most_near(1) - 1 if tune.trials is None else 0
        average = pruner.expected_trainings(*sizes, neighbours, plan.in_flight)
        known = known and average is not None
        each = OPERATIONS * work(config)
        least, most, expected = least + fewest, most + cells * seeds, expected + (average or 0.0)
        of_least, of_most = of_least + each * fewest, of_most + each * cells * seeds
        of_expected += each * (average or 0.0)
    return SearchBounds(
        least,
        most,
        expected if known else None,
        of_least if counted else None,
        of_most if counted else None,
        of_expected if counted and known else None,
    )
