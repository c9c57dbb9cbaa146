"""Stand-ins for `jobs.train_group` that pool tests run in workers, and other helpers."""

import json
import math
import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

import pccore
from transfer.engine.pool import Group, GroupResult, Worker

SMALL = pccore.TrainingConfig(
    pccore.NetworkConfig(input_size=64, output_size=10, width=8, depth=2),
    pccore.PredictiveCoding(pccore.GradientDescent(steps=2)),
    batch_size=32,
    steps=4,
    eval_every=2,
)
KILLER = 666  # a seed whose lane kills its worker, every time
GO = "go"  # file for which `waits_for_file` waits
PATIENCE = 600.0  # seconds, also for machines on which other programs keep all cores busy
MakePool = Callable[..., Any]


def wait_for(condition: Callable[[], object]) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def collect_all(pool: Any, expected: int) -> list[GroupResult]:
    """Return the results of all pending groups, of which there must be exactly `expected`."""
    results: list[GroupResult] = []
    while len(results) < expected:
        more = pool.collect(timeout=PATIENCE)
        assert more, f"{len(results)} of {expected} groups came back"
        results += more
    assert pool.collect(timeout=0) == []
    return results


def group(
    name: str,
    seeds: tuple[int, ...] = (0,),
    *,
    dataset: str = "digits",
    scratch: Path | None = None,
    own: pccore.data.Dataset | None = None,
) -> Group:
    """Return a group with one lane per seed; trainers leave files for each other in `scratch`."""
    return Group(
        dataset=own.name if own else dataset,
        data_dir=str(scratch) if scratch else None,
        config=SMALL,
        lanes=tuple(pccore.Lane(weight_lr=0.01, activity_lr=0.5, seed=seed) for seed in seeds),
        run_ids=tuple(f"{name}-{seed}" for seed in seeds),
        own=own,
    )


def result(group: Group, outcome: Callable[[pccore.Lane], pccore.Outcome]) -> GroupResult:
    """Return a result with `outcome(lane)` for each lane."""
    return GroupResult(
        group, tuple(map(outcome, group.lanes)), 0.5, datetime.now(UTC), Worker("cpu", "h", 1)
    )


def outcome_with(facts: object) -> pccore.Outcome:
    """Return an outcome that carries facts from a worker to the test."""
    return pccore.Outcome(pccore.Status.TRAINED, cause=json.dumps(facts))


def facts_of(outcome: pccore.Outcome) -> Any:
    """Return the facts that `outcome_with` packed."""
    return json.loads(outcome.cause or "null")


def echo(group: Group, **_: object) -> GroupResult:
    """Return each lane's seed; groups with small first seeds take longer."""
    time.sleep(0.02 / (1 + group.lanes[0].seed))
    return result(group, lambda lane: outcome_with(lane.seed))


def fails(group: Group, **_: object) -> GroupResult:
    """Raise an error."""
    raise RuntimeError("boom\nand more")


def exits(group: Group, **_: object) -> GroupResult:
    """Raise what Python does not count as an error."""
    from jobs.pools.checkpointer import Stopped

    raise (SystemExit(3), KeyboardInterrupt(), Stopped("unasked"))[group.lanes[0].seed % 3]


def answers_otherwise(group: Group, **_: object) -> Any:
    """Return what is no result of the group."""
    whole = echo(group)
    return {
        0: None,
        1: b"",
        2: "done",
        3: replace(whole, outcomes=whole.outcomes[1:]),
        4: replace(whole, outcomes=whole.outcomes * 2),
        5: replace(whole, group=replace(group, run_ids=group.run_ids[::-1])),
        6: replace(whole, seconds=float("nan")),
        7: whole,
    }[group.lanes[0].seed]


def meets_another(group: Group, **_: object) -> GroupResult:
    """Succeed only if another group runs at the same time as this one."""
    scratch = Path(group.data_dir or "")
    (scratch / group.run_ids[0]).touch()
    deadline = time.monotonic() + PATIENCE
    while len(list(scratch.iterdir())) < 2:
        if time.monotonic() > deadline:
            return result(group, lambda _: pccore.Outcome.failed("alone"))
        time.sleep(0.01)
    return echo(group)


