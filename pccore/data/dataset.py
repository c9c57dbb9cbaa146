"""Data sets: arrays, descriptions that need no file, sources and errors."""

import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, NoReturn

import numpy as np

Task = Literal["classification", "regression"]


class DatasetError(ValueError):
    """A data set is missing, damaged or inconsistent; the message is one sentence."""


@dataclass(frozen=True)
class DatasetInfo:
    """The description of a data set, known without reading a file.

    Attributes:
        name: its name in `pccore.data.DATASETS`.
        description: one line for humans.
        task: "classification" or "regression".
        input_size: D, numbers per sample.
        output_size: K, number of classes or regression targets.
        train_size: number of training samples.
        test_size: number of test samples.
        embedded: True if installed packages contain or generate it, False if it is read from files.
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
        mean: subtracted from every input, in raw units.
        std: divisor of every input after that, in raw units.

    Raises:
        DatasetError: the shapes, types or values of the arrays do not fit the above.
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
            self._fail(
                f"test samples have {self.test_x.shape[1]} numbers, training samples "
                f"{self.input_size}"
            )
        if self.train_y.shape[1:] != self.test_y.shape[1:]:
            self._fail(
                f"test targets have the shape {self.test_y.shape[1:]}, training targets "
                f"{self.train_y.shape[1:]}"
            )
        if not (math.isfinite(self.mean) and math.isfinite(self.std) and self.std > 0):
            self._fail(
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
        """SHA-256 (hex) of everything on which training can depend: arrays, task, mean and std."""
        digest = hashlib.sha256(f"{self.task} {self.mean!r} {self.std!r}".encode())
        for array in (self.train_x, self.train_y, self.test_x, self.test_y):
            digest.update(f"{array.dtype.str} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def _check_part(self, part: str, x: np.ndarray, y: np.ndarray) -> None:
        if x.ndim != 2 or x.size == 0 or x.dtype not in (np.uint8, np.float32):
            self._fail(f"{part}_x must be uint8 or float32 (n, D), got {x.dtype} {x.shape}")
        kind, rank = (np.float32, 2) if self.task == "regression" else (np.int32, 1)
        if y.dtype != kind or y.ndim != rank or len(y) != len(x):
            wanted = "float32 (n, K)" if self.task == "regression" else "int32 (n,)"
            self._fail(f"{part}_y must be {wanted} with n = {len(x)}, got {y.dtype} {y.shape}")
        if self.task == "classification" and y.min() < 0:
            self._fail(f"{part}_y must have labels from 0, got {y.min()}")

    def _fail(self, cause: str) -> NoReturn:
        raise DatasetError(f"data set {self.name!r} is inconsistent: {cause}")


class DataSource(ABC):
    """A source of a data set.

    Attributes:
        info: its description.
    """

    info: DatasetInfo

    @abstractmethod
    def find(self, data_dir: Path | None) -> list[Path]:
        """Return the paths of the files that `load` reads (none if embedded), without reading them.

        Raises:
            DatasetError: a file is missing.
        """

    @abstractmethod
    def load(self, data_dir: Path | None) -> Dataset:
        """Read or build the data set.

        Raises:
            DatasetError: a file is missing or damaged.
        """

    @abstractmethod
    def fetch(self, data_dir: Path | None) -> list[Path]:
        """Download and verify missing or damaged files, then return the result of `find`.

        Raises:
            DatasetError: no mirror delivered the data, or the folder cannot be written.
        """


@dataclass(frozen=True)
class Embedded(DataSource):
    """A data set that an installed package contains or a function generates.

    Attributes:
        info: its description.
        build: function that returns the data set.
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
    """Return a mask (n,) of the test samples: the last one of every five."""
    return np.arange(n) % 5 == 4
