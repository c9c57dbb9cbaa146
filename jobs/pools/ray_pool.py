"""A pool of Ray actors, one per CPU core or per GPU, on this machine or on a cluster.

The driver owns all retries: a dead worker is replaced, and another one trains what it had
(`jobs.pools.retries`).
"""

import math
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

import ray
from ray.exceptions import RayError, RayTaskError

from jobs.errors import PoolError, one_sentence
from jobs.pools.checkpointer import CHECKPOINT_SECONDS, load_checkpoint, save_checkpoint
from jobs.pools.devices import Device
from jobs.pools.layouts import choose_layout
from jobs.pools.ray_actor import HEARTBEAT, Slot, start_worker
from jobs.pools.ray_cluster import connect, free, grows_by_itself, room
from jobs.pools.ray_imports import refuse_hidden_packages, send_by_value
from jobs.pools.retries import Attempt, PendingGroup, requeue
from jobs.pools.settings import layout_policy
from jobs.pools.worker import load_dataset, train_group
from pccore.own import own_modules
from pccore.training.feed import limit_set
from transfer.engine.pool import Config, Group, GroupResult, failed_group
from transfer.functions import FunctionConfig

if TYPE_CHECKING:
    from results import Checkpoints

START_NOTICE_SECONDS = 7.0  # after which a wait for the first worker is announced; twice: refused
MONITOR_SECONDS = 5.0  # interval between two checks for new machines and silent workers
HEARTBEAT_TIMEOUT = 300.0  # seconds of silence after which a worker counts as lost
HEARTBEATS_PER_TIMEOUT = 10
CLOSE_SECONDS = 1.0  # that a closing pool waits for checkpoints
MAX_FAILED_STARTS = 5  # per slot, in a row