def waits_for_file(group: Group, **_: object) -> GroupResult:
    """Leave a file with the name of the run in the scratch folder, and wait for the file GO."""
    scratch = Path(group.data_dir or "")
    (scratch / group.run_ids[0]).touch()
    wait_for(lambda: (scratch / GO).exists())
    return echo(group)


def naps(group: Group, **_: object) -> GroupResult:
    """Leave a file with the name of the run in the scratch folder, and sleep."""
    (Path(group.data_dir or "") / group.run_ids[0]).touch()
    time.sleep(0.5)
    return echo(group)


def kills_worker_once(group: Group, **_: object) -> GroupResult:
    """Die at the first group with a scratch folder."""
    return _once(signal.SIGKILL, group)


def freezes_worker_once(group: Group, **_: object) -> GroupResult:
    """Freeze the process at the first group with a scratch folder."""
    return _once(signal.SIGSTOP, group)


def _once(number: signal.Signals, group: Group) -> GroupResult:
    if group.data_dir:
        mark = Path(group.data_dir) / number.name
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), number)
    return echo(group)


def kills_worker(group: Group, **_: object) -> GroupResult:
    """Die whenever a lane has the seed KILLER."""
    if any(lane.seed == KILLER for lane in group.lanes):
        os.kill(os.getpid(), signal.SIGKILL)
    return echo(group)


def cores_used(group: Group, **_: object) -> GroupResult:
    """Return how many cores a matrix product uses: processor time over wall-clock time."""
    import jax
    import jax.numpy as jnp

    product = jax.jit(lambda x: x @ x)
    x = jnp.ones((1500, 1500))
    product(x).block_until_ready()
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(5):
        product(x).block_until_ready()
    ratio = (time.process_time() - cpu) / (time.perf_counter() - wall)
    return result(group, lambda _: outcome_with(ratio))


def describes_dataset(
    group: Group, *, load: Callable[[str, str | None], Any] | None = None, **_: object
) -> GroupResult:
    """Return the location of the data set's largest array, and whether it can be written."""
    from jobs.pools.worker import load_dataset

    data = group.own or (load or load_dataset)(group.dataset, group.data_dir)
    array = data.train_x
    address = array.__array_interface__["data"][0]
    facts = {
        "writeable": bool(array.flags.writeable),
        "in": _mapping(address),
        "id": address,
        "digest": data.digest,
        "node": os.environ.get("MUPC_TEST_NODE"),
    }
    return result(group, lambda _: outcome_with(facts))


def _mapping(address: int) -> str:
    """Return the file (if any) that is mapped at a memory address of this process."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        start, end = (int(x, 16) for x in line.split()[0].split("-"))
        if start <= address < end:
            return line.partition("/")[2]
    return ""


def noisy_bowl(group: Group, **_: object) -> GroupResult:
    """Return losses around an optimum at eta 0.03; at depth 4, 0.1 is better by about 10 %."""

    def trained(lane: pccore.Lane) -> pccore.Outcome:
        depth = group.config.network.sized_parts()[0].depth
        away = math.log10(lane.weight_lr / 0.03)
        if depth == 4:
            away = 0.0 if lane.weight_lr == 0.1 else 0.31 if lane.weight_lr == 0.03 else 1.0
        draw = random.Random(f"{lane.weight_lr}, {lane.seed}, {depth}")
        loss = math.exp(away**2 + draw.gauss(0, 0.05))
        nothing = np.zeros(0)
        return pccore.Outcome(
            pccore.Status.TRAINED,
            final_train_loss=loss,
            min_train_loss=loss,
            test_loss=loss,
            test_accuracy=0.5,
            steps=group.config.steps,
            curve=pccore.Curve(np.zeros(0, int), nothing, nothing, nothing),
        )

    return result(group, trained)
