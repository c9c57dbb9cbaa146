"""The interface of pools, which train groups of runs."""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol, Self

import numpy as np

from pccore.data import Dataset
from pccore.training.config import Lane, TrainingConfig
from pccore.training.outcomes import Outcome
from transfer.functions import FunctionConfig, FunctionLane, TrainingFunction

Config = TrainingConfig | FunctionConfig
"""What the runs of a group share."""
AnyLane = Lane | FunctionLane
"""What differs between them."""


@dataclass(frozen=True)
class Group:
    """Runs that train together, as lanes of one compiled program. It can be pickled.

    Attributes:
        dataset: the name of its data set: one that `pccore.data.load` accepts, or that of `own`.
            A training function stands in the place of a data set.
        data_dir: where its files are; None means the default place.
        config: the configuration that all runs share.
        lanes: the rates and the seed of each run.
        run_ids: the id of each lane's run, in the same order.
        kept: ids of the runs whose trained weights the result is to have; others are ignored.
        own: the data set, if it is the user's own, or the training function; None if workers load
            a data set by its name.
        until: the weight update after which training stops; None: the last one.
        begun: the weight updates that its runs have done, each from a snapshot that the ledger
            keeps as the checkpoint `stopped_name(run_id, begun)`.
    """

    dataset: str
    data_dir: str | None
    config: Config
    lanes: tuple[AnyLane, ...]
    run_ids: tuple[str, ...]
    kept: frozenset[str] = frozenset()
    own: Dataset | TrainingFunction | None = None
    until: int | None = None
    begun: int = 0


def stopped_name(run_id: str, step: int) -> tuple[str]:
    """Return what stands for a run stopped after an update in the place of a group's run ids."""
    return (f"{run_id}@{step}",)


@dataclass(frozen=True)
class TrainedWeights:
    """The weights of a trained network, and the preprocessing of the data that it was trained on.

    Attributes:
        arrays: a result of `pccore.to_arrays`.
        task: "classification" or "regression".
        mean: the network's inputs are (x - mean) / std.
        std: as above.
        feature_mean: (D,), subtracted from raw inputs before; None if nothing was.
        feature_std: (D,), the divisor after that.
    """

    arrays: Mapping[str, np.ndarray]
    task: str
    mean: float
    std: float
    feature_mean: np.ndarray | None = None
    feature_std: np.ndarray | None = None


@dataclass(frozen=True)
class Worker:
    """The process that trained a group: its JAX device, host name, process id and versions."""

    device: str
    host: str
    pid: int
    jax_version: str | None = None
    jaxlib_version: str | None = None


@dataclass(frozen=True)
class GroupResult:
    """The result of a group.

    Attributes:
        group: the group as it was submitted.
        outcomes: one per lane, in the order of the group.
        seconds: wall-clock time the whole group took.
        started: when it started (UTC).
        worker: where it ran.
        compile_seconds: the part of `seconds` in which its programs were compiled.
        weights: of the group's `kept` runs that trained or stayed at chance, by id.
        path: the arithmetic that trained it (`pccore.LearningRule.path`); None where unknown.
        snapshots: of runs that stopped before their last update, as checkpoints, by id.
    """

    group: Group
    outcomes: tuple[Outcome, ...]
    seconds: float
    started: datetime
    worker: Worker
    compile_seconds: float = 0.0
    weights: Mapping[str, TrainedWeights] = field(default_factory=dict)
    path: str | None = None
    snapshots: Mapping[str, bytes] = field(default_factory=dict)


def failed_group(group: Group, cause: str, *, worker: Worker | None = None) -> GroupResult:
    """Return the result of a group without outcomes: every lane failed with `cause`."""
    return GroupResult(
        group=group,
        outcomes=(Outcome.failed(cause),) * len(group.lanes),
        seconds=0.0,
        started=datetime.now(UTC),
        worker=worker or Worker(device="none", host=socket.gethostname(), pid=os.getpid()),
    )


class Pool(Protocol):
    """Trains groups and returns exactly one result per group; faults become failed outcomes."""

    @property
    def slots(self) -> int:
        """The number of groups that train at the same time."""
        ...

    def lanes(self, config: Config) -> int:
        """Return the most lanes that a group with this config should have on this pool."""
        ...

    def submit(self, group: Group) -> None:
        """Queue a group. This neither blocks nor raises when the group is at fault."""
        ...

    def collect(self, timeout: float | None = None) -> list[GroupResult]:
        """Wait for at least one group and return all that are done; [] after `timeout` seconds."""
        ...

    def close(self) -> None:
        """Drop pending groups and free the workers; closing twice is harmless."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None: ...
