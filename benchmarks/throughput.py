"""Trials per hour at tuning size with all cores busy: our local pool, and one peer a core.

    python benchmarks/throughput.py [--shapes 8x64,8x128] [--peer jpc]

A trial is one MNIST epoch of 937 steps. Ours are whole trials on one LocalPool, as `mupc run` would
train them: its own choice of lanes, data handling, and an evaluation on 10,000 test samples every
300 steps. A peer is one process per core, pinned to it, and its rate is extrapolated from a
stretch of bare training steps, without data handling or evaluation. The two take turns. The ratio
of processor seconds per trial is listed too: other work hardly changes it.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from itertools import chain
from pathlib import Path

import peer
from measure import (
    EPOCH,
    PEERS,
    Shape,
    cap_threads,
    in_turns,
    label,
    made_up,
    parser,
    shapes,
    training,
    usable_cpus,
)
from report import Report

GROUPS_PER_SLOT = 2

Times = dict[str, float]  # seconds, by side


def main() -> None:
    options = parse()
    if options.serve:
        serve(options.serve, options.shapes[0])
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
    found.add_argument("--peer", choices=PEERS, help="a peer library, if it can be imported")
    found.add_argument("--serve", choices=["ours", *PEERS], help=argparse.SUPPRESS)
    return found.parse_args()


def measured(shape: Shape, cores: list[int], options: argparse.Namespace) -> tuple[Times, Times]:
    """Return wall-clock and processor seconds per trial of each side, all cores together."""
    sides = {"ours": [Server("ours", shape, cores)]}
    if options.peer:
        sides["peer"] = [Server(options.peer, shape, [core]) for core in cores]
    processor = dict.fromkeys(sides, float("inf"))

    def stretch(side: str) -> float:
        wall, spent = together(sides[side])
        processor[side] = min(processor[side], spent)
        return wall

    try:
        for server in chain.from_iterable(sides.values()):
            server.answer()  # it is compiled
        wall = in_turns({side: partial(stretch, side) for side in sides}, options.repeats)
        return wall, processor
    finally:
        for server in chain.from_iterable(sides.values()):
            server.close()


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


class Server:
    """A process that measures a stretch of training on request.

    Args:
        side: "ours" or a peer.
        shape: what it trains.
        cores: where it may run.
    """

    def __init__(self, side: str, shape: Shape, cores: list[int]) -> None:
        command = [sys.executable, Path(__file__), "--serve", side, "--shapes", label(shape)]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=partial(os.sched_setaffinity, 0, cores),
        )

    def go(self) -> None:
        """Start a stretch."""
        print("go", file=self._process.stdin, flush=True)

    def answer(self) -> tuple[float, float]:
        """Wait for the end of the stretch; return its trials and processor seconds."""
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"a measured process ended with status {self._process.wait()}")
        trials, processor = json.loads(line)
        return trials, processor

    def close(self) -> None:
        """End the process."""
        self._process.stdin.close()
        self._process.wait()


def together(servers: list[Server]) -> tuple[float, float]:
    """Return wall-clock and processor seconds per trial while all `servers` work."""
    start = time.perf_counter()
    for server in servers:
        server.go()
    trials, processor = map(sum, zip(*(server.answer() for server in servers), strict=True))
    return (time.perf_counter() - start) / trials, processor / trials


def serve(side: str, shape: Shape) -> None:
    """Compile, then train a stretch for every line of the input and print its measurements."""
    stretch = (our_stretch if side == "ours" else peer_stretch)(shape)
    stretch()
    print(json.dumps([0, 0]), flush=True)
    for _ in sys.stdin:
        start = time.process_time()
        trials = stretch()
        print(json.dumps([trials, time.process_time() - start]), flush=True)


def our_stretch(shape: Shape) -> Callable[[], float]:
    """Return a function that trains whole trials on every slot of a local pool."""
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
        return float(len(outcomes))

    return stretch


def peer_stretch(shape: Shape) -> Callable[[], float]:
    """Return a function that trains for a second, so that all peers end at the same time."""
    cap_threads(1)
    step = peer.jpc_step(shape)
    step()

    def stretch() -> float:
        count, end = 0, time.perf_counter() + 1
        while time.perf_counter() < end:
            step()
            count += 1
        return count / EPOCH

    return stretch


if __name__ == "__main__":
    main()
