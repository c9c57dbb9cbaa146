"""Where batches come from: a data set on the device, or one in the host's memory, streamed.

A data set that takes more than a share of the device's memory stays with the host. Its batches go
to the device a window of updates at a time, while the device computes with the window before. Both
ways give every update the same batch.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt

from pccore.data import Dataset, DatasetError
from pccore.networks.base import AbstractNetwork
from pccore.training.config import TrainingConfig
from pccore.training.programs import (
    Samples,
    evaluate,
    on_device,
    on_every_shard,
    shuffle,
)

ENVIRONMENT_VARIABLE = "MUPC_STREAM_ABOVE_MB"
"""Names the size of data sets, in MB, above which they are streamed."""

SHARE = 0.5
"""The share of the device's memory that a data set may take, unless the variable is set."""

WINDOW_BYTES = 2**24
"""About the size of a window; the device has two at a time. Larger ones leave the host's cache."""

Losses = tuple[Float[Array, " lanes"], Float[Array, " lanes"]]
"""Mean test loss and accuracy of every lane."""

Inferring = tuple[TrainingConfig, Float[Array, " lanes"]] | tuple[()]
"""The training and beta of every lane, if its rule infers the inputs."""


class Window(NamedTuple):
    """The samples of some updates.

    Attributes:
        samples: on the device.
        order: places in `samples` of the batches of every lane, (lanes, updates x B).
        first: the update whose batch is the first in `order`.
        start: the first update to take.
        stop: the update after the last one to take.
    """

    samples: Samples
    order: Int[Array, "lanes places"]
    first: int
    start: int
    stop: int


class Feed(ABC):
    """The data of a group of lanes.

    Attributes:
        head: the first samples of the training set as stored, at least a batch, on the device.
        per_epoch: updates in an epoch.
        streams: whether windows take memory of the device, which must not have more than two.
    """

    head: Samples
    per_epoch: int
    streams: bool = False

    @abstractmethod
    def windows(self, step: int, stop: int) -> Iterator[Window]:
        """Yield the samples of updates `step` to `stop`, which are of one epoch, in order."""

    @property
    @abstractmethod
    def test_part(self) -> Samples:
        """Samples of the test set on the device, all or some."""

    @abstractmethod
    def evaluate(self, network: AbstractNetwork, inferring: Inferring) -> Losses:
        """Return mean test loss and accuracy of every lane (accuracy NaN for regressions).

        Args:
            network: of every lane.
            inferring: further arguments of `pccore.training.programs.evaluate`.
        """


def feed_of(
    dataset: Dataset, batch_size: int, seeds: Sequence[int], shards: int, longest: int
) -> Feed:
    """Return the feed of a data set on this thread's device.

    Args:
        dataset: the data set.
        batch_size: B.
        seeds: the seed of every lane.
        shards: number of devices over which a batch is split.
        longest: the most updates in a row without an interruption.

    Raises:
        DatasetError: `MUPC_STREAM_ABOVE_MB` is not a number.
    """
    if dataset.nbytes <= most_bytes():
        return Resident(dataset, batch_size, seeds, shards)
    return Streamed(dataset, batch_size, seeds, shards, longest)


def most_bytes() -> float:
    """Return the bytes of the largest data set that is kept on the device.

    Raises:
        DatasetError: `MUPC_STREAM_ABOVE_MB` is not a number.
    """
    limit = limit_set()
    if limit is not None:
        return limit
    (device,) = jnp.zeros(()).devices()
    statistics = device.memory_stats() or {}
    memory = statistics.get("bytes_limit")  # unknown for CPUs, whose memory is the host's
    return SHARE * memory if memory else float("inf")


def limit_set() -> float | None:
    """Return the limit in bytes that `MUPC_STREAM_ABOVE_MB` sets; None if it is unset.

    Raises:
        DatasetError: its value is not a number.
    """
    text = os.environ.get(ENVIRONMENT_VARIABLE)
    if not text:
        return None
    try:
        megabytes = float(text)
    except ValueError:
        megabytes = -1.0
    if not megabytes >= 0:
        raise DatasetError(f"{ENVIRONMENT_VARIABLE} must be a number of MB, got {text!r}")
    return 1e6 * megabytes


class Resident(Feed):
    """A data set on the device, which every group of this process shares."""

    def __init__(
        self, dataset: Dataset, batch_size: int, seeds: Sequence[int], shards: int
    ) -> None:
        self.head, self._test = on_device(dataset, shards)
        self.per_epoch = len(dataset.train_x) // batch_size
        self._seeds, self._samples = jnp.array(seeds, jnp.uint32), len(dataset.train_x)
        self._epoch: int | None = None

    def windows(self, step: int, stop: int) -> Iterator[Window]:
        epoch = step // self.per_epoch
        if epoch != self._epoch:
            self._order = shuffle(self._seeds, epoch, self._samples)
            self._epoch = epoch
        yield Window(self.head, self._order, epoch * self.per_epoch, step, stop)

    @property
    def test_part(self) -> Samples:
        return self._test

    def evaluate(self, network: AbstractNetwork, inferring: Inferring) -> Losses:
        return evaluate(network, self._test, *inferring)


