"""The group of a lost worker continues from its checkpoint in another, with equal numbers."""

import dataclasses
import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fewer import ray_later
from pool_trainers import PATIENCE, SMALL, MakePool, collect_all, group

import pccore
from jobs import LocalPool
from results import Checkpoints, DamagedFileWarning
from results.storage.folder import Folder
from transfer.engine.pool import Group, GroupResult

pytestmark = [pytest.mark.ray, pytest.mark.slow]

# About four seconds on an idle core: long enough for several checkpoints.
LONG = dataclasses.replace(SMALL, steps=15_000, eval_every=15_000)


class Watched(Checkpoints):
    """The ledger's checkpoints, with a record of their use.

    Attributes:
        saved: number of saved checkpoints.
        loaded: size of every loaded checkpoint, 0 if there was none.
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
    [result] = collect_all(pool, 1)
    return tuple(result.outcomes)


@pytest.fixture(scope="module")
def unbroken(ray_cluster: None) -> tuple[pccore.Outcome, ...]:
    """Return the outcomes of an undisturbed Ray worker.

    In this process the last bits may differ: what ran in it before determines how many threads
    share a product.
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
    deadline = time.monotonic() + PATIENCE
    while watched.saved < times:
        assert pool.collect(timeout=0.1) == []
        assert time.monotonic() < deadline


def lose(pool: Any, watched: Watched, number: signal.Signals) -> GroupResult:
    """Signal the worker after its second checkpoint; return the result of its replacement."""
    pid = worker_of(pool)
    pool.submit(long_group())
    until_saved(watched, 2, pool)
    os.kill(pid, number)
    [result] = collect_all(pool, 1)
    assert len(watched.loaded) == 2, "a third worker had it"
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


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(signal.SIGKILL, id="killed"),
        pytest.param(signal.SIGTERM, id="preempted", marks=pytest.mark.slow),
    ],
)
def test_group_of_lost_worker_continues(
    make_ray_pool: MakePool,
    watched: Watched,
    unbroken: tuple[pccore.Outcome, ...],
    number: signal.Signals,
) -> None:
    pool = make_ray_pool(workers=1, checkpoints=watched, checkpoint_seconds=0.4)
    result = lose(pool, watched, number)
    same_bits(result, unbroken)


def test_preempted_worker_saves_at_once(
    make_ray_pool: MakePool, watched: Watched, unbroken: tuple[pccore.Outcome, ...]
) -> None:
    pool = make_ray_pool(workers=1, checkpoints=watched, checkpoint_seconds=1000)
    pid = worker_of(pool)
    pool.submit(long_group())
    assert pool.collect(timeout=0.8) == []
    assert watched.saved == 0
    os.kill(pid, signal.SIGTERM)
    [result] = collect_all(pool, 1)
    assert watched.saved == 1
    assert watched.loaded[1] > 1000
    same_bits(result, unbroken)


@ray_later
def test_closed_pool_saves_its_group_and_the_next_continues(
    make_pool: MakePool, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.pools.ray_pool.CLOSE_SECONDS", PATIENCE)
    with make_pool(1) as pool:
        unbroken = outcomes_of(pool)
    with make_pool(1, checkpoints=watched, checkpoint_seconds=0.4) as pool:
        pool.submit(long_group())
        until_saved(watched, 2, pool)
    assert watched.saved >= 3
    with make_pool(1, checkpoints=watched) as pool:
        pool.submit(long_group())
        [result] = collect_all(pool, 1)
    assert watched.loaded[-1] > 1000
    same_bits(result, unbroken)


def test_group_with_corrupt_checkpoint_starts_again(
    watched: Watched, tmp_path: Path, unbroken_here: tuple[pccore.Outcome, ...]
) -> None:
    with LocalPool(1, checkpoints=watched) as pool:
        pool.submit(long_group())
        assert pool.collect(timeout=0.8) == []
    [path] = (tmp_path / "ledger" / "checkpoints").iterdir()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with LocalPool(1, checkpoints=watched) as pool:
        pool.submit(long_group())
        with pytest.warns(DamagedFileWarning, match=path.name):
            [result] = collect_all(pool, 1)
    assert watched.loaded[-1] == 0
    same_bits(result, unbroken_here)
