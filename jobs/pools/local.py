"""A pool in this process: one thread per CPU core, or one per GPU."""

import queue
import threading
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Self

import jax

from jobs.errors import one_sentence
from jobs.pools import environment
from jobs.pools.checkpointer import (
    CHECKPOINT_SECONDS,
    Checkpointer,
    Stopped,
    load_checkpoint,
    save_checkpoint,
)
from jobs.pools.devices import Device, describe, local_devices, share, training_on
from jobs.pools.function_process import close_idle
from jobs.pools.layouts import choose_layout
from jobs.pools.machine import usable_cpus
from jobs.pools.settings import layout_policy
from jobs.pools.worker import train_group
from pccore.training.feed import limit_set
from transfer.engine.admission import fitting
from transfer.engine.pool import Config, Group, GroupResult, failed_group
from transfer.functions import FunctionConfig

if TYPE_CHECKING:
    from results import Checkpoints

LocalTrainer = Callable[..., GroupResult]


@dataclass
class _Shared:
    """State of the threads, which must not refer to the pool, or it would never be collected."""

    train: LocalTrainer
    checkpoints: "Checkpoints | None"
    checkpoint_seconds: float
    waiting: "queue.SimpleQueue[Group | None]" = field(default_factory=queue.SimpleQueue)
    finished: "queue.SimpleQueue[GroupResult]" = field(default_factory=queue.SimpleQueue)
    closing: threading.Event = field(default_factory=threading.Event)


class LocalPool:
    """Trains groups in threads of this process (`transfer.Pool`).

    Results do not depend on the settings of JAX in this process (`pccore.jax_settings`).

    XLA computes outside Python's lock, so threads keep all cores busy and share one copy of the
    data set and of every compiled program. Each uses one core, provided that no JAX device was used
    before the first pool is made.

    Args:
        workers: threads; by default one per CPU core that this process may use, or one per GPU.
        train: trains a group, called as train(group, on_progress=..., checkpointer=...); by default
            `train_group`.
        checkpoints: of the ledger, where groups are saved while they train and when the pool is
            closed, and from which they continue; None saves nothing.
        checkpoint_seconds: interval between two checkpoints of a group.

    Raises:
        ValueError: fewer than one worker, an unknown policy in `MUPC_LAYOUTS`, or no number in
            `MUPC_STREAM_ABOVE_MB`.
        PoolError: JAX cannot use the devices that the environment asks for.
    """

    def __init__(
        self,
        workers: int | None = None,
        *,
        train: LocalTrainer | None = None,
        checkpoints: "Checkpoints | None" = None,
        checkpoint_seconds: float = CHECKPOINT_SECONDS,
    ) -> None:
        if workers is not None and workers < 1:
            raise ValueError(f"workers must be at least 1, got {workers}")
        layout_policy()
        limit_set()
        environment.prepare(programs=workers or usable_cpus())
        devices = local_devices()
        device = describe(devices[0])
        self.slots = workers or slots_of(device, devices)
        self.device = share(device, devices, self.slots)
        self._pending = 0
        self._shared = _Shared(
            train or partial(train_group, device=self.device), checkpoints, checkpoint_seconds
        )
        threads = [
            threading.Thread(
                target=_work,
                args=(self._shared, devices[i % len(devices)]),
                name=f"mupc-worker-{i}",
                daemon=True,
            )
            for i in range(self.slots)
        ]
        for thread in threads:
            thread.start()
        # Runs at close, at garbage collection, or before the interpreter ends: a thread that is
        # still inside XLA while Python shuts down would abort the process.
        self._finalizer = weakref.finalize(self, _stop, self._shared, threads)

    def lanes(self, config: Config) -> int:
        """Return the largest number of lanes that a group of this shape should have."""
        if isinstance(config, FunctionConfig):  # whose runs share nothing
            return 1
        return choose_layout(config, self.device).lanes

    def submit(self, group: Group) -> None:
        """Queue a group. Raises `ValueError` on a closed pool."""
        if not self._finalizer.alive:
            raise ValueError("the pool is closed")
        self._pending += 1
        self._shared.waiting.put(group)

    def collect(self, timeout: float | None = None) -> list[GroupResult]:
        """Wait until a group is done, and return all results there are.

        The list is empty after `timeout` seconds, and when nothing is pending.
        """
        if not self._pending:
            return []
        results: list[GroupResult] = []
        try:
            results.append(self._shared.finished.get(timeout=timeout))
            while True:
                results.append(self._shared.finished.get_nowait())
        except queue.Empty:
            self._pending -= len(results)
            return results

    def close(self) -> None:
        """Drop pending groups and wait until the running ones are saved: about a second."""
        self._pending = 0
        self._finalizer()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def slots_of(device: Device, devices: Sequence[jax.Device]) -> int:
    """Return how many groups train at the same time by default: one per core, or one per GPU."""
    return usable_cpus() if device.kind == "cpu" else len(devices)


def _work(shared: _Shared, device: jax.Device) -> None:
    def on_progress(steps_done: int) -> None:
        if shared.closing.is_set():
            raise Stopped

    with training_on(device):
        while (group := shared.waiting.get()) is not None and not shared.closing.is_set():
            try:
                checkpointer = _checkpointer(shared, group)
                answer = shared.train(group, on_progress=on_progress, checkpointer=checkpointer)
                result = fitting(group, answer)
            except BaseException as error:  # SystemExit would end the thread, and its groups wait
                if isinstance(error, Stopped) and shared.closing.is_set():
                    return
                result = failed_group(group, one_sentence(error))
            shared.finished.put(result)


def _checkpointer(shared: _Shared, group: Group) -> Checkpointer:
    checkpoint, save = None, None
    if shared.checkpoints is not None:
        checkpoint = load_checkpoint(shared.checkpoints, group)
        save = partial(save_checkpoint, shared.checkpoints, group)
    return Checkpointer(checkpoint, save, shared.checkpoint_seconds, shared.closing)


def _stop(shared: _Shared, threads: list[threading.Thread]) -> None:
    shared.closing.set()
    for _ in threads:
        shared.waiting.put(None)
    for thread in threads:
        thread.join()
    close_idle()
