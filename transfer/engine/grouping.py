"""The cost of a run, and cutting runs of one shape into groups."""

import math
from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise

from pccore import (
    AugmentedLagrangian,
    ErrorBased,
    GaussNewton,
    GradientDescent,
    InferenceScheme,
    Nesterov,
    SizedConfig,
    Status,
    TrainingConfig,
    TrustRegionNewton,
)
from transfer.engine.pool import Config, GroupResult
from transfer.engine.runs import AnyRun
from transfer.functions import FunctionConfig

TARGET_BYTES = 2**26
"""The most bytes of weights, at one target of one arm, for which `keep: optima` keeps all runs."""

OPERATIONS = 2
"""Floating-point operations of a multiply-add."""


def work(config: Config) -> float:
    """Return the multiply-adds of one training, counting products with weights only.

    Those of a training function are unknown: its `work` only compares shapes.

    Each sample is multiplied with every weight once for the prediction and once for the gradient;
    backpropagation adds a product for the errors with all weights but the first layer's. An
    inference step takes two products with each layer that moves, the first layer's excluded, whose
    prediction from the clamped input is fixed. After a forward pass, only the top t layers have
    moved after t steps of gradient descent: T <= H steps move T (T + 1) / 2 of T H layers, and the
    gradient below them is zero. Inference that ends by itself counts with all steps allowed;
    inference without steps counts as one step. tests/transfer/test_grouping.py compares XLA's
    count. Evaluations are counted by `evaluation_work`.
    """
    if isinstance(config, FunctionConfig):
        return config.work
    networks, steps = config.network.sized_parts(), max(config.steps, 1)
    products = sum(_products(config.rule.inference, network) for network in networks)
    if isinstance(config.rule, TrustRegionNewton):  # a gradient per row of the Hessian, and its LU
        n = networks[0].weights
        return steps * (n * products * config.batch_size + n**3 / 3)
    return float(products * config.batch_size * steps)


def updates(result: GroupResult) -> int:
    """Return the weight updates that a group made; of a function, the runs that it finished."""
    outcomes = result.outcomes
    if isinstance(result.group.config, FunctionConfig):
        return sum(outcome.status is not Status.FAILED for outcome in outcomes)
    return sum(max(0, outcome.steps - result.group.begun) for outcome in outcomes)


def work_between(config: Config, begun: int = 0, until: int | None = None) -> float:
    """Return the multiply-adds of some updates of one training, as `work` counts them.

    Args:
        config: its configuration.
        begun: the updates before them.
        until: the last of them; None: the last of the training.
    """
    whole = steps(config)
    last = whole if until is None else until
    return work(config) * ((last - begun) / whole if whole else 1.0)


def steps(config: Config) -> int:
    """Return the weight updates of a run; the run of a function counts as one."""
    return 1 if isinstance(config, FunctionConfig) else config.steps


def interval(config: Config) -> int:
    """Return the weight updates between two evaluations of a run; 1 for a function."""
    return 1 if isinstance(config, FunctionConfig) else config.interval


def weight_bytes(config: Config) -> int:
    """Return the bytes of a network's weights in single precision, without biases."""
    if isinstance(config, FunctionConfig):
        return 1
    return 4 * sum(network.weights for network in config.network.sized_parts()) or 1


def evaluation_work(config: TrainingConfig, test_samples: int) -> float:
    """Return the multiply-adds of the evaluations in one training: the test set, forward."""
    forward = sum(config.network.sized_parts()[0].products)
    return float(forward * test_samples * evaluations(config))


def evaluations(config: TrainingConfig) -> int:
    """Return the number of evaluations: at every interval and after the last update."""
    return max(1, math.ceil(config.steps / config.interval))


def _products(inference: InferenceScheme | None, network: SizedConfig) -> float:
    """Return the multiply-adds with weights of one sample in one update of a stack of layers."""
    weights = sum(network.products)
    above = weights - network.products[0]
    if inference is None:
        return 2 * weights + above
    steps, depth = inference.step_limit, network.depth
    if isinstance(inference, GaussNewton):
        return 2 * weights + inference.sweeps(network.output_size) * above
    if isinstance(inference, ErrorBased):  # a step is a pass up and one down
        return 2 * weights + 2 * steps * weights
    waves = isinstance(inference, GradientDescent | Nesterov | AugmentedLagrangian)
    if not waves or not network.in_waves:
        return 2 * weights + 2 * steps * above
    wave = min(steps, depth)
    moves = wave * (wave + 1) / 2 + (steps - wave) * depth
    learned = weights if wave == depth else above * wave / depth
    return weights + learned + 2 * above * moves / depth


def trained_together(runs: Iterable[AnyRun]) -> list[list[AnyRun]]:
    """Return the runs by program: lanes of one program share a config and a data set."""
    groups: dict[tuple[str, Config], list[AnyRun]] = {}
    for run in runs:
        groups.setdefault((run.digest, run.config), []).append(run)
    return list(groups.values())


def cut(runs: Sequence[AnyRun], most: int, share: float) -> list[list[AnyRun]]:
    """Cut runs of one config into groups of the sizes that `sizes` returns.

    Args:
        runs: runs that share a config.
        most: the most lanes that a group may have.
        share: the most work that a group should have: a slot's fair share of all work, so that no
            slot is still busy when the others have nothing left.
    """
    each = work(runs[0].config)
    ends = list(accumulate(sizes(len(runs), each, most, share), initial=0))
    return [list(runs[start:stop]) for start, stop in pairwise(ends)]


def sizes(count: int, each: float, most: int, share: float) -> list[int]:
    """Return the lanes of each group that `count` runs of `each` multiply-adds are cut into.

    The groups have one size if possible, as every size is compiled; `most` and `share` as in `cut`.
    """
    pieces = math.ceil(count / most)
    by_work = min(count, math.ceil(count * each / share - 1e-9))
    if by_work > pieces:
        pieces = by_work
    elif pieces > 1:
        size = next((size for size in range(most, most // 2, -1) if count % size == 0), most)
        pieces = math.ceil(count / size)
    bounds = [count * piece // pieces for piece in range(pieces + 1)]
    return [stop - start for start, stop in pairwise(bounds)]


def resumed(
    runs: Sequence[AnyRun], checkpointed: Iterable[tuple[str, ...]]
) -> tuple[list[list[AnyRun]], list[AnyRun]]:
    """Return the groups that an earlier process began, as it cut them, and the runs in none.

    Args:
        runs: runs that share a config.
        checkpointed: run ids of the groups that have checkpoints, of any config.
    """
    left = {run.run_id: run for run in runs}
    groups = []
    for run_ids in checkpointed:
        if all(run_id in left for run_id in run_ids):
            groups.append([left.pop(run_id) for run_id in run_ids])
    return groups, list(left.values())