class Streamed(Feed):
    """A data set in the host's memory.

    Lanes with the same seed have the same batches, which are sent once. After a window has been
    given out, the next one is gathered and sent while the device computes.
    """

    streams = True

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int,
        seeds: Sequence[int],
        shards: int,
        longest: int,
    ) -> None:
        self._dataset, self._batch_size, self._shards = dataset, batch_size, shards
        self.per_epoch = len(dataset.train_x) // batch_size
        unique = sorted(set(seeds))
        self._seeds: UInt[Array, " seeds"] = jnp.array(unique, jnp.uint32)
        row = dataset.train_x[0].nbytes + dataset.train_y[0].nbytes
        fitting = max(1, WINDOW_BYTES // (row * batch_size * len(unique)))
        longest = max(1, min(longest, self.per_epoch))
        pieces = -(-longest // fitting)
        self._updates = -(-longest // pieces)  # as many windows as needed, of equal length
        width = self._updates * batch_size
        first = np.array([unique.index(seed) for seed in seeds], np.int32) * width
        self._places = jnp.asarray(first[:, None] + np.arange(width, dtype=np.int32))
        self._epoch: int | None = None
        self._ready: tuple[int, Samples] | None = None
        self.head = self._sent(dataset.train_x[:batch_size], dataset.train_y[:batch_size])
        test_row = max(1, dataset.test_x[0].nbytes)
        self._test_rows = max(1, min(len(dataset.test_x), WINDOW_BYTES // test_row))

    def windows(self, step: int, stop: int) -> Iterator[Window]:
        while step < stop:
            end = min(step + self._updates, stop)
            samples = self._window(step)
            yield Window(samples, self._places, step, step, end)
            del samples
            # The device computes now. The next window may be of the next stretch.
            if end % self.per_epoch:
                self._ready = end, self._window(end)
            step = end

    def _window(self, step: int) -> Samples:
        """Return the samples of the updates from `step`, as many as a window has in its epoch."""
        if self._ready is not None and self._ready[0] == step:
            (_, samples), self._ready = self._ready, None
            return samples
        epoch, place = divmod(step, self.per_epoch)
        if epoch != self._epoch:
            self._order = np.asarray(shuffle(self._seeds, epoch, len(self._dataset.train_x)))
            self._epoch = epoch
        B = self._batch_size
        updates = min(self._updates, self.per_epoch - place)
        chosen = self._order[:, place * B : (place + updates) * B]
        x = self._gathered(self._dataset.train_x, chosen)
        y = self._gathered(self._dataset.train_y, chosen)
        return self._sent(x, y)

    def _gathered(self, rows: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        """Return the chosen rows of every seed, (seeds x window, ...); a rest is left as it is."""
        width = self._updates * self._batch_size
        found = np.empty((len(chosen), width, *rows.shape[1:]), rows.dtype)
        for row, places in zip(found, chosen, strict=True):
            np.take(rows, places, axis=0, out=row[: len(places)], mode="clip")
        return found.reshape(-1, *rows.shape[1:])

    @property
    def test_part(self) -> Samples:
        rows = self._test_rows
        return self._sent(self._dataset.test_x[:rows], self._dataset.test_y[:rows])

    def evaluate(self, network: AbstractNetwork, inferring: Inferring) -> Losses:
        loss = accuracy = jnp.zeros(())
        x, y = self._dataset.test_x, self._dataset.test_y
        for start in range(0, len(x), self._test_rows):
            rows = slice(start, start + self._test_rows)
            part = evaluate(network, self._sent(x[rows], y[rows]), *inferring)
            share = len(x[rows]) / len(x)
            loss, accuracy = loss + share * part[0], accuracy + share * part[1]
            jax.block_until_ready(loss)  # so that the device has one part at a time
        return loss, accuracy

    def _sent(self, x: np.ndarray, y: np.ndarray) -> Samples:
        """Return samples on the device; sending goes on after the return."""
        real = jnp.zeros(()).dtype
        mean, std = (jnp.asarray(v, real) for v in (self._dataset.mean, self._dataset.std))
        samples = Samples(jnp.asarray(x), jnp.asarray(y), mean, std)
        return samples if self._shards == 1 else on_every_shard(samples, self._shards)
