"""Runs into groups: what a run costs, and how runs of one shape are cut into programs."""

import math
from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise

from pccore import (
    ErrorBased,
    GaussNewton,
    GradientDescent,
    InferenceScheme,
    NetworkConfig,
    TrainingConfig,
)
from transfer.engine.runs import Run
from transfer.spec.networks import stacks

OPERATIONS = 2
"""Floating-point operations of a multiply-add."""


def work(config: TrainingConfig) -> float:
    """Multiply-adds of one training, those of products with weights: all else is less.

    A batch takes a product with every weight to predict and another for the gradient, and
    backpropagation a third for the errors, save with the first layer's. Inference takes two per
    step while a layer moves: what the clamped input predicts stays. From a forward pass only the
    top t layers have moved after t steps of gradient descent: T <= H steps move T (T + 1) / 2 of
    the T H layers there are, and the gradient below them is zero. Inference that ends by itself
    counts as if it took all steps allowed, inference without steps as one. XLA's own count is
    compared in tests/transfer/test_grouping.py. Evaluations are apart: `evaluation_work`.
    """
    inference = getattr(config.rule, "inference", None)
    products = sum(_products(inference, network) for network in stacks(config.network))
    return float(products * config.batch_size * max(config.steps, 1))


def evaluation_work(config: TrainingConfig, test_samples: int) -> float:
    """Multiply-adds of the evaluations in one training: a forward pass of the test set each."""
    return float(stacks(config.network)[0].weights * test_samples * evaluations(config))


def evaluations(config: TrainingConfig) -> int:
    """How often the network is evaluated: every `eval_every` updates and after the last."""
    return max(1, math.ceil(config.steps / config.eval_every))


def _products(inference: InferenceScheme | None, network: NetworkConfig) -> float:
    """Weights that a sample is multiplied with while a stack of layers is trained on it once."""
    weights = network.weights
    above = weights - network.input_size * network.width  # the first layer
    if inference is None:
        return 2 * weights + above
    steps, depth = _steps(inference), network.depth
    if isinstance(inference, GaussNewton):
        return 2 * weights + inference.sweeps(network.output_size) * above
    if isinstance(inference, ErrorBased):  # a step is a pass up and one down
        return 2 * weights + 2 * steps * weights
    if not isinstance(inference, GradientDescent):
        return 2 * weights + 2 * steps * above
    wave = min(steps, depth)
    moves = wave * (wave + 1) / 2 + (steps - wave) * depth
    learned = weights if wave == depth else above * wave / depth
    return weights + learned + 2 * above * moves / depth


def _steps(inference: InferenceScheme) -> int:
    """How many steps inference takes at most."""
    return getattr(inference, "steps", getattr(inference, "max_steps", 1))


def trained_together(runs: Iterable[Run]) -> list[list[Run]]:
    """The runs that can be lanes of one program: those that share a config and a data set."""
    groups: dict[tuple[str, TrainingConfig], list[Run]] = {}
    for run in runs:
        groups.setdefault((run.digest, run.config), []).append(run)
    return list(groups.values())


def cut(runs: Sequence[Run], most: int, share: float) -> list[list[Run]]:
    """Cut runs of one config into groups (`sizes`).

    Args:
        runs: all of one config.
        most: lanes that a group may have.
        share: work that a group should not exceed (a slot's fair share of all there is to do), lest
            one slot be still busy when the others have nothing left.
    """
    each = work(runs[0].config)
    ends = list(accumulate(sizes(len(runs), each, most, share), initial=0))
    return [list(runs[start:stop]) for start, stop in pairwise(ends)]


def sizes(count: int, each: float, most: int, share: float) -> list[int]:
    """How many lanes the groups of `count` runs have that are `each` so much work.

    All as many if possible, as every size is a program; `most` and `share` as in `cut`.
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


def taken_up(
    runs: Sequence[Run], begun: Iterable[tuple[str, ...]]
) -> tuple[list[list[Run]], list[Run]]:
    """The groups that an earlier process had begun, as it had cut them, and the runs in none.

    Args:
        runs: all of one config.
        begun: run ids of groups, of any config.
    """
    left = {run.run_id: run for run in runs}
    groups = []
    for run_ids in begun:
        if all(run_id in left for run_id in run_ids):
            groups.append([left.pop(run_id) for run_id in run_ids])
    return groups, list(left.values())