def _announce(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


class RayPool:
    """Trains groups in Ray actors (`transfer.Pool`).

    Data sets are read once, in this process, and Ray's object store sends them to every node once,
    those of the user's own like all others.

    Args:
        workers: actors; by default one per GPU of the cluster, or per CPU core if it has no GPU
            when the pool is made, and more as machines join.
        address: "local" (or None) starts a cluster on this machine, without dashboard; "auto" or an
            address joins one. A Ray that this process has already started is used as it is.
        train: trains a group, called as train(group, load=..., checkpointer=...).
        checkpoints: of the ledger, where this process stores the workers' checkpoints, so that the
            group of a lost worker continues; None saves nothing.
        checkpoint_seconds: interval between two checkpoints of a group.
        heartbeat_timeout: seconds without a heartbeat after which a worker that trains counts as
            lost, though its node is alive.
        announce: called with a sentence when the pool waits (starting Ray takes many seconds) and
            when a worker is lost.
        name: of what is trained, by which the cluster lists the workers: "digits worker 3". Their
            tasks have the shape and the number of lanes.

    Raises:
        ValueError: fewer than one worker, an unknown policy in `MUPC_LAYOUTS`, or no number in
            `MUPC_STREAM_ABOVE_MB`.
        PoolError: no cluster at `address`, or no worker starts on it, or a file in the current
            folder hides a package from the workers.
        TokenError: a cluster of several machines that requires no token, or a token file that
            others can read.
    """

    def __init__(
        self,
        workers: int | None = None,
        *,
        address: str | None = "local",
        train: Callable[..., GroupResult] = train_group,
        checkpoints: "Checkpoints | None" = None,
        checkpoint_seconds: float = CHECKPOINT_SECONDS,
        heartbeat_timeout: float = HEARTBEAT_TIMEOUT,
        announce: Callable[[str], None] = _announce,
        name: str = "mupc",
    ) -> None:
        if isinstance(workers, str):
            raise ValueError(
                f"workers must be a number, got {workers!r}: write RayPool(address={workers!r})"
            )
        if workers is not None and workers < 1:
            raise ValueError(f"workers must be at least 1, got {workers}")
        layout_policy()
        limit_set()
        refuse_hidden_packages(Path.cwd())
        self._train, self._checkpoints, self._name = train, checkpoints, name
        self._announce = announce
        self._checkpoint_seconds = checkpoint_seconds if checkpoints is not None else math.inf
        self._heartbeat_timeout = heartbeat_timeout
        self._owns_ray = not ray.is_initialized()
        self._closed = False
        if self._owns_ray:
            connect(address or "local", workers, announce)
        self._gpu = ray.cluster_resources().get("GPU", 0) >= 1
        self._resource = "GPU" if self._gpu else "CPU"
        self._found_room = free(self._resource) >= 1
        self._clock = time.monotonic  # of heartbeats
        self._autoscale, self._monitored = workers is None, self._clock()
        self.slots = workers or max(1, self._capacity())
        self._waiting: deque[Attempt] = deque()
        self._finished: list[GroupResult] = []
        self._pending = 0
        self._failed_starts = 0
        self._datasets: dict[tuple[str, str | None], ray.ObjectRef] = {}
        self._slots = [self._start_worker() for _ in range(self.slots)]
        self.device = self._first_device()

    def lanes(self, config: Config) -> int:
        """Return the largest number of lanes that a group of this shape should have on a worker."""
        if isinstance(config, FunctionConfig):  # whose runs share nothing
            return 1
        return choose_layout(config, self.device).lanes

    def submit(self, group: Group) -> None:
        """Queue a group. Raises `ValueError` on a closed pool."""
        if self._closed:
            raise ValueError("the pool is closed")
        self._pending += 1
        send_by_value(own_modules())
        try:
            self._put_dataset(group)
        except Exception as error:  # an unreadable data set is the group's fault, not the pool's
            self._finished.append(failed_group(group, one_sentence(error)))
            return
        self._waiting.append(PendingGroup(group).attempt())
        self._dispatch()

    def collect(self, timeout: float | None = None) -> list[GroupResult]:
        """Wait until a group is done, and return all results there are.

        The list is empty after `timeout` seconds, when nothing is pending, and when machines have
        joined, so that more can be submitted.

        Raises:
            PoolError: workers no longer start.
        """
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        while self._pending > len(self._finished):
            slots = self._slots_by_reference()
            left = 0.0 if self._finished else max(0.0, deadline - time.monotonic())
            ready, _ = ray.wait(list(slots), num_returns=1, timeout=min(left, MONITOR_SECONDS))
            if ready:
                self._receive(slots[ready[0]])
                self._dispatch()
            if self._monitor() or (not ready and left <= MONITOR_SECONDS):
                break
        results, self._finished = self._finished, []
        self._pending -= len(results)
        return results

    def close(self) -> None:
        """Drop pending groups, end the workers, and Ray if this pool started it.

        Groups in training are saved first, if that takes no longer than `CLOSE_SECONDS`.
        """
        if self._closed:
            return
        self._closed = True
        self._pending = 0
        self._save_running()
        for slot in self._slots:
            ray.kill(slot.actor)
        if self._owns_ray:
            ray.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _save_running(self) -> None:
        """Stop all workers, and store the checkpoints that arrive within `CLOSE_SECONDS`."""
        if self._checkpoints is None:
            return
        running = {slot.attempts[0][0]: slot for slot in self._slots if slot.attempts}
        for slot in running.values():
            slot.actor.stop.remote()
        deadline = time.monotonic() + CLOSE_SECONDS
        while running and (left := deadline - time.monotonic()) > 0:
            ready, _ = ray.wait(list(running), num_returns=1, timeout=left)
            if not ready:
                return
            messages, attempt = running[ready[0]].attempts[0]
            try:
                message = ray.get(next(messages))
            except (RayError, StopIteration):
                message = None
            if not isinstance(message, bytes):
                del running[messages]
            elif message != HEARTBEAT:
                save_checkpoint(self._checkpoints, attempt.group, message)

    def _slots_by_reference(self) -> "dict[ray.ObjectRef | ray.ObjectRefGenerator, Slot]":
        return {reference: slot for slot in self._slots for reference in slot.references}

    def _capacity(self) -> int:
        """Return the number of workers for which the cluster has room now."""
        return int(ray.cluster_resources().get(self._resource, 0))

    def _monitor(self) -> bool:
        """Every few seconds, replace silent workers and add new ones; return whether any came."""
        now = self._clock()
        if now < self._monitored + MONITOR_SECONDS:
            return False
        self._monitored = now
        for slot in list(self._slots):
            if slot.attempts and now > slot.last_heartbeat + self._heartbeat_timeout:
                self._replace_if_silent(slot)
        return self._autoscale and self._add_workers()

    def _replace_if_silent(self, slot: Slot) -> None:
        """Replace a worker, unless the driver has not read its last messages yet."""
        messages, _ = slot.attempts[0]
        if not ray.wait([messages], timeout=0)[0]:
            self._handle_death(slot, f"no heartbeat for {self._heartbeat_timeout:g} s")
            self._dispatch()

    def _add_workers(self) -> bool:
        """Start a worker for each new place in the cluster; return whether there is any.

        When a place goes, its worker dies, and the replacement waits for another place.
        """
        more = self._capacity() - len(self._slots)
        self._slots += [self._start_worker() for _ in range(more)]
        self.slots = len(self._slots)
        return more > 0

    def _start_worker(self) -> Slot:
        heartbeat_seconds = self._heartbeat_timeout / HEARTBEATS_PER_TIMEOUT
        return start_worker(
            self._train,
            self._checkpoint_seconds,
            heartbeat_seconds,
            gpu=self._gpu,
            name=self._name,
        )

    def _first_device(self) -> Device:
        """Wait for the first worker, and return its device.

        Raises:
            PoolError: nothing was free when the pool was made, nor soon afterwards, and the cluster
                starts no machines by itself.
        """
        announced = False
        while True:
            slots = self._slots_by_reference()
            ready, _ = ray.wait(list(slots), num_returns=1, timeout=START_NOTICE_SECONDS)
            if not ready:
                facts = f"each needs 1 {self._resource}, and {room(self._resource)}"
                if announced and not self._found_room and not grows_by_itself():
                    self.close()
                    raise PoolError(
                        f"none of {len(self._slots)} workers can start: {facts}; stop what uses "
                        "them, or add a machine"
                    )
                # Where they found room, it is theirs by now and no longer free.
                reason = "it is starting" if self._found_room else facts
                self._announce(f"waiting for the first of {len(self._slots)} workers: {reason}")
                announced = True
                continue
            device = self._finish_start(slots[ready[0]], ready[0])
            if device is not None:
                return device

    def _put_dataset(self, group: Group) -> None:
        key = (group.dataset, group.data_dir)
        if key not in self._datasets:
            self._datasets[key] = ray.put(group.own or load_dataset(*key))

    def _dispatch(self) -> None:
        """Give waiting attempts to idle workers, then queue one behind each running attempt.

        The latter only while more are waiting than there are workers: near the end an attempt could
        be stuck behind a slow one while another worker idles.
        """
        started = [slot for slot in self._slots if slot.starting is None]
        for slot in started:
            if self._waiting and not slot.attempts:
                self._assign(slot)
        for slot in started:
            if len(self._waiting) <= self.slots or len(slot.attempts) != 1:
                continue
            if not (self._waiting[0].exclusive or slot.attempts[0][1].exclusive):
                self._assign(slot)

    def _assign(self, slot: Slot) -> None:
        attempt = self._waiting.popleft()
        group = attempt.group
        dataset = self._datasets[group.dataset, group.data_dir]
        saved = None if self._checkpoints is None else load_checkpoint(self._checkpoints, group)
        checkpoint = [] if saved is None else [ray.put(saved)]
        task = f"{self._name} {_shape(group)}, {len(group.lanes)} lanes"
        run = slot.actor.run.options(num_returns="streaming", name=task)
        if not slot.attempts:
            slot.last_heartbeat = self._clock()
        # Without the data, which the node has once.
        message = replace(group, own=None)
        slot.attempts.append((run.remote(message, [dataset], checkpoint), attempt))

    def _receive(self, slot: Slot) -> None:
        """Handle the next message of a slot's worker: that it has started, a heartbeat, a
        checkpoint or the result of its oldest attempt, that it must stop, or its death."""
        if slot.starting is not None:
            self._finish_start(slot, slot.starting)
            return
        messages, attempt = slot.attempts[0]
        try:
            message = ray.get(next(messages))
        except RayTaskError as error:
            message = failed_group(attempt.group, one_sentence(error.cause or error))
        except RayError as error:
            self._handle_death(slot, one_sentence(error))
            return
        slot.last_heartbeat = self._clock()
        if isinstance(message, bytes):
            if message != HEARTBEAT and self._checkpoints is not None:
                save_checkpoint(self._checkpoints, attempt.group, message)
        elif message is None:
            self._announce("a worker has to stop, and is replaced")
            self._waiting.extendleft(attempt for _, attempt in reversed(slot.attempts))
            self._replace(slot)
        else:
            slot.attempts.popleft()
            self._record(attempt, message)

    def _finish_start(self, slot: Slot, starting: ray.ObjectRef) -> Device | None:
        """Open a slot whose worker has started, or replace the worker if it died at start."""
        try:
            device: Device = ray.get(starting)
        except RayError as error:
            self._failed_starts += 1
            if self._failed_starts >= MAX_FAILED_STARTS * len(self._slots):
                self.close()
                raise PoolError(f"no Ray worker starts: {one_sentence(error)}") from None
            self._replace(slot)
            return None
        self._failed_starts = 0
        slot.starting = None
        return device

    def _handle_death(self, slot: Slot, cause: str) -> None:
        """Requeue or fail the dead worker's groups, then start a replacement."""
        self._announce(f"a worker was lost, and is replaced: {cause}")
        again = requeue([attempt for _, attempt in slot.attempts])
        if not again:
            attempt = slot.attempts[0][1]
            sentence = f"its worker died {attempt.deaths} times, last of {cause}"
            self._record(attempt, failed_group(attempt.group, sentence))
        self._waiting.extendleft(reversed(again))
        self._replace(slot)

    def _replace(self, slot: Slot) -> None:
        ray.kill(slot.actor)  # unreachable is not dead: a late result must have nowhere to go
        self._slots[self._slots.index(slot)] = self._start_worker()

    def _record(self, attempt: Attempt, answer: object) -> None:
        whole = attempt.record(answer)
        if whole is not None:
            self._finished.append(whole)


def _shape(group: Group) -> str:
    """Return the size of a group's networks, or their kind if they have no such size."""
    if isinstance(group.config, FunctionConfig):
        return f"{group.config.shape.width} x {group.config.shape.depth}"
    network = group.config.network
    width, depth = getattr(network, "width", None), getattr(network, "depth", None)
    return type(network).__name__ if width is None or depth is None else f"{width} x {depth}"
