"""Recovery without Ray: a simulated cluster whose workers die with guilty runs, or at random."""

from datetime import UTC, datetime

import pool_trainers as trainers
from hypothesis import given
from hypothesis import strategies as st
from pool_trainers import facts_of, group, told

from jobs.pools.retries import MOST_LOSSES, Part, Ticket, lost_together
from jobs.pools.worker import failed_group
from pccore import Status
from transfer.engine.pool import Group, GroupResult


def trained(group: Group) -> GroupResult:
    return trainers.result(group, lambda lane: told(lane.seed))


def simulate(lanes: int, guilty: set[int], unlucky: set[int]) -> tuple[list[GroupResult], int]:
    """Run one group on workers that die with guilty lanes, and on the attempts in `unlucky`."""
    waiting: list[Part] = [Ticket(group("g", tuple(range(lanes)))).whole()]
    done: list[GroupResult] = []
    attempts = 0
    while waiting:
        part = waiting.pop(0)
        attempts += 1
        if attempts in unlucky or guilty & {lane.seed for lane in part.group.lanes}:
            again = lost_together([part])
            waiting = again + waiting
            result = None if again else part.settle(failed_group(part.group, "died"))
        else:
            result = part.settle(trained(part.group))
        done += [result] if result else []
    return done, attempts


@given(st.data(), st.integers(1, 40))
def test_exactly_the_guilty_lanes_fail(data: st.DataObject, lanes: int) -> None:
    guilty = data.draw(st.sets(st.integers(0, lanes - 1), max_size=3))
    (result,), attempts = simulate(lanes, guilty, unlucky=set())
    assert len(result.group.lanes) == lanes
    for seed, outcome in enumerate(result.outcomes):
        assert (outcome.status is Status.FAILED) == (seed in guilty)
        assert seed in guilty or facts_of(outcome) == seed
    # Each guilty lane costs at most MOST_LOSSES workers per halving down to it; each halving leaves
    # at most one innocent half.
    halvings = (lanes - 1).bit_length() + 1
    assert attempts <= 1 + len(guilty) * halvings * (MOST_LOSSES + 1)


@given(st.integers(1, 40), st.integers(0, MOST_LOSSES - 1))
def test_an_innocent_group_survives_a_few_dead_workers(lanes: int, deaths: int) -> None:
    (result,), attempts = simulate(lanes, set(), unlucky=set(range(1, deaths + 1)))
    assert attempts == deaths + 1
    assert all(outcome.status is Status.TRAINED for outcome in result.outcomes)


def test_seconds_add_up_and_the_start_is_the_first() -> None:
    ticket = Ticket(group("g", (0, 1)))
    early, late = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 2, tzinfo=UTC)
    halves = [Part(ticket, 0, 1), Part(ticket, 1, 2)]
    results = []
    for part, started, seconds in zip(halves, (late, early), (2.0, 3.0), strict=True):
        done = trained(part.group)
        results.append(
            part.settle(GroupResult(part.group, done.outcomes, seconds, started, done.worker))
        )
    assert results[0] is None
    assert results[1] is not None
    assert results[1].group is ticket.group
    assert (results[1].seconds, results[1].started) == (5.0, early)


def test_parts_lost_together_are_suspects_that_nobody_blames() -> None:
    parts = [Ticket(group(name)).whole() for name in "ab"]
    assert lost_together(list(parts)) == parts
    assert [(part.suspect, part.losses) for part in parts] == [(True, 0), (True, 0)]
