"""A lost worker's group goes on from its checkpoint in another, with the same numbers."""

import dataclasses
import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pool_trainers import SMALL, MakePool, group

import pccore
from jobs import LocalPool
from results import Checkpoints, DamagedFileWarning
from results.storage.folder import Folder
from transfer.engine.pool import Group, GroupResult

pytestmark = pytest.mark.ray

# Some six seconds: time to be saved several times, and lost in between.
LONG = dataclasses.replace(SMALL, steps=60_000, eval_every=60_000)


class Watched(Checkpoints):
    """The ledger's checkpoints, which note what a pool does with them.

    Attributes:
        saved: how often one was.
        loaded: how long each was that was asked for, 0 where there was none.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(Folder(folder))
        self.saved = 0
        self.loaded: list[int] = []

    def load(self, run_ids: Iterable[str]) -> bytes | None:
        data = super().load(run_ids)
        self.loaded.append(0 if data is None else len(data))
        return data

    def save(self, run_ids: Iterable[str], data: bytes) -> None:
        super().save(run_ids, data)
        self.saved += 1


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path / "ledger")


def long_group() -> Group:
    return dataclasses.replace(group("long", (3, 4)), config=LONG)


def outcomes_of(pool: Any) -> tuple[pccore.Outcome, ...]:
    pool.submit(long_group())
    [result] = pool.collect(timeout=120)
    return tuple(result.outcomes)


@pytest.fixture(scope="module")
def unbroken(ray_cluster: None) -> tuple[pccore.Outcome, ...]:
    """What a worker gives that is left alone.

    This process is another kind of device: what ran in it before decides how many threads share a
    product, and so the last bits.
    """
    from jobs import RayPool

    with RayPool(workers=1) as pool:
        return outcomes_of(pool)


@pytest.fixture(scope="module")
def unbroken_here() -> tuple[pccore.Outcome, ...]:
    with LocalPool(1) as pool:
        return outcomes_of(pool)


def same_bits(result: GroupResult, unbroken: tuple[pccore.Outcome, ...]) -> None:
    assert result.group == long_group()
    for ours, theirs in zip(result.outcomes, unbroken, strict=True):
        assert ours.status is theirs.status is pccore.Status.TRAINED
        assert ours.final_train_loss == theirs.final_train_loss
        assert ours.test_loss == theirs.test_loss
        np.testing.assert_array_equal(ours.curve.train_loss, theirs.curve.train_loss)


def until_saved(watched: Watched, times: int, pool: Any) -> None:
    deadline = time.monotonic() + 120
    while watched.saved < times:
        assert pool.collect(timeout=0.1) == []
        assert time.monotonic() < deadline


def lose(pool: Any, watched: Watched, number: signal.Signals) -> GroupResult:
    """Send the worker a signal after its second checkpoint; the result of whoever goes on."""
    pid = worker_of(pool)
    pool.submit(long_group())
    until_saved(watched, 2, pool)
    os.kill(pid, number)
    [result] = pool.collect(timeout=120)
    assert len(watched.loaded) == 2, "it was given to one more worker"
    assert watched.loaded[0] == 0
    assert watched.loaded[1] > 1000
    assert result.worker.pid != pid
    return result


def worker_of(pool: Any) -> int:
    import ray

    def identify() -> int:
        return os.getpid()

    [slot] = pool._slots
    return int(ray.get(slot.actor.__ray_call__.remote(lambda _: identify())))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "preempted"])
def test_a_lost_workers_group_goes_on(
    make_ray_pool: MakePool,
    watched: Watched,
    unbroken: tuple[pccore.Outcome, ...],
    number: signal.Signals,
) -> None:
    pool = make_ray_pool(workers=1, checkpoints=watched, checkpoint_seconds=0.6)
    result = lose(pool, watched, number)
    same_bits(result, unbroken)


def test_a_preempted_worker_saves_at_once(
    make_ray_pool: MakePool, watched: Watched, unbroken: tuple[pccore.Outcome, ...]
) -> None:
    pool = make_ray_pool(workers=1, checkpoints=watched, checkpoint_seconds=1000)
    pid = worker_of(pool)
    pool.submit(long_group())
    assert pool.collect(timeout=1.5) == []
    assert watched.saved == 0
    os.kill(pid, signal.SIGTERM)
    [result] = pool.collect(timeout=120)
    assert watched.saved == 1
    assert watched.loaded[1] > 1000
    same_bits(result, unbroken)


def test_a_closed_pool_has_saved_its_group_and_the_next_goes_on(
    make_pool: MakePool, watched: Watched
) -> None:
    with make_pool(1) as pool:
        unbroken = outcomes_of(pool)
    with make_pool(1, checkpoints=watched, checkpoint_seconds=0.6) as pool:
        pool.submit(long_group())
        until_saved(watched, 2, pool)
    assert watched.saved == 3
    with make_pool(1, checkpoints=watched) as pool:
        pool.submit(long_group())
        [result] = pool.collect(timeout=120)
    assert watched.loaded[-1] > 1000
    same_bits(result, unbroken)


def test_a_corrupt_checkpoint_costs_its_training_only(
    watched: Watched, tmp_path: Path, unbroken_here: tuple[pccore.Outcome, ...]
) -> None:
    with LocalPool(1, checkpoints=watched) as pool:
        pool.submit(long_group())
        assert pool.collect(timeout=1.5) == []
    [path] = (tmp_path / "ledger" / "checkpoints").iterdir()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with LocalPool(1, checkpoints=watched) as pool:
        pool.submit(long_group())
        with pytest.warns(DamagedFileWarning, match=path.name):
            [result] = pool.collect(timeout=120)
    assert watched.loaded[-1] == 0
    same_bits(result, unbroken_here)
