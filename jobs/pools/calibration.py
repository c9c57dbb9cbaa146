"""Calibration of a pool: what a few steps of training take there, shape by shape."""

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from statistics import fmean
from typing import cast

import jax
import numpy as np

from jobs.pools.timing import (
    COMPILE_SECONDS,
    PEAK_RATES,
    Timing,
    for_timing,
    step_work,
    time_training,
    timing_lanes,
)
from jobs.pools.worker import Loader, load_dataset, this_worker
from pccore import Lane, Outcome, Status, TrainingConfig
from pccore.data import Dataset
from pccore.training.probe import Reading
from transfer.engine.grouping import work
from transfer.engine.pool import Config, Group, GroupResult, Pool
from transfer.functions import FunctionConfig

TIMED_SECONDS = 0.5  # of training that a timing should last at least
SLOWDOWN = 10  # of an unknown pool, against the peak rate
QUANTITIES = ("step", "evaluation", "start")


def calibrate(pool: Pool, groups: Iterable[Group], kind: str, seconds: float) -> dict[int, Timing]:
    """Time groups on a pool while all its slots are busy.

    GPUs train a group each. The cores of a CPU share caches and memory, and a compilation on one
    slows down the others: they train the same group at the same time.

    Args:
        pool: made with `train=timed_group`.
        groups: the groups, in the order of their importance.
        kind: of the pool's device, "cpu" or "gpu".
        seconds: after which no other group is started, nor one that would end later.

    Returns:
        The timings, by the group's index; groups that failed or were left out are missing.
    """
    waiting = deque(enumerate(groups))
    copies = pool.slots if kind == "cpu" else 1
    running: dict[int, list[Timing | None]] = {}
    found: dict[int, Timing] = {}
    deadline = time.monotonic() + seconds
    rate, start = PEAK_RATES[kind] / SLOWDOWN, COMPILE_SECONDS
    while waiting or running:
        while waiting and len(running) * copies < pool.slots:
            index, group = waiting.popleft()
            timed = replace(short(group, rate), run_ids=(str(index),) * len(group.lanes))
            needed = start + len(timed.lanes) * work(timed.config) / rate
            if time.monotonic() + needed < deadline:
                running[index] = []
                for _ in range(copies):
                    pool.submit(timed)
        for result in pool.collect() if running else ():
            index = int(result.group.run_ids[0])
            running[index].append(_read(result))
            if len(running[index]) == copies:
                timing = _mean(running.pop(index))
                if timing is not None:
                    found[index] = timing
                    rate = min(rate, step_work(result.group.config) / timing.step)
                    start = max(start, timing.start)
    return found


def short(group: Group, rate: float) -> Group:
    """Return the group with as few weight updates as can be timed.

    Args:
        group: the group.
        rate: expected multiply-adds per second.
    """
    count = len(group.lanes)
    assert isinstance(group.config, TrainingConfig)
    config = for_timing(group.config, count, rate, TIMED_SECONDS)
    return replace(group, config=config, lanes=timing_lanes(count))


def timed_group(
    group: Group,
    *,
    load: Loader = load_dataset,
    on_progress: Callable[[int], None] | None = None,
    **_: object,
) -> GroupResult:
    """Train a `short` group, and return its timing as readings of the outcomes.

    From the first call on, the process stores no compiled program on disk: the next calibration
    must not find one.
    """
    dataset, config = group.own or load(group.dataset, group.data_dir), group.config
    assert isinstance(dataset, Dataset) and isinstance(config, TrainingConfig)  # noqa: PT018
    jax.config.update("jax_persistent_cache_min_compile_time_secs", math.inf)
    started = datetime.now(UTC)
    begin = time.perf_counter()
    lanes = cast(Sequence[Lane], group.lanes)
    timing = time_training(config, dataset, lanes, on_progress)
    readings = tuple(
        Reading(0, quantity, getattr(timing, quantity), __name__) for quantity in QUANTITIES
    )
    outcome = Outcome(Status.TRAINED, steps=config.steps, readings=readings)
    return GroupResult(
        group,
        (outcome,) * len(group.lanes),
        seconds=time.perf_counter() - begin,
        started=started,
        worker=this_worker(),
    )


def _read(result: GroupResult) -> Timing | None:
    """Return the timing of a group, None if it failed or was too short for the clock."""
    values = {reading.quantity: reading.value for reading in result.outcomes[0].readings}
    if not values.get("step"):
        return None
    return Timing(len(result.group.lanes), **values)


def _mean(timings: Sequence[Timing | None]) -> Timing | None:
    """Return the mean of timings that were taken at the same time; None if any is missing."""
    found = [timing for timing in timings if timing is not None]
    if len(found) < len(timings):
        return None
    return Timing(
        found[0].lanes,
        *(fmean(getattr(timing, quantity) for timing in found) for quantity in QUANTITIES),
    )


def interpolated(config: TrainingConfig, known: Sequence[tuple[TrainingConfig, Timing]]) -> Timing:
    """Interpolate the timing of a shape between those that were measured, of its rule if possible.

    Seconds per multiply-add and seconds of the start are linear in the logarithm of a step's
    multiply-adds, and constant beyond either end.

    Args:
        config: of the shape.
        known: at least one measured shape.
    """
    alike = [pair for pair in known if kind(pair[0]) == kind(config)] or known
    alike = sorted(alike, key=lambda pair: step_work(pair[0]))
    positions = [math.log(step_work(shape)) for shape, _ in alike]

    def at(values: list[float]) -> float:
        return float(np.interp(math.log(step_work(config)), positions, values))

    return Timing(
        lanes=round(at([timing.lanes for _, timing in alike])),
        step=step_work(config) * at([timing.step / step_work(shape) for shape, timing in alike]),
        evaluation=_weights(config)
        * at([timing.evaluation / _weights(shape) for shape, timing in alike]),
        start=at([timing.start for _, timing in alike]),
    )


def _weights(config: TrainingConfig) -> int:
    return sum(config.network.sized_parts()[0].products)


def kind(config: Config) -> tuple[object, ...]:
    """Return what the cost of a multiply-add depends on most."""
    if isinstance(config, FunctionConfig):
        return (config.function,)
    return type(config.network), type(config.rule), type(config.rule.inference)
