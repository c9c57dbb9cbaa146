"""scikit-learn's handwritten digits (Alpaydin and Kaynak, UCI, 1998), contained in the package."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np

from pccore.data.dataset import Dataset, DatasetInfo, Embedded, every_fifth

_INFO = DatasetInfo(
    name="digits",
    description="8 x 8 handwritten digits, contained in scikit-learn",
    task="classification",
    input_size=64,
    output_size=10,
    train_size=1442,
    test_size=355,
    embedded=True,
)


def _build() -> Dataset:
    """Split 80/20 within each class: every fifth sample of a class, in file order, is a test."""
    table = np.loadtxt(_file(), delimiter=",")
    x, labels = table[:, :-1], table[:, -1]
    test = np.zeros(len(labels), bool)
    for label in range(_INFO.output_size):
        of_class = np.flatnonzero(labels == label)
        test[of_class] = every_fifth(len(of_class))
    x, y = x.astype(np.float32), labels.astype(np.int32)
    # Mean and standard deviation over all pixels, which are 0..16.
    return Dataset(_INFO.name, _INFO.task, x[~test], y[~test], x[test], y[test], 4.8842, 6.0168)


def _file() -> Path:
    """Return scikit-learn's file. To import the package would take as long as to import JAX."""
    found = find_spec("sklearn")
    if found is None or found.origin is None:
        raise ModuleNotFoundError("the digits are part of scikit-learn, which is not installed")
    return Path(found.origin).parent / "datasets" / "data" / "digits.csv.gz"


DIGITS = Embedded(_INFO, _build)
