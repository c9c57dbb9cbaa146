"""The actor that trains groups on a Ray cluster, and the driver's record of it."""

import queue
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any, TypeAlias

import ray

from jobs.errors import one_sentence
from jobs.pools import environment
from jobs.signals import heeded

if TYPE_CHECKING:
    from jobs.pools.devices import Device
    from jobs.pools.retries import Attempt
    from pccore.data import Dataset
    from transfer.engine.pool import Group, GroupResult

ActorHandle: TypeAlias = Any  # Ray makes its methods at run time

HEARTBEAT = b""  # sent in place of a checkpoint
_NUMBERS = count(1)
_CONTROL = "control"  # concurrency group of calls that overtake the one that is running


class Trainer:
    """One worker process with one CPU core or one GPU, and its own JAX.

    JAX is imported only inside methods, because the worker's environment has to be set first. On
    SIGTERM or a notice of a batch system, which announce that the process will be taken away, it
    saves its group and stops.

    Args:
        train: trains a group, called as train(group, load=..., checkpointer=...).
        checkpoint_seconds: interval between two checkpoints of a group.
        heartbeat_seconds: longest interval between two messages to the driver.
    """

    def __init__(
        self,
        train: "Callable[..., GroupResult]",
        checkpoint_seconds: float,
        heartbeat_seconds: float,
    ) -> None:
        environment.prepare()
        self._train, self._checkpoint_seconds = train, checkpoint_seconds
        self._heartbeat_seconds = heartbeat_seconds
        self._datasets: dict[tuple[str, str | None], Dataset] = {}
        self._stop = threading.Event()
        for number in (signal.SIGTERM, *heeded()):
            signal.signal(number, lambda *_: self._stop.set())

    @ray.method(concurrency_group=_CONTROL)
    def stop(self) -> None:
        """Save the group that `run` trains at this moment, and end its training."""
        self._stop.set()

    def device(self) -> "Device":
        """Start JAX and return the device."""
        from jobs.pools.devices import describe, local_devices

        return describe(local_devices()[0])

    def run(
        self,
        group: "Group",
        dataset: "list[ray.ObjectRef]",
        checkpoint: "list[ray.ObjectRef]",
    ) -> "Iterator[GroupResult | bytes | None]":
        """Train a group: yield checkpoints and heartbeats, and last the result.

        None in place of the result means that this worker must stop, and that another one should
        continue from the last checkpoint.

        Args:
            group: the group.
            dataset: one reference to its data set, in a list because Ray would resolve a bare one
                with every call. The node keeps one copy, which its workers map read-only.
            checkpoint: one reference to the checkpoint to continue from, or none.
        """
        from jobs.pools.checkpointer import Checkpointer, Stopped
        from jobs.pools.devices import local_devices, training_on
        from transfer.engine.admission import fitting
        from transfer.engine.pool import failed_group

        def load(name: str, data_dir: str | None) -> "Dataset":
            key = (name, data_dir)
            if key not in self._datasets:
                self._datasets[key] = ray.get(dataset[0])
            return self._datasets[key]

        messages: queue.SimpleQueue[GroupResult | bytes | None] = queue.SimpleQueue()
        start = ray.get(checkpoint[0]) if checkpoint else None
        checkpointer = Checkpointer(start, messages.put, self._checkpoint_seconds, self._stop)

        def train() -> None:
            try:
                with training_on(local_devices()[0]):
                    answer = self._train(group, load=load, checkpointer=checkpointer)
                    messages.put(fitting(group, answer))
            except BaseException as error:  # SystemExit would end the thread without a message
                stopped = isinstance(error, Stopped) and self._stop.is_set()
                messages.put(None if stopped else failed_group(group, one_sentence(error)))

        # In a thread of its own, so that this one can send messages meanwhile.
        threading.Thread(target=train, daemon=True).start()
        while True:
            try:
                message = messages.get(timeout=self._heartbeat_seconds)
            except queue.Empty:
                message = HEARTBEAT
            yield message
            if not isinstance(message, bytes):
                return


@dataclass(eq=False)
class Slot:
    """The driver's record of one worker: its actor, and the attempts that it was given.

    Attributes:
        actor: handle of the Ray actor.
        starting: reference to its device; None once it has started.
        attempts: the running attempt and the queued ones, each with the stream of its messages.
        last_heartbeat: time of the worker's last message, or of its first attempt's dispatch.
    """

    actor: ActorHandle
    starting: "ray.ObjectRef | None"
    attempts: "deque[tuple[ray.ObjectRefGenerator, Attempt]]" = field(default_factory=deque)
    last_heartbeat: float = 0.0

    @property
    def references(self) -> "list[ray.ObjectRef | ray.ObjectRefGenerator]":
        """What Ray can wait for: the start, or the messages of every attempt."""
        if self.starting is not None:
            return [self.starting]
        return [messages for messages, _ in self.attempts]


def start_worker(
    train: "Callable[..., GroupResult]",
    checkpoint_seconds: float,
    heartbeat_seconds: float,
    *,
    gpu: bool,
    name: str = "mupc",
) -> Slot:
    """Start a `Trainer` on a CPU core or a GPU of the cluster, without waiting for it.

    The cluster lists it as `name` with a number that no other worker of this process has: the name
    of a worker that was lost is free again only after a while.

    The driver retries: an actor that Ray restarted by itself would run a group twice.
    """
    remote: Any = ray.remote  # its annotations lack concurrency groups
    actor = (
        remote(concurrency_groups={_CONTROL: 1})(Trainer)
        .options(
            name=f"{name} worker {next(_NUMBERS)}",
            num_cpus=0 if gpu else 1,
            num_gpus=1 if gpu else 0,
            max_restarts=0,
            max_task_retries=0,
            runtime_env={"env_vars": environment.worker_variables(gpu=gpu)},
        )
        .remote(train, checkpoint_seconds, heartbeat_seconds)
    )
    return Slot(actor, actor.device.remote())
