"""Decides the layout of a group: stated, remembered, measured, or by the default rule."""

import time
import warnings
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from threading import Lock

from jobs.pools.devices import Device
from jobs.pools.layout_memory import Measurement, place, recall, remember
from jobs.pools.layout_policy import LayoutPolicy, layout_policy
from jobs.pools.layout_tuner import Clock, Tick, measure, pays
from jobs.pools.layouts import Layout, default_layout, given_layout, has_choice
from pccore import TrainingConfig


class Source(StrEnum):
    """Where a layout comes from."""

    GIVEN = "given"  # by the config itself
    DEFAULT = "default"
    REMEMBERED = "remembered"
    MEASURED = "measured"


@dataclass(frozen=True)
class Choice:
    """A layout, where it comes from, and the measurement behind it, if there is one."""

    layout: Layout
    source: Source
    measurement: Measurement | None = None


_measuring: dict[Path, Lock] = {}  # by shape: the threads of a pool measure each only once
_hopeless: set[Path] = set()  # shapes whose measurement failed in this process


def known_layout(config: TrainingConfig, device: Device) -> Choice:
    """The layout of a training on a device as far as it is known without measuring.

    Raises:
        SettingError: the environment asks for an unknown policy.
    """
    policy, default = layout_policy(), default_layout(config, device)
    given = given_layout(config)
    if given is not None:
        return Choice(replace(given, lanes=default.lanes), Source.GIVEN)
    if policy is not LayoutPolicy.DEFAULT and has_choice(config, device):
        remembered = recall(config, device)
        if remembered is not None:
            return Choice(remembered.layout, Source.REMEMBERED, remembered)
    return Choice(default, Source.DEFAULT)


def choose(
    config: TrainingConfig, device: Device, lanes: int = 0, tick: Tick | None = None
) -> Choice:
    """The layout of a training that is about to begin; it is measured where the policy says so.

    Args:
        config: the training.
        device: this thread's default device.
        lanes: how many runs are to be trained in it.
        tick: called with 0 again and again while measuring; what it raises ends it.

    Raises:
        SettingError: the environment asks for an unknown policy.
    """
    choice = known_layout(config, device)
    if choice.source is not Source.DEFAULT or not wants_measuring(config, device, lanes):
        return choice
    path = place(config, device)
    with _measuring.setdefault(path, Lock()):
        choice = known_layout(config, device)  # another thread may have measured meanwhile
        if choice.source is not Source.DEFAULT or path in _hopeless:
            return choice
        try:
            return measured_layout(config, device, tick)
        except Exception as error:  # a group must not fail because its layout could not be measured
            _hopeless.add(path)
            warnings.warn(f"layouts could not be measured: {error}", stacklevel=2)
            return choice


def wants_measuring(config: TrainingConfig, device: Device, lanes: int) -> bool:
    """Whether a training of `lanes` runs is measured first, unless its layout is remembered."""
    policy = layout_policy()
    if policy is LayoutPolicy.DEFAULT or not has_choice(config, device):
        return False
    return policy is LayoutPolicy.MEASURE or pays(config, device, lanes)


def measured_layout(
    config: TrainingConfig,
    device: Device,
    tick: Tick | None = None,
    clock: Clock = time.perf_counter,
) -> Choice:
    """Measure now, and remember. Raises `MeasuringError` where no layout could be trained."""
    measurement = measure(config, device, tick, clock)
    remember(config, device, measurement)
    return Choice(measurement.layout, Source.MEASURED, measurement)
