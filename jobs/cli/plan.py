"""`mupc plan`: an estimate of what an experiment runs and takes, before anything runs."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

import results
import transfer
from jobs.cli.json_output import print_json
from jobs.cli.options import PlanOptions
from jobs.cli.pool_setup import check_pool, make_pool
from jobs.cli.spec_file import check_spec
from jobs.cli.tables import MISSING, number, plain_table, screen
from jobs.pools.calibration import timed_group
from jobs.pools.estimates import Cost, DevicePool, Estimate, Load, estimate
from results.durations import duration
from results.storage.folder import Folder
from results.vocabulary import Phase
from transfer.engine.any_plan import PlannedRuns
from transfer.engine.budget import Bought, bought
from transfer.engine.dry_run import dry_run
from transfer.engine.grouping import OPERATIONS, TARGET_BYTES, weight_bytes, work
from transfer.engine.learned_layers import LearnedLayers, learned_layers
from transfer.engine.plan import Plan, SweepPlan, plan_of
from transfer.engine.search_bounds import SearchBounds, search_bounds

if TYPE_CHECKING:
    from results import Ledger

MIB = 2**20
STEEPEST = 4.3
"""About lambda_max of the activity Hessian of muPC networks: 4.8 to 4.1 at 8 to 128 layers."""
Needs = Mapping[str, float | None]
"""What runs take, by the names of a budget's limits; None if that is not known."""
COLUMNS = (
    *("variant", "N x H", "phase", "runs", "in ledger", "groups", "lanes", "programs"),
    *("MiB/lane", "operations", "ms/step", "slot time", "learn"),
)


def show_plan(options: PlanOptions) -> None:
    """Print the estimate; time a few steps of training first, unless the options forbid it."""
    check_pool(options)
    check_spec(options.spec)
    plan = plan_of(transfer.load(options.spec), options.data_dir)
    plan.check()
    if isinstance(plan, SweepPlan):
        _show_sweep(plan, options)
        return
    with _ledger(options.ledger) as ledger, make_pool(options, train=timed_group) as pool:
        planned_runs = dry_run(plan, ledger, pool)
        found = estimate(plan, planned_runs, pool, measure=options.calibrate)
        if options.as_json:
            print_json("plan", _facts(plan, pool, found, ledger))
        else:
            _show(plan, pool, found, ledger)


def _show_sweep(plan: SweepPlan, options: PlanOptions) -> None:
    """Print the runs of a sweep of training functions: what a run takes is not known."""
    with _ledger(options.ledger) as ledger, make_pool(options) as pool:
        planned_runs = dry_run(plan, ledger, pool)
        needs = {"runs": float(sum(each.expected - each.known for each in planned_runs))}
        buys = _bought(plan, ledger, needs)
    bounds = search_bounds(plan)
    if options.as_json:
        facts = [
            {"variant": planned.arm.label, **_count_facts(planned)} for planned in planned_runs
        ]
        ends = {"pruning": _bound_facts(bounds), "budget": _budget_facts(buys)}
        print_json("plan", {"experiment": plan.experiment.name, "shapes": facts, **ends})
        return
    table = plain_table(COLUMNS[:5], text=("variant", "phase"), gap=1)
    for planned in planned_runs:
        table.add_row(*_counts(planned))
    console = screen()
    console.print(table)
    for name, text in _search_lines(plan, bounds, buys).items():
        console.print(f"{name:<15}{text}", soft_wrap=True, markup=False, highlight=False)


def _bought(plan: Plan | SweepPlan, ledger: "Ledger", needs: Needs) -> dict[str, Bought]:
    """Return what the budget of an experiment buys; nothing without a budget."""
    experiment = plan.experiment
    if experiment.budget is None:
        return {}
    return bought(experiment.budget, ledger, experiment.name, needs)


def _bound_facts(bounds: SearchBounds | None) -> dict[str, object] | None:
    return None if bounds is None else asdict(bounds)


def _budget_facts(buys: Mapping[str, Bought]) -> dict[str, object] | None:
    return {name: asdict(each) for name, each in buys.items()} or None


def _search_lines(
    plan: Plan | SweepPlan, bounds: SearchBounds | None, buys: Mapping[str, Bought]
) -> dict[str, str]:
    """Return the lines about pruning and about the budget, by their names."""
    lines = {}
    if bounds is not None:
        ends = [bounds.operations_at_least, bounds.operations_at_most]
        operations = (
            "" if None in ends else f", {' to '.join(number(end) for end in ends)} operations"
        )
        expected = (
            ""
            if bounds.trainings_expected is None
            else f", about {number(bounds.trainings_expected)} expected"
        )
        lines["pruning"] = (
            f"the search takes the updates of {number(bounds.trainings_at_least)} to "
            f"{bounds.trainings_at_most} trainings{expected}{operations}; less only where "
            "runs diverge, or cells are skipped or proposed twice"
            + (", more where tune.extend adds values" if plan.experiment.tune.extend else "")
        )
    if buys:
        counted = "what is expected" if bounds is None else "what may run at most"
        parts = [_buys(name, each, counted) for name, each in buys.items()]
        lines["budget"] = f"{'; '.join(parts)}: the search comes first"
    return lines


