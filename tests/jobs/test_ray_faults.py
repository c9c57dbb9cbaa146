"""Workers that die or fall silent: their groups are retried, and only a faulty run fails."""

import os
from pathlib import Path

import pool_trainers as trainers
import pytest
import ray
from pool_trainers import KILLER, MakePool, collect_all, facts_of, group, wait_for

import jobs.pools.retries
from jobs import PoolError, RayPool
from pccore import Status

pytestmark = [pytest.mark.ray, pytest.mark.slow]

HOUR = 3600.0


class Clock:
    """The pool's clock of heartbeats, which stands still unless a test moves it."""

    def __init__(self, pool: RayPool) -> None:
        self.now = 0.0
        pool._clock = lambda: self.now
        pool._monitored = 0.0


def test_killed_worker_is_replaced_and_its_group_runs_again(
    make_ray_pool: MakePool, tmp_path: Path
) -> None:
    pool = make_ray_pool(workers=2, train=trainers.kills_worker_once)
    groups = [group("victim", (0, 1), scratch=tmp_path), *(group(f"g{i}", (i,)) for i in range(8))]
    for submitted in groups:
        pool.submit(submitted)
    results = collect_all(pool, len(groups))
    assert (tmp_path / "SIGKILL").exists()
    assert {r.group for r in results} == set(groups)
    for r in results:
        assert [facts_of(o) for o in r.outcomes] == [lane.seed for lane in r.group.lanes]


def test_silent_worker_is_replaced(make_ray_pool: MakePool, tmp_path: Path) -> None:
    announced: list[str] = []
    pool = make_ray_pool(
        workers=1,
        train=trainers.freezes_worker_once,
        heartbeat_timeout=3,
        announce=announced.append,
    )
    clock = Clock(pool)
    pool.submit(group("frozen", scratch=tmp_path))
    pool.submit(group("next"))
    wait_for(lambda: (tmp_path / "SIGSTOP").exists())
    done = 0
    while not announced:  # heartbeats sent before it froze may still arrive
        clock.now += HOUR
        done += len(pool.collect(timeout=0.2))
    collect_all(pool, 2 - done)
    assert announced == ["a worker was lost, and is replaced: no heartbeat for 3 s"]


def test_busy_worker_is_kept(make_ray_pool: MakePool, tmp_path: Path) -> None:
    """A group takes longer than the timeout, and meanwhile the driver reads no heartbeats."""
    announced: list[str] = []
    pool = make_ray_pool(
        workers=1, train=trainers.waits_for_file, heartbeat_timeout=1, announce=announced.append
    )
    clock = Clock(pool)
    pool.submit(group("busy", scratch=tmp_path))
    for _ in range(3):
        [slot] = pool._slots
        ready, _ = ray.wait(slot.references, timeout=trainers.PATIENCE)
        assert ready, "no heartbeat"
        clock.now += HOUR
        pool._monitor()
        assert pool.collect(timeout=0) == []
    (tmp_path / trainers.GO).touch()
    assert len(collect_all(pool, 1)) == 1
    assert announced == []


@pytest.mark.slow
def test_run_that_always_kills_its_worker_fails_alone(
    make_ray_pool: MakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs.pools.retries, "MAX_DEATHS", 1)
    pool = make_ray_pool(workers=2, train=trainers.kills_worker)
    groups = [group("faulty", (0, KILLER, 2, 3)), *(group(f"g{i}", (i,)) for i in range(4))]
    for submitted in groups:
        pool.submit(submitted)
    results = {r.group.run_ids[0]: r for r in collect_all(pool, len(groups))}
    faulty = results.pop("faulty-0")
    assert [outcome.status for outcome in faulty.outcomes] == [
        Status.TRAINED,
        Status.FAILED,
        Status.TRAINED,
        Status.TRAINED,
    ]
    assert "worker died" in str(faulty.outcomes[1].cause)
    assert all(r.outcomes[0].status is Status.TRAINED for r in results.values())


class Unloadable:
    """Pickles, but ends the process that unpickles it."""

    def __reduce__(self) -> tuple[object, tuple[int]]:
        return os._exit, (1,)


def test_rejects_cluster_on_which_no_worker_starts(make_ray_pool: MakePool) -> None:
    with pytest.raises(PoolError, match="no Ray worker starts"):
        make_ray_pool(workers=1, train=Unloadable())
