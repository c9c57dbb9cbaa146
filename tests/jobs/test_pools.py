"""The contract of pools, run over both; and what a real Ray refuses and shows.

Everything that needs Ray in `make test` is here, so that one process starts a cluster.
"""

import re
import time
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pool_trainers as trainers
import pytest
from fewer import ray_later
from pool_trainers import SMALL, MakePool, collect_all, facts_of, group, wait_for

import pccore
from jobs.cli.broadcasting import seen_by_cluster
from jobs.cli.statistics import RunStatistics
from jobs.errors import PoolError
from jobs.pools.calibration import calibrate, timed_group
from transfer.engine.pool import Group


def test_returns_every_group_once_with_lanes_in_order(make_pool: MakePool) -> None:
    pool = make_pool(workers=2, train=trainers.echo)
    groups = [group(f"g{i}", tuple(range(i, i + 1 + i % 3))) for i in range(20)]
    for submitted in groups:
        pool.submit(submitted)
    results = collect_all(pool, len(groups))
    assert {r.group for r in results} == set(groups)
    for r in results:
        assert [facts_of(outcome) for outcome in r.outcomes] == [
            lane.seed for lane in r.group.lanes
        ]


@ray_later
def test_results_do_not_depend_on_order_of_submission(make_pool: MakePool) -> None:
    pool = make_pool(workers=2)
    groups = [group(f"g{i}", (i, i + 10)) for i in range(3)]

    def losses(submitted: list[Group]) -> dict[str, float | None]:
        for g in submitted:
            pool.submit(g)
        return {
            run_id: outcome.final_train_loss
            for r in collect_all(pool, len(submitted))
            for run_id, outcome in zip(r.group.run_ids, r.outcomes, strict=True)
        }

    assert losses(groups) == losses(groups[::-1])


def test_trains_like_pccore(make_pool: MakePool) -> None:
    pool = make_pool(1)
    submitted = group("real", (3, 4))
    pool.submit(submitted)
    (trained,) = collect_all(pool, 1)
    direct = pccore.fit_many(SMALL, pccore.data.load("digits"), submitted.lanes)
    for ours, theirs in zip(trained.outcomes, direct, strict=True):
        assert ours.status is theirs.status
        assert ours.steps == SMALL.steps
        np.testing.assert_allclose(ours.curve.train_loss, theirs.curve.train_loss, rtol=1e-4)
    assert trained.seconds > 0
    assert trained.started.tzinfo is not None
    assert trained.worker.device


@ray_later
@pytest.mark.parametrize(
    ("dataset", "options", "cause"),
    [
        ("no_such_data", {}, "no_such_data"),
        ("mnist", {}, "DatasetError"),
        ("digits", {"train": trainers.fails}, "RuntimeError: boom"),
    ],
)
def test_faults_are_failed_outcomes(
    make_pool: MakePool, tmp_path: Path, dataset: str, options: dict[str, Any], cause: str
) -> None:
    pool = make_pool(workers=1, **options)
    pool.submit(group("bad", (0, 1), dataset=dataset, scratch=tmp_path))
    (result,) = collect_all(pool, 1)
    assert [outcome.status for outcome in result.outcomes] == [pccore.Status.FAILED] * 2
    for outcome in result.outcomes:
        assert cause in str(outcome.cause)
        assert "\n" not in str(outcome.cause)


@ray_later
def test_exits_of_a_training_function_are_failed_outcomes(make_pool: MakePool) -> None:
    """`SystemExit` ends a thread silently, and a group without a result is waited for forever."""
    pool = make_pool(workers=1, train=trainers.exits)
    for seed in range(3):
        pool.submit(group(f"g{seed}", (seed, seed)))
    causes = {r.group.lanes[0].seed: {o.cause for o in r.outcomes} for r in collect_all(pool, 3)}
    assert causes == {0: {"SystemExit: 3"}, 1: {"KeyboardInterrupt"}, 2: {"Stopped: unasked"}}


