"""A pool of Ray actors: one per CPU core or per GPU, on this machine or on a cluster.

The driver owns all retries: a dead worker is replaced, and what it had is run again by another
(`jobs.pools.retries`).
"""

import math
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Self

import ray
from ray.exceptions import RayError, RayTaskError

import pccore
from jobs.errors import PoolError, one_sentence
from jobs.pools import ray_actor
from jobs.pools.checkpointer import CHECKPOINT_SECONDS, save
from jobs.pools.devices import Device
from jobs.pools.layout_choice import known_layout
from jobs.pools.layout_policy import layout_policy
from jobs.pools.ray_access import connect
from jobs.pools.ray_actor import ALIVE, Slot
from jobs.pools.retries import Part, Ticket, lost_together
from jobs.pools.worker import failed_group, load_dataset, train_group
from transfer.engine.pool import Group, GroupResult

if TYPE_CHECKING:
    from results import Checkpoints

GREETING_SECONDS = 10.0  # after which it is said that the first worker is waited for
LOOK_SECONDS = 5.0  # between two looks at whether machines have joined, or workers fallen silent
SILENCE_SECONDS = 300.0  # after which a worker is given up
PULSES = 10  # signs of life that it should have given by then
FAREWELL_SECONDS = 1.0  # that a pool gives its workers to save what they train
MOST_FAILED_STARTS = 5  # per slot, in a row, of workers that die before they answer


