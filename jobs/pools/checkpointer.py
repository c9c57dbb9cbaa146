"""Between one group's training and the pool: checkpoints now and then, and word to stop."""

import struct
import threading
import time
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

from jobs.cli.options import CHECKPOINT_MINUTES
from jobs.pools.worker import Stopped

if TYPE_CHECKING:
    from results import Checkpoints
    from transfer.engine.pool import Group

CHECKPOINT_SECONDS = 60 * CHECKPOINT_MINUTES

_SECONDS = struct.Struct("<d")


class Keeper:
    """Watches the training of one group (`pccore.Snapshots`).

    A checkpoint is a snapshot with the seconds that it took to get there.

    Args:
        checkpoint: the one to go on from; None to begin at the beginning.
        keep: what to do with a new one; None where nothing is kept.
        every: seconds between two.
        stopping: set when the worker is to give up its group, which is then saved first.

    Attributes:
        seconds: that earlier workers spent on the group, up to the checkpoint.
    """

    def __init__(
        self,
        checkpoint: bytes | None,
        keep: Callable[[bytes], None] | None,
        every: float,
        stopping: threading.Event,
    ) -> None:
        self.seconds = 0.0
        self._snapshot: bytes | None = None
        if checkpoint is not None and len(checkpoint) >= _SECONDS.size:
            (self.seconds,) = _SECONDS.unpack_from(checkpoint)
            self._snapshot = checkpoint[_SECONDS.size :]
        self._keep, self._every, self._stopping = keep, every, stopping
        self._begun = self._last = time.monotonic()

    def load(self) -> bytes | None:
        """The snapshot to go on from."""
        return self._snapshot

    def offer(self, take: Callable[[], bytes]) -> None:
        """Save the training if it is time to, or if it must stop.

        Raises:
            Stopped: it must.
        """
        stopping, now = self._stopping.is_set(), time.monotonic()
        if self._keep is not None and (stopping or now - self._last >= self._every):
            spent = self.seconds + now - self._begun
            self._keep(_SECONDS.pack(spent) + take())
            self._last = time.monotonic()
        if stopping:
            raise Stopped


def save(checkpoints: "Checkpoints", group: "Group", checkpoint: bytes) -> None:
    """Keep a group's checkpoint. A ledger that cannot take it is warned of: training goes on."""
    from results import LedgerError

    try:
        checkpoints.save(group.run_ids, checkpoint)
    except LedgerError as error:
        warnings.warn(f"no checkpoint: {error}", RuntimeWarning, stacklevel=2)
