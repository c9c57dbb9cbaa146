"""Drivers of a pool on a cluster of several nodes, for test_nodes.py, in a process of their own.

    python pool_on_nodes.py late|hungry ADDRESS FOLDER

Each prints, as JSON, the first run id, status and cause of every result that came.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pool_trainers
import ray
from pool_trainers import KILLER, collect_all, echo, group

from jobs import RayPool
from transfer.engine.pool import Group, GroupResult

BEGUN, AWAY, GO, LATE = "begun", "away", "go", "late"  # files by which those involved wait
DUPLICATE_SECONDS = 5.0  # in which a late result would have come
MEAL, MEALS = 100 * 2**20, 80  # bytes at a time, and how often at most


def late(pool: Any, folder: Path) -> list[GroupResult]:
    """A group that another worker finishes before the first does; then one more."""
    pool.submit(group("first", scratch=folder))
    results: list[GroupResult] = pool.collect()
    (folder / AWAY).touch()
    while not (folder / LATE).exists():
        results += pool.collect(timeout=0.1)
    pool.submit(group("second"))
    deadline = time.monotonic() + DUPLICATE_SECONDS
    while time.monotonic() < deadline:
        results += pool.collect(timeout=0.1)
        time.sleep(0.1)
    return results


def dawdles(group: Group, **_: object) -> GroupResult:
    """Whoever has a group with a folder first waits for a sign; the second does it at once."""
    if group.data_dir is None:
        return echo(group)
    folder = Path(group.data_dir)
    try:
        with (folder / BEGUN).open("x") as begun:
            begun.write(str(os.getpid()))
    except FileExistsError:
        return echo(group)
    while not (folder / GO).exists():
        time.sleep(0.05)
    (folder / LATE).touch()
    return echo(group)


def hungry(pool: Any, folder: Path) -> list[GroupResult]:
    """A group that takes all memory, between others."""
    groups = [group("one"), group("hungry", (KILLER,)), group("two"), group("three")]
    for each in groups:
        pool.submit(each)
    return collect_all(pool, len(groups))


def eats(group: Group, **_: object) -> GroupResult:
    """Takes memory until it is killed, where a lane has the seed KILLER."""
    if any(lane.seed == KILLER for lane in group.lanes):
        taken = []
        for _ in range(MEALS):
            taken.append(b"x" * MEAL)
            time.sleep(0.05)
    return echo(group)


SCENES: dict[str, tuple[Callable[[Any, Path], list[GroupResult]], Callable[..., GroupResult]]] = {
    "late": (late, dawdles),
    "hungry": (hungry, eats),
}


def main() -> None:
    scene, address, folder = sys.argv[1:]
    play, train = SCENES[scene]
    for module in (pool_trainers, sys.modules["__main__"]):
        ray.cloudpickle.register_pickle_by_value(module)
    with RayPool(address, 2, train=train) as pool:
        results = play(pool, Path(folder))
    facts = [(r.group.run_ids[0], str(r.outcomes[0].status), r.outcomes[0].cause) for r in results]
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
