"""What the pool tests let workers do instead of training: same signature as `jobs.train_group`."""

import json
import os
import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

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
MakePool = Callable[..., Any]


def collect_all(pool: Any, expected: int) -> list[GroupResult]:
    """The results of everything that is pending, which must be so many and no more."""
    results: list[GroupResult] = []
    while len(results) < expected:
        more = pool.collect(timeout=60)
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
) -> Group:
    """A group with one lane per seed; `scratch` is where trainers leave files for each other."""
    return Group(
        dataset=dataset,
        data_dir=str(scratch) if scratch else None,
        config=SMALL,
        lanes=tuple(pccore.Lane(weight_lr=0.01, activity_lr=0.5, seed=seed) for seed in seeds),
        run_ids=tuple(f"{name}-{seed}" for seed in seeds),
    )


def result(group: Group, outcome: Callable[[pccore.Lane], pccore.Outcome]) -> GroupResult:
    """A result with `outcome(lane)` for each lane."""
    return GroupResult(
        group, tuple(map(outcome, group.lanes)), 0.5, datetime.now(UTC), Worker("cpu", "h", 1)
    )


def told(facts: object) -> pccore.Outcome:
    """An outcome that carries facts from a worker to the test."""
    return pccore.Outcome(pccore.Status.TRAINED, cause=json.dumps(facts))


def facts_of(outcome: pccore.Outcome) -> Any:
    """What `told` was given."""
    return json.loads(outcome.cause or "null")


def echo(group: Group, **_: object) -> GroupResult:
    """Each lane's outcome carries its seed; groups with small first seeds take longer."""
    time.sleep(0.02 / (1 + group.lanes[0].seed))
    return result(group, lambda lane: told(lane.seed))


def fails(group: Group, **_: object) -> GroupResult:
    """A fault in the trainer itself."""
    raise RuntimeError("boom\nand more")


def meets_another(group: Group, **_: object) -> GroupResult:
    """Trained only if another group runs at the same time as this one."""
    scratch = Path(group.data_dir or "")
    (scratch / group.run_ids[0]).touch()
    patience = time.monotonic() + 30
    while len(list(scratch.iterdir())) < 2:
        if time.monotonic() > patience:
            return result(group, lambda _: pccore.Outcome.failed("alone"))
        time.sleep(0.01)
    return echo(group)


def naps(group: Group, **_: object) -> GroupResult:
    """Takes half a second."""
    time.sleep(0.5)
    return echo(group)


def kills_worker_once(group: Group, **_: object) -> GroupResult:
    """Dies the first time it is asked to run a group with a scratch folder."""
    return _once(signal.SIGKILL, group)


def freezes_worker_once(group: Group, **_: object) -> GroupResult:
    """The process stops without ending, the first time a group has a scratch folder."""
    return _once(signal.SIGSTOP, group)


def _once(number: signal.Signals, group: Group) -> GroupResult:
    if group.data_dir:
        mark = Path(group.data_dir) / number.name
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), number)
    return echo(group)


def takes_long(group: Group, **_: object) -> GroupResult:
    """Says nothing for four seconds."""
    time.sleep(4.0)
    return echo(group)


def kills_worker(group: Group, **_: object) -> GroupResult:
    """Dies whenever a lane has the seed KILLER."""
    if any(lane.seed == KILLER for lane in group.lanes):
        os.kill(os.getpid(), signal.SIGKILL)
    return echo(group)


def cores_used(group: Group, **_: object) -> GroupResult:
    """How many cores a large matrix product keeps busy: processor time over wall-clock time."""
    import jax
    import jax.numpy as jnp

    product = jax.jit(lambda x: x @ x)
    x = jnp.ones((1500, 1500))
    product(x).block_until_ready()
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(5):
        product(x).block_until_ready()
    ratio = (time.process_time() - cpu) / (time.perf_counter() - wall)
    return result(group, lambda _: told(ratio))


def describes_dataset(
    group: Group, *, load: Callable[[str, str | None], Any] | None = None, **_: object
) -> GroupResult:
    """Where the data set's largest array lives, and whether the worker may write to it."""
    from jobs.pools.worker import load_dataset

    array = (load or load_dataset)(group.dataset, group.data_dir).train_x
    address = array.__array_interface__["data"][0]
    facts = {"writeable": bool(array.flags.writeable), "in": _mapping(address), "id": address}
    return result(group, lambda _: told(facts))


def _mapping(address: int) -> str:
    """The file (if any) that is mapped at a memory address of this process."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        start, end = (int(x, 16) for x in line.split()[0].split("-"))
        if start <= address < end:
            return line.partition("/")[2]
    return ""
