"""Checkpoints of one group's training, and the exception that stops it."""

import struct
import threading
import time
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

from jobs.pools.settings import CHECKPOINT_MINUTES
from pccore.training.snapshots import pack
from transfer.engine.admission import MAX_SECONDS
from transfer.engine.pool import stopped_name

if TYPE_CHECKING:
    from results import Checkpoints
    from transfer.engine.pool import Group

CHECKPOINT_SECONDS = 60 * CHECKPOINT_MINUTES

_SECONDS = struct.Struct("<d")


class Stopped(BaseException):
    """Raised inside a group's training when its worker must stop; the group has not failed.

    Like KeyboardInterrupt it is no `Exception`, so that no handler in between takes it for a fault.
    """


class Checkpointer:
    """Saves the training of one group at intervals, and restores it (`pccore.Snapshots`).

    A checkpoint is a snapshot, preceded by the seconds of training that led to it.

    Args:
        checkpoint: where to continue; None starts from the beginning.
        save: called with every new checkpoint; None saves nothing.
        interval: seconds between two checkpoints.
        stop: set to stop the training, which is saved first.

    Attributes:
        seconds: training time that earlier workers spent, up to the checkpoint.
    """

    def __init__(
        self,
        checkpoint: bytes | None,
        save: Callable[[bytes], None] | None,
        interval: float,
        stop: threading.Event,
    ) -> None:
        self.seconds = 0.0
        self._snapshot: bytes | None = None
        if checkpoint is not None:
            seconds = _seconds(checkpoint)
            if seconds is None:
                warnings.warn(
                    "training starts from the beginning: the checkpoint does not say how long it "
                    "took",
                    RuntimeWarning,
                    stacklevel=2,
                )
            else:
                self.seconds, self._snapshot = seconds, checkpoint[_SECONDS.size :]
        self._save, self._interval, self._stop = save, interval, stop
        self._started = self._saved = time.monotonic()

    def load(self) -> bytes | None:
        """Return the snapshot to continue from, if there is one."""
        return self._snapshot

    def stop_if_asked(self) -> None:
        """Raise `Stopped` if the worker must stop, without saving what cannot be continued."""
        if self._stop.is_set():
            raise Stopped

    def offer(self, take: Callable[[], bytes]) -> None:
        """Save the training if the interval is over or the worker must stop.

        Raises:
            Stopped: the worker must stop.
        """
        stopping, now = self._stop.is_set(), time.monotonic()
        if self._save is not None and (stopping or now - self._saved >= self._interval):
            spent = self.seconds + now - self._started
            self._save(_SECONDS.pack(spent) + take())
            self._saved = time.monotonic()
        if stopping:
            raise Stopped


def _seconds(checkpoint: bytes) -> float | None:
    """Return the seconds at the start of a checkpoint; None if they cannot be true."""
    if len(checkpoint) < _SECONDS.size:
        return None
    (seconds,) = _SECONDS.unpack_from(checkpoint)
    return seconds if 0 <= seconds <= MAX_SECONDS else None


def load_checkpoint(checkpoints: "Checkpoints", group: "Group") -> bytes | None:
    """Return the checkpoint from which a group continues; None if it starts from the beginning.

    It is the group's own or, of runs that stopped earlier in whatever groups, those of all runs.
    """
    own = checkpoints.load(group.run_ids)
    if own is not None or not group.begun:
        return own
    found = [checkpoints.load(stopped_name(run_id, group.begun)) for run_id in group.run_ids]
    lanes = [each for each in found if each is not None]
    spent = [_seconds(each) for each in lanes]
    if len(lanes) < len(found) or None in spent:
        return None
    packed = pack([each[_SECONDS.size :] for each in lanes])
    return _SECONDS.pack(sum(each or 0.0 for each in spent)) + packed


def of_stopped(snapshot: bytes, seconds: float) -> bytes:
    """Return the checkpoint of a run that stopped after `seconds` of training."""
    return _SECONDS.pack(seconds) + snapshot


def save_checkpoint(checkpoints: "Checkpoints", group: "Group", checkpoint: bytes) -> None:
    """Store a group's checkpoint; warn, and let the training continue, if the ledger cannot."""
    from results import LedgerError

    try:
        checkpoints.save(group.run_ids, checkpoint)
    except LedgerError as error:
        warnings.warn(f"no checkpoint: {error}", RuntimeWarning, stacklevel=2)
