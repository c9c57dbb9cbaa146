"""Measures layouts: a few training steps of each candidate, in turns, one knob after the other."""

import math
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

import pccore
from jobs.errors import MeasuringError
from jobs.pools.devices import Device
from jobs.pools.layout_memory import Measurement, Trial
from jobs.pools.layouts import KNOBS, Layout, default_layout
from pccore import Lane, TrainingConfig
from pccore.data import Dataset
from transfer.engine.grouping import work
from transfer.spec.networks import stacks

MARGIN = 0.05  # by how much another layout must be faster than the one in place
MOST_TURNS, LEAST_TURNS = 6, 2  # the best counts
TURNS_SECONDS = 1.0  # per candidate after the first turn, which compiles; then no other begins
TIMED_SECONDS = 0.1  # of arithmetic that one timing should last
MOST_STEPS = 100  # that one timing takes
COMPILE_SECONDS = 3.0  # of a candidate
PAYS = 50  # a training must last so many times as long as measuring its layout
# Multiply-adds a second that training hardly exceeds on a core or a GPU of today (docs/log.md,
# docs/performance.md): a training takes at least work / FASTEST.
FASTEST = {"cpu": 1e11, "gpu": 5e13}
# Rates at which nothing diverges within a few steps.
WEIGHT_LR, ACTIVITY_LR = 1e-4, 1.0

Tick = Callable[[int], None]
Clock = Callable[[], float]


def measure(
    config: TrainingConfig,
    device: Device,
    tick: Tick | None = None,
    clock: Clock = time.perf_counter,
) -> Measurement:
    """The fastest layout per lane, from the default one, changing one knob after the other.

    Args:
        config: the training; its data are made up.
        device: this thread's default device.
        tick: called with 0 again and again; what it raises ends the measuring.
        clock: tells the seconds spent. Processor time is the steadier one where a core does all
            and this process does nothing else.

    Raises:
        MeasuringError: no layout could be trained.
    """
    best, trials = default_layout(config, device), []
    for knob, values in KNOBS.items():
        others = [replace(best, **{knob: value}) for value in values(config, device)]
        candidates = list(dict.fromkeys([best, *others]))
        if len(candidates) > 1:
            timer = _Timer(config, device, tick, clock)
            found = _in_turns(timer, candidates)
            trials += [Trial(knob, layout, seconds) for layout, seconds in found.items()]
            best = _fastest(found)
    if all(trial.seconds is None for trial in trials):
        network = stacks(config.network)[0]
        shape = f"{network.depth} x {network.width}"
        raise MeasuringError(f"no layout of {shape} could be trained on {device.name}")
    return Measurement(best, tuple(trials))


def pays(config: TrainingConfig, device: Device, lanes: int) -> bool:
    """Whether training `lanes` runs surely takes 50 times as long as measuring their layout."""
    return lanes * work(config) / FASTEST[device.kind] > PAYS * cost(config, device)


def cost(config: TrainingConfig, device: Device) -> float:
    """About how many seconds `measure` takes, at the device's fastest."""
    seconds, best = 0.0, default_layout(config, device)
    for knob, values in KNOBS.items():
        candidates = {best, *(replace(best, **{knob: v}) for v in values(config, device))}
        if len(candidates) > 1:
            for layout in candidates:
                timing = max(TIMED_SECONDS, layout.lanes * _step_seconds(config, device))
                seconds += COMPILE_SECONDS + TURNS_SECONDS + 2 * LEAST_TURNS * timing
    return seconds


def _step_seconds(config: TrainingConfig, device: Device) -> float:
    """What a training step of one lane takes at least."""
    return work(replace(config, steps=1)) / FASTEST[device.kind]


def _in_turns(timer: "_Timer", candidates: list[Layout]) -> dict[Layout, float | None]:
    """Seconds a step and lane, None for what cannot be trained: all share the machine's moods."""
    best: dict[Layout, float | None] = dict.fromkeys(candidates, math.inf)
    started = math.inf
    for turn in range(MOST_TURNS):
        spent = timer.clock() - started
        if turn >= LEAST_TURNS and spent > TURNS_SECONDS * len(candidates):
            break
        for layout, least in best.items():
            if least is not None:
                now = timer.seconds(layout)
                best[layout] = None if now is None else min(least, now)
        started = min(started, timer.clock())
    return best


class _Timer:
    """Times a few training steps in a layout."""

    def __init__(
        self, config: TrainingConfig, device: Device, tick: Tick | None, clock: Clock
    ) -> None:
        self.clock = clock
        self._config, self._tick = config, tick
        self._steps = min(MOST_STEPS, math.ceil(TIMED_SECONDS / _step_seconds(config, device)))
        self._data = _made_up(config, 2 * self._steps * config.batch_size)

    def seconds(self, layout: Layout) -> float | None:
        """Of a step, per lane; None where this layout cannot be trained.

        Between two evaluations: neither compilation nor drawing the initial weights counts.
        """
        steps = max(1, self._steps // layout.lanes)
        config = replace(layout.apply(self._config), steps=2 * steps, eval_every=steps)
        lanes = [Lane(WEIGHT_LR, ACTIVITY_LR, seed) for seed in range(layout.lanes)]
        marks: list[float] = []

        def evaluated(_: int) -> None:
            marks.append(self.clock())
            if self._tick is not None:
                self._tick(0)

        try:
            outcomes = pccore.fit_many(config, self._data, lanes, on_progress=evaluated)
        except Exception:  # out of memory, a fault in XLA: no layout for this device
            return None
        if all(outcome.steps < config.steps for outcome in outcomes):  # diverged, and stopped early
            return None
        return (marks[1] - marks[0]) / (steps * layout.lanes)


def _fastest(found: dict[Layout, float | None]) -> Layout:
    """The layout in place, which comes first, unless another is faster by the margin."""
    in_place = next(iter(found))
    seconds = {layout: math.inf if s is None else s for layout, s in found.items()}
    best = min(seconds, key=seconds.__getitem__)
    return best if seconds[best] < (1 - MARGIN) * seconds[in_place] else in_place


def _made_up(config: TrainingConfig, samples: int) -> Dataset:
    """Samples of the training's sizes; the test set is one batch."""
    network, draw = config.network, np.random.default_rng(0)

    def part(count: int) -> tuple[np.ndarray, np.ndarray]:
        inputs = draw.integers(0, 256, (count, network.input_size), dtype=np.uint8)
        return inputs, np.arange(count, dtype=np.int32) % network.output_size

    parts = (*part(samples), *part(max(config.batch_size, network.output_size)))
    return Dataset("made up", "classification", *parts, mean=127.5, std=73.9)
