"""The time left on a simulated run of digits to 128 layers, against the time it then took.

Seconds of updates and of compilations are those of a recorded run on two cores.
"""

import io
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pytest
from rich.console import Console

import pccore
import results
import transfer
from jobs.cli.progress import LineDisplay, drawing
from jobs.cli.statistics import RunStatistics
from jobs.cli.time_left import TimeLeft
from jobs.pools.timing import step_work
from pccore import Outcome, Status, TrainingConfig
from transfer import Group, GroupResult, Progress, Worker

RATES = [1, 0.5, 0.1, 0.05, 0.01, 0.005, 0.001, 5e-4, 1e-4]
DIGITS = {
    "name": "digits",
    "dataset": "digits",
    "variants": ["mupc", "sp", {"name": "bp", "weight_lr": RATES}],
    "training": {"steps": 100, "inference": {"scheme": "gradient_descent", "steps": "depth"}},
    "tune": {
        "width": 32,
        "depth": 8,
        "weight_lr": [0.5, 0.1, 0.05, 0.01],
        "activity_lr": [1e3, 5e2, 1e2, 50, 10, 5, 1, 0.5, 0.1, 0.05, 0.01],
        "seeds": 3,
    },
    "transfer": {"depths": [16, 32, 64, 128]},
}
UPDATE_MS = {  # of one lane, by depth
    "PredictiveCoding": {8: 1.3, 16: 4.4, 32: 14.4, 64: 57.0, 128: 164.0},
    "Backpropagation": {8: 0.7, 16: 1.4, 32: 1.7, 64: 3.7, 128: 4.3},
}
COMPILE = {  # seconds, by depth
    "PredictiveCoding": {8: 20.0, 16: 24.0, 32: 19.0, 64: 22.0, 128: 29.0},
    "Backpropagation": {8: 5.0, 16: 0.6, 32: 2.0, 64: 2.4, 128: 1.3},
}


