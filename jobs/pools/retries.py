"""What becomes of a group whose worker died: again, then in halves, then failed. No Ray in here."""

from dataclasses import dataclass, field, replace
from datetime import datetime

from pccore import Outcome
from transfer.engine.pool import Group, GroupResult

MOST_LOSSES = 3  # workers that a part may cost before it is halved, or failed if it is one run


@dataclass
class Ticket:
    """A submitted group and the outcomes of its lanes so far.

    The parts that it is split into report here one by one; the last one completes it.
    """

    group: Group
    outcomes: list[Outcome | None] = field(init=False)
    seconds: float = 0.0
    started: datetime | None = None

    def __post_init__(self) -> None:
        self.outcomes = [None] * len(self.group.lanes)

    def whole(self) -> "Part":
        """The group as one part that nobody has tried yet."""
        return Part(self, 0, len(self.group.lanes))


@dataclass(eq=False)
class Part:
    """Lanes `start` to `stop` of a ticket.

    Attributes:
        suspect: a worker died that had it: from now on it must have a worker to itself.
        losses: how many workers died that had nothing else.
    """

    ticket: Ticket
    start: int
    stop: int
    suspect: bool = False
    losses: int = 0

    @property
    def group(self) -> Group:
        """The group that a worker is given."""
        whole = self.ticket.group
        lanes = slice(self.start, self.stop)
        return replace(whole, lanes=whole.lanes[lanes], run_ids=whole.run_ids[lanes])

    def settle(self, result: GroupResult) -> GroupResult | None:
        """Note a part's result; returns the group's result once every lane has its outcome."""
        ticket = self.ticket
        ticket.outcomes[self.start : self.stop] = result.outcomes
        ticket.seconds += result.seconds
        ticket.started = min(ticket.started or result.started, result.started)
        outcomes = tuple(outcome for outcome in ticket.outcomes if outcome is not None)
        if len(outcomes) < len(ticket.outcomes):
            return None
        return replace(
            result,
            group=ticket.group,
            outcomes=outcomes,
            seconds=ticket.seconds,
            started=ticket.started,
        )

    def lost_alone(self) -> list["Part"]:
        """Note that a worker died with nothing but this part; returns what to run instead.

        The same part until it has cost `MOST_LOSSES` workers, then its halves. An empty list means
        that the one run left is guilty.
        """
        self.suspect = True
        self.losses += 1
        if self.losses < MOST_LOSSES:
            return [self]
        if self.stop - self.start == 1:
            return []
        middle = (self.start + self.stop) // 2
        bounds = ((self.start, middle), (middle, self.stop))
        return [Part(self.ticket, start, stop, suspect=True) for start, stop in bounds]


def lost_together(parts: list[Part]) -> list[Part]:
    """What to run again of all that a dead worker had; empty if its one run is guilty.

    A worker may die of its second part before the result of its first has left it. So with several
    nobody is blamed: each is run again by itself.
    """
    if len(parts) == 1:
        return parts[0].lost_alone()
    for part in parts:
        part.suspect = True
    return parts