def _buys(name: str, found: Bought, counted: str) -> str:
    """Return what is left of a limit, and how much of the work that is `counted` it buys."""
    what = f"{number(found.left)} of {number(found.limit)} {name} left"
    if found.share is None:
        return what
    return f"{what}, which buys {'all' if found.share == 1 else f'{found.share:.0%}'} of {counted}"


def _count_facts(planned: PlannedRuns) -> dict[str, object]:
    return {
        "phase": planned.phase,
        "width": planned.shape.width,
        "depth": planned.shape.depth,
        "runs": planned.runs,
        "at_most": planned.at_most,
        "expected": planned.expected,
        "in_ledger": planned.known,
    }


def _counts(planned: PlannedRuns) -> list[str]:
    return [
        planned.arm.label,
        f"{planned.shape.width} x {planned.shape.depth}",
        planned.phase,
        f"{'≤ ' if planned.at_most else ''}{planned.runs}"
        + (f" (~{planned.expected})" if planned.fewer else ""),
        str(planned.known),
    ]


@contextmanager
def _ledger(place: str) -> "Iterator[Ledger]":
    """Open the ledger, or an empty one where there is none yet."""
    folder = Folder(place)
    with folder.reading():
        missing = folder.kind().name == "NotFound"
    with TemporaryDirectory(prefix="mupc-") as empty:
        yield results.open(empty if missing else place, create=missing)


def _facts(plan: Plan, pool: DevicePool, found: Estimate, ledger: "Ledger") -> dict[str, object]:
    costs = {name: asdict(getattr(found, name)) for name in ("left", "whole", "direct")}
    return {
        "experiment": plan.experiment.name,
        "device": asdict(pool.device),
        "slots": pool.slots,
        "shapes": [_load_facts(load, found) for load in found.loads],
        **costs,
        "programs": _programs(found),
        "pruning": _bound_facts(search_bounds(plan)),
        "budget": _budget_facts(_bought(plan, ledger, _needs(found, pool.slots))),
        "kept": _kept(plan, found)._asdict(),
        "direct_over_whole": _ratios(found),
        "calibration_seconds": found.seconds,
    }


def _load_facts(load: Load, found: Estimate) -> dict[str, object]:
    planned = load.planned
    timing, learned = found.timings.get(planned.training), _learned(planned)
    return {
        "variant": planned.arm.variant.name,
        "activation": planned.arm.activation,
        **_count_facts(planned),
        "groups": len(load.groups),
        "lanes": max(load.groups, default=None),
        "programs": load.programs,
        "lane_bytes": load.lane_bytes,
        "operations": load.operations,
        "slot_seconds": load.seconds,
        "timing": None if timing is None else asdict(timing),
        "measured": planned.training in found.measured,
        "predicted_to_learn": None if learned is None else asdict(learned),
    }


def _show(plan: Plan, pool: DevicePool, found: Estimate, ledger: "Ledger") -> None:
    table = plain_table(COLUMNS, text=("variant", "phase"), gap=1)
    for load in found.loads:
        table.add_row(*_cells(load, found))
    console = screen()
    console.print(table)
    bound = any(load.planned.at_most for load in found.loads)
    known = sum(load.planned.known for load in found.loads)
    expected = sum(load.planned.expected - load.planned.known for load in found.loads)
    fewer = sum(load.planned.fewer for load in found.loads)
    where = f"{pool.slots} x {pool.device.machine or pool.device.name}"
    lines = {
        "to run": f"{'at most ' if bound else ''}{_describe(found.left)} on {where}"
        + (f"; about {expected} runs are expected" if fewer else ""),
        "in the ledger": f"{known} runs",
        "to compile": f"{_programs(found)} programs{', in that time' if found.timings else ''}",
        "direct tuning": f"at the targets instead: {_describe(found.direct)}{_compared(found)}",
        "measured": _measured(found),
    }
    buys = _bought(plan, ledger, _needs(found, pool.slots))
    lines |= _search_lines(plan, search_bounds(plan), buys)
    kept = _kept(plan, found)
    if kept.networks:
        size = number(kept.bytes / MIB)
        lines["to keep"] = f"at most {kept.networks} trained networks, {size} MiB"
    if shallow := _shallow(load.planned for load in found.loads):
        lines["shallow"] = shallow
    for name, text in lines.items():
        console.print(f"{name:<15}{text}", soft_wrap=True, markup=False, highlight=False)


