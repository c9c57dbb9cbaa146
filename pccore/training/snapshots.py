"""Snapshots of a running training, from which it resumes with identical numbers."""

import io
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar, runtime_checkable

import equinox as eqx
import numpy as np
from jaxtyping import PyTree

_MAGIC = b"mupc training 1\n"
_INTERVAL = 0.5  # seconds between offers of a snapshot
_GROWTH = 8  # largest ratio of the lengths of consecutive stretches

Tree = TypeVar("Tree")


@runtime_checkable
class Snapshots(Protocol):
    """The storage of a training's last snapshot."""

    def load(self) -> bytes | None:
        """Return the snapshot to resume from; None to start from the beginning."""
        ...

    def offer(self, take: Callable[[], bytes]) -> None:
        """Receive the opportunity to take a snapshot, about twice a second between weight updates.

        An exception raised here ends the training.

        Args:
            take: returns a snapshot of the training in its current state.
        """
        ...


class Pace:
    """The number of weight updates between offers of a snapshot, about half a second's worth.

    The first stretch is one update, which may include compilation. The second is one update too,
    which measures its duration.

    Attributes:
        steps: weight updates in the next stretch.
    """

    def __init__(self) -> None:
        self.steps = 1
        self._stretches = 0

    @contextmanager
    def timed(self, steps: int) -> Iterator[None]:
        """Time a stretch of `steps` updates, which must have finished when the context exits."""
        begun = time.perf_counter()
        yield
        seconds = time.perf_counter() - begun
        self._stretches += 1
        if self._stretches > 1:
            wanted = int(_INTERVAL * steps / max(seconds, 1e-9))
            self.steps = max(1, min(wanted, _GROWTH * self.steps))


def encode(step: int, progress: PyTree) -> bytes:
    """Serialise a snapshot: the number of weight updates done and all arrays of the training."""
    buffer = io.BytesIO()
    buffer.write(_MAGIC)
    np.save(buffer, np.int64(step), allow_pickle=False)
    eqx.tree_serialise_leaves(buffer, progress)
    return buffer.getvalue()


def decode(data: bytes, like: Callable[[int], Tree]) -> tuple[int, Tree]:
    """Return the number of updates done and the arrays of a snapshot.

    Args:
        data: a result of `encode`.
        like: returns a tree with the structure, shapes and types of the training after a number of
            updates.

    Raises:
        ValueError: `data` is not a snapshot of such a training.
    """
    buffer = io.BytesIO(data)
    if buffer.read(len(_MAGIC)) != _MAGIC:
        raise ValueError("it is not a snapshot of a training")
    try:
        step = int(np.load(buffer, allow_pickle=False))
        progress = eqx.tree_deserialise_leaves(buffer, like(step))
    except (RuntimeError, ValueError, TypeError, EOFError, OSError) as error:
        raise ValueError(f"the snapshot is of another training: {error}") from error
    if buffer.read(1):
        raise ValueError("the snapshot is of another training: it is too long")
    return step, progress
