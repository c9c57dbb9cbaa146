"""Retries of groups whose worker died: again, then in halves, then failed. Independent of Ray."""

from dataclasses import dataclass, field, replace
from datetime import datetime

from pccore import Outcome
from transfer.engine.admission import fitting
from transfer.engine.pool import Group, GroupResult, TrainedWeights

MAX_DEATHS = 3  # workers that may die with the same lanes before these are halved, or fail


@dataclass
class PendingGroup:
    """A submitted group, and the outcomes and weights of its lanes so far.

    The attempts that it is split into record their results in it; the last one completes it.
    """

    group: Group
    outcomes: list[Outcome | None] = field(init=False)
    weights: dict[str, TrainedWeights] = field(default_factory=dict)
    snapshots: dict[str, bytes] = field(default_factory=dict)
    seconds: float = 0.0
    started: datetime | None = None

    def __post_init__(self) -> None:
        self.outcomes = [None] * len(self.group.lanes)

    def attempt(self) -> "Attempt":
        """Return a first attempt at the whole group."""
        return Attempt(self, 0, len(self.group.lanes))


@dataclass(eq=False)
class Attempt:
    """Lanes `start` to `stop` of a pending group, as one worker trains them.

    Attributes:
        exclusive: needs a worker to itself, because one died that had these lanes.
        deaths: number of workers that died while they had nothing else.
    """

    pending: PendingGroup
    start: int
    stop: int
    exclusive: bool = False
    deaths: int = 0

    @property
    def group(self) -> Group:
        """The group that a worker receives."""
        whole = self.pending.group
        lanes = slice(self.start, self.stop)
        return replace(whole, lanes=whole.lanes[lanes], run_ids=whole.run_ids[lanes])

    def record(self, answer: object) -> GroupResult | None:
        """Record what the worker sent as result; return the group's result once it is complete."""
        pending, result = self.pending, fitting(self.group, answer)
        pending.outcomes[self.start : self.stop] = result.outcomes
        pending.weights |= result.weights
        pending.snapshots |= result.snapshots
        pending.seconds += result.seconds
        pending.started = min(pending.started or result.started, result.started)
        outcomes = tuple(outcome for outcome in pending.outcomes if outcome is not None)
        if len(outcomes) < len(pending.outcomes):
            return None
        return replace(
            result,
            group=pending.group,
            outcomes=outcomes,
            weights=pending.weights,
            snapshots=pending.snapshots,
            seconds=pending.seconds,
            started=pending.started,
        )

    def retry(self) -> list["Attempt"]:
        """Count the death of a worker that had only this attempt; return what to run instead.

        That is the same attempt until `MAX_DEATHS` workers have died, then its halves. A single run
        that has cost as many is not retried: the list is empty.
        """
        self.exclusive = True
        self.deaths += 1
        if self.deaths < MAX_DEATHS:
            return [self]
        if self.stop - self.start == 1:
            return []
        middle = (self.start + self.stop) // 2
        bounds = ((self.start, middle), (middle, self.stop))
        return [Attempt(self.pending, start, stop, exclusive=True) for start, stop in bounds]


def requeue(attempts: list[Attempt]) -> list[Attempt]:
    """Return what to run after the death of a worker that had these attempts.

    The result is empty if the worker had a single run that has cost too many workers. A worker may
    die in its second attempt before the result of its first has been sent. If it had several,
    no death is counted: each is retried on a worker of its own.
    """
    if len(attempts) == 1:
        return attempts[0].retry()
    for attempt in attempts:
        attempt.exclusive = True
    return attempts