@ray_later
def test_answers_that_are_no_result_are_failed_outcomes(make_pool: MakePool) -> None:
    pool = make_pool(workers=1, train=trainers.answers_otherwise)
    groups = {seed: group(f"g{seed}", (seed, seed + 100)) for seed in range(8)}
    for submitted in groups.values():
        pool.submit(submitted)
    for result in collect_all(pool, 8):
        seed = result.group.lanes[0].seed
        assert result.group == groups[seed]
        if seed == 7:
            assert [facts_of(outcome) for outcome in result.outcomes] == [7, 107]
        else:
            assert [o.status for o in result.outcomes] == [pccore.Status.FAILED] * 2
            assert all("answer of its worker is none" in str(o.cause) for o in result.outcomes)


@ray_later
def test_two_workers_run_at_the_same_time(make_pool: MakePool, tmp_path: Path) -> None:
    pool = make_pool(workers=2, train=trainers.meets_another)
    for name in ("a", "b"):
        pool.submit(group(name, scratch=tmp_path))
    for result in collect_all(pool, 2):
        assert result.outcomes[0].status is pccore.Status.TRAINED


@ray_later
def test_default_is_one_worker_per_core(make_pool: MakePool) -> None:
    from jobs.pools.machine import usable_cpus

    pool = make_pool(train=trainers.echo)
    assert pool.slots in (usable_cpus(), 2)  # the test cluster has two slots on any machine
    assert 1 <= pool.lanes(SMALL) <= 132


@ray_later
def test_collect_returns_after_timeout(make_pool: MakePool, tmp_path: Path) -> None:
    pool = make_pool(workers=1, train=trainers.waits_for_file)
    assert pool.collect() == []  # nothing pending: waiting would never end
    pool.submit(group("slow", scratch=tmp_path))
    assert pool.collect(timeout=0.05) == []
    (tmp_path / trainers.GO).touch()
    assert len(collect_all(pool, 1)) == 1


@ray_later
def test_close_drops_pending_groups_and_is_idempotent(make_pool: MakePool, tmp_path: Path) -> None:
    pool = make_pool(workers=1, train=trainers.naps)
    for i in range(100):
        pool.submit(group(f"g{i}", scratch=tmp_path))
    wait_for(lambda: list(tmp_path.iterdir()))
    pool.close()
    pool.close()
    assert len(list(tmp_path.iterdir())) < 100
    assert pool.collect() == []
    with pytest.raises(ValueError, match="closed"):
        pool.submit(group("late"))


@pytest.mark.parametrize("workers", [0, -1])
def test_rejects_pool_without_workers(make_pool: MakePool, workers: int) -> None:
    with pytest.raises(ValueError, match=f"workers must be at least 1, got {workers}"):
        make_pool(workers=workers)


PIXELS = np.random.RandomState(0).randint(0, 256, (1000, 200))
OWN = pccore.data.Dataset.from_arrays(PIXELS, np.arange(1000) % 10, normalise="global")
OTHER = pccore.data.Dataset.from_arrays(PIXELS, np.arange(1000) % 5, normalise="global")


@pytest.mark.parametrize(
    "own", [pytest.param(None, marks=[pytest.mark.slow]), OWN], ids=["by name", "own"]
)
def test_workers_share_one_copy_of_data_set(
    make_pool: MakePool, own: pccore.data.Dataset | None
) -> None:
    pool = make_pool(workers=2, train=trainers.describes_dataset)
    groups = [group(f"g{i}", own=own) for i in range(6)]
    for submitted in groups:
        pool.submit(submitted)
    results = collect_all(pool, 6)
    assert {result.group for result in results} == set(groups)
    facts = [facts_of(result.outcomes[0]) for result in results]
    assert {fact["digest"] for fact in facts} == {(own or pccore.data.load("digits")).digest}
    one_process = len({fact["id"] for fact in facts}) == 1
    shared_memory = all("plasma" in fact["in"] and not fact["writeable"] for fact in facts)
    assert one_process or shared_memory


