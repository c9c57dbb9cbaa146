"""Any object with arrays of samples as a data set."""

from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike

from pccore.data import Dataset


@runtime_checkable
class DataArrays(Protocol):
    """What a training needs of its data; `pccore.data.Dataset` has it, and more.

    Attributes:
        train_x: training inputs (n, ...), flattened for the network.
        train_y: training targets: whole numbers from 0 (n,) for classes, or floats (n,) or (n, K)
            for a regression.
        test_x: test inputs (m, ...).
        test_y: test targets.
        mean, std: optional. A network sees (x - mean) / std; by default 0 and 1.
        name: optional, for messages.
    """

    @property
    def train_x(self) -> ArrayLike: ...

    @property
    def train_y(self) -> ArrayLike: ...

    @property
    def test_x(self) -> ArrayLike: ...

    @property
    def test_y(self) -> ArrayLike: ...


def as_dataset(data: DataArrays) -> Dataset:
    """Return the data as a `Dataset`, which is returned as it is.

    Raises:
        DatasetError: the shapes, types or values of the arrays do not fit one another.
    """
    if isinstance(data, Dataset):
        return data
    train_y, test_y = _targets(data.train_y), _targets(data.test_y)
    return Dataset(
        name=str(getattr(data, "name", "data")),
        task="classification" if train_y.ndim == 1 else "regression",
        train_x=_inputs(data.train_x),
        train_y=train_y,
        test_x=_inputs(data.test_x),
        test_y=test_y,
        mean=float(getattr(data, "mean", 0.0)),
        std=float(getattr(data, "std", 1.0)),
    )


def _inputs(samples: ArrayLike) -> np.ndarray:
    """Return inputs as vectors (n, D), bytes as they are and other numbers in single precision."""
    array = np.asarray(samples)
    flat = array.reshape(len(array), -1) if array.ndim and array.size else array
    return flat if flat.dtype == np.uint8 else flat.astype(np.float32)


def _targets(targets: ArrayLike) -> np.ndarray:
    """Return whole numbers as labels (n,), and floats as targets (n, K)."""
    array = np.asarray(targets)
    if array.dtype.kind in "iub" and array.ndim == 1:
        return array.astype(np.int32)
    return array.astype(np.float32).reshape(len(array), -1)
