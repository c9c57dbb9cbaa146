"""Trials per hour at tuning size with all cores busy: our local pool, and one peer a core.

    python benchmarks/throughput.py [--shapes 8x64,8x128] [--peer jpc --peer-python PYTHON]

A trial is one MNIST epoch of 937 steps. Ours are whole trials on one LocalPool, as `mupc run` would
train them: its own choice of lanes, data handling, and an evaluation on 10,000 test samples every
300 steps. A peer is one process per core, pinned to it, and its rate is extrapolated from a
stretch of bare training steps, without data handling or evaluation. The two take turns. The ratio
of processor seconds per trial is listed too: other work hardly changes it.
"""

import argparse
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from itertools import chain

import peer
from measure import (
    EPOCH,
    Shape,
    add_peer,
    in_turns,
    label,
    made_up,
    parser,
    shapes,
    training,
    usable_cpus,
)
from report import Report
from served import Server, serve

GROUPS_PER_SLOT = 2

Times = dict[str, float]  # seconds, by side


def main() -> None:
    options = parse()
    if options.serve:
        serve(trials(options.shapes[0]))
        return
    cores = usable_cpus()
    report = Report(
        f"Trials per hour, {len(cores)} cores busy",
        ["H x N", "ours, trials/hour", "peer, trials/hour", "ours / peer", "by processor time"],
        notes=[
            "A trial is one MNIST epoch (937 steps, B = 64, T = H). Ours: whole trials with their "
            "evaluations on one LocalPool; peer: one process pinned to each core, extrapolated "
            "from a stretch of bare steps.",
        ],
    )
    for shape in options.shapes:
        add(report, shape, *measured(shape, cores, options))
    report.publish(options)


def parse() -> argparse.Namespace:
    found = parser(__doc__)
    default = "8x64,8x128"
    found.add_argument("--shapes", type=shapes, default=default, help=f"HxN,... ({default})")
    add_peer(found)
    found.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    return found.parse_args()


def measured(shape: Shape, cores: list[int], options: argparse.Namespace) -> tuple[Times, Times]:
    """Return wall-clock and processor seconds per trial of each side, all cores together."""
    own = [sys.executable, __file__, "--serve", "--shapes", label(shape)]
    with ExitStack() as stack:
        sides = {"ours": [stack.enter_context(Server(own, cores))]}
        if options.peer:
            one = peer.command(options, shape, "--seconds", "1")  # so that all end together
            sides["peer"] = [stack.enter_context(Server(one, [core])) for core in cores]
        processor = dict.fromkeys(sides, float("inf"))

        def stretch(side: str) -> float:
            wall, spent = together(sides[side])
            processor[side] = min(processor[side], spent)
            return wall

        for server in chain.from_iterable(sides.values()):
            server.wait_until_ready()
        wall = in_turns({side: partial(stretch, side) for side in sides}, options.repeats)
        return wall, processor


def add(report: Report, shape: Shape, wall: Times, processor: Times) -> None:
    """Add one line to the table, and its ratios."""
    hourly = {side: f"{3600 / seconds:.0f}" for side, seconds in wall.items()}
    cells = [f"{shape[0]} x {shape[1]}", hourly["ours"], hourly.get("peer", "-"), "-", "-"]
    if "peer" in wall:
        ratios = [seconds["peer"] / seconds["ours"] for seconds in (wall, processor)]
        cells[-2:] = [f"{ratio:.1f}" for ratio in ratios]
        name = f"trials, ours / peer, {label(shape)}"
        report.ratios |= {name: ratios[0], f"{name}, by processor time": ratios[1]}
    report.rows.append(cells)


def together(servers: list[Server]) -> tuple[float, float]:
    """Return wall-clock and processor seconds per trial while all `servers` work."""
    start = time.perf_counter()
    for server in servers:
        server.go()
    stretches = [server.answer() for server in servers]
    wall = time.perf_counter() - start
    trials = sum(stretch.steps for stretch in stretches) / EPOCH
    return wall / trials, sum(stretch.processor for stretch in stretches) / trials


def trials(shape: Shape) -> Callable[[], float]:
    """Return a function that trains whole trials on every slot of a local pool: their steps."""
    from jobs import LocalPool, train_group
    from pccore import Lane
    from transfer import Group

    data = made_up()
    pool = LocalPool(train=partial(train_group, load=lambda name, folder: data))
    config = training(shape, EPOCH)
    lanes = tuple(Lane(0.01, 1.0, seed) for seed in range(pool.lanes(config)))
    ids = tuple(str(lane.seed) for lane in lanes)
    group = Group(data.name, None, config, lanes, ids)
    count = GROUPS_PER_SLOT * pool.slots

    def stretch() -> float:
        for _ in range(count):
            pool.submit(group)
        results = []
        while len(results) < count:
            results += pool.collect()
        outcomes = [outcome for result in results for outcome in result.outcomes]
        if any(outcome.steps != EPOCH for outcome in outcomes):
            raise RuntimeError(f"a trial ended early: {outcomes}")
        return float(EPOCH * len(outcomes))

    return stretch


if __name__ == "__main__":
    main()
