"""How long training takes on a pool, from a few steps that it trains there itself."""

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from statistics import fmean
from typing import Any

import jax
import numpy as np

import pccore
from jobs.pools.layout_tuner import ACTIVITY_LR, FASTEST, WEIGHT_LR
from jobs.pools.worker import Loader, load_dataset, this_worker
from pccore import Lane, Outcome, Status, TrainingConfig
from pccore.training.probe import Reading
from transfer.engine.grouping import work
from transfer.engine.pool import Group, GroupResult, Pool
from transfer.spec.networks import stacks

TIMED_SECONDS = 0.5  # of training that a timing should last at least
MOST_STEPS = 200  # that it takes
START_SECONDS = 3.0  # of compiling and drawing weights, about
CAUTIOUS = 10  # times slower than the fastest: what is believed of a pool before it is known
QUANTITIES = ("step", "evaluation", "start")


@dataclass(frozen=True)
class Timing:
    """What a group of lanes took, in seconds.

    Attributes:
        lanes: of the group.
        step: a weight update, per lane.
        evaluation: an evaluation on the test set, per lane.
        start: compiling, and drawing the weights, of the group.
    """

    lanes: int
    step: float
    evaluation: float
    start: float


def calibrate(pool: Pool, groups: Iterable[Group], kind: str, seconds: float) -> dict[int, Timing]:
    """Time groups on a pool, with all its slots busy.

    GPUs take a group each. The cores of a CPU share caches and memory, and a program that is
    compiled on one would slow down another: they take the same group at the same time.

    Args:
        pool: made with `train=timed_group`.
        groups: those to be trained, the most telling first.
        kind: of the pool's device.
        seconds: after which no other group is begun, nor one that would surely not be done then.

    Returns:
        What was found, by the place of the group; what failed or was left out is missing.
    """
    waiting = deque(enumerate(groups))
    copies = pool.slots if kind == "cpu" else 1
    flying: dict[int, list[Timing | None]] = {}
    found: dict[int, Timing] = {}
    deadline = time.monotonic() + seconds
    rate, start = FASTEST[kind] / CAUTIOUS, START_SECONDS
    while waiting or flying:
        while waiting and len(flying) * copies < pool.slots:
            place, group = waiting.popleft()
            timed = replace(short(group, rate), run_ids=(str(place),) * len(group.lanes))
            needed = start + len(timed.lanes) * work(timed.config) / rate
            if time.monotonic() + needed < deadline:
                flying[place] = []
                for _ in range(copies):
                    pool.submit(timed)
        for result in pool.collect() if flying else ():
            place = int(result.group.run_ids[0])
            flying[place].append(_read(result))
            if len(flying[place]) == copies:
                timing = _together(flying.pop(place))
                if timing is not None:
                    found[place] = timing
                    rate = min(rate, _step(result.group.config) / timing.step)
                    start = max(start, timing.start)
    return found


def short(group: Group, rate: float) -> Group:
    """The group with a few steps, evaluated twice in between and once after the last.

    Args:
        group: the group.
        rate: multiply-adds a second that are expected.
    """
    step = len(group.lanes) * _step(group.config) / rate
    steps = min(MOST_STEPS, max(2, math.ceil(TIMED_SECONDS / step)))
    config = replace(group.config, steps=2 * steps + 1, eval_every=steps)
    lanes = tuple(Lane(WEIGHT_LR, ACTIVITY_LR, seed) for seed in range(len(group.lanes)))
    return replace(group, config=config, lanes=lanes)


def timed_group(
    group: Group,
    *,
    load: Loader = load_dataset,
    on_progress: Callable[[int], None] | None = None,
    **_: Any,
) -> GroupResult:
    """Train a `short` group; what it took are readings of its outcomes.

    Of marks after k, 2 k and 2 k + 1 updates and an evaluation each, the last two intervals tell a
    step from an evaluation, and the first one what came before. From here on, the process keeps
    no compiled program on disk: the next calibration must not find one.
    """
    dataset, config = load(group.dataset, group.data_dir), group.config
    marks: list[float] = []

    def evaluated(steps_done: int) -> None:
        marks.append(time.perf_counter())
        if on_progress is not None:
            on_progress(steps_done)

    jax.config.update("jax_persistent_cache_min_compile_time_secs", math.inf)
    started = datetime.now(UTC)
    begun = time.perf_counter()
    pccore.fit_many(config, dataset, group.lanes, on_progress=evaluated)
    first, many, one = np.diff([begun, *marks])
    k = config.eval_every
    step = max((many - one) / (k - 1), 0.0)
    values = (step, max(one - step, 0.0), max(first - k * step, 0.0))
    readings = tuple(
        Reading(0, quantity, float(value), __name__)
        for quantity, value in zip(QUANTITIES, values, strict=True)
    )
    outcome = Outcome(Status.TRAINED, steps=config.steps, readings=readings)
    return GroupResult(
        group,
        (outcome,) * len(group.lanes),
        seconds=time.perf_counter() - begun,
        started=started,
        worker=this_worker(),
    )


def _read(result: GroupResult) -> Timing | None:
    """None where the group failed, or diverged before it could be timed."""
    values = {reading.quantity: reading.value for reading in result.outcomes[0].readings}
    if not values.get("step"):
        return None
    lanes = len(result.group.lanes)
    return Timing(lanes, values["step"] / lanes, values["evaluation"] / lanes, values["start"])


def _together(timings: Sequence[Timing | None]) -> Timing | None:
    """The mean of what was found at the same time; None if any is missing."""
    found = [timing for timing in timings if timing is not None]
    if len(found) < len(timings):
        return None
    return Timing(
        found[0].lanes,
        *(fmean(getattr(timing, quantity) for timing in found) for quantity in QUANTITIES),
    )


def interpolated(config: TrainingConfig, known: Sequence[tuple[TrainingConfig, Timing]]) -> Timing:
    """The timing of a shape that was not measured, from those that were, of its rule if possible.

    Seconds a multiply-add, and seconds of starting, over the logarithm of a step's multiply-adds;
    constant beyond either end.

    Args:
        config: of the shape.
        known: at least one.
    """
    alike = [pair for pair in known if _kind(pair[0]) == _kind(config)] or known
    alike = sorted(alike, key=lambda pair: _step(pair[0]))
    places = [math.log(_step(shape)) for shape, _ in alike]

    def at(values: list[float]) -> float:
        return float(np.interp(math.log(_step(config)), places, values))

    return Timing(
        lanes=round(at([timing.lanes for _, timing in alike])),
        step=_step(config) * at([timing.step / _step(shape) for shape, timing in alike]),
        evaluation=_weights(config)
        * at([timing.evaluation / _weights(shape) for shape, timing in alike]),
        start=at([timing.start for _, timing in alike]),
    )


def _step(config: TrainingConfig) -> float:
    """Multiply-adds of a weight update."""
    return work(replace(config, steps=1))


def _weights(config: TrainingConfig) -> int:
    return stacks(config.network)[0].weights


def _kind(config: TrainingConfig) -> tuple[type, ...]:
    return type(config.network), type(config.rule), type(config.rule.inference)
