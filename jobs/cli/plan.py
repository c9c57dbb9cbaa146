"""`mupc plan`: what an experiment will run and cost, before anything runs."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import results
import transfer
from jobs.cli.options import PlanOptions
from jobs.cli.pool_setup import check_pool, make_pool
from jobs.cli.tables import MISSING, number, plain_table, screen
from jobs.pools.calibration import timed_group
from jobs.pools.forecast import Cost, Forecast, Load, foresee
from results.durations import duration
from results.storage.folder import Folder
from transfer.engine.dry_run import dry_run
from transfer.engine.plan import Plan

if TYPE_CHECKING:
    from jobs.pools.forecast import AnyPool
    from results import Ledger

MIB = 2**20
COLUMNS = (
    *("variant", "N x H", "phase", "runs", "in ledger", "groups", "lanes", "programs"),
    *("MiB a lane", "operations", "ms a step", "time of a slot"),
)


def show_plan(options: PlanOptions) -> None:
    """Count, measure, and print."""
    check_pool(options)
    plan = Plan.of(transfer.load(options.spec), options.data_dir)
    plan.check()
    with _ledger(options.ledger) as ledger, make_pool(options, train=timed_group) as pool:
        demands = dry_run(plan, ledger, pool)
        found = foresee(plan, demands, pool, measure=options.calibrate)
        if options.as_json:
            print(json.dumps(_facts(plan, pool, found), indent=2, allow_nan=False))
        else:
            _show(plan, pool, found)


@contextmanager
def _ledger(place: str) -> "Iterator[Ledger]":
    """The ledger; an empty one where there is none yet."""
    folder = Folder(place)
    with folder.reading():
        missing = folder.kind().name == "NotFound"
    with TemporaryDirectory(prefix="mupc-") as empty:
        yield results.open(empty if missing else place, create=missing)


def _facts(plan: Plan, pool: "AnyPool", found: Forecast) -> dict[str, Any]:
    costs = {name: asdict(getattr(found, name)) for name in ("left", "whole", "direct")}
    return {
        "experiment": plan.experiment.name,
        "device": asdict(pool.device),
        "slots": pool.slots,
        "shapes": [_load_facts(load, found) for load in found.loads],
        **costs,
        "programs": _programs(found),
        "direct_over_whole": _ratios(found),
        "calibration_seconds": found.seconds,
    }


def _load_facts(load: Load, found: Forecast) -> dict[str, Any]:
    demand = load.demand
    timing = found.timings.get(demand.config)
    return {
        "variant": demand.arm.variant.name,
        "activation": demand.arm.activation,
        "phase": demand.phase,
        "width": demand.shape.width,
        "depth": demand.shape.depth,
        "runs": demand.runs,
        "at_most": demand.at_most,
        "in_ledger": demand.known,
        "groups": len(load.groups),
        "lanes": max(load.groups, default=None),
        "programs": load.programs,
        "lane_bytes": load.lane_bytes,
        "operations": load.operations,
        "slot_seconds": load.seconds,
        "timing": None if timing is None else asdict(timing),
        "measured": demand.config in found.measured,
    }


def _show(plan: Plan, pool: "AnyPool", found: Forecast) -> None:
    table = plain_table(COLUMNS, text=("variant", "phase"), gap=1)
    for load in found.loads:
        table.add_row(*_cells(load, found))
    console = screen()
    console.print(table)
    bound = any(load.demand.at_most for load in found.loads)
    known = sum(load.demand.known for load in found.loads)
    where = f"{pool.slots} x {pool.device.machine or pool.device.name}"
    lines = {
        "to run": f"{'at most ' if bound else ''}{_in_words(found.left)} on {where}",
        "in the ledger": f"{known} runs",
        "to compile": f"{_programs(found)} programs{', in that time' if found.timings else ''}",
        "direct tuning": f"at the targets instead: {_in_words(found.direct)}{_compared(found)}",
        "measured": _measured(found),
    }
    for name, text in lines.items():
        console.print(f"{name:<15}{text}", soft_wrap=True, markup=False, highlight=False)


def _cells(load: Load, found: Forecast) -> list[str]:
    demand = load.demand
    timing = found.timings.get(demand.config)
    guessed = "" if demand.config in found.measured else "~"
    return [
        demand.arm.label,
        f"{demand.shape.width} x {demand.shape.depth}",
        demand.phase,
        f"{'≤ ' if demand.at_most else ''}{demand.runs}",
        str(demand.known),
        str(len(load.groups)),
        str(max(load.groups, default=MISSING)),
        str(load.programs),
        number(load.lane_bytes / MIB),
        number(load.operations),
        MISSING if timing is None else guessed + number(1e3 * timing.step),
        MISSING if load.seconds is None else duration(load.seconds),
    ]


def _in_words(cost: Cost) -> str:
    time = "" if cost.seconds is None else f", {duration(cost.seconds)}"
    return f"{cost.runs} runs, {number(cost.operations)} operations{time}"


def _compared(found: Forecast) -> str:
    ratios = {name: ratio for name, ratio in _ratios(found).items() if ratio is not None}
    if not ratios:
        return ""
    words = " and ".join(f"{number(ratio)} times the {name}" for name, ratio in ratios.items())
    return f", which is {words} of all runs above"


def _ratios(found: Forecast) -> dict[str, float | None]:
    """What direct tuning takes, over what the whole experiment does."""
    pairs = {
        name: (getattr(found.direct, field), getattr(found.whole, field))
        for name, field in (("runs", "runs"), ("operations", "operations"), ("time", "seconds"))
    }
    return {name: a / b if a is not None and b else None for name, (a, b) in pairs.items()}


def _measured(found: Forecast) -> str:
    if not found.measured:
        return "nothing, so that no time is known"
    shapes = {load.demand.config for load in found.loads}
    count = len(shapes & found.measured.keys())
    others = "" if count == len(shapes) else "; the others (~) are interpolated"
    return f"a few steps of {count} of {len(shapes)} shapes, in {duration(found.seconds)}{others}"


def _programs(found: Forecast) -> int:
    return sum(load.programs for load in found.loads)
