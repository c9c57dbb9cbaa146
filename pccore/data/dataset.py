"""What a data set is: its arrays, what is known about it without reading a file, and its errors."""

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

Task = Literal["classification", "regression"]


class DatasetError(ValueError):
    """A data set that is missing, damaged or inconsistent; the message is one sentence."""


@dataclass(frozen=True)
class DatasetInfo:
    """What is known about a data set without reading it.

    Attributes:
        name: its name in `pccore.data.DATASETS`.
        description: one line for people.
        task: "classification" or "regression".
        input_size: D, numbers per sample.
        output_size: K, classes or regression targets.
        train_size: training samples.
        test_size: test samples.
        embedded: True when it comes with the installed packages, False when it is read from files.
    """

    name: str
    description: str
    task: Task
    input_size: int
    output_size: int
    train_size: int
    test_size: int
    embedded: bool


@dataclass(frozen=True, eq=False)
class Dataset:
    """Samples for training and testing. A network sees (x - mean) / std.

    Attributes:
        name: its name in `pccore.data.DATASETS`.
        task: "classification" or "regression".
        train_x: training inputs (n, D), raw: uint8 or float32.
        train_y: training targets: int32 labels (n,) from 0, or float32 (n, K) for a regression.
        test_x: test inputs (m, D), as `train_x`.
        test_y: test targets, as `train_y`.
        mean: subtracted from every raw number, in raw units.
        std: what every number is then divided by, in raw units.

    Raises:
        DatasetError: arrays whose shapes or types do not fit the above.
    """

    name: str
    task: Task
    train_x: np.ndarray
    train_y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray
    mean: float = 0.0
    std: float = 1.0

    def __post_init__(self) -> None:
        self._check_part("train", self.train_x, self.train_y)
        self._check_part("test", self.test_x, self.test_y)
        if self.train_x.shape[1:] != self.test_x.shape[1:]:
            self._refuse(
                f"its test samples are {self.test_x.shape[1]} numbers long, not {self.input_size}"
            )
        if self.train_y.shape[1:] != self.test_y.shape[1:]:
            self._refuse(
                f"its test targets are {self.test_y.shape[1:]}, not {self.train_y.shape[1:]}"
            )
        if not (math.isfinite(self.mean) and math.isfinite(self.std) and self.std > 0):
            self._refuse(
                f"mean and std must be finite and std positive, got {self.mean} and {self.std}"
            )

    @property
    def input_size(self) -> int:
        """D, numbers per sample."""
        return int(self.train_x.shape[1])

    @cached_property
    def output_size(self) -> int:
        """K: the largest label plus one, or targets per sample of a regression."""
        if self.task == "regression":
            return int(self.train_y.shape[1])
        return int(max(self.train_y.max(), self.test_y.max())) + 1

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of everything that a training can depend on: arrays, task, mean and std."""
        digest = hashlib.sha256(f"{self.task} {self.mean!r} {self.std!r}".encode())
        for array in (self.train_x, self.train_y, self.test_x, self.test_y):
            digest.update(f"{array.dtype.str} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def _check_part(self, part: str, x: np.ndarray, y: np.ndarray) -> None:
        if x.ndim != 2 or x.size == 0 or x.dtype not in (np.uint8, np.float32):
            self._refuse(f"{part}_x must be uint8 or float32 (n, D), got {x.dtype} {x.shape}")
        kind, rank = (np.float32, 2) if self.task == "regression" else (np.int32, 1)
        if y.dtype != kind or y.ndim != rank or len(y) != len(x):
            wanted = "float32 (n, K)" if self.task == "regression" else "int32 (n,)"
            self._refuse(f"{part}_y must be {wanted} with n = {len(x)}, got {y.dtype} {y.shape}")
        if self.task == "classification" and y.min() < 0:
            self._refuse(f"{part}_y must hold labels from 0, got {y.min()}")

    def _refuse(self, what: str) -> None:
        raise DatasetError(f"data set {self.name!r} is inconsistent: {what}")


class DataSource(Protocol):
    """Where a data set comes from."""

    @property
    def info(self) -> DatasetInfo:
        """What is known without reading a file."""
        ...

    def find(self, data_dir: Path | None) -> list[Path]:
        """The files that `load` would read (none when embedded), without reading them.

        Raises:
            DatasetError: one is missing.
        """
        ...

    def load(self, data_dir: Path | None) -> Dataset:
        """The data set.

        Raises:
            DatasetError: a file is missing or damaged.
        """
        ...

    def fetch(self, data_dir: Path | None) -> list[Path]:
        """Download what is missing or damaged, verify it, and return what `find` then returns.

        Raises:
            DatasetError: no mirror delivered the data, or the folder cannot be written.
        """
        ...


@dataclass(frozen=True)
class Embedded:
    """A data set that the installed packages contain or that a few lines generate.

    Attributes:
        info: what is known without building it.
        build: builds it.
    """

    info: DatasetInfo
    build: Callable[[], Dataset]

    def find(self, data_dir: Path | None) -> list[Path]:
        return []

    def load(self, data_dir: Path | None) -> Dataset:
        return self.build()

    def fetch(self, data_dir: Path | None) -> list[Path]:
        return []


def every_fifth(n: int) -> np.ndarray:
    """Which of `n` samples belong to the test set: every fifth, the last of each five (n,) bool."""
    return np.arange(n) % 5 == 4
