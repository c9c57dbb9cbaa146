"""Workers that die: their groups are run again, split, and only the guilty run fails."""

import os
import time
from pathlib import Path

import pool_trainers as trainers
import pytest
from pool_trainers import KILLER, MakePool, collect_all, facts_of, group

import jobs.pools.ray_pool
import jobs.pools.retries
from jobs import PoolError
from pccore import Status

pytestmark = pytest.mark.ray


def test_a_killed_worker_is_replaced_and_its_group_runs_again(
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


def test_a_worker_that_hangs_is_given_up(
    make_ray_pool: MakePool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs.pools.ray_pool, "LOOK_SECONDS", 0.2)
    said: list[str] = []
    pool = make_ray_pool(
        workers=1, train=trainers.freezes_worker_once, silence_seconds=3, announce=said.append
    )
    pool.submit(group("frozen", scratch=tmp_path))
    pool.submit(group("next"))
    assert len(collect_all(pool, 2)) == 2
    assert (tmp_path / "SIGSTOP").exists()
    assert said == ["a worker was lost, and is replaced: no sign of life for 3 s"]


def test_a_worker_that_is_busy_is_left_alone(
    make_ray_pool: MakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes longer than silence may last, and for a while the driver does not listen."""
    monkeypatch.setattr(jobs.pools.ray_pool, "LOOK_SECONDS", 0.2)
    said: list[str] = []
    pool = make_ray_pool(
        workers=1, train=trainers.takes_long, silence_seconds=2, announce=said.append
    )
    pool.submit(group("busy"))
    time.sleep(3)
    assert len(collect_all(pool, 1)) == 1
    assert said == []


def test_a_run_that_always_kills_its_worker_fails_alone(
    make_ray_pool: MakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs.pools.retries, "MOST_LOSSES", 1)
    pool = make_ray_pool(workers=2, train=trainers.kills_worker)
    groups = [group("guilty", (0, KILLER, 2, 3)), *(group(f"g{i}", (i,)) for i in range(4))]
    for submitted in groups:
        pool.submit(submitted)
    results = {r.group.run_ids[0]: r for r in collect_all(pool, len(groups))}
    guilty = results.pop("guilty-0")
    assert [outcome.status for outcome in guilty.outcomes] == [
        Status.TRAINED,
        Status.FAILED,
        Status.TRAINED,
        Status.TRAINED,
    ]
    assert "worker died" in str(guilty.outcomes[1].cause)
    assert all(r.outcomes[0].status is Status.TRAINED for r in results.values())


class Unloadable:
    """Pickles, but ends the process that unpickles it."""

    def __reduce__(self) -> tuple[object, tuple[int]]:
        return os._exit, (1,)


def test_a_cluster_on_which_no_worker_starts_is_an_error(make_ray_pool: MakePool) -> None:
    with pytest.raises(PoolError, match="no Ray worker starts"):
        make_ray_pool(workers=1, train=Unloadable())
