"""Drivers of a pool on a cluster of several nodes, which test_nodes.py runs as processes.

    python pool_on_nodes.py late|memory|own ADDRESS FOLDER

A driver prints, as JSON, the first run id, status and cause of every result it collects.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pool_trainers
import ray
from pool_trainers import KILLER, PATIENCE, collect_all, echo, group

from jobs import RayPool
from pccore.data import Dataset
from transfer.engine.pool import Group, GroupResult

DIGEST = "digest"
BEGUN, AWAY, GO, LATE = (
    "begun",
    "away",
    "go",
    "late",
)  # files that serve as signals
DUPLICATE_SECONDS = 5.0  # in which a late result would have arrived
BLOCK, BLOCKS = 100 * 2**20, 80  # bytes allocated at a time, and how often at most


def late(pool: Any, folder: Path) -> list[GroupResult]:
    """Run a group that a second worker finishes before the first one does, then another group."""
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


def first_attempt_waits(group: Group, **_: object) -> GroupResult:
    """At a group with a folder, let the first attempt wait for a file; the second succeeds."""
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


def memory(pool: Any, folder: Path) -> list[GroupResult]:
    """Run a group that takes all memory, between others."""
    groups = [group("one"), group("killer", (KILLER,)), group("two"), group("three")]
    for each in groups:
        pool.submit(each)
    return collect_all(pool, len(groups))


def takes_memory(group: Group, **_: object) -> GroupResult:
    """Take memory until killed, if a lane has the seed KILLER."""
    if any(lane.seed == KILLER for lane in group.lanes):
        taken = []
        for _ in range(BLOCKS):
            taken.append(b"x" * BLOCK)
            time.sleep(0.05)
        time.sleep(PATIENCE)
    return echo(group)


def own_data(pool: Any, folder: Path) -> list[GroupResult]:
    """Have all workers describe 64 MB of own data, a few groups each."""
    pixels = np.random.RandomState(0).randint(0, 256, (20_000, 3200)).astype(np.uint8)
    data = Dataset.from_arrays(pixels, np.arange(len(pixels)) % 10, normalise="global")
    (folder / DIGEST).write_text(data.digest)
    groups = [group(f"g{number}", own=data) for number in range(8)]
    for each in groups:
        pool.submit(each)
    return collect_all(pool, len(groups))


def describes_slowly(group: Group, **options: Any) -> GroupResult:
    """Describe the data after a while, so that every worker gets groups."""
    time.sleep(0.5)
    return pool_trainers.describes_dataset(group, **options)


SCENES: dict[str, tuple[Callable[[Any, Path], list[GroupResult]], Callable[..., GroupResult]]] = {
    "late": (late, first_attempt_waits),
    "memory": (memory, takes_memory),
    "own": (own_data, describes_slowly),
}


def main() -> None:
    scene, address, folder = sys.argv[1:]
    play, train = SCENES[scene]
    for module in (pool_trainers, sys.modules["__main__"]):
        ray.cloudpickle.register_pickle_by_value(module)
    with RayPool(4 if scene == "own" else 2, address=address, train=train) as pool:
        results = play(pool, Path(folder))
    facts = [(r.group.run_ids[0], str(r.outcomes[0].status), r.outcomes[0].cause) for r in results]
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