@ray_later
def test_own_data_sets_of_one_label_are_not_mixed_up(make_pool: MakePool) -> None:
    pool = make_pool(workers=1, train=trainers.describes_dataset)
    for number in range(4):
        pool.submit(group(f"g{number}", own=(OWN, OTHER)[number % 2]))
    found = {
        result.group.run_ids: facts_of(result.outcomes[0])["digest"]
        for result in collect_all(pool, 4)
    }
    assert [found[f"g{number}-0",] for number in range(4)] == 2 * [OWN.digest, OTHER.digest]


def test_an_address_in_place_of_workers_is_named() -> None:
    from jobs import RayPool

    with pytest.raises(ValueError, match=r"got 'auto': write RayPool\(address='auto'\)"):
        RayPool("auto")  # type: ignore[arg-type]


@ray_later
def test_both_pools_can_be_calibrated(make_pool: MakePool) -> None:
    pool = make_pool(workers=1, train=timed_group)
    timed = replace(group("timed", (0, 1)), config=replace(SMALL, steps=60))
    found = calibrate(pool, [timed], "cpu", seconds=3600.0)
    assert found[0].lanes == 2
    assert found[0].step > 0
    assert found[0].start > 0


@pytest.mark.ray
def test_cluster_without_room_is_one_sentence(
    ray_cluster: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another program has both CPUs; with an autoscaler, a machine may come."""
    import ray

    from jobs import RayPool
    from jobs.pools import ray_pool

    class Busy:
        def ready(self) -> None: ...

    busy = ray.remote(num_cpus=2)(Busy).remote()
    ray.get(busy.ready.remote())
    said: list[str] = []
    monkeypatch.setattr(ray_pool, "START_NOTICE_SECONDS", 0.5)
    facts = "each needs 1 CPU, and the cluster has 2 CPUs, of which 0 are free"
    with pytest.raises(PoolError, match=f"none of 3 workers can start: {facts}"):
        RayPool(workers=3, announce=said.append)
    assert said == [f"waiting for the first of 3 workers: {facts}"]

    def free_them_then(sentence: str) -> None:
        said.append(sentence)
        if len(said) == 4:
            ray.kill(busy)

    monkeypatch.setattr(ray_pool, "grows_by_itself", lambda: True)
    with RayPool(workers=1, announce=free_them_then) as pool:
        assert pool.slots == 1
    assert len(said) >= 4


METRICS_SECONDS = 90.0


def scraped() -> dict[str, float]:
    """Return the metrics of mupc that this machine's Ray exports, of the experiment `seen`."""
    import ray

    port = ray.nodes()[0]["MetricsExportPort"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    lines = re.findall(r'^ray_(mupc_\w+)\{.*experiment="seen".*\} (\S+)$', text, re.MULTILINE)
    return {name.removesuffix("_total"): float(value) for name, value in lines}


@pytest.mark.ray
def test_metrics_of_ray_have_the_counts_of_the_experiment(ray_cluster: None) -> None:
    statistics = RunStatistics()
    statistics.phase("tune", 20, 7)
    statistics.lanes = 3
    statistics.ended[pccore.Status.FAILED] += 2
    expected = {
        "mupc_runs_done": 7.0,
        "mupc_runs": 20.0,  # mupc_runs_total
        "mupc_lanes": 3.0,
        "mupc_seconds_left": -1.0,
        "mupc_runs_failed": 2.0,
    }
    with seen_by_cluster(statistics, "seen", seconds=0.2):
        deadline = time.monotonic() + METRICS_SECONDS
        while (found := scraped()) != expected:
            assert time.monotonic() < deadline, found
            time.sleep(0.2)


@pytest.mark.ray
def test_workers_of_ray_have_the_name_of_their_pool(make_ray_pool: MakePool) -> None:
    import ray

    pool = make_ray_pool(workers=1, name="tiny", train=trainers.echo)
    pool.submit(group("a"))
    collect_all(pool, 1)
    names = ray.util.list_named_actors()
    assert names
    assert all(re.fullmatch(r"tiny worker \d+", name) for name in names)
