"""Snapshots of a running training, from which it resumes with identical numbers."""

import hashlib
import io
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import accumulate, pairwise
from typing import NamedTuple, Protocol, TypeVar, runtime_checkable

import equinox as eqx
import numpy as np
from jaxtyping import PyTree

from pccore.data import Dataset
from pccore.networks.stacked import NetworkConfig
from pccore.training.config import CONVENTIONS, Lane, TrainingConfig

_MAGIC = b"mupc training 2\n"
_LANES = b"mupc lanes 1\n"
_IDENTITY_BYTES = 1000  # more than the line of any identity has
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


class Identity(NamedTuple):
    """The training that a snapshot is of; each part is a SHA-256 (hex).

    Attributes:
        configuration: of the conventions and the config, without the layout of its arithmetic,
            which may change between two workers.
        data: of the data set (`Dataset.digest`).
        lanes: of the learning rates and seeds, in order.
    """

    configuration: str
    data: str
    lanes: str

    @classmethod
    def of(cls, config: TrainingConfig, dataset: Dataset, lanes: Sequence[Lane]) -> "Identity":
        """Return the identity of a training."""
        config = replace(config, batch_shards=1)
        if isinstance(config.network, NetworkConfig):
            config = replace(config, network=replace(config.network, layers_per_product=0))
        return cls(_digest((CONVENTIONS, config)), dataset.digest, _digest(tuple(lanes)))


def _digest(settings: object) -> str:
    return hashlib.sha256(repr(settings).encode()).hexdigest()


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


def encode(step: int, progress: PyTree, identity: Identity | None = None) -> bytes:
    """Serialise a snapshot: its identity, the number of weight updates done, and all arrays."""
    buffer = io.BytesIO()
    buffer.write(_MAGIC + json.dumps(identity).encode() + b"\n")
    np.save(buffer, np.int64(step), allow_pickle=False)
    eqx.tree_serialise_leaves(buffer, progress)
    return buffer.getvalue()


def decode(
    data: bytes, like: Callable[[int], Tree], identity: Identity | None = None
) -> tuple[int, Tree]:
    """Return the number of updates done and the arrays of a snapshot.

    Args:
        data: a result of `encode`.
        like: returns a tree with the structure, shapes and types of the training after a number of
            updates; raises `ValueError` for a number that it never has.
        identity: of the training that is to continue.

    Raises:
        ValueError: `data` is not a snapshot of this training.
    """
    buffer = io.BytesIO(data)
    if buffer.read(len(_MAGIC)) != _MAGIC:
        raise ValueError("it is not a snapshot of a training")
    try:
        _require_same(identity, json.loads(buffer.readline(_IDENTITY_BYTES)))
        step = int(np.load(buffer, allow_pickle=False))
        progress = eqx.tree_deserialise_leaves(buffer, like(step))
    except Exception as error:  # NumPy and Equinox raise many classes on foreign bytes
        raise ValueError(f"the snapshot is of another training: {error}") from error
    if buffer.read(1):
        raise ValueError("the snapshot is of another training: it is too long")
    return step, progress


def pack(snapshots: Sequence[bytes]) -> bytes:
    """Return the snapshots of several lanes, each a training of its own, as one."""
    lengths = json.dumps([len(snapshot) for snapshot in snapshots]).encode()
    return b"".join((_LANES, lengths, b"\n", *snapshots))


def unpack(data: bytes) -> list[bytes] | None:
    """Return the snapshots that `pack` joined; None if `data` is a single one.

    Raises:
        ValueError: it is torn.
    """
    if not data.startswith(_LANES):
        return None
    line, _, rest = data[len(_LANES) :].partition(b"\n")
    lengths = json.loads(line)
    ends = list(accumulate(lengths, initial=0))
    if ends[-1] != len(rest):
        raise ValueError("the snapshots of its lanes are torn")
    return [rest[start:end] for start, end in pairwise(ends)]


def _require_same(identity: Identity | None, found: object) -> None:
    """Raise `ValueError` unless a snapshot's identity is the given one."""
    wanted = identity if identity is None else list(identity)
    if found == wanted:
        return
    if not isinstance(found, list) or wanted is None or len(found) != len(wanted):
        raise ValueError("it does not say which")
    parts = [name for name, a, b in zip(Identity._fields, found, wanted, strict=True) if a != b]
    raise ValueError(f"its {' and '.join(parts)} differ")
