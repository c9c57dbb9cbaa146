"""Retries without Ray: a simulated cluster whose workers die with faulty runs, or at random."""

from datetime import UTC, datetime

import pool_trainers as trainers
from hypothesis import given
from hypothesis import strategies as st
from pool_trainers import facts_of, group, outcome_with

from jobs.pools.retries import MAX_DEATHS, Attempt, PendingGroup, requeue
from jobs.pools.worker import failed_group
from pccore import Status
from transfer.engine.pool import Group, GroupResult


def trained(group: Group) -> GroupResult:
    return trainers.result(group, lambda lane: outcome_with(lane.seed))


def simulate(lanes: int, faulty: set[int], accidents: set[int]) -> tuple[list[GroupResult], int]:
    """Run one group on workers that die with faulty lanes, and at the attempts in `accidents`."""
    waiting: list[Attempt] = [PendingGroup(group("g", tuple(range(lanes)))).attempt()]
    done: list[GroupResult] = []
    count = 0
    while waiting:
        attempt = waiting.pop(0)
        count += 1
        if count in accidents or faulty & {lane.seed for lane in attempt.group.lanes}:
            again = requeue([attempt])
            waiting = again + waiting
            result = None if again else attempt.record(failed_group(attempt.group, "died"))
        else:
            result = attempt.record(trained(attempt.group))
        done += [result] if result else []
    return done, count


@given(st.data(), st.integers(1, 40))
def test_exactly_faulty_lanes_fail(data: st.DataObject, lanes: int) -> None:
    faulty = data.draw(st.sets(st.integers(0, lanes - 1), max_size=3))
    (result,), count = simulate(lanes, faulty, accidents=set())
    assert len(result.group.lanes) == lanes
    for seed, outcome in enumerate(result.outcomes):
        assert (outcome.status is Status.FAILED) == (seed in faulty)
        assert seed in faulty or facts_of(outcome) == seed
    # Each faulty lane costs at most MAX_DEATHS workers per halving; each halving adds at most one
    # attempt at a half without it.
    halvings = (lanes - 1).bit_length() + 1
    assert count <= 1 + len(faulty) * halvings * (MAX_DEATHS + 1)


@given(st.integers(1, 40), st.integers(0, MAX_DEATHS - 1))
def test_group_survives_a_few_dead_workers(lanes: int, deaths: int) -> None:
    (result,), count = simulate(lanes, set(), accidents=set(range(1, deaths + 1)))
    assert count == deaths + 1
    assert all(outcome.status is Status.TRAINED for outcome in result.outcomes)


def test_seconds_add_up_and_first_start_counts() -> None:
    pending = PendingGroup(group("g", (0, 1)))
    early, late = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 2, tzinfo=UTC)
    halves = [Attempt(pending, 0, 1), Attempt(pending, 1, 2)]
    results = []
    for attempt, started, seconds in zip(halves, (late, early), (2.0, 3.0), strict=True):
        done = trained(attempt.group)
        results.append(
            attempt.record(GroupResult(attempt.group, done.outcomes, seconds, started, done.worker))
        )
    assert results[0] is None
    assert results[1] is not None
    assert results[1].group is pending.group
    assert (results[1].seconds, results[1].started) == (5.0, early)


def test_attempts_requeue_are_retried_apart_without_counting() -> None:
    attempts = [PendingGroup(group(name)).attempt() for name in "ab"]
    assert requeue(list(attempts)) == attempts
    assert [(attempt.exclusive, attempt.deaths) for attempt in attempts] == [(True, 0)] * 2
