"""Seconds of training: rates of hardware, and the measurement of a few weight updates."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

import pccore
from pccore import Lane, TrainingConfig
from pccore.data import Dataset
from transfer.engine.grouping import work
from transfer.engine.pool import Config
from transfer.functions import FunctionConfig

PEAK_RATES = {"cpu": 1e11, "gpu": 5e13}
"""Multiply-adds per second that training hardly exceeds, on one core and on one GPU of today
(docs/performance.md)."""

COMPILE_SECONDS = 3.0
"""Typical time to compile a program on one core and to draw its initial weights."""

MAX_STEPS = 200  # weight updates in one interval that is timed

# Learning rates at which no network diverges within a few updates.
WEIGHT_LR, ACTIVITY_LR = 1e-4, 1.0

Clock = Callable[[], float]


@dataclass(frozen=True)
class Timing:
    """Seconds that a group takes.

    Attributes:
        lanes: number of lanes of the group.
        step: a weight update, per lane.
        evaluation: an evaluation on the test set, per lane.
        start: compiling and drawing initial weights, for the whole group.
    """

    lanes: int
    step: float
    evaluation: float
    start: float


def step_work(config: Config) -> float:
    """Return the multiply-adds of one weight update of one lane; of a function, those of a run."""
    if isinstance(config, FunctionConfig):
        return work(config)
    return work(replace(config, steps=1))


def for_timing(config: TrainingConfig, lanes: int, rate: float, seconds: float) -> TrainingConfig:
    """Return a training of 2 k + 1 updates, evaluated every k, for `time_training`.

    Args:
        config: the training.
        lanes: number of lanes that train together.
        rate: expected multiply-adds per second.
        seconds: expected duration of k updates, which are at least 2 and at most `MAX_STEPS`.
    """
    step_seconds = lanes * step_work(config) / rate
    steps = min(MAX_STEPS, max(2, math.ceil(seconds / step_seconds)))
    return replace(config, steps=2 * steps + 1, eval_every=steps)


def timing_lanes(count: int) -> tuple[Lane, ...]:
    """Return lanes that differ in their seeds alone."""
    return tuple(Lane(WEIGHT_LR, ACTIVITY_LR, seed) for seed in range(count))


def time_training(
    config: TrainingConfig,
    dataset: Dataset,
    lanes: Sequence[Lane],
    on_progress: Callable[[int], None] | None = None,
    clock: Clock = time.perf_counter,
) -> Timing:
    """Train, and time updates, evaluations and the start apart.

    The evaluations after k, 2 k and 2 k + 1 updates end three intervals. The last two differ by
    k - 1 updates, and the first one also contains the start.

    Args:
        config: from `for_timing`.
        dataset: the training's data.
        lanes: from `timing_lanes`.
        on_progress: called with the updates done at each evaluation; an exception ends the timing.
        clock: seconds; processor time is the steadier one where one thread does all the work.

    Raises:
        ValueError: the training diverged.
    """
    ends: list[float] = []

    def evaluated(steps_done: int) -> None:
        ends.append(clock())
        if on_progress is not None:
            on_progress(steps_done)

    begin = clock()
    pccore.fit_many(config, dataset, lanes, on_progress=evaluated)
    if len(ends) != 3:
        raise ValueError("the training diverged before it was timed")
    first, several, one = np.diff([begin, *ends])
    k, count = config.eval_every, len(lanes)
    step = max((several - one) / (k - 1), 0.0)
    return Timing(
        count,
        step=float(step / count),
        evaluation=float(max(one - step, 0.0) / count),
        start=float(max(first - k * step, 0.0)),
    )
