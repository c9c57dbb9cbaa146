"""What an experiment will take on a pool: groups, programs, memory, operations, time."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.pools import layout_memory
from jobs.pools.calibration import Timing, calibrate, interpolated
from jobs.pools.lanes import lane_bytes
from jobs.pools.layout_choice import known_layout
from pccore import Lane, TrainingConfig
from transfer.engine.dry_run import direct_tuning
from transfer.engine.grouping import OPERATIONS, evaluation_work, evaluations, sizes, work
from transfer.engine.plan import Plan, PlannedRuns
from transfer.engine.pool import Group

if TYPE_CHECKING:
    from jobs.pools.local import LocalPool
    from jobs.pools.ray_pool import RayPool

    AnyPool = LocalPool | RayPool

CALIBRATION_SECONDS = 25.0

Timings = Mapping[TrainingConfig, Timing]


@dataclass(frozen=True)
class Load:
    """What the runs of a demand take.

    Attributes:
        demand: the runs; those that the ledger has take nothing.
        groups: lanes of each group that they are cut into.
        programs: how many are compiled for them first.
        lane_bytes: memory of a lane, estimated.
        operations: floating-point operations, evaluations included.
        seconds: of one slot, compiling included; None where nothing was measured.
        longest: seconds of the longest group.
    """

    demand: PlannedRuns
    groups: tuple[int, ...]
    programs: int
    lane_bytes: int
    operations: float
    seconds: float | None
    longest: float


@dataclass(frozen=True)
class Cost:
    """What several loads take together.

    Attributes:
        runs: how many.
        operations: floating-point operations.
        seconds: until all are done; None where nothing was measured.
    """

    runs: int
    operations: float
    seconds: float | None

    @classmethod
    def of(cls, loads: Sequence[Load], slots: int) -> "Cost":
        """The slots share the work, but no group is shared."""
        seconds = [load.seconds for load in loads if load.seconds is not None]
        longest = max((load.longest for load in loads if load.groups), default=0.0)
        return cls(
            sum(load.demand.runs - load.demand.known for load in loads),
            sum(load.operations for load in loads),
            max(sum(seconds) / slots, longest) if len(seconds) == len(loads) else None,
        )


@dataclass(frozen=True)
class Forecast:
    """What an experiment takes.

    Attributes:
        loads: of what is ahead, by arm, phase and shape.
        left: they together.
        whole: the same, with what the ledger has already.
        direct: every arm tuned at every target instead.
        measured: timings of shapes that were measured, a few steps each.
        timings: of all shapes, the others interpolated; empty where nothing was measured.
        seconds: that measuring took.
    """

    loads: list[Load]
    left: Cost
    whole: Cost
    direct: Cost
    measured: Timings
    timings: Timings
    seconds: float


def foresee(
    plan: Plan, demands: Sequence[PlannedRuns], pool: "AnyPool", *, measure: bool
) -> Forecast:
    """Forecast an experiment.

    Args:
        plan: of the experiment.
        demands: what is ahead of it (`transfer.engine.dry_run`).
        pool: one like that which will train, made with `train=timed_group`.
        measure: whether to train a few steps of its shapes, for about half a minute at most.
    """
    every, instead = [replace(demand, known=0) for demand in demands], direct_tuning(plan)
    began = time.monotonic()
    measured = _measured(plan, [*every, *instead], pool) if measure else {}
    took = time.monotonic() - began
    configs = {demand.config for demand in (*every, *instead)} if measured else set()
    timings = {
        config: measured.get(config) or interpolated(config, list(measured.items()))
        for config in configs
    }
    loads, whole, other = (_loads(plan, some, pool, timings) for some in (demands, every, instead))
    return Forecast(
        loads,
        left=Cost.of(loads, pool.slots),
        whole=Cost.of(whole, pool.slots),
        direct=Cost.of(other, pool.slots),
        measured=measured,
        timings=timings,
        seconds=took,
    )


def _loads(
    plan: Plan, demands: Sequence[PlannedRuns], pool: "AnyPool", timings: Timings
) -> list[Load]:
    """Every demand, cut into groups as the driver would."""
    share = sum(demand.work for demand in demands) / pool.slots
    compiled: set[tuple[TrainingConfig, int]] = set()
    loads = []
    for demand in demands:
        config, left = demand.config, demand.runs - demand.known
        groups = sizes(left, work(config), pool.lanes(config), share) if left else []
        new = {(config, lanes) for lanes in groups} - compiled
        compiled |= new
        timing = timings.get(config)
        each, start = (0.0, 0.0) if timing is None else (_seconds(config, timing), timing.start)
        a_run = work(config) + evaluation_work(config, plan.data.test_size)
        loads.append(
            Load(
                demand,
                groups=tuple(groups),
                programs=len(new),
                lane_bytes=lane_bytes(config),
                operations=OPERATIONS * left * a_run,
                seconds=None if timing is None else left * each + len(new) * start,
                longest=max(groups, default=0) * each + start,
            )
        )
    return loads


def _seconds(config: TrainingConfig, timing: Timing) -> float:
    """Of training a lane."""
    return config.steps * timing.step + evaluations(config) * timing.evaluation


def _measured(plan: Plan, demands: Sequence[PlannedRuns], pool: "AnyPool") -> Timings:
    """Timings of the shapes for which there is time; those that take equally long share one."""
    alike: dict[Path, list[Load]] = {}
    for load in _loads(plan, demands, pool, {}):
        place = layout_memory.place(load.demand.config, pool.device)
        alike.setdefault(place, []).append(load)
    shapes = _telling(list(alike.values()))
    groups = [_group(plan, max(shape, key=_lanes), pool) for shape in shapes]
    found = calibrate(pool, groups, pool.device.kind, CALIBRATION_SECONDS)
    return {load.demand.config: timing for place, timing in found.items() for load in shapes[place]}


def _telling(shapes: list[list[Load]]) -> list[list[Load]]:
    """Of every rule the shape with most work and the smallest, then the others, most work first."""

    def most(shape: list[Load]) -> float:
        return -sum(load.operations for load in shape)

    by_rule: dict[type, list[list[Load]]] = {}
    for shape in sorted(shapes, key=most):
        by_rule.setdefault(type(shape[0].demand.config.rule), []).append(shape)
    first = []
    for same in by_rule.values():
        smallest = min(same, key=lambda shape: work(shape[0].demand.config))
        first += [same[0], smallest] if smallest is not same[0] else [smallest]
    return first + [shape for shape in sorted(shapes, key=most) if shape not in first]


def _lanes(load: Load) -> int:
    return max(load.groups, default=0)


def _group(plan: Plan, load: Load, pool: "AnyPool") -> Group:
    """A group like those of a load, in its layout."""
    config, lanes = load.demand.config, _lanes(load)
    return Group(
        plan.experiment.dataset,
        None if plan.data_dir is None else str(plan.data_dir),
        known_layout(config, pool.device).layout.apply(config),
        lanes=(Lane(1.0, 1.0, 0),) * lanes,
        run_ids=("",) * lanes,
    )
