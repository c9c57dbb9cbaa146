"""Estimate of what an experiment takes on a pool: groups, programs, memory, operations, time."""

import time
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from jobs.pools.calibration import calibrate, interpolated
from jobs.pools.devices import Device
from jobs.pools.layouts import choose_layout, lane_bytes, speed_key
from jobs.pools.timing import Timing
from pccore import Lane, TrainingConfig
from transfer.engine.any_plan import PlannedRuns
from transfer.engine.dry_run import direct_tuning
from transfer.engine.grouping import OPERATIONS, evaluation_work, evaluations, sizes, work
from transfer.engine.plan import Plan
from transfer.engine.pool import Group, Pool

CALIBRATION_SECONDS = 25.0

Timings = Mapping[TrainingConfig, Timing]


class DevicePool(Pool, Protocol):
    """A pool whose workers have equal devices."""

    device: Device


@dataclass(frozen=True)
class Load:
    """Estimate of what planned runs take.

    Attributes:
        planned: the runs; those in the ledger take nothing.
        groups: number of lanes of each group into which they are cut.
        programs: number of programs compiled for them.
        lane_bytes: memory of a lane.
        operations: floating-point operations, evaluations included.
        seconds: time of one slot, compilation included; None if nothing was measured.
        longest: seconds of the longest group.
    """

    planned: PlannedRuns
    groups: tuple[int, ...]
    programs: int
    lane_bytes: int
    operations: float
    seconds: float | None
    longest: float


@dataclass(frozen=True)
class Cost:
    """Estimate of what several loads take together.

    Attributes:
        runs: number of runs.
        operations: floating-point operations.
        seconds: until all are done; None if nothing was measured.
    """

    runs: int
    operations: float
    seconds: float | None

    @classmethod
    def of(cls, loads: Sequence[Load], slots: int) -> "Cost":
        """Add up loads. The slots share the work, but no group is shared."""
        seconds = [load.seconds for load in loads if load.seconds is not None]
        longest = max((load.longest for load in loads if load.groups), default=0.0)
        return cls(
            sum(load.planned.runs - load.planned.known for load in loads),
            sum(load.operations for load in loads),
            max(sum(seconds) / slots, longest) if len(seconds) == len(loads) else None,
        )


@dataclass(frozen=True)
class Estimate:
    """Estimate of what an experiment takes.

    Attributes:
        loads: of the remaining runs, by arm, phase and shape.
        left: cost of the remaining runs.
        whole: cost of all runs, including those in the ledger.
        direct: cost of tuning every arm at every target instead.
        measured: timings of the shapes that were measured.
        timings: of all shapes, the others interpolated; empty if nothing was measured.
        seconds: duration of the measurement.
    """

    loads: list[Load]
    left: Cost
    whole: Cost
    direct: Cost
    measured: Timings
    timings: Timings
    seconds: float


def estimate(
    plan: Plan, planned_runs: Sequence[PlannedRuns], pool: DevicePool, *, measure: bool
) -> Estimate:
    """Estimate an experiment.

    Args:
        plan: of the experiment.
        planned_runs: its remaining runs (`transfer.engine.dry_run`).
        pool: one like that which will train, made with `train=timed_group`.
        measure: train a few steps of its shapes, for about half a minute at most.
    """
    every, instead = [replace(planned, known=0) for planned in planned_runs], direct_tuning(plan)
    start = time.monotonic()
    measured = _measured(plan, [*every, *instead], pool) if measure else {}
    seconds = time.monotonic() - start
    configs = {planned.training for planned in (*every, *instead)} if measured else set()
    timings = {
        config: measured.get(config) or interpolated(config, list(measured.items()))
        for config in configs
    }
    loads, whole, other = (
        _loads(plan, some, pool, timings) for some in (planned_runs, every, instead)
    )
    return Estimate(
        loads,
        left=Cost.of(loads, pool.slots),
        whole=Cost.of(whole, pool.slots),
        direct=Cost.of(other, pool.slots),
        measured=measured,
        timings=timings,
        seconds=seconds,
    )


def _loads(
    plan: Plan, planned_runs: Sequence[PlannedRuns], pool: DevicePool, timings: Timings
) -> list[Load]:
    """Return the load of all planned runs, cut into groups as the driver cuts it."""
    share = sum(planned.work for planned in planned_runs) / pool.slots
    compiled: set[tuple[TrainingConfig, int]] = set()
    loads = []
    for planned in planned_runs:
        config, left = planned.training, planned.runs - planned.known
        groups = sizes(left, work(config), pool.lanes(config), share) if left else []
        new = {(config, lanes) for lanes in groups} - compiled
        compiled |= new
        timing = timings.get(config)
        each = 0.0 if timing is None else _lane_seconds(config, timing)
        start = 0.0 if timing is None else timing.start
        operations = work(config) + evaluation_work(config, plan.data.test_size)
        loads.append(
            Load(
                planned,
                groups=tuple(groups),
                programs=len(new),
                lane_bytes=lane_bytes(config),
                operations=OPERATIONS * left * operations,
                seconds=None if timing is None else left * each + len(new) * start,
                longest=max(groups, default=0) * each + start,
            )
        )
    return loads


def _lane_seconds(config: TrainingConfig, timing: Timing) -> float:
    """Return the seconds of training one lane."""
    return config.steps * timing.step + evaluations(config) * timing.evaluation


def _measured(plan: Plan, planned_runs: Sequence[PlannedRuns], pool: DevicePool) -> Timings:
    """Time the shapes for which there is time; those that take equally long share a timing."""
    alike: dict[Hashable, list[Load]] = {}
    for load in _loads(plan, planned_runs, pool, {}):
        alike.setdefault(speed_key(load.planned.training), []).append(load)
    shapes = _by_importance(list(alike.values()))
    groups = [_group(plan, max(shape, key=_lanes), pool) for shape in shapes]
    found = calibrate(pool, groups, pool.device.kind, CALIBRATION_SECONDS)
    return {
        load.planned.training: timing for index, timing in found.items() for load in shapes[index]
    }


def _by_importance(shapes: list[list[Load]]) -> list[list[Load]]:
    """Sort shapes: the largest and the smallest of every rule, then the others by their work."""
    shapes = sorted(shapes, key=lambda shape: -sum(load.operations for load in shape))
    by_rule: dict[type, list[list[Load]]] = {}
    for shape in shapes:
        by_rule.setdefault(type(shape[0].planned.training.rule), []).append(shape)
    first = []
    for same in by_rule.values():
        smallest = min(same, key=lambda shape: work(shape[0].planned.training))
        first += [same[0], smallest] if smallest is not same[0] else [smallest]
    return first + [shape for shape in shapes if shape not in first]


def _lanes(load: Load) -> int:
    return max(load.groups, default=0)


def _group(plan: Plan, load: Load, pool: DevicePool) -> Group:
    """Return a group like those of a load, in its layout."""
    config, lanes = load.planned.training, _lanes(load)
    return Group(
        plan.data.name,
        None if plan.data_dir is None else str(plan.data_dir),
        choose_layout(config, pool.device).apply(config),
        lanes=(Lane(1.0, 1.0, 0),) * lanes,
        run_ids=("",) * lanes,
        own=plan.experiment.own_data,
    )