@dataclass
class Clock:
    """A clock that the pool moves."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


class SimulatedPool:
    """Trains nothing: groups end when the recorded times say."""

    slots = 2

    def __init__(self, clock: Clock, compiling: float) -> None:
        self._clock, self._compiling = clock, compiling
        self._noise = np.random.default_rng(0)
        self._free = [0.0] * self.slots
        self._ends: list[tuple[float, GroupResult]] = []
        self._compiled: set[TrainingConfig] = set()

    def lanes(self, config: TrainingConfig) -> int:
        return 4 if config.network.depth == 8 else 1

    def submit(self, group: Group) -> None:
        slot = int(np.argmin(self._free))
        begin = max(self._free[slot], self._clock.now)
        result = self._result(group)
        self._free[slot] = begin + result.seconds
        self._ends.append((self._free[slot], result))

    def collect(self, timeout: float | None = None) -> list[GroupResult]:
        self._ends.sort(key=lambda end: end[0])
        self._clock.now, result = self._ends.pop(0)
        return [result]

    def _result(self, group: Group) -> GroupResult:
        config, rule = group.config, type(group.config.rule).__name__
        outcomes = [outcome(config, lane) for lane in group.lanes]
        compiling = 0.0
        if config not in self._compiled:
            compiling = COMPILE[rule][config.network.depth] * self._compiling
            self._compiled.add(config)
        update = UPDATE_MS[rule][config.network.depth] / 1000 * self._noise.uniform(0.7, 1.3)
        seconds = compiling + update * sum(each.steps for each in outcomes)
        worker = Worker("cpu", "here", 1)
        now = datetime.now(UTC)
        return GroupResult(group, tuple(outcomes), seconds, now, worker, compiling)

    def close(self) -> None: ...


def outcome(config: TrainingConfig, lane: pccore.Lane) -> Outcome:
    """Return an outcome like the recorded ones: SP diverges when it is deep."""
    best = {"sp": 0.01}.get(config.network.parameterisation, 0.1)
    far = abs(np.log2(lane.weight_lr / best)) + abs(np.log2((lane.activity_lr or 10) / 10))
    deep_sp = config.network.parameterisation == "sp" and config.network.depth >= 64
    if deep_sp or far > 6:
        return Outcome(Status.DIVERGED, steps=config.steps // 3, diverged_step=config.steps // 3)
    return Outcome(Status.TRAINED, 0.1 + far / 10, 0.1, 0.9, 0.9, steps=config.steps)


class Recorder(Progress):
    """Keeps the estimate at every report, and between reports as the clock moves."""

    def __init__(self, clock: Clock) -> None:
        self.clock, self.estimates = clock, list[tuple[float, float | None]]()
        self.time_left = TimeLeft(clock)

    def pending(
        self, runs: Mapping[TrainingConfig, int], training: Sequence[Group], slots: int
    ) -> None:
        self.estimates.append((self.clock.now, self.time_left.seconds))  # just before
        self.time_left.report(runs, training, slots)
        self.estimates.append((self.clock.now, self.time_left.seconds))

    def trained(self, result: GroupResult) -> None:
        self.time_left.trained(result)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(1.0, id="compiled"),
        pytest.param(0.05, id="cached", marks=pytest.mark.slow),
    ],
)
def estimates(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> list[tuple[float, float | None]]:
    clock = Clock()
    recorder = Recorder(clock)
    experiment = transfer.Experiment.from_dict(DIGITS)
    with pytest.MonkeyPatch.context() as quick:
        quick.setattr(os, "fsync", lambda _: None)
        ledger = results.open(tmp_path_factory.mktemp("digits"), create=True)
        transfer.run(experiment, ledger, SimulatedPool(clock, request.param), progress=recorder)
    return recorder.estimates


@pytest.mark.slow
def test_is_within_a_factor_of_1_5_from_15_percent_on(
    estimates: list[tuple[float, float | None]],
) -> None:
    end = estimates[-1][0]
    for now, left in estimates:
        if 0.15 * end <= now <= 0.97 * end:
            assert left is not None
            assert 1 / 1.5 <= left / (end - now) <= 1.5, (
                f"{left:.0f} s left at {now:.0f} of {end:.0f}"
            )


@pytest.mark.slow  # the tests below check the same arithmetic on a few groups
def test_does_not_rise_for_long(estimates: list[tuple[float, float | None]]) -> None:
    end = estimates[-1][0]
    known = [(now, left) for now, left in estimates if left is not None]
    lowest, since = math.inf, 0.0
    for now, left in known:
        if left <= lowest:
            lowest, since = left, now
        assert now - since < 0.1 * end, (left, lowest, now, end)


def a_group(config: TrainingConfig, lanes: int) -> Group:
    lane = pccore.Lane(0.1, 1.0, 0)
    return Group("digits", None, config, (lane,) * lanes, ("",) * lanes)


def a_config(depth: int, steps: int = 100) -> TrainingConfig:
    network = pccore.NetworkConfig(64, 10, width=8, depth=depth)
    return TrainingConfig(network, pccore.Backpropagation(), steps=steps)


def result(config: TrainingConfig, seconds: float, compiling: float, *steps: int) -> GroupResult:
    outcomes = tuple(Outcome(Status.TRAINED, steps=each) for each in steps)
    worker, now = Worker("cpu", "here", 1), datetime.now(UTC)
    return GroupResult(a_group(config, len(steps)), outcomes, seconds, now, worker, compiling)


def test_counts_updates_and_names_compilation() -> None:
    clock = Clock()
    statistics = RunStatistics(None, clock)
    statistics.phase("tune", 12, 0)
    config, waiting = a_config(2), a_group(a_config(2), 2)
    statistics.pending({config: 10}, [waiting], slots=2)
    assert (statistics.time_left, statistics.activity) == (None, "tune, compiling")
    statistics.trained(result(config, 26.0, 6.0, 100, 100))  # 20 s for 200 updates
    statistics.pending({config: 10}, [waiting, waiting], slots=2)
    assert statistics.activity == "tune"
    assert statistics.time_left == pytest.approx(10 * 100 * 0.1 / 2)
    clock.now += 15.0
    assert statistics.time_left == pytest.approx(50 - 15)
    clock.now += 15.0  # both groups should have ended after 20 s
    assert statistics.time_left == pytest.approx(50 - 20)
    statistics.trained(result(config, 10.0, 0.0, 50, 50))  # they diverged half-way
    statistics.pending({config: 8}, [], slots=2)
    assert statistics.time_left == pytest.approx(8 * 75 * 0.1 / 2)


def test_another_shape_costs_in_proportion_to_its_work_and_is_compiled() -> None:
    left, small, large = TimeLeft(Clock()), a_config(2), a_config(9)
    left.trained(result(small, 16.0, 6.0, 100))
    left.report({large: 4}, [], slots=1)
    ratio = step_work(large) / step_work(small)
    assert left.seconds == pytest.approx(4 * 10 * ratio + 6)


def test_failed_and_measured_groups_teach_nothing() -> None:
    left = TimeLeft(Clock())
    left.trained(result(a_config(2), 5.0, 0.0, 0))
    left.report({a_config(2): 4}, [], slots=1)
    assert left.seconds is None


def test_the_live_display_has_one_line_of_progress_at_80_columns() -> None:
    statistics = RunStatistics(None, Clock())
    statistics.phase("transfer", 10_000, 9_999)
    statistics.compiling = 1
    for _ in range(3):
        statistics.finished(a_run(), Outcome.failed("no memory for the arrays of this network"))
    for width in (40, 80, 120, 200):
        out = io.StringIO()
        Console(file=out, width=width).print(drawing(statistics, width))
        [shown] = out.getvalue().splitlines()
        assert "transfer, compiling" in shown
        assert ("of 10000 runs" in shown) == (width > 40)


def test_lines_get_rarer() -> None:
    clock = Clock()
    display = LineDisplay(RunStatistics(None, clock), Console(file=io.StringIO()))
    pauses = []
    for clock.now in (0.0, 40.0, 200.0, 1000.0, 1e5):
        pauses.append(display._pause())
    assert pauses == [5.0, 5.0, 20.0, 100.0, 300.0]


def a_run() -> transfer.Run:
    return transfer.Run("digits", "0" * 64, "bp", a_config(2), pccore.Lane(0.1, None, 0))
