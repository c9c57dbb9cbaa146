"""What trains: the interface that every pool implements, and what goes in and comes out of it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, Self

from pccore.training.config import Lane, TrainingConfig
from pccore.training.outcomes import Outcome


@dataclass(frozen=True)
class Group:
    """Runs that train together, as lanes of one compiled program. It can be pickled.

    Attributes:
        dataset: a name that `pccore.data.load` knows.
        data_dir: where its files are; None means the default place.
        config: what all runs share.
        lanes: what distinguishes them.
        run_ids: the id of each lane's run, in the same order.
    """

    dataset: str
    data_dir: str | None
    config: TrainingConfig
    lanes: tuple[Lane, ...]
    run_ids: tuple[str, ...]


@dataclass(frozen=True)
class Worker:
    """Where a group was trained: its JAX device, host name and process id."""

    device: str
    host: str
    pid: int


@dataclass(frozen=True)
class GroupResult:
    """What became of a group.

    Attributes:
        group: the group as it was submitted.
        outcomes: one per lane, in the group's order.
        seconds: wall-clock time the whole group took.
        started: when it started (UTC).
        worker: where it ran.
    """

    group: Group
    outcomes: tuple[Outcome, ...]
    seconds: float
    started: datetime
    worker: Worker


class Pool(Protocol):
    """Trains groups. Exactly one result comes back per group: faults are failed outcomes."""

    @property
    def slots(self) -> int:
        """How many groups train at the same time."""
        ...

    def lanes(self, config: TrainingConfig) -> int:
        """The most lanes that a group of this shape should have here."""
        ...

    def submit(self, group: Group) -> None:
        """Take a group. Never blocks, and never raises for a fault of the group's own."""
        ...

    def collect(self, timeout: float | None = None) -> list[GroupResult]:
        """Wait until at least one group is done; after `timeout` seconds, return an empty list."""
        ...

    def close(self) -> None:
        """Drop what is pending and free the workers; closing twice is harmless."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None: ...