def _announce(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


class RayPool:
    """Trains groups in Ray actors (`transfer.Pool`).

    Data sets are read once, here, and reach every node once through Ray's object store.

    Args:
        address: "local" (or None) starts a cluster on this machine, without dashboard; "auto" or an
            address joins one. A Ray that this process has started already is used as it is.
        workers: actors; by default one per GPU of the cluster, or per CPU core if it has none when
            the pool is made, and more as machines join.
        train: what a worker does with a group, called as train(group, load=..., keeper=...).
        checkpoints: of the ledger, which the driver keeps for its workers: from there a group goes
            on whose worker was lost; None saves nothing.
        checkpoint_seconds: between two checkpoints of a group.
        silence_seconds: after which a worker is given up that trains and gives no sign of life,
            though its node is alive.
        announce: told what is being waited for (starting Ray takes many seconds), and which workers
            were lost.

    Raises:
        ValueError: fewer than one worker, or an unknown policy in `MUPC_LAYOUTS`.
        PoolError: no cluster at `address`, or no worker starts on it.
        TokenError: a cluster of several machines that asks for no token, or a token's file that
            others can read.
    """

    def __init__(
        self,
        address: str | None = "local",
        workers: int | None = None,
        *,
        train: Callable[..., GroupResult] = train_group,
        checkpoints: "Checkpoints | None" = None,
        checkpoint_seconds: float = CHECKPOINT_SECONDS,
        silence_seconds: float = SILENCE_SECONDS,
        announce: Callable[[str], None] = _announce,
    ) -> None:
        if workers is not None and workers < 1:
            raise ValueError(f"workers must be at least 1, got {workers}")
        layout_policy()
        self._train, self._checkpoints = train, checkpoints
        self._announce = announce
        self._checkpoint_seconds = checkpoint_seconds if checkpoints is not None else math.inf
        self._silence_seconds = silence_seconds
        self._owns_ray = not ray.is_initialized()
        self._closed = False
        if self._owns_ray:
            connect(address or "local", workers, announce)
        self._gpu = ray.cluster_resources().get("GPU", 0) >= 1
        self._follows, self._looked = workers is None, time.monotonic()
        self.slots = workers or max(1, self._places())
        self._waiting: deque[Part] = deque()
        self._finished: list[GroupResult] = []
        self._pending = 0
        self._failed_starts = 0
        self._datasets: dict[tuple[str, str | None], ray.ObjectRef] = {}
        self._slots = [self._start() for _ in range(self.slots)]
        self.device = self._first_device()

    def lanes(self, config: pccore.TrainingConfig) -> int:
        """The most lanes a group of this shape should have on a worker.

        Workers measure, the driver never does: it knows the rule, and what its own cache remembers
        of devices like the workers'.
        """
        return known_layout(config, self.device).layout.lanes

    def submit(self, group: Group) -> None:
        """Queue a group. Raises `ValueError` on a closed pool."""
        if self._closed:
            raise ValueError("the pool is closed")
        self._pending += 1
        try:
            self._share(group)
        except Exception as error:  # an unreadable data set is the group's fault, not the pool's
            self._finished.append(failed_group(group, one_sentence(error)))
            return
        self._waiting.append(Ticket(group).whole())
        self._dispatch()

    def collect(self, timeout: float | None = None) -> list[GroupResult]:
        """Wait until a group is done and return all that are.

        Returns an empty list after `timeout` seconds, at once when nothing is pending, and when
        machines have joined, so that there is more to submit.

        Raises:
            PoolError: workers no longer start.
        """
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        while self._pending > len(self._finished):
            slots = {ref: slot for slot in self._slots for ref in slot.references}
            left = 0.0 if self._finished else max(0.0, deadline - time.monotonic())
            ready, _ = ray.wait(list(slots), num_returns=1, timeout=min(left, LOOK_SECONDS))
            if ready:
                self._answer(slots[ready[0]])
                self._dispatch()
            elif left <= LOOK_SECONDS:
                break
            if self._look():
                break
        results, self._finished = self._finished, []
        self._pending -= len(results)
        return results

    def close(self) -> None:
        """Drop pending groups, end the workers, and Ray if this pool started it.

        Groups in training are saved first, as far as that takes no longer than `FAREWELL_SECONDS`.
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
        """Have workers save what they train, and wait for it."""
        if self._checkpoints is None:
            return
        running = {slot.parts[0][0]: slot for slot in self._slots if slot.parts}
        for slot in running.values():
            slot.actor.halt.remote()
        deadline = time.monotonic() + FAREWELL_SECONDS
        while running and (left := deadline - time.monotonic()) > 0:
            ready, _ = ray.wait(list(running), num_returns=1, timeout=left)
            if not ready:
                return
            words, part = running[ready[0]].parts[0]
            try:
                word = ray.get(next(words))
            except (RayError, StopIteration):
                word = None
            if not isinstance(word, bytes):
                del running[words]
            elif word != ALIVE:
                save(self._checkpoints, part.group, word)

    def _places(self) -> int:
        """How many workers the cluster has room for now."""
        return int(ray.cluster_resources().get("GPU" if self._gpu else "CPU", 0))

    def _look(self) -> bool:
        """Every few seconds: give up silent workers, and take up new places; whether any came."""
        if time.monotonic() < self._looked + LOOK_SECONDS:
            return False
        self._looked = time.monotonic()
        for slot in list(self._slots):
            if slot.parts and self._looked > slot.heard + self._silence_seconds:
                self._doubt(slot)
        return self._follows and self._grow()

    def _doubt(self, slot: Slot) -> None:
        """Give up a worker, unless it has spoken and the driver has not listened yet."""
        words, _ = slot.parts[0]
        if not ray.wait([words], timeout=0)[0]:
            self._bury(slot, f"no sign of life for {self._silence_seconds:g} s")
            self._dispatch()

    def _grow(self) -> bool:
        """Start a worker for each place that has come since; whether there is any.

        A place that goes takes its worker with it, whose successor waits for the next to come.
        """
        more = self._places() - len(self._slots)
        self._slots += [self._start() for _ in range(more)]
        self.slots = len(self._slots)
        return more > 0

    def _start(self) -> Slot:
        pulse = self._silence_seconds / PULSES
        return ray_actor.start(self._train, self._checkpoint_seconds, pulse, gpu=self._gpu)

    def _first_device(self) -> Device:
        while True:
            slots = {ref: slot for slot in self._slots for ref in slot.references}
            ready, _ = ray.wait(list(slots), num_returns=1, timeout=GREETING_SECONDS)
            if not ready:
                self._announce("waiting for the cluster's first worker")
                continue
            device = self._greet(slots[ready[0]], ready[0])
            if device is not None:
                return device

    def _share(self, group: Group) -> None:
        key = (group.dataset, group.data_dir)
        if key not in self._datasets:
            self._datasets[key] = ray.put(load_dataset(*key))

    def _dispatch(self) -> None:
        """Give waiting parts to idle workers, then queue one behind each running part.

        The latter only while more wait than there are workers: near the end a part could be stuck
        behind a slow one while another worker idles. Suspects share a worker with nobody.
        """
        alive = [slot for slot in self._slots if slot.greeting is None]
        for slot in alive:
            if self._waiting and not slot.parts:
                self._give(slot)
        for slot in alive:
            if len(self._waiting) <= self.slots or len(slot.parts) != 1:
                continue
            if not (self._waiting[0].suspect or slot.parts[0][1].suspect):
                self._give(slot)

    def _give(self, slot: Slot) -> None:
        part = self._waiting.popleft()
        group = part.group
        dataset = self._datasets[group.dataset, group.data_dir]
        kept = None if self._checkpoints is None else self._checkpoints.load(group.run_ids)
        checkpoint = [] if kept is None else [ray.put(kept)]
        run = slot.actor.run.options(num_returns="streaming")
        if not slot.parts:
            slot.heard = time.monotonic()
        slot.parts.append((run.remote(group, [dataset], checkpoint), part))

    def _answer(self, slot: Slot) -> None:
        """Take what the slot's worker has to say: its greeting, a checkpoint or the result of its
        oldest part, that it must stop, or its death."""
        if slot.greeting is not None:
            self._greet(slot, slot.greeting)
            return
        words, part = slot.parts[0]
        try:
            word = ray.get(next(words))
        except RayTaskError as error:
            word = failed_group(part.group, one_sentence(error.cause or error))
        except RayError as error:
            self._bury(slot, one_sentence(error))
            return
        slot.heard = time.monotonic()
        if isinstance(word, bytes):
            if word != ALIVE and self._checkpoints is not None:
                save(self._checkpoints, part.group, word)
        elif word is None:
            self._announce("a worker has to stop, and is replaced")
            self._waiting.extendleft(part for _, part in reversed(slot.parts))
            self._replace(slot)
        else:
            slot.parts.popleft()
            self._settle(part, word)

    def _greet(self, slot: Slot, greeting: ray.ObjectRef) -> Device | None:
        """Open the slot for work, or replace its worker if that died at start."""
        try:
            device: Device = ray.get(greeting)
        except RayError as error:
            self._failed_starts += 1
            if self._failed_starts >= MOST_FAILED_STARTS * len(self._slots):
                self.close()
                raise PoolError(f"no Ray worker starts: {one_sentence(error)}") from None
            self._replace(slot)
            return None
        self._failed_starts = 0
        slot.greeting = None
        return device

    def _bury(self, slot: Slot, cause: str) -> None:
        """A worker died: decide what becomes of what it had, and start another."""
        self._announce(f"a worker was lost, and is replaced: {cause}")
        again = lost_together([part for _, part in slot.parts])
        if not again:
            part = slot.parts[0][1]
            sentence = f"its worker died {part.losses} times, last of {cause}"
            self._settle(part, failed_group(part.group, sentence))
        self._waiting.extendleft(reversed(again))
        self._replace(slot)

    def _replace(self, slot: Slot) -> None:
        ray.kill(slot.actor)  # unreachable is not dead: a late result must have nowhere to go
        self._slots[self._slots.index(slot)] = self._start()

    def _settle(self, part: Part, result: GroupResult) -> None:
        whole = part.settle(result)
        if whole is not None:
            self._finished.append(whole)
