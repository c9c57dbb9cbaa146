"""Training that is watched while it runs, broken off, and taken up again with the same numbers."""

import io
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

import equinox as eqx
import numpy as np

_MAGIC = b"mupc training 1\n"
_WATCHED_EVERY = 0.5  # seconds
_GROWTH = 8  # from one stretch to the next at most, until they are as long

Tree = TypeVar("Tree")


class Snapshots(Protocol):
    """Who watches a training, and keeps its last snapshot."""

    def load(self) -> bytes | None:
        """The snapshot to go on from; None to begin at the beginning."""
        ...

    def offer(self, take: Callable[[], bytes]) -> None:
        """Called about twice a second, between two weight updates.

        Args:
            take: gives a snapshot of the training as it is now. What is raised here ends the
                training.
        """
        ...


class Pace:
    """How many weight updates to take before the next look: about half a second's worth.

    The first stretch is one update, which may have to be compiled, and the second one, which says
    how long it takes.

    Attributes:
        steps: of the next stretch.
    """

    def __init__(self) -> None:
        self.steps = 1
        self._stretches = 0

    @contextmanager
    def timed(self, steps: int) -> Iterator[None]:
        """Around a stretch of so many updates, which must be over at the end."""
        begun = time.perf_counter()
        yield
        seconds = time.perf_counter() - begun
        self._stretches += 1
        if self._stretches > 1:
            wanted = int(_WATCHED_EVERY * steps / max(seconds, 1e-9))
            self.steps = max(1, min(wanted, _GROWTH * self.steps))


def encode(step: int, progress: Any) -> bytes:
    """A snapshot: weight updates done, and all arrays of the training."""
    buffer = io.BytesIO()
    buffer.write(_MAGIC)
    np.save(buffer, np.int64(step), allow_pickle=False)
    eqx.tree_serialise_leaves(buffer, progress)
    return buffer.getvalue()


def decode(data: bytes, like: Callable[[int], Tree]) -> tuple[int, Tree]:
    """The updates done, and the arrays.

    Args:
        data: from `encode`.
        like: what has the structure, shapes and types of the training after so many updates.

    Raises:
        ValueError: it is not a snapshot of such a training.
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
