"""Usage of a pool's slots: rows of the `measurements` table.

A driver process records, for every slot, `worker_busy_seconds` with a group, `worker_idle_seconds`
without one, `worker_operations`, the floating-point operations of the updates made there (as
counted by `transfer.engine.grouping.work`), and `worker_runs`, the runs that ended there.
Operations over busy seconds, compared with the peak of the device, show how well it was used.
`settings` identifies the process's interval and the slot.

A process that continues an experiment has an interval of its own, so that sums over all rows are
right however often the experiment was interrupted. The rows are written again every few minutes
under the same key; the newest count, and a killed process loses what came after them.
"""

import json
import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from transfer.engine.grouping import OPERATIONS, updates, work_between
from transfer.engine.pool import GroupResult, Worker
from transfer.engine.run_rows import Row, versions
from transfer.functions import FunctionConfig

BUSY, IDLE, DONE = "worker_busy_seconds", "worker_idle_seconds", "worker_operations"
RUNS = "worker_runs"
QUANTITIES = (BUSY, IDLE, DONE, RUNS)
RECORDED_EVERY = timedelta(minutes=5)
_OVERLAP = timedelta(seconds=0.1)
"""By how much two groups of one thread may overlap, because a clock was adjusted."""


@dataclass
class _Slot:
    """A slot of the pool, whose worker may be lost and replaced.

    Its operations are not `counted` once it has called a training function, which hides them.
    """

    since: datetime
    end: datetime
    busy: timedelta = timedelta()
    operations: float = 0.0
    runs: int = 0
    counted: bool = True
    worker: Worker | None = None


class Usage:
    """Adds up the time and operations of the groups of one interval.

    A worker process may have several slots; groups that overlap belong to different ones.

    Args:
        clock: returns the time (UTC); by default that at its making plus the time
            since, as clocks may be set.
    """

    def __init__(self, clock: Callable[[], datetime] | None = None) -> None:
        clock = clock or _steady_clock()
        self._clock = clock
        self._since = self._recorded = clock()
        self._slots: list[_Slot] = []

    def add(self, result: GroupResult, slots: int) -> None:
        """Count a group that a pool of `slots` slots has just finished.

        Time that an earlier process spent on it, before a checkpoint, is not counted.
        """
        now = self._clock()
        opened = self._since if not self._slots else now
        self._slots += [_Slot(opened, opened) for _ in range(slots - len(self._slots))]
        self._slots[0].runs += 0 if result.seconds else len(result.group.lanes)
        if not result.seconds:  # it failed before a worker had it
            return
        began = result.started
        if not self._since <= began <= now:  # by the clock of another machine
            began = max(now - timedelta(seconds=result.seconds), self._since)
        busy = min(timedelta(seconds=result.seconds), now - began)
        slot = self._slot(result.worker, began)
        slot.worker = result.worker
        slot.busy += busy
        slot.end = max(slot.end, began + busy)
        slot.runs += len(result.group.lanes)
        slot.counted &= not isinstance(result.group.config, FunctionConfig)
        slot.operations += _operations(result) * (busy.total_seconds() / result.seconds)

    @property
    def busy(self) -> timedelta:
        """The busy time of all slots."""
        return sum((slot.busy for slot in self._slots), timedelta())

    @property
    def operations(self) -> float:
        """The floating-point operations made in all slots."""
        return sum(slot.operations for slot in self._slots)

    @property
    def runs(self) -> int:
        """The runs that ended in all slots."""
        return sum(slot.runs for slot in self._slots)

    @property
    def due(self) -> bool:
        """Whether it is time to record the usage again."""
        return bool(self._slots) and self._clock() - self._recorded >= RECORDED_EVERY

    def rows(self, experiment: str, *, over: bool) -> list[Row]:
        """Return rows of `measurements`; none if no group was finished.

        Args:
            experiment: name of the experiment.
            over: whether no group is left. Slots then count as idle since their last groups;
                otherwise they may be busy, and only the time before is counted.
        """
        now = self._recorded = self._clock()
        rows: list[Row] = []
        for place, slot in enumerate(self._slots):
            whole = (now if over else slot.end) - slot.since
            interval = {
                "driver": f"{socket.gethostname()}:{os.getpid()}",
                "since": self._since.isoformat(),
                "slot": place,
            }
            common = {
                "experiment": experiment,
                "settings": json.dumps(interval, sort_keys=True),
                "seconds": whole.total_seconds(),
                "source": __name__,
                "device": None if slot.worker is None else slot.worker.device,
                "created": now,
                **versions(),
            }
            idle = max(whole - slot.busy, timedelta())
            found = [(BUSY, slot.busy.total_seconds(), "s"), (IDLE, idle.total_seconds(), "s")]
            found += [(RUNS, float(slot.runs), "runs")]
            found += [(DONE, slot.operations, "FLOP")] if slot.counted else []
            for quantity, value, unit in found:
                rows.append({"quantity": quantity, "value": value, "unit": unit, **common})
        return rows

    def _slot(self, worker: Worker, began: datetime) -> _Slot:
        """Return the slot of a group; groups must come in the order in which they end."""
        own = [
            slot for slot in self._slots if slot.worker == worker and slot.end <= began + _OVERLAP
        ]
        if own:
            return max(own, key=lambda slot: slot.end)
        unused = [slot for slot in self._slots if slot.worker is None]
        return unused[0] if unused else min(self._slots, key=lambda slot: slot.end)


def _steady_clock() -> Callable[[], datetime]:
    start, begin = datetime.now(UTC), time.monotonic()
    return lambda: start + timedelta(seconds=time.monotonic() - begin)


def _operations(result: GroupResult) -> float:
    """Return the operations of the updates that its lanes made."""
    config = result.group.config
    if isinstance(config, FunctionConfig):
        return 0.0
    return OPERATIONS * work_between(config, until=updates(result))
