"""Busy and idle time of slots: every second once, over threads, losses and restarts."""

import json
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_driver import bowl
from transfer_fakes import FormulaPool, Killed, MemoryLedger, spec

import pccore
from transfer import Experiment, run
from transfer.engine.pool import Group, GroupResult, Worker
from transfer.engine.usage import BUSY, DONE, IDLE, QUANTITIES, RECORDED_EVERY, Usage

START = datetime(2026, 1, 1, tzinfo=UTC)
NETWORK = pccore.NetworkConfig(4, 2, width=3, depth=1)
CONFIG = pccore.TrainingConfig(NETWORK, pccore.Backpropagation(), batch_size=5, steps=10)
GROUP = Group("", None, CONFIG, (), ())
ONE, OTHER = (Worker("cpu", "here", pid) for pid in (1, 2))


class Watch:
    """A usage on a clock that is set."""

    def __init__(self, slots: int) -> None:
        self.now, self.slots = 0.0, slots
        self.usage = Usage(lambda: START + timedelta(seconds=self.now))

    def group(
        self,
        began: float,
        end: float,
        worker: Worker = ONE,
        seconds: float = 0,
        updates: tuple[int, ...] = (),
    ) -> None:
        """A group that the pool returns when it ends; `seconds` with those of earlier workers."""
        self.now = max(self.now, end)
        started = START + timedelta(seconds=began)
        outcomes = tuple(pccore.Outcome(pccore.Status.TRAINED, steps=steps) for steps in updates)
        result = GroupResult(GROUP, outcomes, seconds or end - began, started, worker)
        self.usage.add(result, self.slots)

    def slots_of(self, *, over: bool = True) -> list[tuple[float, float]]:
        """Busy and idle seconds by slot."""
        values: dict[int, dict[str, float]] = defaultdict(dict)
        for row in self.usage.rows("test", over=over):
            values[json.loads(row["settings"])["slot"]][row["quantity"]] = row["value"]
        return [(slot[BUSY], slot[IDLE]) for slot in values.values()]


def test_threads_of_one_process_are_told_apart_by_what_overlaps() -> None:
    watch = Watch(slots=3)
    for began, end in ((0, 3), (0, 4), (5, 6), (4, 10)):
        watch.group(began, end)
    watch.now = 12.0
    assert watch.slots_of() == [(3 + 6, 3), (4 + 1, 7), (0, 12)]


@given(st.lists(st.lists(st.floats(0.5, 50), max_size=6), min_size=1, max_size=4))
def test_no_second_is_lost_or_counted_twice(threads: list[list[float]]) -> None:
    """Whatever threads do: their groups follow each other, a pause of a second between."""
    watch = Watch(slots=len(threads))
    groups = []
    for seconds in threads:
        now = 0.0
        for length in seconds:
            groups.append((now + length, now))
            now += length + 1
    for end, began in sorted(groups):
        watch.group(began, end)
    watch.now += 1
    found = watch.slots_of()
    assert sum(busy for busy, _ in found) == pytest.approx(sum(map(sum, threads)), abs=1e-3)
    if groups:
        assert [busy + idle for busy, idle in found] == pytest.approx([watch.now] * len(threads))


def test_a_lost_worker_is_followed_by_another_in_its_slot() -> None:
    watch = Watch(slots=2)
    watch.group(0, 5, ONE)
    watch.group(0, 6, OTHER)
    watch.group(7, 9, Worker("cpu", "here", 3))
    watch.now = 10.0
    assert watch.slots_of() == [(5 + 2, 3), (6, 4)]


def test_a_slot_that_joins_later_was_not_idle_before() -> None:
    watch = Watch(slots=1)
    watch.group(0, 5, ONE)
    watch.slots = 2
    watch.group(5, 20, ONE)  # the first word of a second slot
    watch.now = 25.0
    assert watch.slots_of() == [(20, 5), (0, 5)]


def test_what_an_earlier_process_spent_on_a_group_is_not_counted_again() -> None:
    watch = Watch(slots=1)
    watch.group(2, 10, seconds=3600)
    watch.group(10, 10, Worker("none", "here", 1))  # failed before it began
    assert watch.slots_of() == [(8, 2)]


def test_operations_are_those_of_the_updates_that_were_made_here() -> None:
    """A sample is multiplied with 4 x 3 and 3 x 2 weights forward and for the gradient, and with
    the latter backward: 42 multiply-adds."""
    watch = Watch(slots=1)
    watch.group(0, 2, updates=(10, 4))
    watch.group(3, 4, updates=(10, 10), seconds=4)  # three of them by an earlier process
    [done] = [row for row in watch.usage.rows("test", over=True) if row["quantity"] == DONE]
    assert done["value"] == 2 * 42 * 5 * (14 + 20 / 4)
    assert done["unit"] == "FLOP"


def test_while_slots_may_be_busy_only_what_is_over_counts() -> None:
    watch = Watch(slots=1)
    assert watch.usage.rows("test", over=False) == []
    watch.group(1, 4)
    watch.now = 100.0
    assert watch.slots_of(over=False) == [(3, 1)]
    assert watch.slots_of(over=True) == [(3, 97)]


def test_rows_are_written_again_under_their_key_when_they_are_due() -> None:
    watch = Watch(slots=1)
    assert not watch.usage.due
    watch.group(0, 1)
    watch.now = RECORDED_EVERY.total_seconds()
    assert watch.usage.due
    first = watch.usage.rows("test", over=False)
    assert not watch.usage.due
    watch.group(400, 500)
    second = watch.usage.rows("test", over=True)
    assert [row["settings"] for row in first] == [row["settings"] for row in second]
    assert all(a["created"] < b["created"] for a, b in zip(first, second, strict=True))


def test_an_experiment_that_is_continued_leaves_an_interval_more() -> None:
    ledger, experiment = MemoryLedger(), Experiment.from_dict(spec())

    def rows() -> list[dict[str, Any]]:
        return [json.loads(row["settings"]) for row in ledger.usage if row["quantity"] == BUSY]

    class Stopped(FormulaPool):
        def collect(self, timeout: float | None = None) -> list[GroupResult]:
            try:
                return super().collect(timeout)
            except Killed:
                raise KeyboardInterrupt from None

    with pytest.raises(KeyboardInterrupt):
        run(experiment, ledger, Stopped(bowl, results=3))
    assert len(rows()) == 2  # slots
    run(experiment, ledger, FormulaPool(bowl))
    assert len({row["since"] for row in rows()}) == 2
    before = len(ledger.usage)
    run(experiment, ledger, FormulaPool(bowl))  # nothing is left to train
    assert len(ledger.usage) == before
    assert {row["quantity"] for row in ledger.usage} == set(QUANTITIES)
