"""Runs into groups: what a run costs, and how runs of one shape are cut into programs."""

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise

from pccore import (
    Equilibrium,
    GradientDescent,
    InferenceScheme,
    NetworkConfig,
    TrainingConfig,
)
from transfer.networks import stacks
from transfer.runs import Run


def work(config: TrainingConfig) -> float:
    """Multiply-adds of one training, roughly: what it costs relative to others.

    A weight matrix takes three products per batch to learn (prediction, error, gradient), and two
    per inference step while its layer moves. After t steps only the top t layers have moved, so
    T <= H steps move T (T + 1) / 2 of the T H layers there are. Only gradient descent makes use of
    that. Inference that ends by itself counts as if it took all steps allowed, inference without
    steps as one. Equilibrium inference takes as many products as it takes sweeps.
    """
    networks = stacks(config.network)
    weights = sum(network.weights for network in networks)
    inference = getattr(config.rule, "inference", None)
    passes = 3 + (0 if inference is None else _products(inference, networks[0]))
    return float(weights * config.batch_size * max(config.steps, 1) * passes)


def _products(inference: InferenceScheme, network: NetworkConfig) -> float:
    """Products of a batch with all weights that inference takes."""
    if isinstance(inference, Equilibrium):
        return inference.sweeps(network.output_size)
    steps, depth = _steps(inference), network.depth
    wave = min(steps, depth) if isinstance(inference, GradientDescent) else 0
    moves = wave * (wave + 1) / 2 + (steps - wave) * depth
    return 2 * moves / depth


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
    """Cut runs of one config into groups of equal size if possible, as every size is a program.

    Args:
        runs: all of one config.
        most: lanes that a group may have.
        share: work that a group should not exceed (a slot's fair share of all there is to do), lest
            one slot be still busy when the others have nothing left.
    """
    count = len(runs)
    pieces = math.ceil(count / most)
    by_work = min(count, math.ceil(count * work(runs[0].config) / share - 1e-9))
    if by_work > pieces:
        pieces = by_work
    elif pieces > 1:
        size = next((size for size in range(most, most // 2, -1) if count % size == 0), most)
        pieces = math.ceil(count / size)
    bounds = [count * piece // pieces for piece in range(pieces + 1)]
    return [list(runs[start:stop]) for start, stop in pairwise(bounds)]


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
