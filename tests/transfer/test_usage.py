"""Usage of slots with several threads, lost workers and restarts."""

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


class SetClock:
    """A `Usage` whose clock is set by hand."""

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
        """Add a group that ends at `end`; `seconds` includes the time of earlier workers."""
        self.now = max(self.now, end)
        started = START + timedelta(seconds=began)
        outcomes = tuple(pccore.Outcome(pccore.Status.TRAINED, steps=steps) for steps in updates)
        result = GroupResult(GROUP, outcomes, seconds or end - began, started, worker)
        self.usage.add(result, self.slots)

    def slots_of(self, *, over: bool = True) -> list[tuple[float, float]]:
        """Return the busy and idle seconds of every slot."""
        values: dict[int, dict[str, float]] = defaultdict(dict)
        for row in self.usage.rows("test", over=over):
            values[json.loads(row["settings"])["slot"]][row["quantity"]] = row["value"]
        return [(slot[BUSY], slot[IDLE]) for slot in values.values()]


def test_overlapping_groups_belong_to_different_slots() -> None:
    clock = SetClock(slots=3)
    for began, end in ((0, 3), (0, 4), (5, 6), (4, 10)):
        clock.group(began, end)
    clock.now = 12.0
    assert clock.slots_of() == [(3 + 6, 3), (4 + 1, 7), (0, 12)]


@given(st.lists(st.lists(st.floats(0.5, 50), max_size=6), min_size=1, max_size=4))
def test_counts_every_second_once(threads: list[list[float]]) -> None:
    """The groups of each thread follow each other with a pause of a second."""
    clock = SetClock(slots=len(threads))
    groups = []
    for seconds in threads:
        now = 0.0
        for length in seconds:
            groups.append((now + length, now))
            now += length + 1
    for end, began in sorted(groups):
        clock.group(began, end)
    clock.now += 1
    found = clock.slots_of()
    assert sum(busy for busy, _ in found) == pytest.approx(sum(map(sum, threads)), abs=1e-3)
    if groups:
        assert [busy + idle for busy, idle in found] == pytest.approx([clock.now] * len(threads))


def test_replacement_worker_takes_the_slot_of_the_lost_one() -> None:
    clock = SetClock(slots=2)
    clock.group(0, 5, ONE)
    clock.group(0, 6, OTHER)
    clock.group(7, 9, Worker("cpu", "here", 3))
    clock.now = 10.0
    assert clock.slots_of() == [(5 + 2, 3), (6, 4)]


def test_later_slot_was_not_idle_before() -> None:
    clock = SetClock(slots=1)
    clock.group(0, 5, ONE)
    clock.slots = 2
    clock.group(5, 20, ONE)  # the first group of a second slot
    clock.now = 25.0
    assert clock.slots_of() == [(20, 5), (0, 5)]


def test_excludes_time_of_earlier_processes() -> None:
    clock = SetClock(slots=1)
    clock.group(2, 10, seconds=3600)
    clock.group(10, 10, Worker("none", "here", 1))  # failed before it began
    assert clock.slots_of() == [(8, 2)]


def test_operations_count_updates_of_this_process() -> None:
    """A sample takes 42 multiply-adds.

    It is multiplied with 4 x 3 and 3 x 2 weights forward and for the gradient, and with the latter
    backward.
    """
    clock = SetClock(slots=1)
    clock.group(0, 2, updates=(10, 4))
    clock.group(3, 4, updates=(10, 10), seconds=4)  # three of them by an earlier process
    [done] = [row for row in clock.usage.rows("test", over=True) if row["quantity"] == DONE]
    assert done["value"] == 2 * 42 * 5 * (14 + 20 / 4)
    assert done["unit"] == "FLOP"


def test_busy_slots_count_up_to_their_last_group() -> None:
    clock = SetClock(slots=1)
    assert clock.usage.rows("test", over=False) == []
    clock.group(1, 4)
    clock.now = 100.0
    assert clock.slots_of(over=False) == [(3, 1)]
    assert clock.slots_of(over=True) == [(3, 97)]


@pytest.mark.parametrize("skew", [-1e6, 1e6])
def test_the_clock_of_another_machine_does_not_matter(skew: float) -> None:
    clock = SetClock(slots=1)
    clock.now = 10.0
    started = START + timedelta(seconds=4 + skew)
    clock.usage.add(GroupResult(GROUP, (), 6.0, started, ONE), slots=1)
    clock.now = 12.0
    assert clock.slots_of() == [(6, 6)]


def test_due_rows_replace_older_ones() -> None:
    clock = SetClock(slots=1)
    assert not clock.usage.due
    clock.group(0, 1)
    clock.now = RECORDED_EVERY.total_seconds()
    assert clock.usage.due
    first = clock.usage.rows("test", over=False)
    assert not clock.usage.due
    clock.group(400, 500)
    second = clock.usage.rows("test", over=True)
    assert [row["settings"] for row in first] == [row["settings"] for row in second]
    assert all(a["created"] < b["created"] for a, b in zip(first, second, strict=True))


def test_resumed_experiment_adds_an_interval() -> None:
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
