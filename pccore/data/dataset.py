"""Data sets: arrays, descriptions that need no file, sources and errors."""

import hashlib
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NoReturn

import numpy as np

from pccore.data.containers import inputs_and_targets
from pccore.data.errors import DatasetError as DatasetError
from pccore.data.inputs import inputs_of, require_pairs
from pccore.data.normalisation import Normalise, normalised, standardised
from pccore.data.split import DEFAULT_TEST, split
from pccore.data.targets import Task as Task
from pccore.data.targets import targets_of

NAME_DIGITS = 12
"""Digits of the digest in the names of data sets of the user's own."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


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


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Samples for training and testing. A network sees (x - mean) / std.

    `from_arrays` makes one of arrays of any type and shape.

    Attributes:
        name: its name in `pccore.data.DATASETS`.
        task: "classification" or "regression".
        train_x: training inputs (n, D), raw: uint8 or float32.
        train_y: training targets: int32 labels (n,) from 0, or float32 (n, K) for a regression.
        test_x: test inputs (m, D), as `train_x`.
        test_y: test targets, as `train_y`.
        mean: subtracted from every input, in raw units.
        std: divisor of every input after that, in raw units.
        description: one line for humans.
        feature_mean: (D,), subtracted from every input before it was stored; None if nothing was.
        feature_std: (D,), its divisor after that.

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
    description: str = ""
    feature_mean: np.ndarray | None = None
    feature_std: np.ndarray | None = None

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

    @classmethod
    def from_arrays(
        cls,
        x: object,
        y: object = None,
        *,
        x_test: object = None,
        y_test: object = None,
        test: float | None = None,
        seed: int = 0,
        normalise: Normalise = "per feature",
        task: Task | None = None,
        name: str = "data",
    ) -> "Dataset":
        """Return a data set of arrays, which is known by its content.

        Equal samples, split and normalisation make the same data set with the same digest, whatever
        types and containers they came in: NumPy, lists, pandas, tensors with `__array__`.

        Args:
            x: samples (n, ...) of any real or integer type and any shape, which is flattened; or a
                table with named columns; or, with y None, anything with a length whose entries are
                pairs (x, y).
            y: labels in whole numbers from 0 or in text, one-hot labels (n, K), or real targets
                (n, K) of a regression; or the name of their column in x.
            x_test: samples of the test set; None splits it off from x.
            y_test: their targets.
            test: the share of samples that is split off, class by class; 0.2 if there is no x_test.
            seed: of the split. A given test set leaves the samples in their order.
            normalise: how inputs are standardised, by the training set: "per feature", each input
                by itself; "global", all together, as pixels should be; (mean, std); or None.
            task: "classification" or "regression"; None infers it from y. "regression" is needed
                for targets (n,).
            name: what the name of the data set begins with; the digest follows.

        Raises:
            DatasetError: in one sentence, what is wrong with the arrays.
        """
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise DatasetError(
                "the name of a data set must have up to 64 letters, digits, dots, dashes and "
                f"underscores, and start with a letter or digit; got {name!r}"
            )
        named = y  # y_test may be left out where y names a column
        x, y, columns = inputs_and_targets(x, y)
        inputs, note = inputs_of(x, "x", columns)
        if x_test is None:
            if y_test is not None:
                raise DatasetError("y_test must be left out without x_test")
            targets = targets_of(y, None, task)
            require_pairs(inputs, targets.train, "x", "y")
            share = DEFAULT_TEST if test is None else test
            train, rest = split(targets.train, share, seed)
            parts = (inputs[train], targets.train[train], inputs[rest], targets.train[rest])
        else:
            if test is not None:
                raise DatasetError(f"test must be left out beside x_test, got {test!r}")
            y_test = named if y_test is None and isinstance(named, str) else y_test
            x_test, y_test, _ = inputs_and_targets(x_test, y_test, "x_test", columns)
            targets = targets_of(y, y_test, task)
            tested, _ = inputs_of(x_test, "x_test", columns)
            require_pairs(inputs, targets.train, "x", "y")
            require_pairs(tested, targets.tested, "x_test", "y_test")
            parts = (inputs.copy(), targets.train, tested.copy(), targets.tested)
        if inputs.shape[1] != parts[2].shape[1]:
            raise DatasetError(
                f"x has {inputs.shape[1]} inputs per sample, x_test {parts[2].shape[1]}"
            )
        stored = normalised(parts[0], parts[2], normalise)
        made = cls(
            name,
            targets.task,
            stored.train,
            parts[1],
            stored.test,
            parts[3],
            stored.mean,
            stored.std,
            "; ".join(filter(None, (note, targets.note))) or "arrays",
            stored.feature_mean,
            stored.feature_std,
        )
        for array in (made.train_x, made.train_y, made.test_x, made.test_y):
            array.flags.writeable = (
                False  # the digest, which is part of run ids, is of this content
            )
        object.__setattr__(made, "name", f"{name}-{made.digest[:NAME_DIGITS]}")
        return made

    def stored(self, x: object) -> np.ndarray:
        """Return new samples (m, ...) as this data set stores its inputs, (m, D).

        They are what a network trained on it predicts from, after (x - mean) / std.

        Raises:
            DatasetError: they are no finite numbers, or not D per sample.
        """
        inputs, _ = inputs_of(x, "x")
        if inputs.shape[1] != self.input_size:
            raise DatasetError(
                f"x has {inputs.shape[1]} inputs per sample, {self.name} {self.input_size}"
            )
        if self.feature_mean is None or self.feature_std is None:
            return inputs
        return standardised(inputs, self.feature_mean, self.feature_std)

    def __repr__(self) -> str:
        return (
            f"Dataset({self.name!r}, {self.task}, {self.input_size} inputs, {self.output_size} "
            f"outputs, {len(self.train_x)} training and {len(self.test_x)} test samples)"
        )

    @property
    def label(self) -> str:
        """The beginning of the name of a data set made by `from_arrays`, without the digest."""
        return self.name.removesuffix(f"-{self.digest[:NAME_DIGITS]}")

    @property
    def info(self) -> "DatasetInfo":
        """Its description."""
        return DatasetInfo(
            self.name,
            self.description,
            self.task,
            self.input_size,
            self.output_size,
            len(self.train_x),
            len(self.test_x),
            embedded=False,
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

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays."""
        arrays = (self.train_x, self.train_y, self.test_x, self.test_y)
        return sum(array.nbytes for array in arrays)

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
