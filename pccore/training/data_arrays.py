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
    floats = np.asarray(data.train_y).dtype.kind == "f"
    return Dataset.from_arrays(
        data.train_x,
        data.train_y,
        x_test=data.test_x,
        y_test=data.test_y,
        normalise=(getattr(data, "mean", 0.0), getattr(data, "std", 1.0)),
        task="regression" if floats else "classification",
        name=getattr(data, "name", "data"),
    )
