"""The actor that trains groups on a Ray cluster, and the driver's view of one."""

import queue
import signal
import threading
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import ray

from jobs.pools import environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jobs.pools.devices import Device
    from jobs.pools.retries import Part
    from pccore.data import Dataset
    from transfer.engine.pool import Group, GroupResult


ALIVE = b""  # in place of a checkpoint, where there is nothing else to say
_CONTROL = "control"  # calls that do not wait for those before them


class Trainer:
    """One worker process: one CPU core or one GPU, with its own JAX.

    The module imports JAX only inside methods: a worker's environment comes first. On SIGTERM, the
    notice that it is about to be taken away, the group is saved and given up (`halt`).

    Args:
        train: what to do with a group, called as train(group, load=..., keeper=...).
        checkpoint_seconds: between two checkpoints of a group.
        pulse_seconds: at most between two words to the driver.
    """

    def __init__(
        self,
        train: "Callable[..., GroupResult]",
        checkpoint_seconds: float,
        pulse_seconds: float,
    ) -> None:
        environment.prepare()
        self._train, self._checkpoint_seconds = train, checkpoint_seconds
        self._pulse_seconds = pulse_seconds
        self._datasets: dict[tuple[str, str | None], Dataset] = {}
        self._stopping = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: self._stopping.set())

    @ray.method(concurrency_group=_CONTROL)
    def halt(self) -> None:
        """Have the group saved and given up, beside the `run` that trains it."""
        self._stopping.set()

    def hello(self) -> "Device":
        """Start JAX and describe the device."""
        from jobs.pools.devices import default_device, describe

        return describe(default_device())

    def run(
        self,
        group: "Group",
        dataset: "list[ray.ObjectRef]",
        checkpoint: "list[ray.ObjectRef]",
    ) -> "Iterator[GroupResult | bytes | None]":
        """Train a group: gives its checkpoints as they come, and then its result.

        In between it gives signs of life. None in place of the result says that this worker must
        stop, and that another should go on from the last checkpoint.

        Args:
            group: the group.
            dataset: one reference to its data set, in a list because Ray would resolve a bare one
                with every call. The node keeps one copy, which its workers map read-only.
            checkpoint: likewise, the checkpoint to go on from; empty if there is none.
        """
        from jobs.pools.checkpointer import Keeper
        from jobs.pools.worker import Stopped

        def load(name: str, data_dir: str | None) -> "Dataset":
            key = (name, data_dir)
            if key not in self._datasets:
                self._datasets[key] = ray.get(dataset[0])
            return self._datasets[key]

        said: queue.SimpleQueue[GroupResult | bytes | Exception | None] = queue.SimpleQueue()
        begun = ray.get(checkpoint[0]) if checkpoint else None
        keeper = Keeper(begun, said.put, self._checkpoint_seconds, self._stopping)

        def train() -> None:
            try:
                said.put(self._train(group, load=load, keeper=keeper))
            except Stopped:
                said.put(None)
            except Exception as error:
                said.put(error)

        # Aside, so that this thread can hand out what it says meanwhile.
        threading.Thread(target=train, daemon=True).start()
        while isinstance(word := self._heard(said), bytes):
            yield word
        if isinstance(word, Exception):
            raise word
        yield word

    def _heard(self, said: "queue.SimpleQueue[Any]") -> Any:
        try:
            return said.get(timeout=self._pulse_seconds)
        except queue.Empty:
            return ALIVE


@dataclass(eq=False)
class Slot:
    """One place for a worker: the actor that fills it now, and what it has been given, in order.

    Attributes:
        actor: handle of the Ray actor.
        greeting: reference to its `hello`, None once it has answered.
        parts: what it runs (first) and has queued, each with what the worker says of it.
        heard: when it last had a word from the worker, or was given its first part.
    """

    actor: Any
    greeting: "ray.ObjectRef | None"
    parts: "deque[tuple[ray.ObjectRefGenerator, Part]]" = field(default_factory=deque)
    heard: float = 0.0

    @property
    def references(self) -> "list[ray.ObjectRef | ray.ObjectRefGenerator]":
        """What this slot owes the driver next."""
        return [self.greeting] if self.greeting is not None else [said for said, _ in self.parts]


def start(*settings: Any, gpu: bool) -> Slot:
    """Start a `Trainer` with these settings on a CPU core or a GPU of the cluster.

    Does not wait for it. The driver owns retries: an actor that Ray restarted by itself would run a
    group twice.
    """
    remote: Any = ray.remote  # whose types do not know groups
    actor = (
        remote(concurrency_groups={_CONTROL: 1})(Trainer)
        .options(
            num_cpus=0 if gpu else 1,
            num_gpus=1 if gpu else 0,
            max_restarts=0,
            max_task_retries=0,
            runtime_env={"env_vars": environment.worker_variables(gpu=gpu)},
        )
        .remote(*settings)
    )
    return Slot(actor, actor.hello.remote())
