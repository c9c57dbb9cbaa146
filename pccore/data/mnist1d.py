"""MNIST-1D (Greydanus and Kobak, 2020): ten noisy one-dimensional shapes, generated on loading."""

import random
from threading import Lock

import numpy as np

from pccore.data.dataset import Dataset, DatasetInfo, Embedded

_INFO = DatasetInfo(
    name="mnist1d",
    description="MNIST-1D: ten shapes, shifted, scaled and noisy, as 40 numbers",
    task="classification",
    input_size=40,
    output_size=10,
    train_size=4000,
    test_size=1000,
    embedded=True,
)

_GLOBAL_GENERATORS = Lock()


def _build() -> Dataset:
    """Run the authors' generator with its default settings (seed 42); its inputs are standardised.

    It draws from the global generators of `random` and NumPy. A lock allows one build at a time,
    and the state of both generators is restored.
    """
    from mnist1d.data import make_dataset

    with _GLOBAL_GENERATORS:
        python_state, numpy_state = random.getstate(), np.random.get_state()
        try:
            made = make_dataset()
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)
    return Dataset(
        _INFO.name,
        _INFO.task,
        made["x"].astype(np.float32),
        made["y"].astype(np.int32),
        made["x_test"].astype(np.float32),
        made["y_test"].astype(np.int32),
    )


MNIST1D = Embedded(_INFO, _build)
