"""Measurement of layouts: a few training steps of each candidate, one knob after the other."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from jobs.errors import MeasuringError
from jobs.pools.devices import Device
from jobs.pools.layouts import (
    SMALL_WEIGHTS,
    Layout,
    default_layout,
    groups_layers,
    hidden_weights,
)
from jobs.pools.timing import PEAK_RATES, Clock, for_timing, time_training, timing_lanes
from pccore import NetworkConfig, TrainingConfig
from pccore.data import Dataset

MARGIN = 0.05  # by which a candidate must be faster than the best layout so far
MIN_ROUNDS, MAX_ROUNDS = 2, 6  # timings of each candidate, of which the shortest counts
ROUNDS_SECONDS = 1.0  # per candidate, after which no round begins; the first round is not counted
TIMED_SECONDS = 0.1  # of training that one timing should last


@dataclass(frozen=True)
class Candidate:
    """A layout that was timed.

    Attributes:
        knob: the field of `Layout` that was chosen at that time.
        layout: the layout.
        seconds: of a weight update, per lane; None where it could not be trained.
    """

    knob: str
    layout: Layout
    seconds: float | None


@dataclass(frozen=True)
class Measurement:
    """The fastest layout of a training on a device, and what it was chosen from.

    Attributes:
        layout: the choice.
        candidates: knob by knob; the first of each knob was the best so far.
    """

    layout: Layout
    candidates: tuple[Candidate, ...]


def layers_to_try(config: TrainingConfig, device: Device) -> tuple[int, ...]:
    """Return all layers in one product, or few: 2 or 4 on a CPU, 8 or 16 on a GPU."""
    depth = config.network.sized_parts()[0].depth
    few = (2, 4) if device.kind == "cpu" else (8, 16)
    if not groups_layers(config):
        return (0,)
    return (0, *(size for size in few if size < depth and depth % size == 0))


def lanes_to_try(config: TrainingConfig, device: Device) -> tuple[int, ...]:
    """Return several lanes for small networks on a CPU; on a GPU all that fit, and fractions."""
    if device.kind == "cpu":
        return (1, 4, 12) if hidden_weights(config) <= 4 * SMALL_WEIGHTS else (1,)
    most = default_layout(config, device).lanes
    return tuple(sorted({max(1, most // 4), max(1, most // 2), most}))


def shards_to_try(config: TrainingConfig, device: Device) -> tuple[int, ...]:
    """Return one device, or all that a group may have where they are parts of a CPU."""
    splits = config.rule.splits_batches and config.batch_size % device.count == 0
    return (1, device.count) if device.kind == "cpu" and device.count > 1 and splits else (1,)


KNOBS: Mapping[str, Callable[[TrainingConfig, Device], tuple[int, ...]]] = {
    "layers_per_product": layers_to_try,
    "lanes": lanes_to_try,
    "batch_shards": shards_to_try,
}
"""Every field of `Layout` in the order of the measurement, and the values to try."""


def has_candidates(config: TrainingConfig, device: Device) -> bool:
    """Return whether there is anything to measure.

    Networks of other kinds, and rules whose inference ends by itself, follow the rule.
    """
    known = isinstance(config.network, NetworkConfig) and (
        not config.rule.infers or groups_layers(config)
    )
    return known and any(len(values(config, device)) > 1 for values in KNOBS.values())


def measure_layout(
    config: TrainingConfig, device: Device, clock: Clock = time.perf_counter
) -> Measurement:
    """Return the layout with the fastest weight update per lane, starting from the rule's.

    Args:
        config: the training; its data are random.
        device: this thread's default device.
        clock: seconds; processor time is the steadier one where one thread does all the work.

    Raises:
        MeasuringError: no layout could be trained.
    """
    best = default_layout(config, device)
    candidates: list[Candidate] = []
    for knob, values in KNOBS.items():
        others = [replace(best, **{knob: value}) for value in values(config, device)]
        layouts = list(dict.fromkeys([best, *others]))
        if len(layouts) > 1:
            seconds = _time_in_rounds(config, device, layouts, clock)
            candidates += [Candidate(knob, layout, seconds[layout]) for layout in layouts]
            best = _fastest(seconds)
    if all(candidate.seconds is None for candidate in candidates):
        network = config.network.sized_parts()[0]
        shape = f"{network.depth} x {network.width}"
        raise MeasuringError(f"no layout of {shape} could be trained on {device.name}")
    return Measurement(best, tuple(candidates))


def _time_in_rounds(
    config: TrainingConfig, device: Device, layouts: list[Layout], clock: Clock
) -> dict[Layout, float | None]:
    """Time all layouts in turns, so that changes of the machine's load affect them alike."""
    best: dict[Layout, float | None] = dict.fromkeys(layouts, math.inf)
    start = math.inf
    for done in range(MAX_ROUNDS):
        if done >= MIN_ROUNDS and clock() - start > ROUNDS_SECONDS * len(layouts):
            break
        for layout, shortest in best.items():
            if shortest is not None:
                seconds = _step_seconds(config, device, layout, clock)
                best[layout] = None if seconds is None else min(shortest, seconds)
        start = min(start, clock())
    return {layout: None if seconds == math.inf else seconds for layout, seconds in best.items()}


def _step_seconds(
    config: TrainingConfig, device: Device, layout: Layout, clock: Clock
) -> float | None:
    """Return the seconds of a weight update per lane; None where the layout cannot be trained."""
    timed = for_timing(layout.apply(config), layout.lanes, PEAK_RATES[device.kind], TIMED_SECONDS)
    try:
        timing = time_training(timed, _random_data(timed), timing_lanes(layout.lanes), clock=clock)
    except Exception:  # out of memory, a fault in XLA, divergence
        return None
    return timing.step or math.inf  # 0: too short for the clock


def _fastest(seconds: dict[Layout, float | None]) -> Layout:
    """Return the first layout, unless another is faster by the margin."""
    first = next(iter(seconds))
    known = {layout: math.inf if s is None else s for layout, s in seconds.items()}
    best = min(known, key=known.__getitem__)
    return best if known[best] < (1 - MARGIN) * known[first] else first


def _random_data(config: TrainingConfig) -> Dataset:
    """Return random samples of the training's sizes; the test set is one batch."""
    network, draw = config.network, np.random.default_rng(0)

    def part(count: int) -> tuple[np.ndarray, np.ndarray]:
        inputs = draw.integers(0, 256, (count, network.input_size), dtype=np.uint8)
        return inputs, np.arange(count, dtype=np.int32) % network.output_size

    train, test = config.steps * config.batch_size, max(config.batch_size, network.output_size)
    parts = (*part(train), *part(test))
    return Dataset("random", "classification", *parts, mean=127.5, std=73.9)
