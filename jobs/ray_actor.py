"""The actor that trains groups on a Ray cluster, and the driver's view of one."""

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import ray

from jobs import environment

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobs.devices import Device
    from jobs.recovery import Part
    from pccore.data import Dataset
    from transfer.pool import Group, GroupResult


class Trainer:
    """One worker process: one CPU core or one GPU, with its own JAX.

    The module imports JAX only inside methods: a worker's environment comes first.

    Args:
        train: what to do with a group, called as train(group, load=...).
    """

    def __init__(self, train: "Callable[..., GroupResult]") -> None:
        environment.prepare()
        self._train = train
        self._datasets: dict[tuple[str, str | None], Dataset] = {}

    def hello(self) -> "Device":
        """Start JAX and describe the device."""
        from jobs.devices import default_device, describe

        return describe(default_device())

    def run(self, group: "Group", dataset: "list[ray.ObjectRef]") -> "GroupResult":
        """Train a group.

        Args:
            group: the group.
            dataset: one reference to its data set, in a list because Ray would resolve a bare one
                with every call. The node keeps one copy, which its workers map read-only.
        """

        def load(name: str, data_dir: str | None) -> "Dataset":
            key = (name, data_dir)
            if key not in self._datasets:
                self._datasets[key] = ray.get(dataset[0])
            return self._datasets[key]

        return self._train(group, load=load)


@dataclass(eq=False)
class Slot:
    """One place for a worker: the actor that fills it now, and what it has been given, in order.

    Attributes:
        actor: handle of the Ray actor.
        greeting: reference to its `hello`, None once it has answered.
        parts: what it runs (first) and has queued, by reference to the result.
    """

    actor: Any
    greeting: "ray.ObjectRef | None"
    parts: "deque[tuple[ray.ObjectRef, Part]]" = field(default_factory=deque)

    @property
    def references(self) -> "list[ray.ObjectRef]":
        """What this slot owes the driver next."""
        return [self.greeting] if self.greeting is not None else [ref for ref, _ in self.parts]


def start(train: "Callable[..., GroupResult]", *, gpu: bool) -> Slot:
    """Start a worker on a CPU core or a GPU of the cluster. Does not wait for it.

    The driver owns retries: an actor that Ray restarted by itself would run a group twice.
    """
    actor: Any = (
        ray.remote(Trainer)
        .options(
            num_cpus=0 if gpu else 1,
            num_gpus=1 if gpu else 0,
            max_restarts=0,
            max_task_retries=0,
            runtime_env={"env_vars": environment.worker_variables(gpu=gpu)},
        )
        .remote(train)
    )
    return Slot(actor, actor.hello.remote())