def _needs(found: Estimate, slots: int) -> Needs:
    """Return what the expected runs that are still to come take, by the names of limits."""
    expected = sum(load.planned.expected - load.planned.known for load in found.loads)
    share = expected / found.left.runs if found.left.runs else 1.0
    seconds = found.left.seconds
    return {
        "operations": sum(
            OPERATIONS * work(load.planned.training) * (load.planned.expected - load.planned.known)
            for load in found.loads
        ),
        "hours": None if seconds is None else share * seconds * slots / 3600,
        "runs": float(expected),
    }


class Kept(NamedTuple):
    """The most trained networks that an experiment keeps, and their size without biases."""

    networks: int
    bytes: int


def _kept(plan: Plan, found: Estimate) -> Kept:
    experiment, planned_runs = plan.experiment, [load.planned for load in found.loads]
    transferred = len(experiment.transfer.rules) * len(plan.seeds)
    counts = {
        "all": [(planned.training, planned.runs) for planned in planned_runs],
        "optima": [
            (config, max(transferred, min(planned.runs, TARGET_BYTES // weight_bytes(config))))
            for planned in planned_runs
            if planned.phase == Phase.TRANSFER
            for config in (planned.training,)
        ],
        "none": [],
    }[experiment.keep]
    return Kept(
        sum(count for _, count in counts),
        sum(count * weight_bytes(config) for config, count in counts),
    )


def _cells(load: Load, found: Estimate) -> list[str]:
    planned = load.planned
    timing = found.timings.get(planned.training)
    guessed = "" if planned.training in found.measured else "~"
    return [
        *_counts(planned),
        str(len(load.groups)),
        str(max(load.groups, default=MISSING)),
        str(load.programs),
        number(load.lane_bytes / MIB),
        number(load.operations),
        MISSING if timing is None else guessed + number(1e3 * timing.step),
        MISSING if load.seconds is None else duration(load.seconds),
        _count(_learned(planned)),
    ]


def _learned(planned: PlannedRuns) -> LearnedLayers | None:
    """Return the layers predicted to learn in the cells of the arm's search space."""
    return learned_layers(planned.training, planned.arm.space)


def _count(learned: LearnedLayers | None) -> str:
    if learned is None:
        return MISSING
    least = "" if learned.least == learned.most else f"{learned.least}-"
    return f"{least}{learned.most} of {learned.layers}"


def _shallow(planned_runs: Iterable[PlannedRuns]) -> str | None:
    """Return a warning if too little inference lets fewer than half of a target's layers learn."""
    found = {
        f"{planned.arm.label} at {planned.shape.width} x {planned.shape.depth}": planned
        for planned in planned_runs
        if planned.phase == Phase.TRANSFER and planned.arm.space.activity_lr is not None
        if (learned := _learned(planned)) and learned.shallow
    }
    if not found:
        return None
    batch_size = next(iter(found.values())).training.batch_size
    return (
        f"fewer than half of the layers are predicted to learn in any cell of {', '.join(found)}; "
        "inference by nesterov or augmented_lagrangian with steps: {depth: 2} reaches the bottom "
        f"if activity_lr is near B / lambda_max, about {number(batch_size / STEEPEST)} under muPC"
    )


def _describe(cost: Cost) -> str:
    time = "" if cost.seconds is None else f", {duration(cost.seconds)}"
    return f"{cost.runs} runs, {number(cost.operations)} operations{time}"


def _compared(found: Estimate) -> str:
    ratios = {name: ratio for name, ratio in _ratios(found).items() if ratio is not None}
    if not ratios:
        return ""
    factors = " and ".join(f"{number(ratio)} times the {name}" for name, ratio in ratios.items())
    if any(load.planned.fewer for load in found.loads):  # most of the bound is not expected to run
        return f", which is at least {factors} of all runs above"
    return f", which is {factors} of all runs above"


def _ratios(found: Estimate) -> dict[str, float | None]:
    """Return the cost of direct tuning, divided by that of the whole experiment."""
    pairs = {
        name: (getattr(found.direct, field), getattr(found.whole, field))
        for name, field in (("runs", "runs"), ("operations", "operations"), ("time", "seconds"))
    }
    return {name: a / b if a is not None and b else None for name, (a, b) in pairs.items()}


def _measured(found: Estimate) -> str:
    if not found.measured:
        return "nothing, so there is no estimate of the time"
    shapes = {load.planned.training for load in found.loads}
    count = len(shapes & found.measured.keys())
    others = "" if count == len(shapes) else "; the others (~) are interpolated"
    return f"a few steps of {count} of {len(shapes)} shapes, in {duration(found.seconds)}{others}"


def _programs(found: Estimate) -> int:
    return sum(load.programs for load in found.loads)
